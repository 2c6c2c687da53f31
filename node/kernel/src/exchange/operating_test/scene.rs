//! An owner and the nodes of its handlers, which hear late and answer late, lose their owner or see it move.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::super::super::{
    Choice, Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput, NotBindable, Noted, RequestKey,
    Signature, Wish, WishAnswer,
};
use crate::fence::Fence;
use crate::id::{Boot, Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid};
use crate::limits::BINDING_WAIT;
use crate::reason::DetachReason;
use crate::registry::Strategy;
use crate::time::{Instant, Span};

pub(super) const FAR: Instant = Instant(u64::MAX / 2);

pub(super) fn pid(node: u64) -> Pid {
    Pid::new(NodeId(node), Boot(1), 1)
}

pub(super) fn signature(n: u64) -> Signature {
    Signature::new(n + 1)
}

/// What is on its way to a handler's node, from the owner of that epoch.
#[derive(Debug, Clone)]
pub(super) enum Mail {
    Delivery(Signature),
    Word(Signature, bool, u64),
}

/// A handler and what its node remembers of it.
#[derive(Default)]
pub(super) struct Handler {
    pub(super) tag: String,
    pub(super) fence: Fence,
    pub(super) bound: BTreeSet<Signature>,
    pub(super) lane: VecDeque<(Epoch, Mail)>,
}

/// An owner, and the nodes of its handlers.
pub(super) struct Scene {
    pub(super) exchange: Exchange,
    pub(super) epoch: Epoch,
    pub(super) now: Instant,
    pub(super) asked: u64,
    pub(super) handlers: BTreeMap<Pid, Handler>,
    /// Answers to words, on their way to the owner of that epoch.
    pub(super) notes: VecDeque<(Epoch, ExchangeInput)>,
    /// Attachments sent again and not taken in yet.
    pub(super) claims: VecDeque<(Epoch, ExchangeInput)>,
}

pub(super) fn owner(now: Instant, strategy: Strategy, epoch: Epoch, awaited: Vec<NodeId>) -> Exchange {
    let config = ExchangeConfig {
        id: ExchangeId(1),
        strategy,
        epoch,
        leader: None,
        leader_gone: false,
        settle: Span::from_ms(100),
        awaited,
        promise: Span::from_ms(50),
    };
    Exchange::new(now, config)
}

impl Scene {
    pub(super) fn new(handlers: u64) -> Self {
        let mut scene = Self {
            exchange: owner(Instant(0), Strategy::StickyFun, Epoch(1), Vec::new()),
            epoch: Epoch(1),
            now: Instant(0),
            asked: 0,
            handlers: BTreeMap::new(),
            notes: VecDeque::new(),
            claims: VecDeque::new(),
        };
        for n in 1..=handlers {
            scene.attach(pid(n), "");
        }
        scene
    }

    pub(super) fn step(&mut self, input: &ExchangeInput) -> Vec<ExchangeEffect> {
        self.now = Instant(self.now.0 + 1);
        let mut out = Vec::new();
        self.exchange.step(self.now, input, &mut out);
        for effect in &out {
            let (handler, mail) = match effect {
                ExchangeEffect::Deliver {
                    handler,
                    signature: Some(signature),
                    ..
                } => (handler, Mail::Delivery(*signature)),
                ExchangeEffect::Word {
                    handler,
                    signature,
                    keep,
                    number,
                } => (handler, Mail::Word(*signature, *keep, *number)),
                ExchangeEffect::Unbind { handler, signatures } => {
                    if let Some(known) = self.handlers.get_mut(handler) {
                        known.bound.retain(|s| !signatures.contains(s));
                    }
                    continue;
                }
                _ => continue,
            };
            if let Some(known) = self.handlers.get_mut(handler) {
                known.lane.push_back((self.epoch, mail));
            }
        }
        out
    }

    pub(super) fn attach_input(&self, handler: Pid) -> ExchangeInput {
        let known = &self.handlers[&handler];
        ExchangeInput::Attach {
            handler,
            service_tag: known.tag.clone(),
            bound: known.bound.iter().copied().collect(),
            returned: None,
        }
    }

    pub(super) fn attach(&mut self, handler: Pid, tag: &str) {
        let known = self.handlers.entry(handler).or_default();
        known.tag = tag.into();
        let input = self.attach_input(handler);
        self.step(&input);
    }

    pub(super) fn detach(&mut self, handler: Pid) -> Vec<ExchangeEffect> {
        self.handlers.remove(&handler);
        let reason = DetachReason::Asked;
        self.step(&ExchangeInput::Detach { handler, reason })
    }

    pub(super) fn ask(&mut self, wanted: Signature) -> Vec<ExchangeEffect> {
        self.asked += 1;
        self.step(&ExchangeInput::Request {
            request: RequestKey {
                origin: NodeId(9),
                message: MessageId(self.asked),
            },
            epoch: self.epoch,
            service_tag: Bytes::new(),
            key: Bytes::new(),
            choice: Choice::Signature(wanted),
            deadline: FAR,
            lease_until: FAR,
        })
    }

