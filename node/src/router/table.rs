//! The table of open requests: sharded by message id, each shard with its own list of what is due when. Whoever takes a request
//! out of it decides how that goes on or ends; so nothing ends twice.
//!
//! What does not live here: what a request is (`open`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{Boot, MessageId};
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::talk::{RequesterEnd, Speaker, Taken};
use squall_kernel::time::Instant;
use tokio::sync::Notify;

use super::answered::Answered;
use super::open::{Open, Stage, is_out};
use super::outcome::Outcome;
use super::talking::{Said, is_fenced};
use crate::numbered::ByNumber;
use crate::spans::Traced;
use crate::striped::Striped;

/// Few enough to walk over, enough for the threads of a machine.
const SHARDS: u64 = 16;
/// Bits of a message id that count; the boot count stands above them, so that a reply to an earlier run of the node is
/// never taken for one to this run. 2^44 last 200 days at a million requests a second.
const COUNT_BITS: u32 = 44;
/// Numbers that a thread takes at a time; all of them are in one shard.
const BLOCK: u64 = 64;
/// A block that others are so far ahead of is left: what is remembered of requests goes by their numbers.
const AGED: u64 = BLOCK * SHARDS;

/// What the end of a copy means for its request.
pub(super) enum CopyEnd {
    /// Nothing: the request or the copy had ended.
    Late,
    /// Nothing either, but it had been answered: there was a second delivery.
    Second,
    /// Others are still out, and what this one said was told.
    More,
    /// It was the last one, or all that is wanted.
    Last(Box<Open>),
}

/// What a chunk or a question means for its request.
pub(super) enum Talked {
    /// The requester has it; the handler may be told of so much more credit.
    Given { credit: u32 },
    /// The requester does not get it, and its request goes on.
    Refused(TalkFault),
    /// The response cannot be whole any more: the request has ended.
    Broken(Box<Open>, TalkFault),
}

/// On cache lines of its own: the threads that are at it at a time are few.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    open: ByNumber<MessageId, Box<Open>>,
    due: BinaryHeap<Reverse<(Instant, MessageId)>>,
    answered: Answered,
}

impl Shard {
    /// Entries of requests that have ended stay until they are due or outnumber the others.
    fn schedule(&mut self, due: Instant, id: MessageId) {
        if self.due.len() > 2 * self.open.len() + 64 {
            let open = &self.open;
            self.due.retain(|Reverse((_, id))| open.contains_key(id));
        }
        self.due.push(Reverse((due, id)));
    }
}

/// Open requests by message id.
pub(super) struct OpenTable {
    shards: [Mutex<Shard>; SHARDS as usize],
    /// Latest number given out of a block, by thread.
    given: Striped<Mutex<Option<u64>>>,
    /// Start of the next block of numbers.
    next: AtomicU64,
    first: u64,
    waiting: AtomicUsize,
    next_due: AtomicU64,
    earlier: Notify,
}

