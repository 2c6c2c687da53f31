//! Tests of the exchange: whole effect lists.

use alloc::string::String;
use alloc::vec;

use super::*;
use crate::id::{Boot, ExchangeId, LeaderEpoch, MessageId};
use crate::message::{Server, System};
use crate::reason::DetachReason;
use crate::registry::Strategy;
use crate::time::Span;

const FAR: Instant = Instant(1_000_000_000);

fn pid(node: u64, n: u32) -> Pid {
    Pid::new(NodeId(node), Boot(1), n)
}

fn key(message: u64) -> RequestKey {
    RequestKey {
        origin: NodeId(9),
        message: MessageId(message),
    }
}

struct Rig {
    exchange: Exchange,
    now: Instant,
}

impl Rig {
    fn new(strategy: Strategy, epoch: u64, leader: Option<LeaderRecord>) -> Self {
        let config = ExchangeConfig {
            id: ExchangeId(1),
            strategy,
            epoch: Epoch(epoch),
            leader,
            leader_gone: false,
            settle: Span::from_ms(100),
            awaited: Vec::new(),
            promise: Span::from_ms(50),
        };
        Self {
            exchange: Exchange::new(Instant(0), config),
            now: Instant(0),
        }
    }

    fn step(&mut self, input: &ExchangeInput) -> Vec<ExchangeEffect> {
        let mut out = Vec::new();
        self.exchange.step(self.now, input, &mut out);
        out
    }

    fn attach(&mut self, handler: Pid, tag: &str) -> Vec<ExchangeEffect> {
        self.step(&ExchangeInput::Attach {
            handler,
            service_tag: tag.into(),
            bound: Vec::new(),
            returned: None,
        })
    }

    fn request_to(&mut self, message: u64, tag: &'static str) -> Vec<ExchangeEffect> {
        self.step(&ExchangeInput::Request {
            request: key(message),
            epoch: self.exchange.epoch(),
            service_tag: Bytes::from_static(tag.as_bytes()),
            key: Bytes::new(),
            choice: Choice::None,
            deadline: FAR,
            lease_until: FAR,
        })
    }

    fn picked(&mut self, message: u64, tag: &'static str) -> Option<Pid> {
        match self.request_to(message, tag).as_slice() {
            [ExchangeEffect::Deliver { handler, .. }] => Some(*handler),
            _ => None,
        }
    }

    fn commit(&mut self, handler: Pid, epoch: u64) -> Vec<ExchangeEffect> {
        let leader = Some(LeaderRecord {
            pid: handler,
            epoch: LeaderEpoch(epoch),
        });
        self.step(&ExchangeInput::LeaderCommitted { leader })
    }
}

fn server(handler: Pid) -> Server {
    Server {
        pid: handler,
        service_tag: String::new(),
    }
}

fn refuse(message: u64, reason: NoReply) -> Vec<ExchangeEffect> {
    vec![ExchangeEffect::Refuse {
        request: key(message),
        reason,
    }]
}

#[test]
fn without_handlers_the_answer_is_no_responders_at_once() {
    let mut rig = Rig::new(Strategy::RoundRobin, 1, None);
    assert_eq!(rig.request_to(1, ""), refuse(1, NoReply::NoResponders));
}

#[test]
fn after_a_failover_handlers_get_the_settling_time_to_attach_again() {
    let mut rig = Rig::new(Strategy::RoundRobin, 2, None);
    assert_eq!(rig.request_to(1, ""), refuse(1, NoReply::Settling));
    rig.now = Instant(100_000);
    assert_eq!(rig.request_to(2, ""), refuse(2, NoReply::NoResponders));
}

