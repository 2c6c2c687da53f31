//! What faults do to a node's clock, calendar and disk, and that each of it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use squall_kernel::fault::{ClockFault, DiskFault as OnDisk, FaultKind, Held, TTL_MAX};
use squall_kernel::time::{Instant, Span};

use super::{Acts, DiskFault};
use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::faults::FaultPlane;
use crate::journal::Recorder;

const SECOND: Span = Span::from_ms(1000);

struct Rig {
    clock: Clock,
    calendar: Calendar,
    disk: Arc<DiskFault>,
    faults: Arc<FaultPlane>,
}

impl Rig {
    fn new() -> Self {
        let (clock, calendar) = (Clock::start(), Calendar::default());
        let disk: Arc<DiskFault> = Arc::default();
        let acts = Acts::on(clock.clone()).and(calendar.clone(), Arc::clone(&disk));
        let recorder = Recorder::new(None, clock.clone());
        let faults = Arc::new(FaultPlane::recorded(acts, recorder));
        tokio::spawn(Arc::clone(&faults).keep_time());
        Self {
            clock,
            calendar,
            disk,
            faults,
        }
    }

    fn set(&self, id: &str, kind: FaultKind) {
        self.faults.set(id, kind, SECOND, "test").unwrap();
    }
}

/// Moves the time, which stands still, a millisecond at a time, so that whoever waits for one is not late.
async fn pass(ms: u64) {
    for _ in 0..ms {
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn a_skewed_clock_runs_right_again_when_the_fault_is_over_which_is_in_time() {
    let rig = Rig::new();
    let before = rig.calendar.unix_ms();
    rig.set("skew", FaultKind::Clock(ClockFault::Skew { ppm: -500_000 }));
    rig.set("step", FaultKind::Clock(ClockFault::Step { ms: 3_600_000 }));
    assert!(rig.calendar.unix_ms() >= before + 3_600_000);
    pass(1_001).await;
    // Nobody looks: a second of the machine's, and not of the node's.
    assert_eq!(rig.clock.now().0 / 1000, 501);
    assert!(rig.calendar.unix_ms() < before + 3_600_000);
    pass(1_000).await;
    assert_eq!(rig.clock.now().0 / 1000, 1_501);
    assert_eq!(rig.faults.now(), Instant(2_001_000));
}

#[tokio::test(start_paused = true)]
async fn a_disk_obeys_and_is_as_it_was_when_the_faults_are_halted() {
    let rig = Rig::new();
    let by = Span::from_ms(50);
    rig.set("slow", FaultKind::Disk(OnDisk::Slow { by }));
    rig.set("full", FaultKind::Disk(OnDisk::Full));
    rig.set("torn", FaultKind::Disk(OnDisk::Torn));
    assert_eq!(rig.disk.slow(), Duration::from_millis(50));
    assert!(rig.disk.room_for(1).is_err());
    assert_eq!(rig.disk.held(), Some(Held::Torn));
    rig.set("torn", FaultKind::Disk(OnDisk::LostTail));
    assert_eq!(rig.disk.held(), Some(Held::Whole));
    assert_eq!(rig.faults.halt().len(), 3);
    assert_eq!((rig.disk.slow(), rig.disk.held()), (Duration::ZERO, None));
    assert!(rig.disk.room_for(u64::MAX - 1).is_ok());
}

#[tokio::test]
async fn threads_spin_as_long_as_their_fault_acts() {
    let rig = Rig::new();
    let burning = || -> Vec<Weak<AtomicBool>> {
        let state = rig.faults.acts.state.lock().unwrap();
        state.burns.values().map(|burn| burn.watch()).collect()
    };
    let kind = FaultKind::Burn { threads: 1 };
    rig.faults.set("one", kind.clone(), TTL_MAX, "").unwrap();
    let first = burning();
    rig.faults.set("one", kind, TTL_MAX, "").unwrap();
    let second = burning();
    assert_eq!((first.len(), second.len()), (1, 1));
    let told = |all: &[Weak<AtomicBool>]| all[0].upgrade().is_none_or(|over| over.load(Ordering::Relaxed));
    assert!(told(&first) && !told(&second), "replaced");
    drop(rig.faults.clear("one"));
    assert!(told(&second));
}
