//! Which processes come first.

use squall_kernel::id::{NodeId, Pid};

use super::*;

fn view(serial: u64, name: &'static str, mailbox: u64) -> ProcessView<'static> {
    ProcessView {
        pid: Pid {
            node: NodeId(1),
            serial,
        },
        name,
        kind: "handler",
        enqueued: mailbox + 7,
        dequeued: 7,
        bound: 10,
        oldest_us: 0,
        busy_us: 0,
        sent: 0,
        restarts: 0,
        age_ms: 0,
        dropped: 0,
    }
}

fn top(filter: &str, column: Column, limit: usize, offered: &[ProcessView<'_>]) -> (Vec<String>, u64) {
    let node = NodeName::new("a").expect("a name");
    let filter = Filter::parse_in_part(filter, PROCESS_FIELDS).expect("a filter");
    let all = Filter::default();
    let mut trend = Trend::default();
    let mut top = Top::new(&node, [&all, &filter], (column, false), limit, &mut trend);
    offered.iter().for_each(|p| top.offer(p));
    let (rows, omitted) = top.finish();
    (rows.map(|r| r.pid).collect(), omitted)
}

#[test]
fn the_fullest_mailboxes_come_first_and_the_oldest_process_wins_a_tie() {
    let processes = [
        view(1, "x", 0),
        view(2, "y", 9),
        view(3, "z", 4),
        view(4, "u", 4),
        view(5, "v", 0),
    ];
    assert_eq!(
        top("", Column::Mailbox, 3, &processes),
        (vec!["<a.2>".into(), "<a.3>".into(), "<a.4>".into()], 2)
    );
    assert_eq!(
        top("", Column::Name, 2, &processes),
        (vec!["<a.4>".into(), "<a.5>".into()], 3)
    );
    assert_eq!(
        top("", Column::Pid, 2, &processes),
        (vec!["<a.1>".into(), "<a.2>".into()], 3)
    );
}

#[test]
fn the_last_ones_are_picked_where_they_are_wanted() {
    let node = NodeName::new("a").expect("a name");
    let all = Filter::default();
    let last = |column| {
        let mut trend = Trend::default();
        let mut top = Top::new(&node, [&all, &all], (column, true), 2, &mut trend);
        for (serial, name, mailbox) in [(1, "x", 0), (2, "y", 9), (3, "z", 4), (4, "u", 4)] {
            top.offer(&view(serial, name, mailbox));
        }
        top.finish().0.map(|row| row.pid).collect::<Vec<_>>()
    };
    assert_eq!(last(Column::Mailbox), ["<a.1>", "<a.3>"]);
    assert_eq!(last(Column::Name), ["<a.3>", "<a.2>"]);
    assert_eq!(last(Column::Pid), ["<a.4>", "<a.3>"]);
}

#[test]
fn the_filter_decides_before_the_limit() {
    let processes = [view(1, "orders", 1), view(2, "users", 9), view(3, "orders", 5)];
    assert_eq!(
        top("orders", Column::Mailbox, 1, &processes),
        (vec!["<a.3>".into()], 1)
    );
    assert_eq!(
        top("<a.2>", Column::Mailbox, 9, &processes),
        (vec!["<a.2>".into()], 0)
    );
    assert_eq!(top("", Column::Mailbox, 0, &processes), (vec![], 3));
}

#[test]
fn rates_are_those_between_two_looks() {
    let node = NodeName::new("a").expect("a name");
    let all = Filter::default();
    let mut trend = Trend::default();
    let mut look = |column, processes: &[(u64, u64, u64)]| {
        let mut top = Top::new(&node, [&all, &all], (column, false), 2, &mut trend);
        for (serial, enqueued, age_ms) in processes {
            let process = ProcessView {
                enqueued: *enqueued,
                age_ms: *age_ms,
                ..view(*serial, "x", 0)
            };
            top.offer(&process);
        }
        let rows: Vec<String> = top.finish().0.map(|row| row.pid).collect();
        (rows, trend.len())
    };
    let first = [(1, 900, 0), (2, 10, 0), (3, 500, 0)];
    assert_eq!(look(Column::InRate, &first).1, 3);
    // The one with the most of all had none lately.
    let second = [(1, 900, 1_000), (2, 40, 1_000), (3, 510, 1_000)];
    assert_eq!(look(Column::InRate, &second).0, ["<a.2>", "<a.3>"]);
    assert_eq!(
        look(Column::Mailbox, &second),
        (vec!["<a.1>".into(), "<a.3>".into()], 0)
    );
}

#[test]
fn columns_have_words() {
    assert_eq!(Column::parse(""), Some(Column::Mailbox));
    assert_eq!(Column::parse("busy"), Some(Column::Busy));
    assert_eq!(Column::parse("bogus"), None);
}
