//! `squall observe check`: one question about the cluster, answered by an exit code. It holds, it does not, or it cannot be
//! known.
//!
//! What does not live here: the words of the answers in the views (`cluster::checks`, `cluster::health`).

use std::time::Duration;

use crate::cluster::health::{self, Quorum};
use crate::cluster::node::Connection;
use crate::cluster::{Cluster, State};
use crate::error::Error;
use crate::facts;
use crate::feed::grpc::GrpcFeed;
use crate::gather::Gather;
use crate::model::Screen;
use crate::units::{Moment, whole_seconds};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Some node hears a majority of the voters.
    Quorum,
    /// Every exchange has one owner, and no two nodes act as it.
    Leaders,
    /// No fault acts.
    Faults,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quorum, Self::Leaders, Self::Faults];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Leaders => "leaders",
            Self::Faults => "faults",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|q| q.word() == word)
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Broken,
    /// Not enough nodes answer to say.
    Unknown,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

/// An answer, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer.
    pub verdict: Verdict,
    /// Why, in one line.
    pub why: String,
}

/// Asks a live cluster; a cluster that does not answer within `patience` cannot be known.
///
/// # Errors
/// [`Error`] when the question cannot be asked at all.
pub async fn ask(addresses: Vec<String>, question: Question, patience: Duration) -> Result<Answer, Error> {
    let mut gather = Gather::new(GrpcFeed::start(addresses), Screen::Leaders);
    match gather.complete(Screen::Leaders, patience).await {
        Ok(()) => Ok(answer(&gather.cluster, gather.clock.now(), question)),
        Err(error @ Error::Unreachable { .. }) => Ok(Answer {
            verdict: Verdict::Unknown,
            why: error.to_string(),
        }),
        Err(error) => Err(error),
    }
}

/// The answer that a picture of the cluster gives.
#[must_use]
pub fn answer(cluster: &Cluster, now: Moment, question: Question) -> Answer {
    let (verdict, why) = match question {
        Question::Quorum => quorum(cluster, now),
        Question::Leaders => leaders(cluster, now),
        Question::Faults => faults(cluster, now),
    };
    Answer { verdict, why }
}

fn quorum(cluster: &Cluster, now: Moment) -> (Verdict, String) {
    match health::quorum(cluster, now) {
        Quorum::Held => {
            let leader = health::meta_leader(cluster, now).unwrap_or("none that was heard");
            (
                Verdict::Holds,
                format!("a majority of the voters is heard; leader {leader}"),
            )
        }
        Quorum::Lost if silent(cluster, now).is_empty() => (
            Verdict::Broken,
            "no node hears a majority of the voters".to_owned(),
        ),
        Quorum::Lost => (
            // Those that do not answer here may hear each other.
            Verdict::Unknown,
            format!(
                "no node that answers hears a majority; no answer from {}",
                silent(cluster, now).join(" ")
            ),
        ),
        Quorum::Forming(what) => (
            Verdict::Broken,
            format!("there is no cluster yet: waiting for {what}"),
        ),
        Quorum::Silent | Quorum::Loading => (Verdict::Unknown, "no node answers".to_owned()),
    }
}

fn leaders(cluster: &Cluster, now: Moment) -> (Verdict, String) {
    let splits = health::splits(cluster, now);
    if !splits.is_empty() {
        let names: Vec<String> = splits.into_iter().collect();
        return (
            Verdict::Broken,
            format!("two nodes act as owner of {}", names.join(", ")),
        );
    }
    if cluster.fresh(now).next().is_none() {
        return (Verdict::Unknown, "no node answers".to_owned());
    }
    let silent = silent(cluster, now);
    let ownerless = health::ownerless(cluster, now);
    let all = facts::exchange_names(cluster).len();
    let owners = facts::exchanges(cluster, now);
    // One whose owner may be a node that does not answer here cannot be judged.
    let hidden = |name: &String| {
        let owner = owners
            .iter()
            .find(|e| e.name == *name)
            .and_then(|e| e.owner.clone());
        owner.is_some_and(|owner| silent.contains(&owner))
    };
    let (unknown, without): (Vec<String>, Vec<String>) = ownerless.into_iter().partition(hidden);
    if !without.is_empty() {
        return (Verdict::Broken, format!("nobody owns {}", without.join(", ")));
    }
    if !unknown.is_empty() {
        let why = format!(
            "the owner of {} does not answer: {}",
            unknown.join(", "),
            silent.join(" ")
        );
        return (Verdict::Unknown, why);
    }
    (Verdict::Holds, format!("each of {all} exchanges has one owner"))
}

fn faults(cluster: &Cluster, now: Moment) -> (Verdict, String) {
    let faults = health::faults(cluster, now);
    if faults.count > 0 {
        let left = whole_seconds(faults.shortest_ms);
        return (
            Verdict::Broken,
            format!(
                "{} act; the next one ends in {left}: {}",
                faults.count, faults.what
            ),
        );
    }
    if cluster.fresh(now).next().is_none() {
        return (Verdict::Unknown, "no node answers".to_owned());
    }
    let silent = silent(cluster, now);
    if silent.is_empty() {
        (Verdict::Holds, "no fault acts".to_owned())
    } else {
        (
            Verdict::Unknown,
            format!("no fault that is known acts; no answer from {}", silent.join(" ")),
        )
    }
}

/// Members that do not answer here, and were not found to be gone: by the registry's word, or because nothing listens there.
fn silent(cluster: &Cluster, now: Moment) -> Vec<String> {
    let gone =
        |n: &crate::cluster::node::Node| matches!(n.connection, Connection::Down { refused: true, .. });
    let silent = cluster
        .nodes
        .values()
        .filter(|n| cluster.state(n, now) != State::Up && !gone(n));
    silent.map(|n| n.name.clone()).collect()
}
