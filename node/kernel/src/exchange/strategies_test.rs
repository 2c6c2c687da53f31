//! Each strategy against a simple model, under handlers that come and go, lost nodes, moves and failovers in any order.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::{Choice, Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput, RequestKey, Signature};
use crate::id::{Boot, Epoch, ExchangeId, ExchangeName, LeaderEpoch, MessageId, NodeId, Pid, Revision};
use crate::limits::BINDINGS_MAX;
use crate::reason::{DetachReason, NoReply};
use crate::registry::{LeaderRecord, Strategy};
use crate::time::{Instant, Span};

const FAR: Instant = Instant(u64::MAX / 2);
const TAGS: [&str; 3] = ["", "eu", "us"];

fn pid(node: u64, n: u32) -> Pid {
    Pid::new(NodeId(node), Boot(1), n)
}

fn config(strategy: Strategy, epoch: u64, awaited: &[NodeId]) -> ExchangeConfig {
    ExchangeConfig {
        id: ExchangeId(1),
        strategy,
        epoch: Epoch(epoch),
        leader: None,
        leader_gone: false,
        settle: Span::from_ms(100),
        awaited: awaited.to_vec(),
        promise: Span::from_ms(50),
    }
}

/// An exchange, and the nodes of its handlers: what they remember, and what is asked of the whole.
struct Scene {
    exchange: Exchange,
    strategy: Strategy,
    epoch: u64,
    now: Instant,
    messages: u64,
    /// Handlers, with their group and what was delivered to them.
    handlers: BTreeMap<Pid, (&'static str, BTreeSet<Signature>)>,
}

impl Scene {
    fn new(strategy: Strategy) -> Self {
        Self {
            exchange: Exchange::new(Instant(0), config(strategy, 1, &[])),
            strategy,
            epoch: 1,
            now: Instant(0),
            messages: 0,
            handlers: BTreeMap::new(),
        }
    }

    fn step(&mut self, input: &ExchangeInput) -> Vec<ExchangeEffect> {
        self.now = Instant(self.now.0 + 1);
        let mut out = Vec::new();
        self.exchange.step(self.now, input, &mut out);
        for effect in &out {
            match effect {
                ExchangeEffect::Deliver {
                    handler,
                    signature: Some(signature),
                    ..
                } => {
                    let known = self.handlers.get_mut(handler).expect("delivered to a handler");
                    known.1.insert(*signature);
                }
                ExchangeEffect::Unbind { handler, signatures } => {
                    let known = self.handlers.get_mut(handler).expect("a handler");
                    known.1.retain(|s| !signatures.contains(s));
                }
                _ => {}
            }
        }
        out
    }

    fn attach(&mut self, handler: Pid, tag: &'static str) -> Vec<ExchangeEffect> {
        let known = self.handlers.entry(handler).or_insert((tag, BTreeSet::new()));
        let (service_tag, bound) = (known.0.into(), known.1.iter().copied().collect());
        self.step(&ExchangeInput::Attach {
            handler,
            service_tag,
            bound,
            returned: None,
        })
    }

    fn detach(&mut self, handler: Pid) {
        self.handlers.remove(&handler);
        let reason = DetachReason::Asked;
        self.step(&ExchangeInput::Detach { handler, reason });
    }

    fn lose(&mut self, node: NodeId) {
        self.handlers.retain(|pid, _| pid.node != node);
        self.step(&ExchangeInput::NodeLost { node });
    }

    fn nodes(&self) -> Vec<NodeId> {
        let nodes: BTreeSet<NodeId> = self.handlers.keys().map(|pid| pid.node).collect();
        nodes.into_iter().collect()
    }

    /// A new owner, that knows nothing.
    fn fail_over(&mut self) -> Vec<NodeId> {
        let nodes = self.nodes();
        self.fail_over_to(nodes)
    }

    fn fail_over_to(&mut self, awaited: Vec<NodeId>) -> Vec<NodeId> {
        self.epoch += 1;
        self.exchange = Exchange::new(self.now, config(self.strategy, self.epoch, &awaited));
        awaited
    }

