//! Records of processes. There may be a hundred thousand, so they are made one by one for the rows that
//! are shown; only the headless output makes them all.

use serde::Serialize;

use crate::cluster::Cluster;
use crate::cluster::node::Node;
use crate::cluster::process::Process;
use crate::units::Moment;

/// A process.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessFact {
    /// Node it runs on.
    pub node: String,
    /// Pid.
    pub pid: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Messages in the mailbox.
    pub mailbox: u64,
    /// Bound of the mailbox.
    pub bound: u64,
    /// Growth of the mailbox in messages per second.
    pub growth_per_s: Option<f64>,
    /// Milliseconds until the mailbox is empty, as fast as it shrinks now; none where it does not.
    pub drain_eta_ms: Option<u64>,
    /// Age of the oldest message.
    pub oldest_us: u64,
    /// Messages in per second.
    pub in_per_s: Option<f64>,
    /// Messages taken out per second.
    pub out_per_s: Option<f64>,
    /// Share of the time spent working, in percent.
    pub busy_percent: Option<f64>,
    /// Messages sent out since the start.
    pub sent: u64,
    /// Restarts.
    pub restarts: u64,
    /// Messages refused because the mailbox was full.
    pub dropped: u64,
    /// Milliseconds since the start.
    pub age_ms: u64,
    /// Milliseconds since the node's last frame, when it is overdue.
    pub stale_ms: Option<u64>,
}

/// All processes of all nodes, by node and pid.
#[must_use]
pub fn processes(cluster: &Cluster, now: Moment) -> Vec<ProcessFact> {
    let of = |n: &Node| {
        let mut all: Vec<&Process> = n.processes.all().iter().collect();
        all.sort_unstable_by(|a, b| (a.number, &a.row.pid).cmp(&(b.number, &b.row.pid)));
        all.into_iter().map(|p| process(n, p, now)).collect::<Vec<_>>()
    };
    cluster.nodes.values().flat_map(of).collect()
}

/// The record of one process.
#[must_use]
pub fn process(node: &Node, process: &Process, now: Moment) -> ProcessFact {
    let row = &process.row;
    let at = node.processes_ms();
    ProcessFact {
        node: node.name.clone(),
        pid: row.pid.clone(),
        name: row.name.clone(),
        kind: row.kind.clone(),
        mailbox: process.mailbox(),
        bound: row.bound,
        growth_per_s: process.growth(at),
        drain_eta_ms: process.drain_ms(at),
        oldest_us: row.oldest_us,
        in_per_s: process.rate_in.per_s(at),
        out_per_s: process.rate_out.per_s(at),
        busy_percent: process.busy_percent(at),
        sent: row.sent,
        restarts: row.restarts,
        dropped: row.dropped,
        age_ms: process.age_ms(at),
        stale_ms: node.stale_ms(now),
    }
}

/// A mailbox shrinks from here on, in messages per second: below it rates tell nothing.
const SHRINKS_MIN: f64 = 0.1;

impl Process {
    /// Messages in the mailbox.
    #[must_use]
    pub fn mailbox(&self) -> u64 {
        self.row.enqueued.saturating_sub(self.row.dequeued)
    }

    /// Growth of the mailbox per second.
    #[must_use]
    pub fn growth(&self, at_ms: u64) -> Option<f64> {
        Some(self.rate_in.per_s(at_ms)? - self.rate_out.per_s(at_ms)?)
    }

    /// Milliseconds until the mailbox is empty, as fast as it shrinks now.
    #[must_use]
    pub fn drain_ms(&self, at_ms: u64) -> Option<u64> {
        let shrinks = -self.growth(at_ms)?;
        let waiting = self.mailbox();
        (waiting > 0 && shrinks >= SHRINKS_MIN).then(|| (waiting as f64 * 1000.0 / shrinks) as u64)
    }

    /// Share of the time spent working, in percent.
    #[must_use]
    pub fn busy_percent(&self, at_ms: u64) -> Option<f64> {
        self.busy.per_s(at_ms).map(|us| us / 10_000.0)
    }
}

#[cfg(test)]
mod tests {
    use squall_proto::v1;

    use crate::cluster::process::Processes;

    /// A process that has so many messages, in and out, by the second.
    fn after(seconds: &[(u64, u64)]) -> Processes {
        let mut all = Processes::default();
        for (second, (enqueued, dequeued)) in seconds.iter().enumerate() {
            let row = v1::ProcessRow {
                pid: "<a.1>".to_owned(),
                enqueued: *enqueued,
                dequeued: *dequeued,
                ..Default::default()
            };
            all.put(1_000 * (second as u64 + 1), row, None);
        }
        all
    }

    #[test]
    fn ages_go_on_while_nothing_is_told() {
        let mut all = Processes::default();
        let row = v1::ProcessRow {
            pid: "<a.1>".to_owned(),
            age_ms: 60_000,
            ..Default::default()
        };
        all.put(1_000, row.clone(), None);
        let age = |all: &Processes, at| all.all()[0].age_ms(at);
        assert_eq!((age(&all, 1_000), age(&all, 16_500)), (60_000, 75_500));
        assert_eq!(
            age(&all, 500),
            60_000,
            "a clock that was set back takes nothing from it"
        );
        assert!(all.follow(
            61_000,
            &v1::ProcessRow {
                age_ms: 120_000,
                ..row
            }
        ));
        assert_eq!(age(&all, 61_000), 120_000);
    }

    #[test]
    fn a_mailbox_that_shrinks_says_when_it_is_empty_and_no_other_does() {
        let drain = |seconds: &[(u64, u64)]| after(seconds).all()[0].drain_ms(1_000 * seconds.len() as u64);
        assert_eq!(drain(&[(500, 0), (600, 200)]), Some(4_000));
        assert_eq!(drain(&[(500, 0), (600, 100)]), None, "it stays as it is");
        assert_eq!(drain(&[(500, 0), (600, 0)]), None, "it grows");
        assert_eq!(drain(&[(500, 0), (500, 500)]), None, "it is empty");
        assert_eq!(drain(&[(500, 0)]), None, "nobody knows yet");
    }
}
