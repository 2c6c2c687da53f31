//! What a node shows of a process in detail, on the process's page: what it is attached to, the head of its mailbox, and how long
//! messages wait and work takes.
//!
//! What does not live here: its counters, which are always there (`process`).

use std::collections::BTreeMap;

use super::{Leading, Sheet, Source, asking, plain};
use crate::facts::{self, ProcessDetail, TimesDetail};
use crate::feed::Entity;
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::{bytes, count, micros};

/// Columns of the longest bar.
const BAR: u64 = 40;

pub(super) fn section(sheet: &mut Sheet, source: Source<'_>, node: &str, pid: &str) {
    let entity = Entity::Process {
        node: node.to_owned(),
        pid: pid.to_owned(),
    };
    let all = facts::details(source.cluster, &entity, source.now);
    let Some(fact) = all.into_iter().next() else {
        sheet.heading("First in its mailbox");
        return asking(sheet, source, Some(node));
    };
    if let Some(detail) = &fact.process {
        inside(sheet, detail);
    } else {
        sheet.heading("First in its mailbox");
        sheet.say(fact.nothing.unwrap_or_default(), Tone::Warn);
    }
}

fn inside(sheet: &mut Sheet, detail: &ProcessDetail) {
    if !detail.attached_to.is_empty() {
        sheet.heading("Attached to");
        for what in &detail.attached_to {
            sheet.say(what.clone(), Tone::Plain);
        }
    }
    sheet.heading("First in its mailbox");
    head(sheet, detail);
    sheet.heading("How long it takes, since somebody watches");
    times(sheet, "in the mailbox", &detail.wait);
    times(sheet, "at work", &detail.work);
}

fn head(sheet: &mut Sheet, detail: &ProcessDetail) {
    if let Some(note) = &detail.head_note {
        return sheet.say(note.clone(), Tone::Dim);
    }
    if detail.head_unseen > 0 {
        sheet.say(
            format!("{} that came before somebody watched", count(detail.head_unseen)),
            Tone::Dim,
        );
    } else if detail.head.is_empty() {
        return sheet.say("nothing", Tone::Dim);
    }
    let rows: Vec<Leading> = detail
        .head
        .iter()
        .map(|mail| {
            let cells = vec![
                (mail.kind.clone(), Tone::Plain),
                (mail.exchange.clone(), Tone::Accent),
                (mail.key.clone(), Tone::Plain),
                (bytes(mail.bytes), Tone::Plain),
                (micros(mail.age_us), Tone::Plain),
                (mail.from.clone(), Tone::Dim),
            ];
            (cells, RowId::of_pid(&mail.from))
        })
        .collect();
    if !rows.is_empty() {
        sheet.leading(
            &["what", "exchange", "key", "size", "waits", "from"],
            &[3, 4],
            rows,
        );
    }
}

/// A line a doubling.
fn times(sheet: &mut Sheet, what: &'static str, times: &TimesDetail) {
    sheet.fields(&[
        plain(what, count(times.count)),
        plain("p50", micros(times.p50_us)),
        plain("p99", micros(times.p99_us)),
    ]);
    let mut octaves: BTreeMap<u32, u64> = BTreeMap::new();
    for (from, _, n) in &times.buckets {
        *octaves.entry(from.checked_ilog2().unwrap_or(0)).or_default() += n;
    }
    let most = octaves.values().copied().max().unwrap_or(1);
    for (octave, n) in octaves {
        let from = if octave == 0 { 0 } else { 1u64 << octave.min(62) };
        let below = 1u64 << (octave.min(62) + 1);
        let bar = "█".repeat((n.saturating_mul(BAR)).div_ceil(most.max(1)).min(BAR) as usize);
        sheet.lines.push(vec![
            (
                format!("    {:>6} – {:<6} ", micros(from), micros(below)),
                Tone::Dim,
            ),
            (bar, Tone::Good),
            (format!(" {}", count(n)), Tone::Plain),
        ]);
    }
}
