use squall_kernel::fault::{FaultKind, Latency, LinkFault, Share};
use squall_kernel::frame::Kind;
use squall_kernel::id::MessageId;
use squall_kernel::time::Span;

use super::*;

const RUN: Incarnation = Incarnation(1);
const LATER: Incarnation = Incarnation(2);
const TRAVEL: Span = Span(100);
const LANE: Lane = Lane(1);
const TTL: Span = Span::from_ms(1_000);

/// A link whose connection stands, and the faults of its sender.
struct Rig {
    link: Link,
    faults: FaultTable,
    rng: Rng,
    sent: u64,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self {
            link: Link::default(),
            faults: FaultTable::default(),
            rng: Rng::new(7),
            sent: 0,
        };
        rig.write(Instant(0), |link, writer| link.connected(RUN, writer));
        rig
    }

    fn with(what: LinkFault) -> Self {
        let mut rig = Self::new();
        rig.set(Instant(0), what);
        rig
    }

    fn set(&mut self, now: Instant, what: LinkFault) {
        let kind = FaultKind::link(name("b"), what);
        self.faults.set(now, "f", kind, TTL, "test").unwrap();
    }

    fn write<T>(&mut self, now: Instant, act: impl FnOnce(&mut Link, &mut Writer<'_>) -> T) -> T {
        let spread = Spread {
            least: TRAVEL,
            more: Span(0),
            slow_per_mille: 0,
            slow: Span(0),
        };
        let mut writer = Writer {
            now,
            faults: &mut self.faults,
            to: &name("b"),
            spread: &spread,
            rng: &mut self.rng,
        };
        act(&mut self.link, &mut writer)
    }

    /// Sends the next frame; its number is its message's id.
    fn send(&mut self, now: Instant) -> Departed {
        self.sent += 1;
        let frame = Frame {
            message: MessageId(self.sent),
            ..Frame::new(Kind::Control)
        };
        self.write(now, |link, writer| link.send(LANE, &frame, writer))
    }

    fn judge_anew(&mut self, now: Instant) -> Departed {
        self.write(now, Link::judge_anew)
    }

    fn arrive(&mut self, now: Instant) -> Result<u64, &'static str> {
        let mut none = FaultTable::default();
        std::mem::swap(&mut none, &mut self.faults);
        let arrival = self.write(now, |link, back| link.arrive(LANE, back));
        std::mem::swap(&mut none, &mut self.faults);
        match arrival {
            Ok(Some(arrived)) => Ok(arrived.frame.message.0),
            Ok(None) => Err("nothing"),
            Err(Caught(what)) => Err(what),
        }
    }

    /// The connection breaks, and another one to that run stands.
    fn reconnect(&mut self, now: Instant, run: Incarnation) -> (Returned, Departed) {
        self.link.broken();
        self.write(now, |link, writer| link.connected(run, writer))
    }
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn times(of: &[(Lane, Instant)]) -> Vec<u64> {
    of.iter().map(|(_, at)| at.0).collect()
}

fn ids(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|frame| frame.message.0).collect()
}

#[test]
fn what_a_cut_holds_back_flows_in_order_when_it_is_over() {
    let mut rig = Rig::with(LinkFault::Cut);
    for at in [10, 20, 30] {
        let departed = rig.send(Instant(at));
        assert!(departed.arrivals.is_empty() && departed.goes.is_empty());
    }
    assert!(rig.judge_anew(Instant(40)).arrivals.is_empty());
    rig.faults.clear("f");
    assert_eq!(times(&rig.judge_anew(Instant(50)).arrivals), [150; 3]);
    assert_eq!([1, 2, 3], [(); 3].map(|()| rig.arrive(Instant(150)).unwrap()));
}

#[test]
fn what_is_delayed_goes_at_its_time_or_at_once_when_the_delay_is_over() {
    let by = Span(5_000);
    let mut rig = Rig::with(LinkFault::Delay(Latency::constant(by)));
    assert_eq!(times(&rig.send(Instant(10)).goes), [5_010]);
    assert!(
        rig.send(Instant(20)).goes.is_empty(),
        "it is asked about the first"
    );
    let gone = rig.write(Instant(5_010), |link, writer| link.go(LANE, writer));
    assert_eq!(
        (times(&gone.arrivals), times(&gone.goes)),
        (vec![5_110], vec![5_020])
    );
    rig.faults.clear("f");
    assert_eq!(times(&rig.judge_anew(Instant(5_015)).arrivals), [5_115]);
}

