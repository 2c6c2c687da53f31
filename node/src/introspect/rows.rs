//! Rows: their identity, the text a filter looks at, and when a change is worth sending. What does not live here:
//! the figures in them.

use squall_filter::Filter;
use squall_proto::v1::row::Row as Kind;
use squall_proto::v1::{LeaderRole, LinkState, MetaRole, Row, RowKind};

/// Kind and key of a row; `None` for a row without content.
#[must_use]
pub fn key_of(row: &Row) -> Option<(RowKind, &str)> {
    Some(match row.row.as_ref()? {
        Kind::Node(r) => (RowKind::Node, &r.name),
        Kind::Link(r) => (RowKind::Link, &r.peer),
        Kind::Exchange(r) => (RowKind::Exchange, &r.name),
        Kind::Leader(r) => (RowKind::Leader, &r.exchange),
        Kind::Process(r) => (RowKind::Process, &r.pid),
        Kind::Fault(r) => (RowKind::Fault, &r.id),
    })
}

/// Whether the filter wants the row: it looks at names and words, not at figures.
#[must_use]
pub fn wanted(row: &Row, filter: &Filter) -> bool {
    if filter.is_all() {
        return true;
    }
    let Some(content) = row.row.as_ref() else {
        return false;
    };
    let texts: Vec<&str> = match content {
        Kind::Node(r) => vec![&r.name, role_word(r.role()), &r.version, &r.waiting_for],
        Kind::Link(r) => vec![&r.peer, link_word(r.state()), &r.fault, &r.why],
        Kind::Exchange(r) => {
            let words = [&r.name, &r.pattern, &r.strategy, &r.owner].into_iter();
            words.chain(&r.failover).map(String::as_str).collect()
        }
        Kind::Leader(r) => vec![&r.exchange, leader_word(r.role()), &r.leader, &r.believed_owner],
        Kind::Process(r) => vec![&r.pid, &r.name, &r.kind],
        Kind::Fault(r) => vec![&r.id, &r.what, &r.by],
    };
    filter.matches(texts.as_slice())
}

/// Whether a watcher that has `old` needs `new`. A process whose age alone moved is sent again only now and then: otherwise every
/// idle process would be sent at every update. A watcher counts on by the time at which the row was taken.
#[must_use]
pub fn same(old: &Row, new: &Row) -> bool {
    match (old.row.as_ref(), new.row.as_ref()) {
        (Some(Kind::Process(old)), Some(Kind::Process(new))) => {
            readable_age(old.age_ms) == readable_age(new.age_ms)
                && old.enqueued == new.enqueued
                && old.dequeued == new.dequeued
                && old.oldest_us == new.oldest_us
                && old.busy_us == new.busy_us
                && old.sent == new.sent
                && old.restarts == new.restarts
                && old.dropped == new.dropped
                && old.bound == new.bound
                && old.name == new.name
                && old.kind == new.kind
        }
        (old, new) => old == new,
    }
}

/// Seconds in the first minute, minutes in the first hour, then hours; the offsets keep the three apart.
fn readable_age(age_ms: u64) -> u64 {
    match age_ms / 1000 {
        seconds @ 0..60 => seconds,
        seconds @ 60..3600 => 60 + seconds / 60,
        seconds => 120 + seconds / 3600,
    }
}

fn role_word(role: MetaRole) -> &'static str {
    match role {
        MetaRole::Unspecified => "",
        MetaRole::Learner => "learner",
        MetaRole::Voter => "voter",
        MetaRole::Leader => "leader",
    }
}

fn link_word(state: LinkState) -> &'static str {
    match state {
        LinkState::Unspecified => "",
        LinkState::Up => "up",
        LinkState::Connecting => "connecting",
        LinkState::Suspect => "suspect",
        LinkState::Down => "down",
        LinkState::Refused => "refused",
    }
}

fn leader_word(role: LeaderRole) -> &'static str {
    match role {
        LeaderRole::Unspecified => "",
        LeaderRole::Owner => "owner",
        LeaderRole::OwnerNoLease => "no lease",
        LeaderRole::Router => "router",
    }
}

#[cfg(test)]
mod tests {
    use squall_proto::v1;

    use super::*;

    fn process(age_ms: u64, sent: u64) -> Row {
        Row {
            row: Some(Kind::Process(v1::ProcessRow {
                age_ms,
                sent,
                ..Default::default()
            })),
        }
    }

    #[test]
    fn an_idle_process_is_sent_again_only_when_its_age_reads_differently() {
        assert!(same(&process(1_100, 0), &process(1_900, 0)));
        assert!(!same(&process(1_900, 0), &process(2_000, 0)));
        assert!(same(&process(61_000, 0), &process(90_000, 0)));
        assert!(!same(&process(59_999, 0), &process(60_000, 0)));
        assert!(!same(&process(3_599_999, 0), &process(3_600_000, 0)));
        assert!(!same(&process(1_100, 0), &process(1_100, 1)));
    }

    #[test]
    fn a_filter_sees_words_for_states() {
        let link = Row {
            row: Some(Kind::Link(v1::LinkRow {
                peer: "b".into(),
                state: 4,
                ..Default::default()
            })),
        };
        assert!(wanted(&link, &Filter::parse("DOWN", &[]).expect("a filter")));
        assert!(!wanted(&link, &Filter::parse("!down", &[]).expect("a filter")));
        assert!(!wanted(
            &Row::default(),
            &Filter::parse("x", &[]).expect("a filter")
        ));
    }
}
