//! The order of all processes by one column. One pass makes a small key for each, the window is picked out
//! of the keys without sorting the rest, and nothing is done again before something has changed.

use std::borrow::Cow;
use std::cmp::Ordering;

use squall_filter::Filter;

use crate::cluster::Cluster;
use crate::cluster::node::Node;
use crate::cluster::process::Process;
use crate::prepare::least;
use crate::prepare::processes::COLUMNS;
use crate::table::Sort;

/// What the order was made of; the same again makes the same order.
#[derive(Debug, Clone, PartialEq)]
struct Made {
    version: u64,
    sort: Sort,
    filter: Filter,
    totals: bool,
}

/// The order, kept from frame to frame.
#[derive(Debug, Clone, Default)]
pub struct ProcessOrder {
    made: Option<Made>,
    keys: Vec<Key>,
    window: Option<(usize, usize)>,
    shown: Vec<Key>,
}

/// What a process is sorted by, and where it is.
#[derive(Debug, Clone, Copy)]
struct Key {
    value: u64,
    number: u64,
    node: u32,
    place: u32,
}

/// A cluster's processes under an order.
pub struct Ordered<'o, 'a> {
    order: &'o mut ProcessOrder,
    nodes: Vec<&'a Node>,
    sort: Sort,
    totals: bool,
    filter: &'a Filter,
}

impl ProcessOrder {
    /// Brings the order up to date.
    pub fn of<'o, 'a>(
        &'o mut self,
        cluster: &'a Cluster,
        sort: Sort,
        filter: &'a Filter,
        totals: bool,
    ) -> Ordered<'o, 'a> {
        let nodes: Vec<&Node> = cluster.nodes.values().collect();
        let made = Made {
            version: cluster.version,
            sort,
            filter: filter.clone(),
            totals,
        };
        if self.made.as_ref() != Some(&made) {
            self.window = None;
            self.keys.clear();
            let by = (sort, totals);
            for (i, node) in nodes.iter().enumerate() {
                let all = 0..node.processes.all().len();
                let wanted = all.filter(|place| wanted(filter, node, *place));
                self.keys.extend(wanted.map(|place| Key::new(i, node, place, by)));
            }
            self.made = Some(made);
        }
        Ordered {
            order: self,
            nodes,
            sort,
            totals,
            filter,
        }
    }
}

impl<'a> Ordered<'_, 'a> {
    /// Processes that match the filter.
    #[must_use]
    pub fn total(&self) -> usize {
        self.order.keys.len()
    }

    /// Where a process stands: as many as come before it. No sort is needed for that.
    #[must_use]
    pub fn rank(&self, name: &str, pid: &str) -> Option<usize> {
        let (i, node) = self.nodes.iter().enumerate().find(|(_, n)| n.name == name)?;
        let place = node.processes.place(pid)?;
        if !wanted(self.filter, node, place) {
            return None;
        }
        let own = Key::new(i, node, place, (self.sort, self.totals));
        let before = |k: &&Key| compare(&self.nodes, self.sort, k, &own) == Ordering::Less;
        Some(self.order.keys.iter().filter(before).count())
    }

    /// The processes from `first` on, at most `count`, in order.
    pub fn window(&mut self, first: usize, count: usize) -> impl Iterator<Item = (&'a Node, &'a Process)> {
        let (nodes, sort) = (&self.nodes, self.sort);
        let ProcessOrder {
            keys, window, shown, ..
        } = &mut *self.order;
        let first = first.min(keys.len());
        let end = first.saturating_add(count).min(keys.len());
        if *window != Some((first, end)) {
            let by = |a: &Key, b: &Key| compare(nodes, sort, a, b);
            least::window(keys.iter().copied(), (first, end), shown, by);
            *window = Some((first, end));
        }
        shown.iter().map(|k| {
            let node = nodes[k.node as usize];
            (node, &node.processes.all()[k.place as usize])
        })
    }
}

