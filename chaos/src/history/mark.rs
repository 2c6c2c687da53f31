//! Things that a batch of runs must have been through and that show in no other event.

use serde::{Deserialize, Serialize};

macro_rules! marks {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What a run should have been through, seen by whoever drives the nodes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Mark { $($(#[$doc])* $variant,)* }

        impl Mark {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// In words.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

marks! {
    /// A meta leader asked again for promises it had gathered.
    GatherRenewed = "a gather was renewed",
    /// A node that votes started again.
    VoterRestarted = "a voter restarted",
    /// A voter that had just started was asked for a promise and gave none.
    PromiseWithheld = "a fresh voter withheld its promise",
    /// A node was declared lost because its end had been seen.
    DeathProved = "a node's own end was proved",
    /// A node was declared lost because its promises had run out.
    Waited = "a silent node was waited out",
    /// A node was told that it cannot act as meta leader, and handed that over.
    HandedOver = "a meta leader handed over",
    /// The old owner of a moving exchange sent its state.
    MoveBegun = "a move began",
    /// The new owner opened.
    MoveDone = "a move was finished",
    /// Owner or target was lost during the move.
    MoveCancelled = "a move was cancelled by a crash",
    /// A draining node had nothing left to hand over.
    Drained = "a drain finished",
    /// The set of voters changed.
    VotersChanged = "the voters changed",
    /// A voter was replaced, or left without a successor.
    VoterReplaced = "a voter lost its vote",
    /// An owner counted a handler that was gone, and was told so.
    GhostDenied = "an owner counted a handler that was gone",
    /// A crash lost writes that were not durable.
    TailLost = "a crash lost an un-synced tail",
    /// A node had no room on its disk.
    DiskFull = "a disk was full",
    /// A node found its own timers late and stood for no election.
    LateTimers = "a node found its timers late",
    /// A node found its own round trips too long for the promise.
    Weak = "an owner was too far from the voters",
    /// A node that got a publish passed it on.
    ProxyPassedOn = "a publish went through a proxy",
    /// While a node went over from one to another, a publish came from both.
    CameByBothWays = "a publish came by two ways",
    /// A requester's node did not take a chunk, a question or an answer.
    TalkRefused = "a chunk, question or late answer was refused",
}
