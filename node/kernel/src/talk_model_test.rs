//! Both ends against each other over a link that may lose, and a handler and a requester that may break every rule.

use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::tests::{HANDLER, takes};
use super::*;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The handler sends its next chunk, if it need not wait.
    Send { last: bool },
    /// The handler sends a chunk of any number, as one that does not count.
    Rogue { index: u32, count: u32 },
    /// The handler replies.
    Reply,
    /// The handler asks.
    Ask,
    /// The requester takes so many more.
    Take(u32),
    /// The requester answers question `n`.
    Answer(u32),
    /// The requester gives up.
    Cancel,
    /// The oldest frame arrives, at the requester or at the handler.
    Arrive { requester: bool },
    /// The oldest frame is lost.
    Lose { requester: bool },
    /// The handler's node is declared lost.
    HandlerLost,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<bool>().prop_map(|last| Step::Send { last }),
        1 => (0u32..6, 0u32..6).prop_map(|(index, count)| Step::Rogue { index, count }),
        1 => Just(Step::Reply),
        2 => Just(Step::Ask),
        4 => (0u32..70).prop_map(Step::Take),
        2 => (0u32..4).prop_map(Step::Answer),
        1 => Just(Step::Cancel),
        12 => any::<bool>().prop_map(|requester| Step::Arrive { requester }),
        1 => any::<bool>().prop_map(|requester| Step::Lose { requester }),
        1 => Just(Step::HandlerLost),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Replied,
    Interrupted,
}

#[derive(Debug, Clone, Copy)]
enum Up {
    Chunk { index: u32, count: u32 },
    Ask(u32),
    Reply,
    Broken,
}

#[derive(Debug, Clone, Copy)]
enum Down {
    Credit(u32),
    Answer(u32),
    Stop(TalkFault),
}

/// The request at its node, its handler and that one's node.
struct World {
    open: Option<RequesterEnd>,
    ends: Vec<End>,
    given: Vec<u32>,
    granted: u32,
    own: HandlerEnd,
    node: HandlerEnd,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    lost: bool,
}

impl World {
    fn new(credit: u32) -> Self {
        Self {
            open: Some(takes(credit)),
            ends: Vec::new(),
            given: Vec::new(),
            granted: credit,
            own: HandlerEnd::new(credit),
            node: HandlerEnd::new(credit),
            up: VecDeque::new(),
            down: VecDeque::new(),
            lost: false,
        }
    }

    fn end(&mut self, end: End, tell: Option<TalkFault>) {
        let Some(open) = self.open.take() else { return };
        self.ends.push(end);
        if let Some(fault) = tell.filter(|_| open.has_begun()) {
            self.down.push_back(Down::Stop(fault));
        }
    }

    /// A chunk passes the handler's node, or ends the request there.
    fn submit(&mut self, index: u32, count: u32) {
        let over = self.node.is_over().is_some();
        match self.node.chunk(index, count, 1) {
            Ok(()) => self.up.push_back(Up::Chunk { index, count }),
            Err(fault) if !over => {
                self.own.end(fault);
                self.up.push_back(Up::Broken);
            }
            Err(_) => {}
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { last } if !self.lost => {
                if let Ok(Some(index)) = self.own.next_chunk(last, 1) {
                    self.submit(index, if last { index } else { 0 });
                }
            }
            Step::Rogue { index, count } if !self.lost => self.submit(index, count),
            Step::Reply if !self.lost => {
                if self.node.is_over().is_none() {
                    self.up.push_back(Up::Reply);
                }
                self.own.end(TalkFault::Over);
                self.node.end(TalkFault::Over);
            }
            Step::Ask if !self.lost => {
                if let Ok(number) = self.own.next_question(1)
                    && self.node.question(number, 1).is_ok()
                {
                    self.up.push_back(Up::Ask(number));
                }
            }
            Step::Take(more) => self.take(more),
            Step::Answer(number) => {
                let told = self.open.as_mut().map(|open| open.answer(number, 1));
                if let Some(Ok(_)) = told {
                    self.down.push_back(Down::Answer(number));
                }
            }
            Step::Cancel => self.end(End::Interrupted, Some(TalkFault::Over)),
            Step::Arrive { requester: true } => {
                if let Some(up) = self.up.pop_front() {
                    self.arrived(up);
                }
            }
            Step::Arrive { requester: false } => {
                if let Some(down) = self.down.pop_front() {
                    self.heard(down);
                }
            }
            Step::Lose { requester: true } => drop(self.up.pop_front()),
            Step::Lose { requester: false } => drop(self.down.pop_front()),
            Step::HandlerLost => {
                self.lost = true;
                self.up.clear();
                self.end(End::Interrupted, None);
            }
            Step::Send { .. } | Step::Rogue { .. } | Step::Reply | Step::Ask => {}
        }
        let known = self.open.as_ref().map_or(0, RequesterEnd::outstanding);
        assert!(known <= CHUNK_CREDIT_MAX);
        let under_way = self.up.iter().filter(|up| matches!(up, Up::Chunk { .. })).count();
        assert!(
            self.given.len() + under_way <= self.granted as usize,
            "beyond the credit"
        );
    }

