//! Bugs planted on purpose, to prove that the simulator finds them. Only with the feature `planted`, which no binary that
//! users get is built with; without it every question is answered `false` while compiling.
//!
//! What does not live here: the bugs themselves. Each stands where a correct line would, behind `planted::is`.

macro_rules! bugs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug { $($(#[$doc])* $variant,)* }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name, as in the table of docs/simulator.md.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

bugs! {
    /// A handler takes effects of any epoch.
    IgnoreEpoch = "ignore-epoch",
    /// The log acknowledges before its write is durable.
    AcknowledgeBeforeDurable = "acknowledge-before-durable",
    /// The meta leader declares a suspect lost without gathering promises.
    ProposeWithoutGathering = "propose-without-gathering",
    /// A voter that has just started promises at once: it is not silent for a promise length, nor until the registry has
    /// taken in this run of it.
    RestartedVoterPromises = "restarted-voter-promises",
    /// A Raft leader acts as meta leader although no majority acknowledges it, and its word is taken for committed.
    TrustLeaderWithoutQuorum = "trust-leader-without-quorum",
    /// An owner counts a promise from when the answer arrives, not from when it asked.
    LengthenLease = "lengthen-lease",
    /// A handler's fence forgets the highest epoch when its attachment starts anew: when its node wants the whole picture,
    /// and when an owner, whichever, sends one.
    ForgetEpochOnRestart = "forget-epoch-on-restart",
    /// The old owner goes on routing after a move.
    AnswerAfterMove = "answer-after-move",
    /// A handler that leaves is not announced.
    NoSlaveDown = "no-slave-down",
    /// A pause is taken for a proof of death.
    LyingProofOfDeath = "lying-proof-of-death",
    /// Two runs of one data directory may be members at once.
    TwoIncarnations = "two-incarnations",
    /// A move forgets the open requests: nobody ends those that a lost node held.
    LoseRoutesInMove = "lose-routes-in-move",
    /// A move forgets which handler has which signature.
    LoseBindingsInMove = "lose-bindings-in-move",
    /// After a crash the next owner does not listen to which signatures handlers have.
    LoseBindingsInCrash = "lose-bindings-in-crash",
    /// A new leader is appointed while the lease of the one before may still hold.
    AppointDuringLease = "appoint-during-lease",
    /// A request that was delivered and whose fate is unknown is sent again.
    RetryInterrupted = "retry-interrupted",
    /// A completion counts whatever its lease, and also when there was one before.
    SecondCompletionAccepted = "second-completion-accepted",
    /// A submit is acknowledged before the backup holds the task.
    AcknowledgeTaskBeforeBackup = "acknowledge-task-before-backup",
    /// An event that came by the way before and comes by the new one is taken again.
    TakeEventsTwice = "take-events-twice",
    /// A move forgets the ids of publishes: one that is published again is taken for a new one.
    LoseIdsInMove = "lose-ids-in-move",
    /// Events of one publisher go by any lane: a later one may overtake.
    EventsOnAnyLane = "events-on-any-lane",
    /// A chunk is taken although one before it is missing.
    AcceptGaps = "accept-gaps",
    /// A reply is taken for a success although the last chunk is missing.
    AcceptIncomplete = "accept-incomplete",
}

#[cfg(feature = "planted")]
mod chosen {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::Bug;

    /// Place in `ALL`, from 1; 0 for none. One for the whole process: a batch of seeds runs under one bug.
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);

    /// Plants a bug, or none, for the whole process.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::SeqCst);
    }

    /// True when that bug is planted.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Relaxed) == bug as usize + 1
    }
}

#[cfg(feature = "planted")]
pub use chosen::{is, plant};

/// True when that bug is planted; without the feature, never.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_bug: Bug) -> bool {
    false
}
