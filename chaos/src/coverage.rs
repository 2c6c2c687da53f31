//! Coverage: what a batch of runs must have been through to say anything. What never happened was not tested; a batch
//! that never hits one of these fails, and names it.
//!
//! What does not live here: what must hold (`invariant`), and which sights a tier can have at all (the caller's).

use std::collections::BTreeMap;
use std::fmt;

use squall_kernel::reason::NoReply;
use squall_kernel::tasks::Copies;

use crate::history::{Answer, Event, Mark, PublishEvent, QueueFrom, TalkEvent, TaskEvent, What};

mod scene;

use scene::Scene;

macro_rules! sights {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Something that should happen sometimes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Sight {
            $($(#[$doc])* $variant,)*
            /// Seen by whoever drives the nodes.
            Mark(Mark),
        }

        impl Sight {
            /// Those that show in the events themselves.
            const SHOWN: &'static [Self] = &[$(Self::$variant,)*];

            /// In words.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Mark(mark) => mark.as_str(),
                }
            }
        }
    };
}

sights! {
    /// A handler refused an effect under an epoch that was over.
    StaleFenced = "a stale effect was fenced",
    /// A node was killed while requests that it had routed were open.
    OwnerKilledInFlight = "an owner was killed with requests in flight",
    /// A node was killed while one of its handlers led.
    LeaderKilled = "a leader was killed",
    /// A node was killed while it led the registry's log.
    MetaLeaderKilled = "a meta leader was killed",
    /// A paused owner went on when its exchange belonged to another node.
    OwnerWokeLate = "a paused owner woke after another had taken over",
    /// The lease of a live owner ended because nobody renewed it.
    LeaseRanOut = "a lease ran out by itself",
    /// Two nodes said at once that they lead the registry's log.
    StaleMetaLeader = "a meta leader without quorum still said it led",
    /// Another handler than before believed that it leads.
    LeaderChanged = "another handler became the leader",
    /// A request was handled under a later epoch than the first.
    HandledAfterFailover = "a request was handled after a failover",
    /// A node that had ended started again.
    NodeRestarted = "a node started again",
    /// A node left in order.
    NodeLeft = "a node left in order",
    /// A fault began while another acted.
    FaultsOverlapped = "two faults acted at once",
    /// A reply.
    Replied = "a request was answered",
    /// A handler declined.
    Declined = "a request was declined",
    /// The deadline passed.
    TimedOut = "a request timed out",
    /// Delivered, fate unknown.
    Interrupted = "a request was interrupted",
    /// Certainly not delivered.
    Unavailable = "a request ended as unavailable",
    /// A request was sent again because it had certainly not been delivered.
    Retried = "a request was tried again",
    /// An answer came after the end of its request.
    LateAnswer = "a late answer was dropped",
    /// A requester was given a chunk that was not the last.
    ChunkGiven = "a requester was given a chunk",
    /// A requester had all chunks.
    ChunksWhole = "a requester had all chunks",
    /// A handler had the answer to a question.
    QuestionAnswered = "a question back was answered",
    /// A registry write was acknowledged.
    Acknowledged = "a registry write was acknowledged",
    /// A completion that counted.
    TaskCompleted = "a task was completed",
    /// The same, under an owner after the one that took the task in.
    TaskOutlivedOwner = "a task was completed under a later owner",
    /// A completion, or another word, under a lease that was over.
    StaleLease = "a worker was fenced by a later lease",
    /// A worker gave a task back.
    TaskGivenBack = "a task was given back",
    /// A worker asked for more time.
    TaskExtended = "a lease of a task was extended",
    /// A worker said nothing in time.
    TaskLeaseRanOut = "a lease of a task ran out",
    /// A task ended without a completion.
    TaskDied = "a task became a dead letter",
    /// A task was taken in while there was no second node.
    SingleCopy = "a task was acknowledged in a single copy",
    /// A submit had the id of an earlier one.
    SubmitRepeated = "a submit was taken for an earlier one",
    /// A backup became the owner.
    QueueFromCopy = "a backup took a queue over",
    /// A queue came with a move, or stayed when one was cancelled.
    QueueMoved = "a queue of tasks moved",
    /// Owner and backup were lost.
    QueueLost = "a queue was lost with all its copies",
    /// A copy of a publish reached a subscriber.
    Published = "a subscriber got a publish",
    /// A publish for one handler reached it.
    PublishHanded = "a handler got a publish",
    /// The publisher was told what it waited for.
    PublishConfirmed = "a publish was confirmed",
    /// An owner after the first one took a publish.
    PublishedAfterFailover = "a publish was taken under a later epoch",
    /// The owner knew its id.
    PublishKnown = "a publish was known by its id",
    /// An owner knows the ids of the one before.
    IdsRemembered = "the ids of publishes went to the next owner",
    /// A publish was tried again, or given to the subscribers of its publisher's node.
    PublishedAgain = "a publish went out again",
    /// No owner took it.
    Degraded = "a publish was degraded",
    /// A subscriber wants nothing any more.
    Unsubscribed = "a subscriber unsubscribed",
}

impl Sight {
    /// All of them, those of whoever drives the nodes included.
    pub fn all() -> impl Iterator<Item = Self> {
        let marks = Mark::ALL.iter().copied().map(Self::Mark);
        Self::SHOWN.iter().copied().chain(marks)
    }

    /// True when it shows in the events themselves.
    #[must_use]
    pub const fn shows(self) -> bool {
        !matches!(self, Self::Mark(_))
    }

