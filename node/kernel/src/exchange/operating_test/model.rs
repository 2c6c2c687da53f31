//! What operators and requesters were told, compared with what happens, in any order of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::{Just, any, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::super::super::{ExchangeEffect, ExchangeInput, NotBindable, Signature, Wish, WishAnswer};
use super::scene::{Scene, answers, bind, delivered, pid, signature};
use crate::id::{Boot, NodeId, Pid};

/// Who has a signature, as far as operators and requesters have been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// That one, whatever happens.
    Has(Option<Pid>),
    /// A change is under way from one to another, and nothing has gone to the other yet.
    Between(Option<Pid>, Option<Pid>),
    /// A change was in doubt, and a node has yet to hear how it ended.
    Doubt,
}

#[derive(Debug, Clone)]
enum Event {
    Ask(u64),
    Bind(u64, u64, bool),
    Unbind(u64),
    Hear(u64),
    Note,
    AttachAgain(u64),
    TakeAttach,
    Wait,
    Detach(u64),
    Attach(u64),
    Crash(usize),
    Move,
}

fn event() -> impl proptest::strategy::Strategy<Value = Event> {
    prop_oneof![
        8 => (0u64..2).prop_map(Event::Ask),
        5 => (0u64..2, 1u64..4, any::<bool>()).prop_map(|(s, h, r)| Event::Bind(s, h, r)),
        3 => (0u64..2).prop_map(Event::Unbind),
        12 => (1u64..4).prop_map(Event::Hear),
        8 => Just(Event::Note),
        2 => (1u64..4).prop_map(Event::AttachAgain),
        2 => Just(Event::TakeAttach),
        1 => Just(Event::Wait),
        1 => (1u64..4).prop_map(Event::Detach),
        1 => (1u64..4).prop_map(Event::Attach),
        1 => any::<usize>().prop_map(Event::Crash),
        1 => Just(Event::Move),
    ]
}

/// What is told, compared with what happens.
struct Model {
    scene: Scene,
    told: BTreeMap<Signature, Told>,
    /// Signatures that a request has bound, and no operator.
    by_request: BTreeSet<Signature>,
    /// Which signature a question is about, what was told before it, and what it wants.
    wishes: BTreeMap<u64, (Signature, Told, Option<Pid>)>,
    /// Each attachment has a pid of its own.
    attached: u32,
    /// Pids by the names of the events.
    names: BTreeMap<u64, Pid>,
}

impl Model {
    fn new() -> Self {
        let names = (1..4).map(|n| (n, pid(n))).collect();
        Self {
            scene: Scene::new(3),
            told: (0..2).map(|n| (signature(n), Told::Has(None))).collect(),
            by_request: BTreeSet::new(),
            wishes: BTreeMap::new(),
            attached: 1,
            names,
        }
    }

    fn tell(&mut self, signature: Signature, told: Told) {
        self.told.insert(signature, told);
    }

    /// Takes in what a step said to operators.
    fn hear_answers(&mut self, out: &[ExchangeEffect]) {
        for effect in out {
            let ExchangeEffect::Answer { asked, answer } = effect else {
                continue;
            };
            let Some((signature, before, next)) = self.wishes.remove(asked) else {
                continue;
            };
            let told = match answer {
                WishAnswer::Bound { .. } => {
                    self.by_request.remove(&signature);
                    Told::Has(next)
                }
                WishAnswer::Unbound { .. } | WishAnswer::NotBound => Told::Has(None),
                WishAnswer::Refused(NotBindable::NotAttached) if self.told[&signature] != before => {
                    Told::Doubt
                }
                WishAnswer::Refused(_) => before,
                WishAnswer::Unknown(_) => Told::Doubt,
            };
            self.tell(signature, told);
        }
        self.look();
    }

    /// Doubts end when every node has heard; handlers that are gone have nothing.
    fn look(&mut self) {
        let there = |pid: Option<Pid>| pid.filter(|pid| self.scene.handlers.contains_key(pid));
        for (signature, told) in &mut self.told {
            let exchange = &self.scene.exchange;
            let settled = exchange.words.about().all(|(_, s)| s != *signature)
                && !exchange.changing.contains_key(signature);
            *told = match *told {
                Told::Doubt if settled => Told::Has(exchange.bound(*signature)),
                Told::Doubt => Told::Doubt,
                Told::Has(pid) => Told::Has(there(pid)),
                Told::Between(from, to) => Told::Between(there(from), to),
            };
        }
    }

