//! The first process rows by a column: a bounded heap over one look at the process table, so that 100 000 processes
//! cost one pass and rows are made only for those that stay. What does not live here: the table.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use squall_filter::{Field, Filter, Kind};
use squall_kernel::id::NodeName;
use squall_proto::v1;

use super::ProcessView;
use super::trend::{Rates, Trend};

/// Column that decides which processes come first: the largest figure, or the first text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Column {
    /// Messages in the mailbox.
    #[default]
    Mailbox,
    /// Pid, oldest first.
    Pid,
    /// Name.
    Name,
    /// Kind.
    Kind,
    /// Messages put in.
    Enqueued,
    /// Messages taken out.
    Dequeued,
    /// Bound of the mailbox.
    Bound,
    /// Age of the oldest message.
    Oldest,
    /// Time spent working.
    Busy,
    /// Messages sent.
    Sent,
    /// Restarts.
    Restarts,
    /// Age.
    Age,
    /// Messages refused.
    Dropped,
    /// Messages put in, per second.
    InRate,
    /// Messages taken out, per second.
    OutRate,
    /// Time spent working, per second.
    BusyRate,
    /// Growth of the mailbox, per second.
    Growth,
    /// Time until the mailbox is empty, where it shrinks.
    Drain,
}

impl Column {
    /// Columns and their words.
    pub const ALL: [(&'static str, Self); 18] = [
        ("mailbox", Self::Mailbox),
        ("pid", Self::Pid),
        ("name", Self::Name),
        ("kind", Self::Kind),
        ("enqueued", Self::Enqueued),
        ("dequeued", Self::Dequeued),
        ("bound", Self::Bound),
        ("oldest", Self::Oldest),
        ("busy", Self::Busy),
        ("sent", Self::Sent),
        ("restarts", Self::Restarts),
        ("age", Self::Age),
        ("dropped", Self::Dropped),
        ("in-rate", Self::InRate),
        ("out-rate", Self::OutRate),
        ("busy-rate", Self::BusyRate),
        ("growth", Self::Growth),
        ("drain", Self::Drain),
    ];

    /// The column of a word; the empty word is the mailbox.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        if word.is_empty() {
            return Some(Self::default());
        }
        Self::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, column)| *column)
    }

    /// Whether it is of what happens between two looks.
    #[must_use]
    pub fn is_rate(self) -> bool {
        use Column::{BusyRate, Drain, Growth, InRate, OutRate};
        matches!(self, InRate | OutRate | BusyRate | Growth | Drain)
    }

    fn rank(self, process: &ProcessView<'_>, trend: &mut Trend) -> Rank {
        Rank::Figure(match self {
            Self::InRate | Self::OutRate | Self::BusyRate | Self::Growth | Self::Drain => {
                return Rank::Rate(trend.of(process).and_then(|rates| self.rate(process, &rates)));
            }
            Self::Name => return Rank::Text(Reverse(process.name.to_owned())),
            Self::Kind => return Rank::Text(Reverse(process.kind.to_owned())),
            Self::Pid => u64::MAX - process.pid.serial,
            Self::Mailbox => process.mailbox(),
            Self::Enqueued => process.enqueued,
            Self::Dequeued => process.dequeued,
            Self::Bound => process.bound,
            Self::Oldest => process.oldest_us,
            Self::Busy => process.busy_us,
            Self::Sent => process.sent,
            Self::Restarts => process.restarts,
            Self::Age => process.age_ms,
            Self::Dropped => process.dropped,
        })
    }

    fn rate(self, process: &ProcessView<'_>, rates: &Rates) -> Option<i64> {
        match self {
            Self::InRate => Some(rates.enqueued),
            Self::OutRate => Some(rates.dequeued),
            Self::BusyRate => Some(rates.busy),
            Self::Growth => Some(rates.growth()),
            Self::Drain => rates.drain_ms(process.mailbox()),
            _ => None,
        }
    }
}

/// What a filter of processes may name, of what a node knows. Rates are the reader's.
pub const PROCESS_FIELDS: &[Field] = &[
    Field::new("pid", Kind::Text),
    Field::new("name", Kind::Text),
    Field::new("kind", Kind::Text),
    Field::new("node", Kind::Text),
    Field::new("mailbox", Kind::Count),
    Field::new("oldest", Kind::Micros),
    Field::new("restarts", Kind::Count),
    Field::new("dropped", Kind::Count),
    Field::new("age", Kind::Micros),
];

