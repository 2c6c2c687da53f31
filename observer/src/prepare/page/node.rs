//! The page of a node.

use super::{Leading, Sheet, Source, or_dash, plain};
use crate::facts::{self, NodeFact};
use crate::prepare::mesh;
use crate::prepare::overview::state_word;
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::{bytes, count, micros, millis, percent, rate, whole_seconds};

/// Processes and events shown at most.
const MOST: usize = 12;

pub(super) fn sheet(source: Source<'_>, name: &str) -> Option<(String, Sheet)> {
    let nodes = facts::nodes(source.cluster, source.now);
    let n = nodes.iter().find(|n| n.name == name)?;
    let mut sheet = Sheet::default();
    itself(&mut sheet, n);
    stream(&mut sheet, source, name);
    links(&mut sheet, source, name);
    exchanges(&mut sheet, source, name);
    processes(&mut sheet, source, name);
    faults(&mut sheet, source, name);
    sheet.events(source, MOST, |node, event| node == name || event.subject == name);
    Some((format!("Node {name}"), sheet))
}

fn itself(sheet: &mut Sheet, n: &NodeFact) {
    let (glyph, word, tone) = state_word(n);
    let warn = |on: bool| if on { Tone::Warn } else { Tone::Plain };
    sheet.heading("The node");
    sheet.fields(&[
        ("", format!("{glyph} {word}"), tone),
        plain("role", n.role),
        plain("duty", n.duty),
        plain("version", n.version.clone()),
        plain("incarnation", n.incarnation.to_string()),
        plain("up", millis(n.uptime_ms)),
        plain("process", or_dash(n.os_pid.map(|pid| pid.to_string()))),
    ]);
    if let Some(why) = &n.why {
        sheet.say(format!("not reached: {why}"), Tone::Bad);
    }
    if let Some(ms) = n.stale_ms {
        sheet.say(
            format!("what stands here was said {} ago", millis(ms)),
            Tone::Warn,
        );
    }
    if let Some(what) = &n.waiting_for {
        sheet.say(format!("waits for {what}"), Tone::Warn);
    }
    sheet.fields(&[
        plain("term", n.term.to_string()),
        plain("revision", n.revision.to_string()),
        ("behind", n.revision_lag.to_string(), warn(n.revision_lag > 0)),
        plain("follows", or_dash(n.meta_leader.clone())),
        (
            "quorum",
            if n.quorum { "held" } else { "not held" }.to_owned(),
            if n.quorum { Tone::Good } else { Tone::Bad },
        ),
        plain(
            "lease",
            if n.lease_left_ms > 0 {
                millis(n.lease_left_ms)
            } else {
                "none".to_owned()
            },
        ),
    ]);
    sheet.fields(&[
        plain("cpu", percent(n.cpu_percent.unwrap_or(-1.0))),
        plain("memory", bytes(n.rss_bytes)),
        plain("files", count(n.fds)),
        plain("processes", count(n.processes)),
        (
            "timers late",
            millis(n.timer_late_ms),
            warn(n.timer_late_ms > 100),
        ),
    ]);
    sheet.fields(&[
        plain(
            "in",
            format!("{}/s, {} in all", rate(n.in_per_s), count(n.messages_in)),
        ),
        plain(
            "out",
            format!("{}/s, {} in all", rate(n.out_per_s), count(n.messages_out)),
        ),
        ("dropped", count(n.dropped), warn(n.dropped > 0)),
    ]);
    for (reason, times) in &n.refusals {
        sheet.fields(&[(
            "refused",
            format!("{} times: {reason}", count(*times)),
            Tone::Warn,
        )]);
    }
}

