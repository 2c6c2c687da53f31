//! The processes of one node side by side in memory, found by pid: there may be a hundred thousand, and
//! every frame looks at all of them. What does not live here: their order, and what they look like.

use std::collections::HashMap;
use std::mem;

use squall_proto::v1;

use super::rate::Rate;
use crate::clean;

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    /// The row.
    pub row: v1::ProcessRow,
    /// The number in the pid: equal rows stand in this order.
    pub number: u64,
    /// When the row was taken, by the node's clock.
    taken_ms: u64,
    /// Messages in per second.
    pub rate_in: Rate,
    /// Messages taken out of the mailbox per second.
    pub rate_out: Rate,
    /// Microseconds of work per second.
    pub busy: Rate,
    /// Whether the mailbox fills up.
    pub climb: Climb,
}

/// The emptiest that a mailbox was in each of the last windows of ten seconds: what rises there grows, whatever it does in
/// between.
#[derive(Debug, Clone, Copy, Default)]
pub struct Climb {
    began_ms: u64,
    low: u64,
    lows: [Option<u64>; WINDOWS],
}

/// Windows looked back on.
const WINDOWS: usize = 3;
/// Length of one.
const WINDOW_MS: u64 = 10_000;
/// A mailbox that grows has grown by so much at least.
const GROWN_MIN: u64 = 10;

impl Climb {
    fn push(&mut self, at_ms: u64, waiting: u64) {
        if self.began_ms == 0 || at_ms < self.began_ms {
            (self.began_ms, self.low) = (at_ms, waiting);
        }
        if at_ms - self.began_ms >= WINDOW_MS {
            self.lows.rotate_left(1);
            self.lows[WINDOWS - 1] = Some(self.low);
            (self.began_ms, self.low) = (at_ms, waiting);
        }
        self.low = self.low.min(waiting);
    }

    /// By how much it has grown, and in how many milliseconds, where it has grown all the time.
    #[must_use]
    pub fn grown(&self, at_ms: u64, waiting: u64) -> Option<(u64, u64)> {
        let [Some(first), Some(second), Some(third)] = self.lows else {
            return None;
        };
        let time = WINDOWS as u64 * WINDOW_MS + at_ms.saturating_sub(self.began_ms);
        let rises = first < second && second < third && third < waiting;
        (rises && waiting - first >= GROWN_MIN).then(|| (waiting - first, time))
    }
}

/// What every frame asks of every process, packed: the rows themselves are spread over too much memory.
#[derive(Debug, Clone, Copy)]
pub struct Brief {
    /// Messages in the mailbox.
    pub mailbox: u64,
    /// The number in the pid.
    pub number: u64,
    /// Its mailbox fills up, or has grown all the time.
    pub swells: bool,
}

/// The processes of one node.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    rows: Vec<Process>,
    briefs: Vec<Brief>,
    places: HashMap<String, usize>,
    set: u64,
}

impl Processes {
    /// All of them, in no order.
    #[must_use]
    pub fn all(&self) -> &[Process] {
        &self.rows
    }

    /// The same in brief, in the same order.
    #[must_use]
    pub fn briefs(&self) -> &[Brief] {
        &self.briefs
    }

    /// Goes up whenever a process comes, goes, or is another thing: where it is the same, they are the same, in the same places.
    #[must_use]
    pub fn set(&self) -> u64 {
        self.set
    }

    /// None, to be filled with a whole picture that comes after these.
    #[must_use]
    pub fn after(&self) -> Self {
        Self {
            set: self.set + 1,
            ..Self::default()
        }
    }

    /// Where a process stands in [`Processes::all`], until the next change.
    #[must_use]
    pub fn place(&self, pid: &str) -> Option<usize> {
        self.places.get(pid).copied()
    }

    /// The process of that pid.
    #[must_use]
    pub fn get(&self, pid: &str) -> Option<&Process> {
        self.rows.get(self.place(pid)?)
    }

    /// Takes in the figures of a process that is there already, and is called as before; false when it is not.
    pub fn follow(&mut self, taken_ms: u64, row: &v1::ProcessRow) -> bool {
        let Some(at) = self.place(&row.pid) else {
            return false;
        };
        let known = &mut self.rows[at];
        // What is equal to a text that was cleaned is clean.
        if known.row.name != row.name || known.row.kind != row.kind {
            return false;
        }
        let mut next = v1::ProcessRow {
            pid: mem::take(&mut known.row.pid),
            name: mem::take(&mut known.row.name),
            kind: mem::take(&mut known.row.kind),
            enqueued: row.enqueued,
            dequeued: row.dequeued,
            bound: row.bound,
            oldest_us: row.oldest_us,
            busy_us: row.busy_us,
            sent: row.sent,
            restarts: row.restarts,
            age_ms: row.age_ms,
            dropped: row.dropped,
        };
        clean::process(&mut next);
        known.take_in(taken_ms, next);
        self.briefs[at] = known.brief();
        true
    }