impl Key {
    fn new(i: usize, node: &Node, place: usize, (sort, totals): (Sort, bool)) -> Self {
        let brief = &node.processes.briefs()[place];
        let value = match sort.column {
            // Pids count within their node.
            0 => ((i as u64) << 48) | brief.number.min((1 << 48) - 1),
            3 => i as u64,
            4 => brief.mailbox,
            column => value(node, &node.processes.all()[place], column, totals),
        };
        Self {
            value: if sort.descending { !value } else { value },
            number: brief.number,
            node: i as u32,
            place: place as u32,
        }
    }
}

fn wanted(filter: &Filter, node: &Node, place: usize) -> bool {
    if filter.is_all() {
        return true;
    }
    let process = &node.processes.all()[place];
    filter.matches(&Seen { node, process })
}

/// A process as a filter sees it, without making a line of it.
struct Seen<'a> {
    node: &'a Node,
    process: &'a Process,
}

impl squall_filter::Row for Seen<'_> {
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool {
        let row = &self.process.row;
        [&row.pid, &row.name, &row.kind, &self.node.name]
            .into_iter()
            .any(|text| look(text))
    }

    fn text(&self, field: usize) -> Option<Cow<'_, str>> {
        let row = &self.process.row;
        let text = match COLUMNS.get(field)?.title {
            "pid" => &row.pid,
            "name" => &row.name,
            "kind" => &row.kind,
            "node" => &self.node.name,
            _ => return None,
        };
        Some(text.as_str().into())
    }

    fn number(&self, field: usize) -> Option<f64> {
        let (row, at) = (&self.process.row, self.node.processes_ms());
        match COLUMNS.get(field)?.title {
            "mailbox" => Some(self.process.mailbox() as f64),
            "growth/s" => self.process.growth(at),
            "drain" => self.process.drain_ms(at).map(|ms| ms as f64 * 1000.0),
            "oldest" => Some(row.oldest_us as f64),
            "in/s" => self.process.rate_in.per_s(at),
            "out/s" => self.process.rate_out.per_s(at),
            "busy" => self.process.busy_percent(at),
            "restarts" => Some(row.restarts as f64),
            "dropped" => Some(row.dropped as f64),
            "age" => Some(self.process.age_ms(at) as f64 * 1000.0),
            _ => None,
        }
    }
}

fn compare(nodes: &[&Node], sort: Sort, a: &Key, b: &Key) -> Ordering {
    a.value
        .cmp(&b.value)
        .then_with(|| words(nodes, sort, a, b))
        // Equal keys keep an order of their own, so that rows do not jump about.
        .then_with(|| (a.node, a.number, a.place).cmp(&(b.node, b.number, b.place)))
}

/// Words whose first bytes are equal are compared in full; numbers are equal then.
fn words(nodes: &[&Node], sort: Sort, a: &Key, b: &Key) -> Ordering {
    let row = |k: &Key| &nodes[k.node as usize].processes.all()[k.place as usize].row;
    let order = match sort.column {
        1 => row(a).name.cmp(&row(b).name),
        2 => row(a).kind.cmp(&row(b).kind),
        _ => Ordering::Equal,
    };
    if sort.descending { order.reverse() } else { order }
}

/// A number that is larger where the column's value comes later.
fn value(node: &Node, p: &Process, column: usize, totals: bool) -> u64 {
    let at = node.processes_ms();
    match column {
        1 => prefix(&p.row.name),
        2 => prefix(&p.row.kind),
        5 => of_float(p.growth(at).unwrap_or(f64::MIN)),
        // What does not drain stands behind what does.
        6 => p.drain_ms(at).map_or(0, |ms| ms.saturating_add(1)),
        7 => p.row.oldest_us,
        8 if totals => p.row.enqueued,
        9 if totals => p.row.dequeued,
        8 => of_float(p.rate_in.per_s(at).unwrap_or(-1.0)),
        9 => of_float(p.rate_out.per_s(at).unwrap_or(-1.0)),
        10 => of_float(p.busy_percent(at).unwrap_or(-1.0)),
        11 => p.row.restarts,
        12 => p.row.dropped,
        _ => p.age_ms(at),
    }
}