#[test]
fn round_robin_takes_turns_and_keeps_them_when_handlers_go() {
    let mut rig = Rig::new(Strategy::RoundRobin, 1, None);
    let all: Vec<Pid> = (1..=4).map(|n| pid(n, 1)).collect();
    for handler in &all {
        rig.attach(*handler, "");
    }
    let first: Vec<_> = (0..6).filter_map(|m| rig.picked(m, "")).collect();
    assert_eq!(first, [all[0], all[1], all[2], all[3], all[0], all[1]]);
    rig.step(&ExchangeInput::Detach {
        handler: all[0],
        reason: DetachReason::Asked,
    });
    let then: Vec<_> = (6..10).filter_map(|m| rig.picked(m, "")).collect();
    assert_eq!(then, [all[2], all[3], all[1], all[2]]);
}

#[test]
fn a_service_tag_goes_to_its_group_balanced_inside_it() {
    let mut rig = Rig::new(Strategy::RoundRobin, 1, None);
    let (eu1, eu2, us) = (pid(1, 1), pid(1, 2), pid(2, 1));
    rig.attach(eu1, "eu");
    rig.attach(us, "us");
    rig.attach(eu2, "eu");
    let eu: Vec<_> = (0..3).filter_map(|m| rig.picked(m, "eu")).collect();
    assert_eq!(eu, [eu1, eu2, eu1]);
    assert_eq!(rig.request_to(9, "asia"), refuse(9, NoReply::NoResponders));
}

#[test]
fn default_delivers_to_all_and_says_which_of_how_many() {
    let mut rig = Rig::new(Strategy::Default, 1, None);
    rig.attach(pid(1, 1), "");
    rig.attach(pid(2, 1), "");
    let copy = |handler, index| ExchangeEffect::Deliver {
        request: key(5),
        handler,
        leader_epoch: LeaderEpoch(0),
        index,
        count: 2,
        signature: None,
    };
    assert_eq!(rig.request_to(5, ""), [copy(pid(1, 1), 1), copy(pid(2, 1), 2)]);
}

#[test]
fn the_first_handler_is_appointed_and_leads_only_when_that_is_committed() {
    let mut rig = Rig::new(Strategy::Consensus, 1, None);
    let (a, b) = (pid(1, 1), pid(2, 1));
    let empty = |servers: &[Pid]| System::Leader {
        leader: None,
        leader_epoch: LeaderEpoch(0),
        servers: servers.iter().map(|p| server(*p)).collect(),
    };
    assert_eq!(
        rig.attach(a, ""),
        [
            ExchangeEffect::Tell {
                handler: a,
                counter: Counter(1),
                what: empty(&[a])
            },
            ExchangeEffect::Appoint { leader: Some(a) },
        ]
    );
    assert_eq!(
        rig.attach(b, ""),
        [
            ExchangeEffect::Announce {
                node: NodeId(1),
                counter: Counter(2),
                what: System::SlaveUp(server(b))
            },
            ExchangeEffect::Tell {
                handler: b,
                counter: Counter(2),
                what: empty(&[a, b])
            },
        ]
    );
    assert_eq!(rig.request_to(1, ""), refuse(1, NoReply::NoLeader));
    let led = System::Leader {
        leader: Some(a),
        leader_epoch: LeaderEpoch(1),
        servers: vec![server(a), server(b)].into(),
    };
    assert_eq!(
        rig.commit(a, 1),
        [
            ExchangeEffect::Announce {
                node: NodeId(1),
                counter: Counter(3),
                what: led.clone()
            },
            ExchangeEffect::Announce {
                node: NodeId(2),
                counter: Counter(3),
                what: led
            },
        ]
    );
    for message in 2..5 {
        assert_eq!(rig.picked(message, ""), Some(a));
    }
}

