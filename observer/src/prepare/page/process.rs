//! The page of a process.

use super::{Leading, Sheet, Source, plain};
use crate::facts::{self, ProcessFact};
use crate::model::Pane;
use crate::prepare::processes::detail;
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::{count, micros, millis, percent, rate};

/// Headings of tables of processes.
pub(super) const HEAD: [&str; 9] = [
    "pid", "kind", "node", "mailbox", "in/s", "out/s", "busy", "name", "",
];
const EVENTS: usize = 12;

/// A process in such a table.
pub(super) fn row(p: &ProcessFact) -> Leading {
    let tone = if p.bound > 0 && p.mailbox * 10 >= p.bound * 9 {
        Tone::Bad
    } else {
        Tone::Plain
    };
    let cells = vec![
        (p.pid.clone(), Tone::Accent),
        (p.kind.clone(), Tone::Dim),
        (p.node.clone(), Tone::Plain),
        (count(p.mailbox), tone),
        (rate(p.in_per_s), Tone::Plain),
        (rate(p.out_per_s), Tone::Plain),
        (percent(p.busy_percent.unwrap_or(-1.0)), Tone::Plain),
        (p.name.clone(), Tone::Plain),
        (
            p.stale_ms
                .map_or_else(String::new, |ms| format!("stale {}", millis(ms))),
            Tone::Warn,
        ),
    ];
    (cells, Some(RowId::Process(p.node.clone(), p.pid.clone())))
}

pub(super) fn sheet(source: Source<'_>, node: &str, pid: &str, pane: &mut Pane) -> Option<(String, Sheet)> {
    let known = source.cluster.nodes.get(node)?;
    let process = known.processes.get(pid)?;
    let p = facts::process(known, process, source.now);
    let mut sheet = Sheet::default();
    sheet.heading("The process");
    let id = RowId::Process(node.to_owned(), pid.to_owned());
    for line in detail::of(source, &id, pane)?.lines {
        sheet.fields(&line);
    }
    belongs(&mut sheet, source, node, &p.name);
    sheet.heading("What it does");
    sheet.fields(&[
        plain("in", format!("{}/s", rate(p.in_per_s))),
        plain("out", format!("{}/s", rate(p.out_per_s))),
        plain("busy", percent(p.busy_percent.unwrap_or(-1.0))),
        plain(
            "grows by",
            p.growth_per_s
                .map_or_else(|| "–".to_owned(), |g| format!("{g:+.1}/s")),
        ),
        plain("empty in", drained(&p)),
        plain("each takes", each(&process.row)),
    ]);
    super::inside::section(&mut sheet, source, node, pid);
    let name = p.name.clone();
    sheet.events(source, EVENTS, |_, event| {
        event.text.contains(pid) || event.subject == name
    });
    Some((format!("Process {pid} {}", p.name), sheet))
}

/// Its node and its exchange, which lead on.
fn belongs(sheet: &mut Sheet, source: Source<'_>, node: &str, name: &str) {
    sheet.heading("It belongs to");
    sheet.say(format!("node {node}"), Tone::Accent);
    sheet.lead(RowId::Node(node.to_owned()));
    let exchange = name.split('/').next().unwrap_or(name);
    if facts::exchange_names(source.cluster).contains(exchange) {
        sheet.say(format!("exchange {exchange}"), Tone::Accent);
        sheet.lead(RowId::Exchange(exchange.to_owned()));
    }
}

/// How long the mailbox takes to run empty, as it goes now.
fn drained(p: &ProcessFact) -> String {
    match p.growth_per_s {
        _ if p.mailbox == 0 => "it is".to_owned(),
        Some(_) => p
            .drain_eta_ms
            .map_or_else(|| "never, as it goes".to_owned(), millis),
        None => "–".to_owned(),
    }
}

/// Time of work for one message, on the whole.
fn each(row: &squall_proto::v1::ProcessRow) -> String {
    match row.dequeued {
        0 => "–".to_owned(),
        n => micros(row.busy_us / n),
    }
}
