//! "Why this handler": what the owner of an exchange shows of it in detail, on the exchange's page: handlers in order and whose
//! turn it is, bindings, what is held back, and decisions explained, the newest first.
//!
//! What does not live here: how a decision is explained (the owner does that).

use super::{Leading, Sheet, Source, asking, or_dash};
use crate::facts::{self, CandidateDetail, DecisionDetail, DetailFact, ExchangeDetail};
use crate::feed::Entity;
use crate::table::{Decision, RowId};
use crate::theme::Tone;
use crate::traces::TraceId;
use crate::units::{clock, count, millis, percent};

/// Handlers, bindings, decisions that are not traced, and rejected candidates of one decision, shown at most.
const HANDLERS: usize = 40;
const BINDINGS: usize = 12;
const DECISIONS: usize = 16;
const REJECTED: usize = 8;

/// The decisions on a page. They stand still while one of them is chosen: hundreds may come in a second.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    of: String,
    all: Vec<DecisionDetail>,
    /// One of them is chosen.
    pub(super) chosen: bool,
}

impl Decisions {
    /// Those that show: the newest, and the older ones that are traced, for they lead on.
    fn shown(&mut self, exchange: &str, all: &[DecisionDetail]) -> impl Iterator<Item = &DecisionDetail> {
        if !self.chosen || self.of != exchange {
            exchange.clone_into(&mut self.of);
            self.all = all.to_vec();
        }
        let shown = |(i, of): &(usize, &DecisionDetail)| *i < DECISIONS || of.trace_id.is_some();
        self.all.iter().enumerate().filter(shown).map(|(_, of)| of)
    }
}

pub(super) fn section(
    sheet: &mut Sheet,
    source: Source<'_>,
    name: &str,
    owner: Option<&str>,
    kept: &mut Decisions,
) {
    let all = facts::details(source.cluster, &Entity::Exchange(name.to_owned()), source.now);
    let owned = all.iter().filter_map(|fact| fact.exchange.as_ref());
    let Some(detail) = owned.clone().find(|detail| detail.owned_here) else {
        sheet.heading("Why this handler");
        return nothing(sheet, source, &all, owner);
    };
    sheet.heading(format!("Handlers in order: {}", count(handlers_all(detail))));
    handlers(sheet, detail);
    stands(sheet, detail, &all);
    bound(sheet, detail);
    let still = if kept.chosen {
        " · these stand still while one is chosen"
    } else {
        ""
    };
    sheet.heading(format!(
        "Why this handler: {} decided since somebody watches{still}",
        count(detail.decided)
    ));
    if let Some(note) = &detail.note {
        sheet.say(note.clone(), Tone::Dim);
    } else if detail.decisions.is_empty() {
        sheet.say("no request has come yet", Tone::Dim);
    }
    for decision in kept.shown(name, &detail.decisions) {
        explained(sheet, decision);
    }
}

fn handlers_all(detail: &ExchangeDetail) -> u64 {
    detail.handlers.len() as u64 + detail.handlers_left_out
}

/// No owner has shown anything: what the others say, or who is asked.
fn nothing(sheet: &mut Sheet, source: Source<'_>, all: &[DetailFact], owner: Option<&str>) {
    if all.is_empty() {
        return asking(sheet, source, owner);
    }
    for fact in all {
        let note = fact.exchange.as_ref().and_then(|detail| detail.note.as_ref());
        let words = fact.nothing.as_ref().or(note);
        let words = words.map_or("shows nothing", String::as_str);
        sheet.lines.push(vec![
            (format!("  {} ", fact.node), Tone::Accent),
            (words.to_owned(), Tone::Dim),
        ]);
    }
    held(sheet, all);
}

fn handlers(sheet: &mut Sheet, detail: &ExchangeDetail) {
    let given: u64 = detail.handlers.iter().map(|handler| handler.given).sum();
    let row = |(place, handler): (usize, &facts::HandlerDetail)| {
        let share = (given > 0).then(|| 100.0 * handler.given as f64 / given as f64);
        let cells = vec![
            ((place + 1).to_string(), Tone::Dim),
            (handler.pid.clone(), Tone::Accent),
            (handler.service_tag.clone(), Tone::Plain),
            (count(handler.given), Tone::Plain),
            (percent(share.unwrap_or(-1.0)), Tone::Plain),
            (count(handler.bindings), Tone::Plain),
            (standing(detail, &handler.pid), Tone::Good),
        ];
        (cells, RowId::of_pid(&handler.pid))
    };
    let rows: Vec<Leading> = detail
        .handlers
        .iter()
        .take(HANDLERS)
        .enumerate()
        .map(row)
        .collect();
    if rows.is_empty() {
        return sheet.say("nobody is attached", Tone::Warn);
    }
    let head = ["", "handler", "group", "given", "share", "bound", ""];
    let more = handlers_all(detail).saturating_sub(rows.len() as u64);
    sheet.leading(&head, &[0, 3, 4, 5], rows);
    if more > 0 {
        sheet.say(format!("… and {} more", count(more)), Tone::Dim);
    }
}