    fn take(&mut self, more: u32) {
        let Some(open) = self.open.as_mut() else { return };
        match open.credit(more, 0) {
            Ok(told) => {
                self.granted += more;
                self.down.extend(told.map(|(_, more)| Down::Credit(more)));
            }
            Err(fault) => self.end(End::Interrupted, Some(fault)),
        }
    }

    fn arrived(&mut self, up: Up) {
        let Some(open) = self.open.as_mut() else {
            self.down.push_back(Down::Stop(TalkFault::Over));
            return;
        };
        match up {
            Up::Chunk { index, count } => match open.chunk(HANDLER, index, count, 1) {
                Ok(taken) => {
                    self.given.push(index);
                    if taken.credit > 0 {
                        self.down.push_back(Down::Credit(taken.credit));
                    }
                }
                Err(fault) => self.end(End::Interrupted, Some(fault)),
            },
            Up::Ask(number) => {
                if let Ok(credit @ 1..) = open.question(HANDLER, number, 1) {
                    self.down.push_back(Down::Credit(credit));
                }
            }
            Up::Reply => match open.reply(HANDLER) {
                Ok(()) => self.end(End::Replied, None),
                Err(fault) => self.end(End::Interrupted, Some(fault)),
            },
            Up::Broken => self.end(End::Interrupted, None),
        }
    }

    fn heard(&mut self, down: Down) {
        for end in [&mut self.own, &mut self.node] {
            match down {
                Down::Credit(more) => {
                    let over = end.is_over().is_some();
                    assert!(end.credit(more).is_ok() || over, "granted within the bound");
                }
                Down::Answer(number) => drop(end.answer(number)),
                Down::Stop(fault) => end.end(fault),
            }
        }
    }
}

proptest! {
    /// I5 for talks: whatever is sent, lost, broken or given up, and in whatever order, the request has one outcome; a
    /// reply only when all chunks came; and no chunk is under way that was not asked for.
    #[test]
    fn one_outcome_and_never_more_chunks_than_credit(
        credit in 0u32..6,
        steps in proptest::collection::vec(any_step(), 0..120),
    ) {
        let mut world = World::new(credit);
        for step in steps {
            world.step(step);
        }
        while !world.up.is_empty() {
            world.step(Step::Arrive { requester: true });
        }
        // The deadline.
        world.end(End::Interrupted, Some(TalkFault::Over));
        prop_assert_eq!(world.ends.len(), 1);
        let in_order = world.given.iter().copied().eq(1..=u32::try_from(world.given.len()).unwrap());
        prop_assert!(in_order, "{:?}", world.given);
    }

    /// With nothing lost and nobody misbehaving every chunk comes, whatever the pace of the requester.
    #[test]
    fn every_chunk_comes_at_the_requesters_pace(
        first in 1u32..5,
        paces in proptest::collection::vec(1u32..5, 1..40),
        chunks in 1u32..40,
    ) {
        let mut world = World::new(first);
        let mut paces = paces.into_iter().cycle();
        let mut sent = 0;
        while sent < chunks {
            while let Ok(Some(index)) = world.own.next_chunk(sent + 1 == chunks, 1) {
                sent += 1;
                world.submit(index, if sent == chunks { sent } else { 0 });
                if sent == chunks {
                    break;
                }
            }
            while !world.up.is_empty() {
                world.step(Step::Arrive { requester: true });
            }
            if world.open.as_ref().unwrap().outstanding() == 0 {
                world.step(Step::Take(paces.next().unwrap()));
            }
            while !world.down.is_empty() {
                world.step(Step::Arrive { requester: false });
            }
        }
        world.step(Step::Reply);
        while !world.up.is_empty() {
            world.step(Step::Arrive { requester: true });
        }
        prop_assert_eq!(world.given.len(), chunks as usize);
        prop_assert_eq!(world.ends, std::vec![End::Replied]);
    }
}