impl OpenTable {
    pub(super) fn new(boot: Boot) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            given: Striped::default(),
            next: AtomicU64::new(u64::from(boot.0) << COUNT_BITS),
            first: (u64::from(boot.0) << COUNT_BITS) + 1,
            waiting: AtomicUsize::new(0),
            next_due: AtomicU64::new(u64::MAX),
            earlier: Notify::new(),
        }
    }

    /// A number that nothing had before. Each thread takes some from one block, all of which are in one shard, before it takes a block
    /// again: threads seldom meet in a shard.
    pub(super) fn next_id(&self) -> MessageId {
        let mut given = lock(self.given.here());
        let id = match *given {
            Some(last) if last % BLOCK < BLOCK - 1 && self.next.load(Ordering::Relaxed) - last <= AGED => {
                last + 1
            }
            // Numbers count from 1.
            _ => self.next.fetch_add(BLOCK, Ordering::Relaxed).max(self.first),
        };
        *given = Some(id);
        MessageId(id)
    }

    fn shard(&self, id: MessageId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::try_from(id.0 / BLOCK % SHARDS).expect("less than SHARDS")])
    }

    pub(super) fn insert(&self, id: MessageId, open: Box<Open>, due: Instant) {
        if matches!(open.stage, Stage::Waiting { .. }) {
            open.stats.waits();
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(talking) = &open.request.talk {
            talking.id.is(id);
        }
        {
            let mut shard = self.shard(id);
            shard.open.insert(id, open);
            shard.schedule(due, id);
        }
        if due.0 < self.next_due.load(Ordering::Acquire) {
            self.next_due.store(due.0, Ordering::Release);
            self.earlier.notify_one();
        }
    }

    fn removed(&self, open: Box<Open>) -> Box<Open> {
        if matches!(open.stage, Stage::Waiting { .. }) {
            open.stats.goes_on();
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        open
    }

    pub(super) fn take(&self, id: MessageId) -> Option<Box<Open>> {
        let open = self.shard(id).open.remove(&id);
        open.map(|open| self.removed(open))
    }

    /// Takes the request that this frame ends, if it is out.
    pub(super) fn take_sent(&self, frame: &Frame) -> Option<Box<Open>> {
        let mut shard = self.shard(frame.message);
        shard
            .open
            .get(&frame.message)
            .filter(|open| is_out(open, frame) && !is_fenced(open, frame))?;
        if frame.status != Status::None(NoReply::Interrupted) {
            shard.answered.note(place(frame.message), frame.message);
        }
        shard.open.remove(&frame.message)
    }

    /// Takes a request that certainly was not delivered.
    pub(super) fn take_undelivered(&self, id: MessageId) -> Option<Box<Open>> {
        let mut shard = self.shard(id);
        let open = shard.open.remove(&id)?;
        shard.answered.note(place(id), id);
        drop(shard);
        Some(self.removed(open))
    }

    /// True when this is a handler's answer to a request that had been answered, or certainly had not been delivered.
    pub(super) fn is_second(&self, frame: &Frame) -> bool {
        let answers = matches!(frame.status, Status::Reply | Status::Declined);
        answers
            && self
                .shard(frame.message)
                .answered
                .has(place(frame.message), frame.message)
    }

    /// Ends one copy of a request, and tells of it unless it is the last one: the requester and `tell`, which is told the
    /// request's number in the journal, before anybody can end the next copy.
    pub(super) fn end_copy(
        &self,
        frame: &mut Frame,
        tell: impl FnOnce(Option<MessageId>, &Outcome),
    ) -> CopyEnd {
        let mut shard = self.shard(frame.message);
        let Some(open) = shard
            .open
            .get_mut(&frame.message)
            .filter(|open| is_out(open, frame))
        else {
            return CopyEnd::Late;
        };
        open.traced.heard(&frame.trace);
        let ended = if open.request.publish.is_some() {
            open.copies.end_place(frame)
        } else {
            open.copies.end(frame.index, frame.count)
        };
        if !ended {
            let answers = matches!(frame.status, Status::Reply | Status::Declined);
            return if answers { CopyEnd::Second } else { CopyEnd::Late };
        }
        // Of a publish each node's word counts.
        let suffices = open.request.publish.is_none() && open.reply_to.suffices(frame.status);
        if open.copies.left == Some(0) || suffices {
            let open = shard
                .open
                .remove(&frame.message)
                .expect("found above, under the same lock");
            return CopyEnd::Last(open);
        }
        open.copies.note(frame.status);
        let outcome = Outcome::of(frame.clone(), true);
        // A publish ends as a whole, whoever is waited for.
        if open.request.publish.is_none() {
            tell(open.told, &outcome);
        }
        open.reply_to.tell(outcome);
        CopyEnd::More
    }

    /// Steps what is between requester and handler of an open request.
    pub(super) fn talk_of<T>(&self, id: MessageId, step: impl FnOnce(&mut RequesterEnd) -> T) -> Option<T> {
        let mut shard = self.shard(id);
        let talk = shard.open.get_mut(&id)?.talk.as_mut()?;
        Some(step(talk))
    }

    /// The trace of a request, if it is open.
    pub(super) fn traced_of(&self, id: MessageId, step: impl FnOnce(&mut Traced)) {
        if let Some(open) = self.shard(id).open.get_mut(&id) {
            step(&mut open.traced);
        }
    }

    /// Gives a chunk or a question to its requester.
    pub(super) fn talk(&self, frame: &Frame) -> Talked {
        let mut shard = self.shard(frame.message);
        let Some(open) = shard
            .open
            .get_mut(&frame.message)
            .filter(|open| is_out(open, frame))
        else {
            return Talked::Refused(TalkFault::Over);
        };
        let asks = frame.kind == Kind::Ask;
        // A middleware has nothing to say to the requester.
        let ahead = open.ahead_of().is_some();
        let Some(talk) = open.talk.as_mut().filter(|_| !ahead) else {
            let unwanted = [TalkFault::BeyondCredit, TalkFault::NoQuestions];
            return Talked::Refused(unwanted[usize::from(asks)]);
        };
        let (speaker, len) = (Speaker::of(frame), frame.payload.len());
        let taken = if asks {
            let credit = talk.question(speaker, frame.index, len);
            credit.map(|credit| Taken { give: true, credit })
        } else {
            talk.chunk(speaker, frame.index, frame.count, len)
        };
        if taken.is_ok() {
            open.traced.came(frame);
        }
        let broken = match taken {
            Ok(taken) if !taken.give || open.reply_to.say(Said::of(frame)) => {
                return Talked::Given { credit: taken.credit };
            }
            Err(fault) if asks || fault == TalkFault::Fenced => return Talked::Refused(fault),
            // Nobody is there to take it.
            Ok(_) => TalkFault::Over,
            Err(fault) => fault,
        };
        let open = shard
            .open
            .remove(&frame.message)
            .expect("found above, under the same lock");
        Talked::Broken(open, broken)
    }

    /// True when that request is open, and this is not an answer of the handler that has it.
    pub(super) fn is_fenced(&self, frame: &Frame) -> bool {
        let shard = self.shard(frame.message);
        shard
            .open
            .get(&frame.message)
            .is_some_and(|open| is_fenced(open, frame))
    }

    #[expect(clippy::vec_box, reason = "each is in its box already")]
    pub(super) fn take_all(&self, mut wanted: impl FnMut(&mut Open) -> bool) -> Vec<Box<Open>> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            taken.extend(
                lock(shard)
                    .open
                    .extract_if(|_, open| wanted(open))
                    .map(|(_, open)| self.removed(open)),
            );
        }
        taken
    }

    #[expect(clippy::vec_box, reason = "each is in its box already")]
    pub(super) fn take_waiting(&self) -> Vec<Box<Open>> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.take_all(|open| matches!(open.stage, Stage::Waiting { .. }))
    }

    #[expect(clippy::vec_box, reason = "each is in its box already")]
    pub(super) fn take_due(&self, now: Instant) -> Vec<Box<Open>> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            while let Some(Reverse((_, id))) = shard.due.peek().filter(|Reverse((at, _))| *at <= now).copied()
            {
                shard.due.pop();
                taken.extend(shard.open.remove(&id).map(|open| self.removed(open)));
            }
        }
        taken
    }

    /// When the next request is due. Anything that becomes due earlier from now on ends [`OpenTable::earlier`].
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.next_due.store(u64::MAX, Ordering::Release);
        let first = |shard: &Mutex<Shard>| lock(shard).due.peek().map(|Reverse((at, _))| *at);
        let next = self.shards.iter().filter_map(first).min();
        if let Some(next) = next {
            self.next_due.fetch_min(next.0, Ordering::AcqRel);
        }
        next
    }

    pub(super) async fn earlier(&self) {
        self.earlier.notified().await;
    }
}

/// Numbers the requests of one shard.
const fn place(id: MessageId) -> u64 {
    id.0 / (BLOCK * SHARDS) * BLOCK + id.0 % BLOCK
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