    /// What an event about tasks shows.
    fn of_task(what: &TaskEvent) -> Option<Self> {
        Some(match what {
            TaskEvent::Completed { task, lease, .. } if lease.epoch() > task.epoch() => {
                Self::TaskOutlivedOwner
            }
            TaskEvent::Completed { .. } => Self::TaskCompleted,
            TaskEvent::Fenced { .. } => Self::StaleLease,
            TaskEvent::GivenBack { .. } => Self::TaskGivenBack,
            TaskEvent::Extended { .. } => Self::TaskExtended,
            TaskEvent::LeaseEnded { timed_out: true, .. } => Self::TaskLeaseRanOut,
            TaskEvent::Dead { .. } => Self::TaskDied,
            TaskEvent::Accepted { duplicate: true, .. } => Self::SubmitRepeated,
            TaskEvent::Accepted {
                copies: Copies::Single,
                ..
            } => Self::SingleCopy,
            TaskEvent::Begins { from, .. } => match from {
                QueueFrom::Nothing => return None,
                QueueFrom::Move => Self::QueueMoved,
                QueueFrom::Copy => Self::QueueFromCopy,
                QueueFrom::Loss => Self::QueueLost,
            },
            _ => return None,
        })
    }

    /// What an event about publishes shows.
    const fn of_publish(what: &PublishEvent) -> Option<Self> {
        Some(match what {
            PublishEvent::Got { .. } => Self::Published,
            PublishEvent::Handed { .. } => Self::PublishHanded,
            PublishEvent::Confirmed { .. } => Self::PublishConfirmed,
            PublishEvent::Taken { known: true, .. } => Self::PublishKnown,
            PublishEvent::Taken { epoch, .. } if epoch.0 > 1 => Self::PublishedAfterFailover,
            PublishEvent::Remembers { .. } => Self::IdsRemembered,
            PublishEvent::Again { .. } => Self::PublishedAgain,
            PublishEvent::Unsubscribed { .. } => Self::Unsubscribed,
            _ => return None,
        })
    }

    /// What a request's end shows.
    fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Reply { .. } => Self::Replied,
            Answer::Declined { .. } => Self::Declined,
            Answer::None(ended) => match ended.0 {
                NoReply::Timeout => Self::TimedOut,
                NoReply::Interrupted => Self::Interrupted,
                NoReply::Degraded => Self::Degraded,
                _ => Self::Unavailable,
            },
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How often each sight was had, in one run or in many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<Sight, u64>,
}

impl Coverage {
    /// What a whole history shows.
    #[must_use]
    pub fn of<'a>(history: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut looker = Looker::default();
        for event in history {
            looker.see(event);
        }
        looker.coverage
    }

    /// Adds what another run, or batch, has shown.
    pub fn merge(&mut self, other: &Self) {
        for (sight, count) in &other.counts {
            *self.counts.entry(*sight).or_default() += count;
        }
    }

    /// How often.
    #[must_use]
    pub fn count(&self, sight: Sight) -> u64 {
        self.counts.get(&sight).copied().unwrap_or_default()
    }

    /// What was seen, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Sight, u64)> + '_ {
        self.counts.iter().map(|(sight, count)| (*sight, *count))
    }

    /// Those of `wanted` that were never had.
    pub fn missing(&self, wanted: impl IntoIterator<Item = Sight>) -> Vec<Sight> {
        wanted
            .into_iter()
            .filter(|sight| self.count(*sight) == 0)
            .collect()
    }

    fn had(&mut self, sight: Sight) {
        *self.counts.entry(sight).or_default() += 1;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sight, count) in &self.counts {
            writeln!(f, "{count:>9}  {sight}")?;
        }
        Ok(())
    }
}

/// Looks at one run, from its beginning, one event at a time.
#[derive(Debug, Default)]
pub struct Looker {
    coverage: Coverage,
    scene: Scene,
}

impl Looker {
    /// Takes the next event.
    pub fn see(&mut self, event: &Event) {
        let coverage = &mut self.coverage;
        match &event.what {
            What::Fenced { .. } => coverage.had(Sight::StaleFenced),
            What::Outcome { outcome, .. } => coverage.had(Sight::of(outcome)),
            What::Retried { .. } => coverage.had(Sight::Retried),
            What::Late { .. } => coverage.had(Sight::LateAnswer),
            What::Acknowledged { .. } => coverage.had(Sight::Acknowledged),
            What::Handled { epoch, .. } if epoch.0 > 1 => coverage.had(Sight::HandledAfterFailover),
            What::Ended { graceful: true } => coverage.had(Sight::NodeLeft),
            What::Task { what, .. } => {
                if let Some(sight) = Sight::of_task(what) {
                    coverage.had(sight);
                }
            }
            What::Publish { what, .. } => {
                if let Some(sight) = Sight::of_publish(what) {
                    coverage.had(sight);
                }
            }
            What::Talk { what, .. } => match what {
                TalkEvent::Given { count: 0, .. } => coverage.had(Sight::ChunkGiven),
                TalkEvent::Given { .. } => coverage.had(Sight::ChunksWhole),
                TalkEvent::Answered { .. } => coverage.had(Sight::QuestionAnswered),
                TalkEvent::Takes { .. } | TalkEvent::Said { .. } | TalkEvent::Asked { .. } => {}
            },
            What::Mark(mark) => coverage.had(Sight::Mark(*mark)),
            _ => {}
        }
        self.scene.see(event, |sight| coverage.had(sight));
    }

    /// What the run has shown so far.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}

#[cfg(test)]
#[path = "coverage/coverage_test.rs"]
mod tests;