#[test]
fn when_the_leader_goes_the_next_in_line_is_appointed() {
    let mut rig = Rig::new(Strategy::Consensus, 1, None);
    let (a, b) = (pid(1, 1), pid(2, 1));
    rig.attach(a, "");
    rig.attach(b, "");
    rig.commit(a, 1);
    assert_eq!(
        rig.step(&ExchangeInput::Detach {
            handler: a,
            reason: DetachReason::ClientGone
        }),
        [
            ExchangeEffect::Announce {
                node: NodeId(2),
                counter: Counter(4),
                what: System::SlaveDown {
                    pid: a,
                    reason: DetachReason::ClientGone
                }
            },
            ExchangeEffect::Appoint { leader: Some(b) },
        ]
    );
    assert_eq!(rig.request_to(1, ""), refuse(1, NoReply::NoLeader));
    rig.commit(b, 2);
    assert_eq!(rig.picked(2, ""), Some(b));
}

#[test]
fn over_a_failover_the_leader_is_kept_when_it_attaches_again_in_time() {
    let (a, b) = (pid(1, 1), pid(2, 1));
    let mut rig = Rig::new(
        Strategy::Consensus,
        2,
        Some(LeaderRecord {
            pid: b,
            epoch: LeaderEpoch(3),
        }),
    );
    let effects = rig.attach(a, "");
    assert!(
        !effects
            .iter()
            .any(|e| matches!(e, ExchangeEffect::Appoint { .. })),
        "{effects:?}"
    );
    rig.attach(b, "");
    assert_eq!(rig.picked(1, ""), Some(b));
}

#[test]
fn over_a_failover_the_others_are_told_that_the_leader_is_back() {
    let leader = LeaderRecord {
        pid: pid(1, 1),
        epoch: LeaderEpoch(4),
    };
    let mut rig = Rig::new(Strategy::Consensus, 2, Some(leader));
    rig.attach(pid(2, 1), "");
    let out = rig.attach(pid(1, 1), "");
    let told = out.iter().filter_map(|effect| match effect {
        ExchangeEffect::Announce { node, counter, what } => Some((*node, *counter, what)),
        _ => None,
    });
    let whole = System::Leader {
        leader: Some(pid(1, 1)),
        leader_epoch: LeaderEpoch(4),
        servers: vec![server(pid(1, 1)), server(pid(2, 1))].into(),
    };
    let up = System::SlaveUp(server(pid(1, 1)));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (NodeId(2), Counter(2), &up),
            (NodeId(1), Counter(3), &whole),
            (NodeId(2), Counter(3), &whole),
        ]
    );
}

#[test]
fn over_a_failover_a_leader_that_stays_away_is_replaced() {
    let (a, b) = (pid(1, 1), pid(2, 1));
    let mut rig = Rig::new(
        Strategy::Consensus,
        2,
        Some(LeaderRecord {
            pid: b,
            epoch: LeaderEpoch(3),
        }),
    );
    rig.attach(a, "");
    assert_eq!(rig.exchange.next_timeout(), Some(Instant(100_000)));
    rig.now = Instant(100_000);
    assert_eq!(
        rig.step(&ExchangeInput::Tick),
        [ExchangeEffect::Appoint { leader: Some(a) }]
    );
    rig.now = Instant(200_000);
    assert_eq!(
        rig.step(&ExchangeInput::Tick),
        [ExchangeEffect::Appoint { leader: Some(a) }],
        "an appointment that was lost is proposed again"
    );
}

#[test]
fn over_a_failover_a_leader_whose_node_is_gone_is_replaced_when_its_lease_is_over() {
    let (a, b) = (pid(1, 1), pid(2, 1));
    let leader = Some(LeaderRecord {
        pid: b,
        epoch: LeaderEpoch(3),
    });
    let mut rig = Rig::new(Strategy::Consensus, 2, leader);
    rig.attach(a, "");
    let effects = rig.step(&ExchangeInput::NodeLost { node: NodeId(2) });
    assert_eq!(effects, [], "a lease from the owner before may hold");
    let over = rig.exchange.next_timeout().expect("it waits for that");
    assert!(over > Instant(50_000) && over < Instant(60_000), "{over}");
    rig.now = over;
    assert_eq!(
        rig.step(&ExchangeInput::Tick),
        [ExchangeEffect::Appoint { leader: Some(a) }]
    );
    let config = ExchangeConfig {
        leader_gone: true,
        promise: Span::ZERO,
        ..rig.exchange.config.clone()
    };
    rig.exchange = Exchange::new(rig.now, config);
    rig.now = Instant(rig.now.0 + 1);
    assert!(
        rig.attach(a, "")
            .contains(&ExchangeEffect::Appoint { leader: Some(a) })
    );
}

