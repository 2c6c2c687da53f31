//! What a made-up console says of itself.

use std::sync::Arc;

use squall_observer::console::{Bar, Board, Invariant, Lock, Run, Scenario, Verdict};
use squall_observer::model::{Message, Model};
use squall_observer::units::Moment;
use squall_observer::update::update;

/// What the console says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// All is well.
    Healthy,
    /// Two events that cannot both be.
    Broken,
    /// A scenario runs.
    Running,
    /// One has been run.
    Ended,
    /// Nobody judges.
    NoJudge,
    /// No new fault acts.
    Locked,
}

pub(crate) const ALL: [Told; 6] = [
    Told::Healthy,
    Told::Broken,
    Told::Running,
    Told::Ended,
    Told::NoJudge,
    Told::Locked,
];

/// The two events that cannot both be.
pub(crate) const EVENTS: [&str; 2] = [
    "12.034110s c#4 took the lease of orders in epoch 8, from 12.034110s to 12.134110s",
    "12.101350s b#3 acted as the owner of orders in epoch 7, 1.24ms before its lease ended at 12.102590s",
];

const CLAIMS: [&str; 15] = [
    "an exchange has at most one owner in an epoch",
    "epochs of an exchange only rise",
    "what an owner of an earlier epoch does is refused",
    "leases of one exchange that different owners hold do not overlap",
    "every request has one outcome",
    "a sticky key keeps its handler while that is up",
    "a subscriber gets a publish once",
    "a handler sees its group as its owner does",
    "a task is completed once, and none that was acknowledged is lost with one node",
    "messages of one publisher with one key stay in order",
    "round robin treats handlers alike",
    "acknowledged registry writes survive the loss of a minority",
    "after a partition heals all nodes reach the same revision",
    "nothing grows without a bound",
    "no fault outlives its time",
];

const SEEN: [(&str, u64); 6] = [
    ("a stale effect was fenced", 0),
    ("an owner was killed with requests in flight", 2),
    ("a leader was killed", 0),
    ("a request was answered", 18_204),
    ("a request was interrupted", 3),
    ("a paused owner woke after another had taken over", 0),
];

const NAMES: [&str; 11] = [
    "kill-owner",
    "kill-meta-leader",
    "pause-leader",
    "partition-minority",
    "partition-one-way",
    "bridge",
    "slow-link",
    "flapping-link",
    "rolling-restart",
    "kill-during-move",
    "broken-frames",
];

fn verdict(told: Told, i: usize) -> Verdict {
    match (told, i) {
        (Told::Broken, 3) => Verdict::Broken {
            text: "orders had two holders of its lease for 32.76ms".to_owned(),
            first: Some(EVENTS[0].to_owned()),
            second: EVENTS[1].to_owned(),
        },
        (_, 5 | 10) => Verdict::Unknown("no exchange of that strategy was used".to_owned()),
        _ => Verdict::Holds,
    }
}

fn scenario(name: &str) -> Scenario {
    Scenario {
        name: name.to_owned(),
        teaches: "Five nodes fall into two halves that only one node reaches both of. Systems in which everybody must agree with \
                  everybody flap here,\nfor each half finds the other one dead while the bridge finds all alive. A majority that \
                  talks both ways exists around the bridge; the\nregistry needs no more than that, and the exchange stays answered \
                  from wherever that majority can be reached.\n"
            .to_owned(),
        steps: vec![
            "2.0s  cut of bridge(c) for 5.0s".to_owned(),
            "9.0s  kill of owner(orders) for 4.0s".to_owned(),
        ],
    }
}

fn run(told: Told) -> Option<Run> {
    let lines = [
        "0.0s  steady: 300 of 300 requests a second are answered, p99 2.1ms",
        "2.0s  cut of bridge(c): a -> b, b -> a for 5.0s",
        "2.3s  orders: owner a, epoch 7 → c, epoch 8; 241ms without a good reply",
        "7.0s  the cut has ended",
        "9.0s  killed c for 4.0s",
        "9.2s  orders: owner c, epoch 8 → a, epoch 9; 187ms without a good reply",
    ];
    let shown = if told == Told::Running { 4 } else { lines.len() };
    let ended = match told {
        Told::Running => None,
        Told::Ended => Some("failed".to_owned()),
        _ => return None,
    };
    Some(Run {
        scenario: "kill-during-move".to_owned(),
        report: ended
            .as_ref()
            .map(|_| "/tmp/chaos-report-1700056800/report.html".to_owned()),
        ended,
        lines: lines[..shown].iter().map(|line| (*line).to_owned()).collect(),
    })
}

fn board(told: Told) -> Board {
    let invariants = CLAIMS.iter().enumerate().map(|(i, claim)| Invariant {
        id: format!("I{}", i + 1),
        claim: (*claim).to_owned(),
        verdict: verdict(told, i),
    });
    let bar = Bar {
        invariants: invariants.collect(),
        seen: SEEN.map(|(what, times)| (what.to_owned(), times)).to_vec(),
        events: 34_501,
    };
    Board {
        bar: Some(match told {
            Told::NoJudge => Err("no node keeps a journal that can be read from here: start them with --journal, or judge with \
                                  squall chaos judge"
                .to_owned()),
            _ => Ok(bar),
        }),
        scenarios: NAMES.map(scenario).to_vec(),
        run: run(told),
        lock: (told == Told::Locked).then(|| Lock {
            nodes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            by: "ada@desk".to_owned(),
            reason: "from the observer".to_owned(),
        }),
    }
}

/// The console says it, and some time passes.
pub(crate) fn tell(model: &mut Model, told: Told) {
    update(model, Message::Board(Arc::new(board(told))));
    let later = model.now.0 + 200;
    update(model, Message::Tick(Moment(later)));
}