    fn roll(&mut self, node: NodeId) {
        let there: Vec<(Pid, &'static str)> = self
            .handlers
            .iter()
            .filter(|(pid, _)| pid.node == node)
            .map(|(pid, (tag, _))| (*pid, *tag))
            .collect();
        for (pid, tag) in there {
            self.attach(pid, tag);
        }
        self.step(&ExchangeInput::Roll { node });
    }

    fn travel(&mut self) {
        self.epoch += 1;
        let leave = ExchangeInput::Leave {
            to: NodeId(9),
            epoch: Epoch(self.epoch),
        };
        let out = self.step(&leave);
        let [ExchangeEffect::Transfer { state, .. }] = out.as_slice() else {
            panic!("{out:?}")
        };
        let up = self.nodes();
        self.exchange = Exchange::new(self.now, config(self.strategy, self.epoch, &up));
        let state = state.clone();
        self.step(&ExchangeInput::Resume { state });
    }

    fn ask(&mut self, tag: &'static str, key: &str, choice: Choice) -> Vec<ExchangeEffect> {
        self.messages += 1;
        self.step(&ExchangeInput::Request {
            request: RequestKey {
                origin: NodeId(9),
                message: MessageId(self.messages),
            },
            epoch: Epoch(self.epoch),
            service_tag: Bytes::from_static(tag.as_bytes()),
            key: Bytes::copy_from_slice(key.as_bytes()),
            choice,
            deadline: FAR,
            lease_until: FAR,
        })
    }

    fn group(&self, tag: &str) -> BTreeSet<Pid> {
        let members = self
            .handlers
            .iter()
            .filter(|(_, (t, _))| tag.is_empty() || *t == tag);
        members.map(|(pid, _)| *pid).collect()
    }
}

fn delivered(effects: &[ExchangeEffect]) -> Vec<Pid> {
    let handler = |effect: &ExchangeEffect| match effect {
        ExchangeEffect::Deliver { handler, .. } => Some(*handler),
        _ => None,
    };
    effects.iter().filter_map(handler).collect()
}

fn refused(effects: &[ExchangeEffect]) -> Option<NoReply> {
    match effects {
        [ExchangeEffect::Refuse { reason, .. }] => Some(*reason),
        _ => None,
    }
}

#[derive(Debug, Clone)]
enum Event {
    Attach(Pid, usize),
    Detach(usize),
    Lose(u64),
    Move,
    FailOver,
    Ask { key: u8, tag: usize },
}

fn event() -> impl proptest::strategy::Strategy<Value = Event> {
    prop_oneof![
        3 => (1u64..4, 1u32..5, 0usize..3).prop_map(|(node, n, tag)| Event::Attach(pid(node, n), tag)),
        1 => any::<usize>().prop_map(Event::Detach),
        1 => (1u64..4).prop_map(Event::Lose),
        1 => Just(Event::Move),
        1 => Just(Event::FailOver),
        12 => (0u8..6, 0usize..3).prop_map(|(key, tag)| Event::Ask { key, tag }),
    ]
}

/// Handlers are not known twice: an attachment has a pid of its own.
#[derive(Default)]
struct Fresh(BTreeSet<Pid>);

impl Scene {
    /// Everything but a request; false for one.
    fn happen(&mut self, event: &Event, fresh: &mut Fresh) -> bool {
        match event {
            Event::Attach(pid, tag) => {
                if fresh.0.insert(*pid) {
                    self.attach(*pid, TAGS[*tag]);
                }
            }
            Event::Detach(place) if !self.handlers.is_empty() => {
                let place = place % self.handlers.len();
                let gone = *self.handlers.keys().nth(place).expect("below the length");
                self.detach(gone);
            }
            Event::Detach(_) => {}
            Event::Lose(node) => self.lose(NodeId(*node)),
            Event::Move => self.travel(),
            Event::FailOver => {
                // The new owner has no handler, and is awaited as everybody is.
                let mut up = self.nodes();
                up.push(NodeId(9));
                for node in self.fail_over_to(up) {
                    self.roll(node);
                }
            }
            Event::Ask { .. } => return false,
        }
        true
    }
}

proptest! {
    /// A20.
    #[test]
    fn round_robin_differs_by_at_most_one_while_nobody_comes_or_goes(
        events in proptest::collection::vec(event(), 1..120), with_leader: bool
    ) {
        let strategy = if with_leader { Strategy::ConsensusRoundRobin } else { Strategy::RoundRobin };
        let (mut scene, mut fresh) = (Scene::new(strategy), Fresh::default());
        let mut counts: BTreeMap<&str, BTreeMap<Pid, u32>> = BTreeMap::new();
        for event in &events {
            if scene.happen(event, &mut fresh) {
                counts.clear();
                continue;
            }
            let Event::Ask { tag, .. } = event else { continue };
            let (tag, out) = (TAGS[*tag], scene.ask(TAGS[*tag], "", Choice::None));
            let group = scene.group(tag);
            if group.is_empty() {
                prop_assert_eq!(refused(&out), Some(NoReply::NoResponders));
                continue;
            }
            let got = delivered(&out);
            prop_assert_eq!(got.len(), 1);
            prop_assert!(group.contains(&got[0]));
            let window = counts.entry(tag).or_insert_with(|| group.iter().map(|p| (*p, 0)).collect());
            *window.entry(got[0]).or_default() += 1;
            let (least, most) = (window.values().min(), window.values().max());
            prop_assert!(most.copied().unwrap_or(0) - least.copied().unwrap_or(0) <= 1, "{:?}", window);
        }
    }

    /// A19, A27.
    #[test]
    fn default_reaches_everybody_in_the_group_once(events in proptest::collection::vec(event(), 1..80)) {
        let (mut scene, mut fresh) = (Scene::new(Strategy::Default), Fresh::default());
        for event in &events {
            if scene.happen(event, &mut fresh) {
                continue;
            }
            let Event::Ask { tag, .. } = event else { continue };
            let out = scene.ask(TAGS[*tag], "", Choice::None);
            let got = delivered(&out);
            prop_assert_eq!(got.iter().copied().collect::<BTreeSet<_>>(), scene.group(TAGS[*tag]));
            prop_assert_eq!(got.len(), scene.group(TAGS[*tag]).len());
        }
    }

    /// A21.
    #[test]
    fn consensus_goes_to_the_leader_or_to_nobody(events in proptest::collection::vec(event(), 1..80)) {
        let (mut scene, mut fresh) = (Scene::new(Strategy::Consensus), Fresh::default());
        let mut terms = 0;
        for event in &events {
            scene.now = Instant(scene.now.0 + 1_000_000);
            if scene.happen(event, &mut fresh) {
                let wanted = scene.step(&ExchangeInput::Tick).iter().find_map(|effect| match effect {
                    ExchangeEffect::Appoint { leader } => *leader,
                    _ => None,
                });
                let first = wanted.or(scene.exchange.leader().map(|l| l.pid));
                if let Some(pid) = first.or_else(|| scene.handlers.keys().next().copied()) {
                    terms += 1;
                    let leader = Some(LeaderRecord { pid, epoch: LeaderEpoch(terms) });
                    scene.step(&ExchangeInput::LeaderCommitted { leader });
                }
                continue;
            }
            let Event::Ask { tag, .. } = event else { continue };
            let out = scene.ask(TAGS[*tag], "", Choice::None);
            for handler in delivered(&out) {
                prop_assert_eq!(Some(handler), scene.exchange.leader().map(|l| l.pid));
                prop_assert!(scene.group(TAGS[*tag]).contains(&handler));
            }
        }
    }

    /// A23, A24.
    #[test]
    fn a_sticky_signature_keeps_its_handler_while_it_is_attached(
        events in proptest::collection::vec(event(), 1..150), by_function: bool
    ) {
        let strategy = if by_function { Strategy::StickyFun } else { Strategy::Sticky };
        let (mut scene, mut fresh) = (Scene::new(strategy), Fresh::default());
        let mut model: BTreeMap<(u8, &str), Pid> = BTreeMap::new();
        for event in &events {
            if scene.happen(event, &mut fresh) {
                model.retain(|_, pid| scene.handlers.contains_key(pid));
                continue;
            }
            let Event::Ask { key, tag } = event else { continue };
            let tag = TAGS[*tag];
            let (text, choice) = if by_function {
                (String::new(), Choice::Signature(Signature::new(u64::from(*key) + 1)))
            } else {
                (alloc::format!("k{key}"), Choice::None)
            };
            let out = scene.ask(tag, &text, choice);
            let got = delivered(&out);
            if scene.group(tag).is_empty() {
                prop_assert_eq!(refused(&out), Some(NoReply::NoResponders));
                continue;
            }
            prop_assert_eq!(got.len(), 1);
            prop_assert!(scene.group(tag).contains(&got[0]));
            let kept = model.entry((*key, tag)).or_insert(got[0]);
            prop_assert_eq!(*kept, got[0]);
        }
        prop_assert_eq!(scene.exchange.bindings(), model.len());
    }

    /// A25.
    #[test]
    fn a_function_gets_whom_it_picks(events in proptest::collection::vec(event(), 1..80)) {
        let (mut scene, mut fresh) = (Scene::new(Strategy::Fun), Fresh::default());
        for event in &events {
            if scene.happen(event, &mut fresh) {
                continue;
            }
            let Event::Ask { key, tag } = event else { continue };
            let wanted = pid(u64::from(key % 3) + 1, u32::from(*key));
            let picked = scene.ask("", "", Choice::Pick(wanted));
            if scene.handlers.contains_key(&wanted) {
                prop_assert_eq!(delivered(&picked), vec![wanted]);
            } else {
                let declined = matches!(picked.as_slice(), [ExchangeEffect::Decline { .. }]);
                prop_assert!(declined, "{:?}", picked);
            }
            let tag = TAGS[*tag];
            let grouped = scene.ask("", "", Choice::Group(Bytes::from_static(tag.as_bytes())));
            prop_assert!(delivered(&grouped).iter().all(|pid| scene.group(tag).contains(pid)));
            prop_assert_eq!(delivered(&grouped).is_empty(), scene.group(tag).is_empty());
        }
    }
}

#[test]
fn a_sticky_request_without_a_key_is_declined() {
    let mut scene = Scene::new(Strategy::Sticky);
    scene.attach(pid(1, 1), "");
    let out = scene.ask("", "", Choice::None);
    assert!(
        matches!(out.as_slice(), [ExchangeEffect::Decline { reason, .. }] if reason.starts_with("a key is needed")),
        "{out:?}"
    );
}

#[test]
fn new_signatures_go_to_whoever_has_the_fewest_and_to_equals_in_turn() {
    let mut scene = Scene::new(Strategy::Sticky);
    let (a, b, c) = (pid(1, 1), pid(2, 1), pid(3, 1));
    scene.attach(a, "");
    scene.attach(b, "");
    let bind = |scene: &mut Scene, key: &str| delivered(&scene.ask("", key, Choice::None))[0];
    let first: Vec<Pid> = ["k1", "k2", "k3"].iter().map(|k| bind(&mut scene, k)).collect();
    assert_eq!(first, [a, b, a]);
    scene.attach(c, "");
    let then: Vec<Pid> = ["k4", "k5", "k6"].iter().map(|k| bind(&mut scene, k)).collect();
    assert_eq!(then, [c, b, c]);
    assert_eq!(bind(&mut scene, "k1"), a);
}

#[test]
fn after_a_failover_a_known_signature_is_served_at_once_and_an_unknown_one_waits_for_the_roll() {
    let mut scene = Scene::new(Strategy::Sticky);
    scene.attach(pid(1, 1), "");
    scene.attach(pid(2, 1), "");
    let near = delivered(&scene.ask("", "near", Choice::None))[0];
    let far = delivered(&scene.ask("", "far", Choice::None))[0];
    assert_eq!((near, far), (pid(1, 1), pid(2, 1)));
    scene.fail_over();
    scene.roll(NodeId(1));
    assert_eq!(delivered(&scene.ask("", "near", Choice::None)), [near]);
    assert_eq!(
        refused(&scene.ask("", "far", Choice::None)),
        Some(NoReply::Settling)
    );
    scene.now = Instant(10_000_000);
    assert_eq!(
        refused(&scene.ask("", "far", Choice::None)),
        Some(NoReply::Settling),
        "no time that passes proves that its handler is gone"
    );
    scene.roll(NodeId(2));
    assert_eq!(delivered(&scene.ask("", "far", Choice::None)), [far]);
}

#[test]
fn a_lost_node_is_not_waited_for() {
    let mut scene = Scene::new(Strategy::Sticky);
    scene.attach(pid(1, 1), "");
    scene.attach(pid(2, 1), "");
    scene.fail_over();
    scene.roll(NodeId(1));
    assert!(scene.exchange.is_rolling());
    scene.lose(NodeId(2));
    assert!(!scene.exchange.is_rolling());
    assert_eq!(delivered(&scene.ask("", "k", Choice::None)), [pid(1, 1)]);
}

#[test]
fn a_roll_that_is_complete_ends_the_settling_time() {
    let mut scene = Scene::new(Strategy::RoundRobin);
    scene.attach(pid(1, 1), "");
    scene.fail_over();
    scene.handlers.clear();
    assert_eq!(refused(&scene.ask("", "", Choice::None)), Some(NoReply::Settling));
    scene.roll(NodeId(1));
    assert_eq!(
        refused(&scene.ask("", "", Choice::None)),
        Some(NoReply::NoResponders)
    );
}

#[test]
fn an_owner_that_moves_while_it_waits_hands_on_whom_it_waits_for() {
    let mut scene = Scene::new(Strategy::Sticky);
    scene.attach(pid(1, 1), "");
    scene.attach(pid(2, 1), "");
    let far = delivered(&scene.ask("", "x", Choice::None))[0];
    let other = NodeId(if far.node == NodeId(1) { 2 } else { 1 });
    scene.fail_over();
    scene.roll(other);
    scene.travel();
    assert_eq!(scene.exchange.awaited().collect::<Vec<_>>(), [far.node]);
    assert_eq!(
        refused(&scene.ask("", "x", Choice::None)),
        Some(NoReply::Settling)
    );
    scene.roll(far.node);
    assert_eq!(delivered(&scene.ask("", "x", Choice::None)), [far]);
}

#[test]
fn a_claim_that_comes_second_is_not_granted_and_its_node_is_told_before_it_is_confirmed() {
    let mut scene = Scene::new(Strategy::Sticky);
    scene.attach(pid(1, 1), "");
    scene.ask("", "k", Choice::None);
    let signature = Signature::of_key(b"k");
    let late = ExchangeInput::Attach {
        handler: pid(2, 1),
        service_tag: String::new(),
        bound: vec![signature, Signature::new(5)],
        returned: None,
    };
    scene.handlers.insert(pid(2, 1), ("", BTreeSet::new()));
    let out = scene.step(&late);
    let unbound = ExchangeEffect::Unbind {
        handler: pid(2, 1),
        signatures: vec![signature],
    };
    let place = out.iter().position(|e| *e == unbound).expect("told to forget it");
    assert!(matches!(out[place + 1], ExchangeEffect::Tell { .. }));
    assert_eq!(scene.exchange.bound_to(pid(2, 1)), [Signature::new(5)]);
    assert_eq!(delivered(&scene.ask("", "k", Choice::None)), [pid(1, 1)]);
}

#[test]
fn a_handler_that_comes_back_hears_what_it_has_behind_its_confirmation_and_only_when_it_asks() {
    let mut scene = Scene::new(Strategy::Sticky);
    scene.attach(pid(1, 1), "");
    scene.ask("", "k", Choice::None);
    let returned = |handler| ExchangeInput::Attach {
        handler,
        service_tag: String::new(),
        bound: Vec::new(),
        returned: Some(Revision(9)),
    };
    let out = scene.step(&returned(pid(1, 1)));
    let taken_in = ExchangeEffect::TakenIn {
        handler: pid(1, 1),
        returned: Revision(9),
        signatures: vec![Signature::of_key(b"k")],
    };
    assert!(
        matches!(&out[..], [ExchangeEffect::Tell { .. }, word] if *word == taken_in),
        "{out:?}"
    );
    let out = scene.attach(pid(1, 1), "");
    assert!(matches!(out[..], [ExchangeEffect::Tell { .. }]), "{out:?}");
    // The next owner takes it in.
    let (to, epoch) = (NodeId(2), Epoch(9));
    scene.step(&ExchangeInput::Leave { to, epoch });
    assert_eq!(scene.step(&returned(pid(1, 1))), []);
}

#[test]
fn at_the_bound_new_signatures_are_rejected_and_old_ones_served() {
    let mut scene = Scene::new(Strategy::StickyFun);
    scene.attach(pid(1, 1), "");
    let signature = |n: usize| Choice::Signature(Signature::new(n as u64));
    for n in 1..=BINDINGS_MAX {
        scene.ask("", "", signature(n));
    }
    assert_eq!(
        refused(&scene.ask("", "", signature(BINDINGS_MAX + 1))),
        Some(NoReply::Rejected)
    );
    assert_eq!(delivered(&scene.ask("", "", signature(1))), [pid(1, 1)]);
}

#[test]
fn a_function_may_redirect_and_decline_with_its_reason() {
    let mut scene = Scene::new(Strategy::Fun);
    let elsewhere = ExchangeName::new("other").expect("a good name");
    let out = scene.ask("", "", Choice::Redirect(elsewhere.clone()));
    assert!(matches!(out.as_slice(), [ExchangeEffect::Redirect { to, .. }] if *to == elsewhere));
    let out = scene.ask("", "", Choice::Decline("closed on Sundays".into()));
    assert!(
        matches!(out.as_slice(), [ExchangeEffect::Decline { reason, .. }] if reason == "closed on Sundays")
    );
    let out = scene.ask("", "", Choice::None);
    assert!(matches!(out.as_slice(), [ExchangeEffect::Decline { .. }]));
}

/// A22.
#[test]
fn with_consensus_round_robin_requests_do_not_wait_for_the_appointment() {
    let mut scene = Scene::new(Strategy::ConsensusRoundRobin);
    let out = scene.attach(pid(1, 1), "");
    assert!(
        out.contains(&ExchangeEffect::Appoint {
            leader: Some(pid(1, 1))
        }),
        "it has a leader all the same"
    );
    scene.attach(pid(2, 1), "");
    assert_eq!(delivered(&scene.ask("", "", Choice::None)), [pid(1, 1)]);
    assert_eq!(delivered(&scene.ask("", "", Choice::None)), [pid(2, 1)]);
}
