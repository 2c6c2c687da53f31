//! The pages of an event, with what happened about it, and of a fault.

use super::{Piece, Sheet, Source, plain};
use crate::cluster::events::EventKey;
use crate::cluster::stopwatch;
use crate::facts;
use crate::measure::wrap;
use crate::prepare::timeline::stopwatch_of;
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::{clock, count, whole_seconds};

/// Events before and after it that are shown.
const ABOUT_MS: u64 = 5_000;
const MOST: usize = 60;

pub(super) fn sheet(source: Source<'_>, key: &EventKey) -> Option<(String, Sheet)> {
    let event = source.cluster.events.get(key)?;
    let fact = facts::event(key, event);
    let mut sheet = Sheet::default();
    sheet.heading("The event");
    let mut fields = vec![
        plain("at", clock(key.unix_ms)),
        plain("severity", fact.severity),
        ("node", fact.node.clone(), Tone::Accent),
        plain("about", fact.subject.clone()),
        plain("number", format!("{} of run {}", fact.seq, fact.incarnation)),
    ];
    if let Some(epoch) = fact.epoch {
        fields.push(plain("epoch", epoch.to_string()));
    }
    sheet.fields(&fields);
    for line in wrap(&event.text, source.body.width.saturating_sub(6)) {
        sheet.say(line, Tone::Strong);
    }
    let failovers = stopwatch::failovers(&source.cluster.events);
    if let Some(failover) = failovers.iter().find(|f| f.key == *key) {
        let watch = stopwatch_of(failover, &failovers);
        sheet.heading(format!("The failover: {}", watch.title));
        let rows: Vec<Vec<Piece>> = watch
            .phases
            .into_iter()
            .map(|cells| cells.into_iter().map(|text| (text, Tone::Plain)).collect())
            .collect();
        sheet.table(&["phase", "this", "p50", "p99"], &[1, 2, 3], &rows);
    }
    sheet.heading("Within five seconds of it, on all nodes");
    let mut about: Vec<_> = source
        .cluster
        .events
        .newest_first()
        .filter(|(other, _)| other.unix_ms.abs_diff(key.unix_ms) <= ABOUT_MS)
        .take(MOST)
        .collect();
    about.reverse();
    for (other, event) in about {
        let after = other.unix_ms as i64 - key.unix_ms as i64;
        let tone = if other == key { Tone::Strong } else { Tone::Plain };
        sheet.lines.push(vec![
            (format!("  {after:>+6}ms  "), Tone::Dim),
            (format!("{} ", other.node), Tone::Accent),
            (format!("{}: {}", event.kind, event.text), tone),
        ]);
        if other != key {
            sheet.lead(RowId::Event(other.clone()));
        }
    }
    Some((format!("{} on {}", fact.kind, fact.node), sheet))
}

pub(super) fn fault(source: Source<'_>, node: &str, id: &str) -> Option<(String, Sheet)> {
    let all = facts::faults(source.cluster, source.now);
    let f = all.iter().find(|f| f.node == node && f.id == id)?;
    let mut sheet = Sheet::default();
    sheet.heading("The fault");
    sheet.say(format!("✶ {}", f.what), Tone::Warn);
    sheet.fields(&[
        ("node", f.node.clone(), Tone::Accent),
        plain("ends by itself in", whole_seconds(f.left_ms)),
        plain("touched", format!("{} frames", count(f.touched))),
        plain("asked for by", f.by.clone()),
        plain("id", f.id.clone()),
    ]);
    sheet.events(source, MOST, |on, event| {
        on == node && event.kind.starts_with("fault")
    });
    Some((format!("Fault on {node}"), sheet))
}