#[test]
fn requests_held_by_a_lost_node_are_interrupted() {
    let mut rig = Rig::new(Strategy::RoundRobin, 1, None);
    rig.attach(pid(1, 1), "");
    rig.attach(pid(2, 1), "");
    for message in 0..4 {
        rig.request_to(message, "");
    }
    let effects = rig.step(&ExchangeInput::NodeLost { node: NodeId(2) });
    assert_eq!(
        effects,
        [
            ExchangeEffect::Announce {
                node: NodeId(1),
                counter: Counter(3),
                what: System::SlaveDown {
                    pid: pid(2, 1),
                    reason: DetachReason::NodeLost
                }
            },
            ExchangeEffect::Interrupt {
                request: key(1),
                index: 1,
                count: 1
            },
            ExchangeEffect::Interrupt {
                request: key(3),
                index: 1,
                count: 1
            },
        ]
    );
}

#[test]
fn without_a_lease_and_under_other_epochs_nothing_is_routed() {
    let mut rig = Rig::new(Strategy::RoundRobin, 3, None);
    rig.attach(pid(1, 1), "");
    rig.now = Instant(500);
    let mut ask = |epoch, lease_until| {
        rig.step(&ExchangeInput::Request {
            request: key(1),
            epoch: Epoch(epoch),
            service_tag: Bytes::new(),
            key: Bytes::new(),
            choice: Choice::None,
            deadline: FAR,
            lease_until: Instant(lease_until),
        })
    };
    assert_eq!(ask(3, 500), refuse(1, NoReply::NoQuorum));
    assert_eq!(ask(2, 900), refuse(1, NoReply::Fenced));
    assert_eq!(ask(4, 900), refuse(1, NoReply::Moved));
    assert!(matches!(ask(3, 501).as_slice(), [ExchangeEffect::Deliver { .. }]));
}

#[test]
fn attaching_again_repairs_a_gap_without_joining_twice() {
    let mut rig = Rig::new(Strategy::RoundRobin, 1, None);
    rig.attach(pid(1, 1), "");
    let again = rig.attach(pid(1, 1), "");
    assert!(
        matches!(
            again.as_slice(),
            [ExchangeEffect::Tell {
                counter: Counter(1),
                ..
            }]
        ),
        "{again:?}"
    );
    assert_eq!(rig.exchange.handlers(), 1);
}

#[test]
fn a_node_is_told_as_long_as_a_handler_of_it_is_there() {
    let mut rig = Rig::new(Strategy::RoundRobin, 1, None);
    for handler in [pid(1, 1), pid(2, 1), pid(2, 2)] {
        rig.attach(handler, "");
    }
    let mut told_without = |handler| {
        let effects = rig.step(&ExchangeInput::Detach {
            handler,
            reason: DetachReason::Asked,
        });
        let nodes = effects.into_iter().filter_map(|effect| match effect {
            ExchangeEffect::Announce { node, .. } => Some(node.0),
            _ => None,
        });
        nodes.collect::<Vec<_>>()
    };
    assert_eq!(told_without(pid(2, 1)), [1, 2]);
    assert_eq!(told_without(pid(2, 1)), [], "it is gone already");
    assert_eq!(told_without(pid(2, 2)), [1]);
    assert_eq!(rig.exchange.counter(), Counter(5));
    let System::Leader { servers, .. } = rig.exchange.snapshot() else {
        panic!("the whole picture is of that kind");
    };
    assert_eq!(servers.pids().collect::<Vec<_>>(), [pid(1, 1)]);
}
