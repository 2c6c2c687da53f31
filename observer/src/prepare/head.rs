//! The lines that every view shows: who is watched and how it stands, and what must be seen.
//!
//! What does not live here: drawing them.

use super::board::bar::broken;
use crate::cluster::health::{self, Faults, Finding, Quorum};
use crate::cluster::node::Connection;
use crate::cluster::{Cluster, State};
use crate::console::{Invariant, Verdict};
use crate::keymap::Action;
use crate::model::{Model, Replay, Screen};
use crate::units::{Moment, clock};

/// What every view shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    /// Cluster id.
    pub cluster: Option<String>,
    /// Nodes that are up.
    pub up: usize,
    /// Nodes known.
    pub nodes: usize,
    /// Meta leader.
    pub leader: Option<String>,
    /// Highest term.
    pub term: u64,
    /// Newest revision.
    pub revision: u64,
    /// Some node listens beyond loopback without mutual TLS.
    pub insecure: bool,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Active faults, now.
    pub faults: Faults,
    /// How to end them.
    pub halt: String,
    /// Addresses that do not answer, while nothing else is known.
    pub silent: Vec<(String, String)>,
    /// Age of the frozen picture in milliseconds.
    pub frozen_ms: Option<u64>,
    /// Age in milliseconds of the picture that is being made again.
    pub recalling_ms: Option<u64>,
    /// The moment that is shown, where that is not now.
    pub shown_at: Option<String>,
    /// How a recording is played, in words.
    pub replay: Option<String>,
    /// A recording is being written.
    pub recording: bool,
    /// Banner on the registry's quorum.
    pub alarm: Option<String>,
    /// Banner on invariants that were broken.
    pub breach: Option<String>,
}

/// What they show now.
pub(super) fn of(model: &Model) -> Head {
    let (cluster, now) = model.shown();
    let mut head = head(cluster, now);
    // What acts now is said now, whatever moment is shown.
    head.faults = health::faults(&model.live, model.now);
    head.halt = halt(model);
    head.breach = breach(model);
    head.frozen_ms = model.frozen.as_ref().map(|f| model.now.since(f.at));
    head.recalling_ms = model.recalling.map(|at| model.now.since(at));
    let is_past = model.frozen.is_some() || model.replay.is_some();
    head.shown_at = is_past.then(|| clock(now.0).chars().take(8).collect());
    head.replay = model.replay.as_ref().map(replayed);
    head.recording = model.recording;
    head.insecure |= model.traces.sources.iter().any(|source| source.insecure);
    head
}

/// Which invariants were broken, whatever moment is shown, and where that is told in full.
fn breach(model: &Model) -> Option<String> {
    let broken: Vec<&Invariant> = broken(super::told(model)).collect();
    let Verdict::Broken { text, first, .. } = &broken.first()?.verdict else {
        return None;
    };
    let ids: Vec<&str> = broken.iter().map(|invariant| invariant.id.as_str()).collect();
    let keys = model.keymap.labels(&[Action::Show(Screen::Chaos)]);
    let there = if keys.is_empty() { "view Chaos" } else { &keys };
    let what = match first {
        Some(_) => "the two events",
        None => "the event",
    };
    Some(format!(
        "{} BROKEN · {there} shows {what} · {text}",
        ids.join(", ")
    ))
}

/// How to end all faults from here.
fn halt(model: &Model) -> String {
    let keys = model.keymap.labels(&[Action::HaltAll]);
    match (&model.replay, model.console) {
        (Some(_), _) => "in the recording".to_owned(),
        (None, true) if !keys.is_empty() => format!("{keys} ends all"),
        (None, _) => "squall chaos halt ends all".to_owned(),
    }
}

fn replayed(replay: &Replay) -> String {
    match (&replay.ended, replay.paused) {
        (Some(how), _) => format!("■ {how}"),
        (None, true) => "■ REPLAY stands".to_owned(),
        (None, false) => format!("▶ REPLAY {}×", replay.speed),
    }
}

fn head(cluster: &Cluster, now: Moment) -> Head {
    let rows = || cluster.fresh(now).filter_map(|n| n.row.as_ref());
    let hello = || cluster.nodes.values().filter_map(|n| n.hello.as_ref());
    let quorum = health::quorum(cluster, now);
    let silent = cluster
        .silent_seeds
        .iter()
        .map(|(addr, why)| (addr.clone(), why.clone()));
    let unreachable = cluster.nodes.values().filter_map(|n| match &n.connection {
        Connection::Down { why, .. } => Some((n.name.clone(), why.clone())),
        Connection::Connecting { .. } | Connection::Live => None,
    });
    Head {
        cluster: hello().map(|h| h.cluster.clone()).find(|c| !c.is_empty()),
        up: cluster
            .nodes
            .values()
            .filter(|n| cluster.state(n, now) == State::Up)
            .count(),
        nodes: cluster.nodes.len(),
        leader: health::meta_leader(cluster, now).map(str::to_owned),
        term: rows().map(|r| r.term).max().unwrap_or(0),
        revision: health::newest_revision(cluster, now),
        insecure: rows().any(|r| r.insecure) || hello().any(|h| h.insecure),
        findings: health::findings(cluster, now),
        faults: Faults::default(),
        halt: String::new(),
        silent: if quorum == Quorum::Loading {
            silent.chain(unreachable).collect()
        } else {
            Vec::new()
        },
        frozen_ms: None,
        recalling_ms: None,
        shown_at: None,
        replay: None,
        recording: false,
        alarm: alarm(&quorum),
        breach: None,
    }
}

fn alarm(quorum: &Quorum) -> Option<String> {
    match quorum {
        Quorum::Lost => Some(format!(
            "NO QUORUM: {} · owners refuse when their lease ends",
            health::WAY_BACK
        )),
        Quorum::Silent => Some("NO NODE ANSWERS · what stands below is old".to_owned()),
        Quorum::Forming(what) => Some(format!("NO CLUSTER YET · waiting for {what}")),
        Quorum::Held | Quorum::Loading => None,
    }
}