    /// Takes a row in. A process that was in `before` keeps its rates.
    pub fn put(&mut self, taken_ms: u64, row: v1::ProcessRow, before: Option<&Self>) {
        if let Some(at) = self.place(&row.pid) {
            let old = &self.rows[at].row;
            self.set += u64::from(old.kind != row.kind || old.name != row.name);
            self.rows[at].take_in(taken_ms, row);
            self.briefs[at] = self.rows[at].brief();
            return;
        }
        let old = before.and_then(|b| b.get(&row.pid));
        let (rate_in, rate_out, busy) =
            old.map_or_else(Default::default, |o| (o.rate_in, o.rate_out, o.busy));
        let climb = old.map_or_else(Default::default, |o| o.climb);
        self.places.insert(row.pid.clone(), self.rows.len());
        let mut process = Process {
            number: number(&row.pid),
            row: v1::ProcessRow::default(),
            taken_ms,
            rate_in,
            rate_out,
            busy,
            climb,
        };
        process.take_in(taken_ms, row);
        self.briefs.push(process.brief());
        self.rows.push(process);
        self.set += 1;
    }

    /// Forgets a process; the last one takes its place.
    pub fn remove(&mut self, pid: &str) {
        let Some(at) = self.places.remove(pid) else { return };
        self.set += 1;
        self.rows.swap_remove(at);
        self.briefs.swap_remove(at);
        if let Some(moved) = self.rows.get(at)
            && let Some(place) = self.places.get_mut(&moved.row.pid)
        {
            *place = at;
        }
    }
}

/// From so many percent of its bound on a mailbox is nearly full.
pub const FULL_PERCENT: u64 = 85;

impl Process {
    /// Of the bound of its mailbox, in percent.
    #[must_use]
    pub fn fullness(&self) -> u64 {
        (self.mailbox() * 100).checked_div(self.row.bound).unwrap_or(0)
    }

    fn is_full(&self) -> bool {
        self.fullness() >= FULL_PERCENT
    }

    fn brief(&self) -> Brief {
        let waiting = self.mailbox();
        Brief {
            mailbox: waiting,
            number: self.number,
            swells: self.is_full() || self.climb.grown(0, waiting).is_some(),
        }
    }

    /// Its age at a moment of the node's clock: of one that does nothing its node does not tell it all the time.
    #[must_use]
    pub fn age_ms(&self, at_ms: u64) -> u64 {
        let since = at_ms.saturating_sub(self.taken_ms);
        self.row.age_ms.saturating_add(since)
    }

    fn take_in(&mut self, taken_ms: u64, row: v1::ProcessRow) {
        self.taken_ms = taken_ms;
        self.rate_in.push(taken_ms, row.enqueued);
        self.rate_out.push(taken_ms, row.dequeued);
        self.busy.push(taken_ms, row.busy_us);
        self.row = row;
        self.climb.push(taken_ms, self.mailbox());
    }
}

/// The last number in a pid; 0 without one.
fn number(pid: &str) -> u64 {
    let end = pid.trim_end_matches(|c: char| !c.is_ascii_digit());
    let start = end.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    end.get(start..).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: &str, enqueued: u64) -> v1::ProcessRow {
        v1::ProcessRow {
            pid: pid.to_owned(),
            enqueued,
            ..Default::default()
        }
    }

    #[test]
    fn a_pid_finds_its_process_whatever_was_removed() {
        let mut all = Processes::default();
        for pid in ["<a.1>", "<a.2>", "<a.3>"] {
            all.put(0, row(pid, 1), None);
        }
        all.remove("<a.1>");
        all.remove("<a.9>");
        assert!(all.get("<a.1>").is_none());
        for pid in ["<a.2>", "<a.3>"] {
            assert_eq!(all.get(pid).map(|p| p.row.pid.as_str()), Some(pid));
        }
        assert_eq!(all.all().len(), 2);
        let numbers: Vec<_> = all.briefs().iter().map(|b| b.number).collect();
        assert_eq!(numbers, all.all().iter().map(|p| p.number).collect::<Vec<_>>());
    }

    #[test]
    fn rates_outlive_a_whole_picture() {
        let (mut before, mut after) = (Processes::default(), Processes::default());
        before.put(1_000, row("<a.1>", 0), None);
        after.put(2_000, row("<a.1>", 50), Some(&before));
        assert_eq!(after.all()[0].rate_in.per_s(2_000), Some(50.0));
    }

    #[test]
    fn pids_count() {
        assert_eq!(
            [number("<a1.12>"), number("<b.7"), number("x"), number("")],
            [12, 7, 0, 0]
        );
    }
}