fn prefix(text: &str) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    u64::from_be_bytes(bytes)
}

/// The order of floats as the order of integers.
fn of_float(v: f64) -> u64 {
    let bits = v.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{RowsUpdate, Update};
    use crate::units::Moment;
    use squall_proto::v1;
    use squall_proto::v1::row::Row;

    fn cluster(mailboxes: &[(&str, &str, u64)]) -> Cluster {
        let mut cluster = Cluster::default();
        feed(&mut cluster, mailboxes);
        cluster
    }

    fn feed(cluster: &mut Cluster, mailboxes: &[(&str, &str, u64)]) {
        for (pid, name, enqueued) in mailboxes {
            let row = v1::ProcessRow {
                pid: (*pid).to_owned(),
                name: (*name).to_owned(),
                enqueued: *enqueued,
                ..Default::default()
            };
            let rows = RowsUpdate {
                node: "a".to_owned(),
                rows: vec![v1::Row {
                    row: Some(Row::Process(row)),
                }],
                taken_unix_ms: 1,
                ..Default::default()
            };
            cluster.apply(Moment(1), Update::Rows(rows));
        }
    }

    const BY_MAILBOX: Sort = Sort {
        column: 4,
        descending: true,
    };

    fn pids<'a>(ordered: &mut Ordered<'_, 'a>, first: usize, count: usize) -> Vec<&'a str> {
        ordered
            .window(first, count)
            .map(|(_, p)| p.row.pid.as_str())
            .collect()
    }

    #[test]
    fn any_window_is_that_of_the_whole_order() {
        let rows: Vec<(String, u64)> = (0..200u64).map(|n| (format!("<a.{n}>"), n * 37 % 11)).collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(pid, n)| (pid.as_str(), "exchange", *n))
            .collect();
        let cluster = cluster(&rows);
        let filter = Filter::default();
        for column in 0..COLUMNS.len() {
            for descending in [false, true] {
                let sort = Sort { column, descending };
                let mut order = ProcessOrder::default();
                let whole = pids(&mut order.of(&cluster, sort, &filter, false), 0, usize::MAX);
                assert_eq!(whole.len(), 200);
                for (first, count) in [(0, 10), (190, 20), (77, 1), (0, 10), (5, 100), (300, 4)] {
                    let mut ordered = order.of(&cluster, sort, &filter, false);
                    let end = (first + count).min(200);
                    assert_eq!(pids(&mut ordered, first, count), whole[first.min(200)..end]);
                }
                let ordered = order.of(&cluster, sort, &filter, false);
                assert_eq!(ordered.rank("a", whole[123]), Some(123));
            }
        }
    }

    #[test]
    fn equal_rows_stand_in_the_order_of_their_pids() {
        let cluster = cluster(&[("<a.10>", "x", 1), ("<a.9>", "x", 1), ("<a.2>", "x", 2)]);
        let (mut order, filter) = (ProcessOrder::default(), Filter::default());
        let mut ordered = order.of(&cluster, BY_MAILBOX, &filter, false);
        assert_eq!(pids(&mut ordered, 0, 9), ["<a.2>", "<a.9>", "<a.10>"]);
    }

    #[test]
    fn what_changed_is_put_in_order_anew_and_the_filter_counts() {
        let mut cluster = cluster(&[
            ("<a.1>", "orders", 5),
            ("<a.2>", "orders", 4),
            ("<a.3>", "users", 9),
        ]);
        let mut order = ProcessOrder::default();
        let filter = Filter::parse("orders", &[]).unwrap();
        assert_eq!(
            pids(&mut order.of(&cluster, BY_MAILBOX, &filter, false), 0, 9),
            ["<a.1>", "<a.2>"]
        );
        feed(&mut cluster, &[("<a.2>", "orders", 7)]);
        let mut ordered = order.of(&cluster, BY_MAILBOX, &filter, false);
        assert_eq!(pids(&mut ordered, 0, 9), ["<a.2>", "<a.1>"]);
        assert_eq!((ordered.total(), ordered.rank("a", "<a.3>")), (2, None));
    }
}