#[test]
fn at_a_rate_one_goes_after_the_other() {
    let mut rig = Rig::with(LinkFault::Rate(1_000));
    let first = times(&rig.send(Instant(0)).goes)[0];
    rig.send(Instant(0));
    let gone = rig.write(Instant(first), |link, writer| link.go(LANE, writer));
    assert_eq!(times(&gone.goes), [2 * first]);
}

#[test]
fn after_a_break_the_next_connection_brings_each_frame_once() {
    let mut rig = Rig::new();
    for at in [1, 2, 3] {
        rig.send(Instant(at));
    }
    assert_eq!(rig.arrive(Instant(110)), Ok(1));
    rig.link.closed = true;
    assert_eq!(rig.arrive(Instant(111)), Err("nothing"));
    rig.link.broken();
    assert!(
        rig.send(Instant(200)).arrivals.is_empty(),
        "it waits for the next one"
    );
    let (returned, departed) = rig.reconnect(Instant(300), RUN);
    assert!(returned.written.is_empty() && returned.unwritten.is_empty());
    assert_eq!(times(&departed.arrivals), [400; 3]);
    assert_eq!([2, 3, 4], [(); 3].map(|()| rig.arrive(Instant(400)).unwrap()));
}

#[test]
fn to_another_run_nothing_goes_on_and_what_had_left_is_in_doubt() {
    let mut rig = Rig::new();
    rig.send(Instant(1));
    rig.set(Instant(2), LinkFault::Cut);
    rig.send(Instant(3));
    rig.link.broken();
    rig.send(Instant(4));
    let (returned, departed) = rig.reconnect(Instant(300), LATER);
    assert_eq!(ids(&returned.written), [1, 2], "a writer had taken them");
    assert_eq!(ids(&returned.unwritten), [3]);
    assert!(departed.arrivals.is_empty());
}

#[test]
fn what_is_sent_twice_is_caught_and_what_is_behind_it_comes_after_the_break() {
    let mut rig = Rig::with(LinkFault::Duplicate(Share::ALL));
    rig.send(Instant(1));
    rig.send(Instant(2));
    assert_eq!(rig.arrive(Instant(101)), Ok(1));
    assert_eq!(rig.arrive(Instant(101)), Err("frames dropped as repeated"));
    rig.faults.clear("f");
    rig.reconnect(Instant(200), RUN);
    assert_eq!(rig.arrive(Instant(300)), Ok(2));
    assert_eq!(rig.arrive(Instant(300)), Err("nothing"));
}

#[test]
fn a_changed_bit_is_caught_wherever_it_is_and_goes_again_as_it_was() {
    for at in 0..300 {
        let mut rig = Rig::with(LinkFault::Corrupt(Share::ALL));
        rig.rng = Rng::new(at);
        rig.send(Instant(at));
        assert_eq!(rig.arrive(Instant(at + 100)), Err("frames caught as changed"));
        rig.faults.clear("f");
        rig.reconnect(Instant(at + 200), RUN);
        assert_eq!(rig.arrive(Instant(at + 300)), Ok(1));
    }
}

#[test]
fn a_connection_that_has_carried_its_limit_breaks_and_the_next_one_goes_on() {
    let mut rig = Rig::new();
    rig.send(Instant(1));
    rig.arrive(Instant(101)).unwrap();
    // One frame and a part of the next.
    rig.set(Instant(110), LinkFault::Limit(100));
    let mut got = Vec::new();
    for round in 0..6 {
        let now = Instant(1_000 * (round + 1));
        let full = rig.send(now).full;
        while let Ok(id) = rig.arrive(now + TRAVEL) {
            got.push(id);
        }
        if full {
            rig.reconnect(now + Span(500), RUN);
        }
    }
    assert!(got.is_sorted() && got.len() >= 4, "{got:?}");
    assert_eq!(got, (2..2 + got.len() as u64).collect::<Vec<_>>());
}