    fn wish(&mut self, wanted: Signature, wish: Wish) {
        let before = self.told[&wanted];
        let (next, has) = match &wish {
            Wish::Bind { handler, .. } => (Some(*handler), self.scene.exchange.bound(wanted)),
            Wish::Unbind => (None, self.scene.exchange.bound(wanted)),
        };
        self.wishes.insert(self.scene.asked + 1, (wanted, before, next));
        let out = self.scene.wish(wanted, wish);
        if answers(&out).is_empty() {
            self.tell(wanted, Told::Between(has, next));
        }
        self.hear_answers(&out);
    }

    fn ask(&mut self, wanted: Signature) {
        let out = self.scene.ask(wanted);
        let Some(got) = delivered(&out) else { return };
        assert!(self.scene.handlers.contains_key(&got));
        match self.told[&wanted] {
            Told::Has(None) => {
                self.by_request.insert(wanted);
                self.tell(wanted, Told::Has(Some(got)));
            }
            Told::Has(Some(has)) => assert_eq!(got, has, "it was told to be that one's"),
            Told::Between(from, to) => assert!(
                Some(got) == from || (from.is_none() && Some(got) == to),
                "{got} has it before {to:?} is told to have it"
            ),
            Told::Doubt => {
                self.by_request.insert(wanted);
            }
        }
    }

    fn happen(&mut self, event: &Event) {
        let named = |model: &Self, n: &u64| model.names[n];
        let out = match event {
            Event::Ask(n) => {
                self.ask(signature(*n));
                return;
            }
            Event::Bind(n, handler, rebind) => {
                return self.wish(signature(*n), bind(named(self, handler), *rebind));
            }
            Event::Unbind(n) => return self.wish(signature(*n), Wish::Unbind),
            Event::Hear(n) => {
                self.scene.hear(named(self, n));
                return;
            }
            Event::Note => self.scene.note(),
            Event::AttachAgain(n) => {
                if self.scene.handlers.contains_key(&named(self, n)) {
                    let claim = self.scene.attach_input(named(self, n));
                    self.scene.claims.push_back((self.scene.epoch, claim));
                }
                return;
            }
            Event::TakeAttach => match self.scene.claims.pop_front() {
                Some((epoch, claim)) if epoch == self.scene.epoch && self.is_there(&claim) => {
                    self.scene.step(&claim)
                }
                _ => return,
            },
            Event::Wait => self.scene.wait(),
            Event::Detach(n) => self.scene.detach(named(self, n)),
            Event::Attach(n) => return self.attach(*n),
            Event::Crash(first) => return self.crash(*first),
            Event::Move => self.scene.travel(),
        };
        self.hear_answers(&out);
    }

    fn is_there(&self, claim: &ExchangeInput) -> bool {
        matches!(claim, ExchangeInput::Attach { handler, .. } if self.scene.handlers.contains_key(handler))
    }

    fn attach(&mut self, n: u64) {
        if !self.scene.handlers.contains_key(&self.names[&n]) {
            self.attached += 1;
            let fresh = Pid::new(NodeId(n), Boot(1), self.attached);
            self.names.insert(n, fresh);
            self.scene.attach(fresh, "");
        }
    }

    /// Whoever waited for an answer gets none; what was in doubt is decided by who attaches first.
    fn crash(&mut self, first: usize) {
        for told in self.told.values_mut() {
            if matches!(told, Told::Between(..)) {
                *told = Told::Doubt;
            }
        }
        for signature in core::mem::take(&mut self.by_request) {
            // Its first delivery may not have arrived: then nobody knows who had it.
            if let Told::Has(Some(has)) = self.told[&signature]
                && !self.scene.handlers[&has].bound.contains(&signature)
            {
                self.tell(signature, Told::Doubt);
            }
        }
        self.wishes.clear();
        self.scene.crash(first);
        self.look();
        for (signature, told) in &self.told {
            if let Told::Has(has) = told {
                assert_eq!(self.scene.exchange.bound(*signature), *has, "after a crash");
            }
        }
    }
}

proptest! {
    /// A23: what an operator was told holds, whatever becomes of the owner.
    #[test]
    fn a_binding_is_as_was_told_over_late_nodes_crashes_and_moves(
        events in proptest::collection::vec(event(), 1..250)
    ) {
        let mut model = Model::new();
        for event in &events {
            model.happen(event);
        }
        // Once every node answers, no wish stays open, and each signature is with at most one node.
        while !model.scene.exchange.changing.is_empty() || model.scene.exchange.wishes_due().is_some() {
            let out = model.scene.calm();
            model.hear_answers(&out);
            let out = model.scene.wait();
            model.hear_answers(&out);
        }
        model.scene.calm();
        model.look();
        for n in 0..2 {
            let bound = model.scene.exchange.bound(signature(n));
            let remember = model.scene.remember(signature(n));
            assert_eq!(remember, bound.into_iter().collect::<Vec<_>>());
        }
    }
}