/// A process as a filter sees it.
struct Seen<'a> {
    node: &'a str,
    pid: String,
    process: &'a ProcessView<'a>,
}

impl squall_filter::Row for Seen<'_> {
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool {
        [self.pid.as_str(), self.process.name, self.process.kind, self.node]
            .into_iter()
            .any(look)
    }

    fn text(&self, field: usize) -> Option<Cow<'_, str>> {
        let text = match PROCESS_FIELDS.get(field)?.name {
            "pid" => self.pid.as_str(),
            "name" => self.process.name,
            "kind" => self.process.kind,
            "node" => self.node,
            _ => return None,
        };
        Some(text.into())
    }

    fn number(&self, field: usize) -> Option<f64> {
        let number = match PROCESS_FIELDS.get(field)?.name {
            "mailbox" => self.process.mailbox(),
            "oldest" => self.process.oldest_us,
            "restarts" => self.process.restarts,
            "dropped" => self.process.dropped,
            "age" => self.process.age_ms.saturating_mul(1000),
            _ => return None,
        };
        Some(number as f64)
    }
}

/// Picks the first processes out of those shown to it.
#[derive(Debug)]
pub struct Top<'a> {
    node: &'a NodeName,
    filters: [&'a Filter; 2],
    column: Column,
    reverse: bool,
    trend: &'a mut Trend,
    limit: usize,
    heap: BinaryHeap<Reverse<Ranked>>,
    matched: u64,
}

impl<'a> Top<'a> {
    /// The first `limit` by a column, or the last where that is `true`, among the processes of `node` that both filters want;
    /// `trend` is what the looks before saw.
    #[must_use]
    pub fn new(
        node: &'a NodeName,
        filters: [&'a Filter; 2],
        (column, reverse): (Column, bool),
        limit: usize,
        trend: &'a mut Trend,
    ) -> Self {
        Self {
            node,
            filters,
            column,
            reverse,
            trend,
            limit,
            heap: BinaryHeap::new(),
            matched: 0,
        }
    }

    /// Considers one process.
    pub fn offer(&mut self, process: &ProcessView<'_>) {
        let pid = || process.pid.text(self.node.as_str());
        if !self.filters.iter().all(|filter| filter.is_all()) {
            let seen = Seen {
                node: self.node.as_str(),
                pid: pid(),
                process,
            };
            if !self.filters.iter().all(|filter| filter.may_match(&seen)) {
                return;
            }
        }
        self.matched += 1;
        let rank = self.column.rank(process, self.trend);
        let rank = if self.reverse {
            Order::Last(Reverse(rank))
        } else {
            Order::First(rank)
        };
        let place = (rank, Reverse(process.pid.serial));
        if self.heap.len() >= self.limit {
            match self.heap.peek() {
                Some(Reverse(last)) if place > last.place => self.heap.pop(),
                _ => return,
            };
        }
        self.heap.push(Reverse(Ranked {
            place,
            row: process.row(pid()),
        }));
    }

    /// The rows, and how many more the filter wanted.
    pub fn finish(self) -> (impl Iterator<Item = v1::ProcessRow>, u64) {
        if self.column.is_rate() {
            self.trend.end();
        } else if !self.trend.is_empty() {
            self.trend.clear();
        }
        let omitted = self.matched - self.heap.len() as u64;
        (
            self.heap
                .into_sorted_vec()
                .into_iter()
                .map(|Reverse(ranked)| ranked.row),
            omitted,
        )
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Figure(u64),
    /// None, which is the least: not known yet, or of no such process.
    Rate(Option<i64>),
    Text(Reverse<String>),
}

/// All ranks of one pick are of the same kind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    First(Rank),
    Last(Reverse<Rank>),
}

#[derive(Debug)]
struct Ranked {
    place: (Order, Reverse<u64>),
    row: v1::ProcessRow,
}

// The row takes no part: a serial is unique among the processes of a node.
impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

#[cfg(test)]
#[path = "top_test.rs"]
mod tests;
