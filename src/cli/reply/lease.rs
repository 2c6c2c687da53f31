//! A leader's leases as lines, on the clock that all processes of a system share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use squall_client::{Leadership, LeadershipChange};

/// How far apart two readings of the clock may lie for what is read between them to count as read then.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The line for a change; none for a lease that has run out before it could be told.
pub(super) fn readable(change: LeadershipChange) -> Option<String> {
    match change {
        LeadershipChange::Leads(lease) => {
            let (from, until) = on_the_clock(&lease)?;
            let (from, until) = (from.as_secs_f64(), until.as_secs_f64());
            Some(format!("lease {} from {from:.6} until {until:.6}", lease.epoch()))
        }
        LeadershipChange::Over(epoch) => Some(format!("lease {epoch} is over at {:.6}", now().as_secs_f64())),
    }
}

/// Now, and the end of the lease. The two clocks are read again when the process was held up between them.
fn on_the_clock(lease: &Leadership) -> Option<(Duration, Duration)> {
    loop {
        let before = now();
        let left = lease.remaining();
        if left.is_zero() {
            return None;
        }
        if now() - before < AT_ONCE {
            return Some((before, before + left));
        }
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("the monotonic clock begins at the system's start");
    let nanos = u32::try_from(time.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanos)
}