/// Whether it leads, and in which groups it is its turn.
fn standing(detail: &ExchangeDetail, pid: &str) -> String {
    let leads = detail
        .leader
        .as_ref()
        .filter(|l| l.leader.as_deref() == Some(pid));
    let leads = leads.map(|leader| format!("leads under epoch {}", leader.epoch));
    let turns = detail.groups.iter().filter(|group| group.next == pid);
    let turns = turns.map(|group| match group.service_tag.as_str() {
        "" => "◄ next of all".to_owned(),
        tag => format!("◄ next of {tag}"),
    });
    leads.into_iter().chain(turns).collect::<Vec<_>>().join(", ")
}

fn stands(sheet: &mut Sheet, detail: &ExchangeDetail, all: &[DetailFact]) {
    if let Some(leader) = &detail.leader {
        let away = if leader.attached || leader.leader.is_none() {
            Tone::Plain
        } else {
            Tone::Warn
        };
        let mut line = vec![
            ("leader", or_dash(leader.leader.clone()), away),
            ("epoch", leader.epoch.to_string(), Tone::Plain),
        ];
        if leader.lease_left_ms > 0 {
            let of = or_dash(leader.granted_to.clone());
            line.push((
                "lease",
                format!("{} left to {of}", millis(leader.lease_left_ms)),
                Tone::Plain,
            ));
        }
        if let Some(proposed) = &leader.proposed {
            line.push(("proposed", proposed.clone(), Tone::Warn));
        }
        sheet.fields(&line);
    }
    if !detail.awaited.is_empty() {
        let nodes = detail.awaited.join(", ");
        sheet.say(
            format!("waits for {nodes} to tell which handlers they have"),
            Tone::Warn,
        );
    }
    if detail.settling_ms > 0 {
        let left = millis(detail.settling_ms);
        sheet.say(
            format!("has just started: handlers have {left} to attach again"),
            Tone::Warn,
        );
    }
    if let Some(to) = &detail.moving_to {
        sheet.say(
            format!("moves to {to}: nothing is accepted until it is there"),
            Tone::Warn,
        );
    }
    held(sheet, all);
}

/// Which signatures stick to which handlers, as far as the owner shows.
fn bound(sheet: &mut Sheet, detail: &ExchangeDetail) {
    if detail.bindings == 0 {
        return;
    }
    sheet.heading(format!("Sticky entries: {}", count(detail.bindings)));
    let row = |(signature, pid): &(String, String)| {
        let cells = vec![(signature.clone(), Tone::Plain), (pid.clone(), Tone::Accent)];
        (cells, RowId::of_pid(pid))
    };
    let rows: Vec<Leading> = detail.bindings_sample.iter().take(BINDINGS).map(row).collect();
    let more = detail.bindings.saturating_sub(rows.len() as u64);
    sheet.leading(&["signature", "handler"], &[], rows);
    if more > 0 {
        sheet.say(format!("… and {} more", count(more)), Tone::Dim);
    }
}

/// Requests that wait where they entered the cluster.
fn held(sheet: &mut Sheet, all: &[DetailFact]) {
    let waiting = all.iter().filter_map(|fact| {
        let held = fact.exchange.as_ref()?.held;
        (held > 0).then(|| format!("{} at {}", count(held), fact.node))
    });
    let waiting: Vec<String> = waiting.collect();
    if !waiting.is_empty() {
        sheet.say(
            format!("requests held back, to be tried again: {}", waiting.join(", ")),
            Tone::Warn,
        );
    }
}

fn explained(sheet: &mut Sheet, decision: &DecisionDetail) {
    let (glyph, tone) = if decision.delivered {
        ("✔", Tone::Good)
    } else {
        ("✖", Tone::Bad)
    };
    let mut about = format!(" · {} from {}", decision.message, decision.origin);
    for (what, text) in [("key", &decision.key), ("group", &decision.service_tag)] {
        if !text.is_empty() {
            about += &format!(" · {what} {text}");
        }
    }
    if let Some(trace) = &decision.trace_id {
        about += &format!(" · trace {trace}");
    }
    sheet.lines.push(vec![
        (format!("  {}  ", clock(decision.unix_ms)), Tone::Dim),
        (format!("{glyph} {}", decision.outcome), tone),
        (about, Tone::Plain),
    ]);
    sheet.lead(RowId::Decision(Decision {
        origin: decision.origin.clone(),
        message: decision.message,
        number: decision.number,
        trace: decision.trace_id.as_deref().and_then(TraceId::parse),
    }));
    sheet.lines.push(vec![
        ("            because ".to_owned(), Tone::Dim),
        (decision.decided_by.clone(), Tone::Strong),
    ]);
    let rejected: Vec<&CandidateDetail> = decision.candidates.iter().filter(|c| !c.picked).collect();
    for candidate in rejected.iter().take(REJECTED) {
        sheet.lines.push(vec![
            ("            not ".to_owned(), Tone::Dim),
            (format!("{} ", candidate.pid), Tone::Accent),
            (candidate.why.clone().unwrap_or_default(), Tone::Plain),
        ]);
    }
    let more = rejected.len().saturating_sub(REJECTED) as u64 + decision.candidates_left_out;
    if more > 0 {
        sheet.lines.push(vec![(
            format!("            … and {} more", count(more)),
            Tone::Dim,
        )]);
    }
}