    pub(super) fn wish(&mut self, signature: Signature, wish: Wish) -> Vec<ExchangeEffect> {
        self.asked += 1;
        self.step(&ExchangeInput::Wish {
            asked: self.asked,
            signature,
            wish,
            lease_until: FAR,
        })
    }

    /// The handler's node takes what came first.
    pub(super) fn hear(&mut self, handler: Pid) {
        let Some(known) = self.handlers.get_mut(&handler) else {
            return;
        };
        let Some((epoch, mail)) = known.lane.pop_front() else {
            return;
        };
        let passed = known.fence.pass(epoch, LeaderEpoch(0)).is_ok();
        match mail {
            Mail::Delivery(signature) if passed => drop(known.bound.insert(signature)),
            Mail::Delivery(_) => {}
            Mail::Word(signature, keep, number) => {
                if passed && keep {
                    known.bound.insert(signature);
                } else if passed {
                    known.bound.remove(&signature);
                }
                let noted = if passed { Noted::Yes } else { Noted::No };
                let note = ExchangeInput::Noted {
                    handler,
                    signature,
                    number,
                    noted,
                };
                self.notes.push_back((epoch, note));
            }
        }
    }

    pub(super) fn hear_all(&mut self) {
        let all: Vec<Pid> = self.handlers.keys().copied().collect();
        for handler in all {
            while self.handlers.get(&handler).is_some_and(|h| !h.lane.is_empty()) {
                self.hear(handler);
            }
        }
    }

    /// The owner takes the answer that came first.
    pub(super) fn note(&mut self) -> Vec<ExchangeEffect> {
        match self.notes.pop_front() {
            Some((epoch, note)) if epoch == self.epoch => self.step(&note),
            _ => Vec::new(),
        }
    }

    /// Everything arrives, and whatever that brings.
    pub(super) fn calm(&mut self) -> Vec<ExchangeEffect> {
        let mut all = Vec::new();
        loop {
            self.hear_all();
            if self.notes.is_empty() {
                return all;
            }
            all.extend(self.note());
        }
    }

    pub(super) fn wait(&mut self) -> Vec<ExchangeEffect> {
        self.now = self.now + BINDING_WAIT;
        self.step(&ExchangeInput::Tick)
    }

    /// The owner is killed; its handlers attach with the next one, in an order that is nobody's choice.
    pub(super) fn crash(&mut self, first: usize) {
        self.epoch = Epoch(self.epoch.0 + 1);
        let all: Vec<Pid> = self.handlers.keys().copied().collect();
        let nodes = all.iter().map(|pid| pid.node).chain([NodeId(99)]).collect();
        self.exchange = owner(self.now, Strategy::StickyFun, self.epoch, nodes);
        let count = all.len().max(1);
        for place in 0..all.len() {
            let handler = all[(first + place) % count];
            let known = self.handlers.get_mut(&handler).expect("attached");
            known
                .fence
                .pass(self.epoch, LeaderEpoch(0))
                .map(drop)
                .expect("newer");
            let input = self.attach_input(handler);
            self.step(&input);
        }
        for node in all.iter().map(|pid| pid.node).chain([NodeId(99)]) {
            self.step(&ExchangeInput::Roll { node });
        }
    }

    pub(super) fn travel(&mut self) -> Vec<ExchangeEffect> {
        let epoch = Epoch(self.epoch.0 + 1);
        let to = NodeId(9);
        let out = self.step(&ExchangeInput::Leave { to, epoch });
        let state = out.iter().find_map(|effect| match effect {
            ExchangeEffect::Transfer { state, .. } => Some(state.clone()),
            _ => None,
        });
        self.epoch = epoch;
        self.exchange = owner(self.now, Strategy::StickyFun, epoch, Vec::new());
        self.step(&ExchangeInput::Resume {
            state: state.expect("it leaves"),
        });
        out
    }

    pub(super) fn remember(&self, signature: Signature) -> Vec<Pid> {
        let all = self.handlers.iter();
        all.filter(|(_, known)| known.bound.contains(&signature))
            .map(|(pid, _)| *pid)
            .collect()
    }
}

pub(super) fn bind(handler: Pid, rebind: bool) -> Wish {
    Wish::Bind {
        handler,
        service_tag: Bytes::new(),
        rebind,
    }
}

pub(super) fn answers(effects: &[ExchangeEffect]) -> Vec<WishAnswer> {
    let answer = |effect: &ExchangeEffect| match effect {
        ExchangeEffect::Answer { answer, .. } => Some(*answer),
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

pub(super) fn delivered(effects: &[ExchangeEffect]) -> Option<Pid> {
    effects.iter().find_map(|effect| match effect {
        ExchangeEffect::Deliver { handler, .. } => Some(*handler),
        _ => None,
    })
}

pub(super) fn refused(why: NotBindable) -> Vec<WishAnswer> {
    vec![WishAnswer::Refused(why)]
}
