//! The page of an exchange: what it is, who attaches where, and what each node would do.

use super::why::Decisions;
use super::{Leading, Sheet, Source, or_dash, plain};
use crate::facts::{self, ExchangeFact};
use crate::prepare::leaders;
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::{count, micros, millis, rate};

/// Attached processes and events shown at most.
const MOST: usize = 40;
const EVENTS: usize = 12;

pub(super) fn sheet(source: Source<'_>, name: &str, decisions: &mut Decisions) -> Option<(String, Sheet)> {
    let all = facts::exchanges(source.cluster, source.now);
    let e = all.iter().find(|e| e.name == name)?;
    let mut sheet = Sheet::default();
    itself(&mut sheet, e);
    opinions(&mut sheet, source, name);
    super::why::section(&mut sheet, source, name, e.owner.as_deref(), decisions);
    attached(&mut sheet, source, name);
    sheet.events(source, EVENTS, |_, event| event.subject == name);
    Some((format!("Exchange {name}"), sheet))
}

fn itself(sheet: &mut Sheet, e: &ExchangeFact) {
    let number = |v: Option<u64>| or_dash(v.map(count));
    sheet.heading("The exchange");
    let owner = match (&e.owner, e.split) {
        (_, true) => ("owner", "! two nodes act as owner".to_owned(), Tone::Bad),
        (None, _) => ("owner", "✖ none".to_owned(), Tone::Bad),
        (Some(owner), _) => ("owner", owner.clone(), Tone::Good),
    };
    let mut first = vec![
        plain("pattern", e.pattern.clone()),
        plain("strategy", or_dash(e.strategy.clone())),
        owner,
        plain("epoch", e.epoch.to_string()),
    ];
    if let Some(to) = &e.moving_to {
        first.push(("moves to", to.clone(), Tone::Warn));
    }
    sheet.fields(&first);
    let failover = if e.failover.is_empty() {
        "the cluster chooses".to_owned()
    } else {
        e.failover.join(" → ")
    };
    let mut second = vec![plain("failover", failover), plain("takeover", e.takeover.clone())];
    if let Some(node) = &e.prefers {
        second.push(("prefers", node.clone(), Tone::Warn));
    }
    sheet.fields(&second);
    if let Some(ms) = e.stale_ms {
        sheet.say(
            format!("what stands here was said {} ago", millis(ms)),
            Tone::Warn,
        );
    }
    sheet.heading("What flows");
    sheet.fields(&[
        ("now", format!("{}/s", rate(e.requests_per_s)), Tone::Strong),
        plain("p50", or_dash(e.p50_us.map(micros))),
        plain("p99", or_dash(e.p99_us.map(micros))),
        plain("in flight", number(e.in_flight)),
    ]);
    sheet.fields(&[
        plain("taken", number(e.requests)),
        plain("answered", number(e.replies)),
        plain("declined", number(e.declined)),
        (
            "refused by all nodes",
            count(e.refused),
            if e.refused > 0 { Tone::Warn } else { Tone::Plain },
        ),
    ]);
}

fn opinions(sheet: &mut Sheet, source: Source<'_>, name: &str) {
    let all = facts::leaders(source.cluster, source.now);
    let rows: Vec<Leading> = all
        .iter()
        .filter(|f| f.exchange == name)
        .map(|f| {
            let (glyph, word, tone) = leaders::role(f);
            let cells = vec![
                (f.node.clone(), Tone::Accent),
                (format!("{glyph} {word}"), tone),
                (f.epoch.to_string(), Tone::Plain),
                (or_dash(f.leader.clone()), Tone::Plain),
                (
                    f.believed_owner.clone().unwrap_or_else(|| "refuses".to_owned()),
                    Tone::Plain,
                ),
                (
                    if f.lease_left_ms > 0 {
                        millis(f.lease_left_ms)
                    } else {
                        "–".to_owned()
                    },
                    Tone::Plain,
                ),
            ];
            (cells, Some(RowId::Node(f.node.clone())))
        })
        .collect();
    sheet.heading("What each node would act on now");
    sheet.leading(
        &["node", "acts as", "epoch", "leader", "sends to", "lease"],
        &[2, 5],
        rows,
    );
}

fn attached(sheet: &mut Sheet, source: Source<'_>, name: &str) {
    let belongs = |own: &str| own == name || own.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
    let all = source.cluster.nodes.values().flat_map(|n| {
        let of = n.processes.all().iter().filter(|p| belongs(&p.row.name));
        of.map(move |p| facts::process(n, p, source.now))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by(|a, b| (&a.kind, &a.node, &a.pid).cmp(&(&b.kind, &b.node, &b.pid)));
    sheet.heading(format!("Attached to it: {}", all.len()));
    if all.is_empty() {
        return sheet.say("nothing, or not heard yet", Tone::Dim);
    }
    let rows: Vec<Leading> = all.iter().take(MOST).map(super::process::row).collect();
    sheet.leading(&super::process::HEAD, &[3, 4, 5, 6], rows);
    if all.len() > MOST {
        sheet.say(format!("… and {} more: u shows all", all.len() - MOST), Tone::Dim);
    }
}
