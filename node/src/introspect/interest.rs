//! What a watcher wants, checked. What does not live here: answering it.

use std::time::Duration;

use squall_filter::Filter;
use squall_proto::v1;

use super::kinds::KindSet;
use super::limits;
use super::top::{Column, PROCESS_FIELDS};

/// A checked interest.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Chosen by the watcher.
    pub id: u32,
    /// Kinds of rows.
    pub kinds: KindSet,
    /// Rows that do not match are not sent.
    pub filter: Filter,
    /// Process rows that do not match this one either are not sent.
    pub processes: Filter,
    /// Process rows at most.
    pub limit: usize,
    /// Column that decides which they are.
    pub column: Column,
    /// The last ones by it are wanted, not the first.
    pub reverse: bool,
    /// Time between two updates; `None` leaves it to the node, which then shows important changes at once.
    pub interval: Option<Duration>,
}

/// Why an interest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInterest {
    /// None of the kinds is known here.
    #[error("kinds: none of {0:?} is known to this node")]
    Kinds(Vec<i32>),
    /// The filter is none.
    #[error("filter: {0}")]
    Filter(#[from] squall_filter::FilterError),
    /// The filter of processes is none.
    #[error("process filter: {0}")]
    Processes(squall_filter::FilterError),
    /// No such column.
    #[error("sort: there is no column '{}'; there are {}", .0.escape_debug(), columns())]
    Sort(String),
}

impl Wanted {
    /// Checks what came over the wire; figures above a bound are brought down to it.
    ///
    /// # Errors
    /// [`BadInterest`] names the field.
    pub fn parse(interest: &v1::Interest) -> Result<Self, BadInterest> {
        let kinds = match interest.kinds.as_slice() {
            [] => KindSet::ALL,
            numbers => KindSet::of_numbers(numbers),
        };
        if kinds.is_empty() {
            return Err(BadInterest::Kinds(
                interest.kinds.iter().copied().take(8).collect(),
            ));
        }
        let column = Column::parse(&interest.sort)
            .ok_or_else(|| BadInterest::Sort(interest.sort.chars().take(32).collect()))?;
        let limit = match usize::try_from(interest.limit).unwrap_or(usize::MAX) {
            0 => limits::PROCESS_ROWS_DEFAULT,
            n => n.min(limits::PROCESS_ROWS_MAX),
        };
        let interval = match interest.min_interval_ms {
            0 => None,
            ms => Some(Duration::from_millis(ms.into()).clamp(limits::GAP_MIN, limits::INTERVAL_MAX)),
        };
        Ok(Self {
            id: interest.id,
            kinds,
            filter: Filter::parse(&interest.filter, &[])?,
            processes: Filter::parse_in_part(&interest.process_filter, PROCESS_FIELDS)
                .map_err(BadInterest::Processes)?,
            limit,
            column,
            reverse: interest.reverse,
            interval,
        })
    }
}

fn columns() -> String {
    Column::ALL.map(|(word, _)| word).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_values_mean_everything() {
        let wanted = Wanted::parse(&v1::Interest::default()).expect("an interest");
        assert_eq!(
            (wanted.limit, wanted.column, wanted.interval),
            (1000, Column::Mailbox, None)
        );
        assert_eq!(wanted.kinds, KindSet::ALL);
    }

    #[test]
    fn figures_are_brought_down_to_their_bounds() {
        let interest = v1::Interest {
            limit: u32::MAX,
            min_interval_ms: u32::MAX,
            ..Default::default()
        };
        let wanted = Wanted::parse(&interest).expect("an interest");
        assert_eq!(
            (wanted.limit, wanted.interval),
            (100_000, Some(limits::INTERVAL_MAX))
        );
        let hasty = v1::Interest {
            min_interval_ms: 1,
            ..Default::default()
        };
        assert_eq!(
            Wanted::parse(&hasty).expect("an interest").interval,
            Some(limits::GAP_MIN)
        );
    }

    #[test]
    fn a_refusal_names_the_field() {
        let refusal = |interest: v1::Interest| Wanted::parse(&interest).expect_err("refused").to_string();
        assert!(
            refusal(v1::Interest {
                sort: "bogus\u{1b}".into(),
                ..Default::default()
            })
            .starts_with("sort: there is no column 'bogus\\u{1b}'; there are mailbox, pid")
        );
        assert!(
            refusal(v1::Interest {
                filter: "a\u{1b}".into(),
                ..Default::default()
            })
            .starts_with("filter: the filter holds a control character")
        );
        assert_eq!(
            refusal(v1::Interest {
                filter: "mailbox > 3".into(),
                ..Default::default()
            }),
            "filter: there is no field 'mailbox' here: nothing can be compared"
        );
        assert!(
            refusal(v1::Interest {
                process_filter: "oldest > 3".into(),
                ..Default::default()
            })
            .starts_with("process filter: 'oldest' is a time")
        );
        assert_eq!(
            refusal(v1::Interest {
                kinds: vec![77],
                ..Default::default()
            }),
            "kinds: none of [77] is known to this node"
        );
    }
}