/// How the node is heard, and what was left out on the way.
fn stream(sheet: &mut Sheet, source: Source<'_>, name: &str) {
    let Some(node) = source.cluster.nodes.get(name).filter(|n| n.row.is_some()) else {
        return;
    };
    let warn = |n: u64| if n > 0 { Tone::Warn } else { Tone::Plain };
    let counted = |label, n: u64| (label, count(n), warn(n));
    sheet.heading("How it is heard");
    sheet.fields(&[
        plain("last", format!("{} ago", millis(source.now.since(node.heard)))),
        counted("updates merged for a slow reader", node.coalesced),
        counted("gaps asked again", node.gaps),
        counted("process rows left out", node.rows_omitted),
    ]);
    if let Some(reason) = &node.refusal {
        sheet.say(format!("it refused what was asked of it: {reason}"), Tone::Warn);
    }
}

fn links(sheet: &mut Sheet, source: Source<'_>, name: &str) {
    let links = facts::links(source.cluster, source.now);
    let of = links.iter().filter(|l| l.from == name || l.to == name);
    let rows: Vec<Leading> = of
        .map(|l| {
            let (glyph, tone) = mesh::glyph(l.way);
            let cells = vec![
                (l.from.clone(), Tone::Accent),
                (l.to.clone(), Tone::Accent),
                (format!("{glyph} {}", l.way), tone),
                (micros(l.rtt_p50_us), Tone::Plain),
                (micros(l.rtt_p99_us), Tone::Plain),
                (bytes(l.queue_bytes), Tone::Plain),
                (or_dash(l.way_heard_ms.map(millis)), Tone::Plain),
                (l.fault.clone().unwrap_or_default(), Tone::Warn),
            ];
            (cells, Some(RowId::Link(l.from.clone(), l.to.clone())))
        })
        .collect();
    sheet.heading("Links, each direction");
    let head = ["from", "to", "state", "p50", "p99", "queue", "heard", "fault"];
    sheet.leading(&head, &[3, 4, 5, 6], rows);
}

fn exchanges(sheet: &mut Sheet, source: Source<'_>, name: &str) {
    let all = facts::exchanges(source.cluster, source.now);
    let owned = all.iter().filter(|e| e.owner.as_deref() == Some(name));
    let rows: Vec<Leading> = owned
        .map(|e| {
            let cells = vec![
                (e.name.clone(), Tone::Accent),
                (e.pattern.clone(), Tone::Plain),
                (e.strategy.clone().unwrap_or_default(), Tone::Plain),
                (e.epoch.to_string(), Tone::Plain),
                (or_dash(e.handlers.map(count)), Tone::Plain),
                (rate(e.requests_per_s), Tone::Plain),
            ];
            (cells, Some(RowId::Exchange(e.name.clone())))
        })
        .collect();
    sheet.heading("Exchanges it owns");
    if rows.is_empty() {
        return sheet.say("none", Tone::Dim);
    }
    let head = ["exchange", "pattern", "strategy", "epoch", "handlers", "req/s"];
    sheet.leading(&head, &[3, 4, 5], rows);
}

fn processes(sheet: &mut Sheet, source: Source<'_>, name: &str) {
    let Some(node) = source.cluster.nodes.get(name) else {
        return;
    };
    let mut all: Vec<_> = node.processes.all().iter().collect();
    all.sort_by_key(|p| std::cmp::Reverse(p.mailbox()));
    let rows: Vec<Leading> = all
        .iter()
        .take(MOST)
        .map(|p| super::process::row(&facts::process(node, p, source.now)))
        .collect();
    sheet.heading("Fullest mailboxes");
    if rows.is_empty() {
        return sheet.say("none, or not heard yet", Tone::Dim);
    }
    sheet.leading(&super::process::HEAD, &[3, 4, 5, 6], rows);
}

fn faults(sheet: &mut Sheet, source: Source<'_>, name: &str) {
    let all = facts::faults(source.cluster, source.now);
    let mut of = all.iter().filter(|f| f.node == name).peekable();
    if of.peek().is_none() {
        return;
    }
    sheet.heading("Faults");
    for f in of {
        let left = whole_seconds(f.left_ms);
        sheet.say(
            format!(
                "✶ {} · {left} left · by {} · touched {}",
                f.what,
                f.by,
                count(f.touched)
            ),
            Tone::Warn,
        );
        sheet.lead(RowId::Fault(f.node.clone(), f.id.clone()));
    }
}
