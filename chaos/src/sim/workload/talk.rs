//! What requesters take beside one reply, and what handlers make of it: chunks paced by credit, questions back, and now and
//! then a mistake, for a node lets nothing through that breaks the rules.

use squall_kernel::limits::CHUNK_CREDIT_MAX;
use squall_kernel::talk::Terms;
use squall_kernel::time::Span;

use crate::sim::rng::Rng;

/// What a requester takes, and how it goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taking {
    /// What it says with its request.
    pub terms: Terms,
    /// So many more chunks whenever none is under way; 0 for never.
    pub more: u32,
    /// It says so before it has heard anything, too.
    pub early: bool,
    /// It answers questions that it takes.
    pub answers: bool,
    /// After so many chunks it wants no more.
    pub gives_up_after: Option<u32>,
}

/// A handler's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Slip {
    /// It leaves a number out.
    Gap,
    /// It sends a chunk twice.
    Again,
    /// It sends more than is taken.
    BeyondCredit,
    /// It replies without the last chunk.
    Unfinished,
}

/// What a handler says before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) struct Course {
    /// Chunks.
    pub(in crate::sim) chunks: u32,
    /// The end is told by a mark of its own.
    pub(in crate::sim) mark: bool,
    /// Questions, before the chunks.
    pub(in crate::sim) questions: u32,
    /// Between two of them.
    pub(in crate::sim) pause: Span,
    /// A mistake, at the chunk before the last.
    pub(in crate::sim) slip: Option<Slip>,
}

/// Requesters that answer questions, that say nothing to those they take, and that give up, of a thousand.
const QUESTIONS: u32 = 500;
const SILENT: u32 = 50;
const GIVING_UP: u32 = 50;
/// Requesters that ask for more than may be under way, of a thousand.
const GREEDY: u32 = 10;
/// Responses with a mistake, of a thousand.
const SLIPS: u32 = 60;

/// What a requester takes.
pub(super) fn taking(rng: &mut Rng) -> Taking {
    let number = |n: u64| u32::try_from(n).expect("a small number");
    Taking {
        terms: Terms {
            credit: number(rng.between(0, 4)),
            questions: rng.chance(QUESTIONS),
        },
        more: match rng.below(10) {
            0 => 0,
            _ if rng.chance(GREEDY) => CHUNK_CREDIT_MAX + 1,
            _ => number(rng.between(1, 4)),
        },
        early: rng.chance(200),
        answers: !rng.chance(SILENT),
        gives_up_after: rng.chance(GIVING_UP).then(|| number(rng.between(1, 3))),
    }
}

/// What a handler says whose requester takes that many chunks at first.
pub(in crate::sim) fn course(rng: &mut Rng, credit: u32) -> Course {
    let number = |n: u64| u32::try_from(n).expect("a small number");
    let chunks = if credit > 0 && rng.chance(800) {
        number(rng.between(1, 8))
    } else {
        0
    };
    let slip = *rng.pick(&[Slip::Gap, Slip::Again, Slip::BeyondCredit, Slip::Unfinished]);
    Course {
        chunks,
        mark: rng.chance(400),
        questions: if rng.chance(300) {
            number(rng.between(1, 2))
        } else {
            0
        },
        pause: rng.span(Span(10), Span::from_ms(20)),
        slip: Some(slip).filter(|_| rng.chance(SLIPS)),
    }
}
