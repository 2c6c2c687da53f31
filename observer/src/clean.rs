//! Makes what comes from outside fit for a terminal and for arithmetic. Every string and every figure enters the model
//! through here, so nothing behind it has to think of escapes, or of numbers that cannot be, again. What does not live here:
//! drawing.

mod board;
mod figures;

pub use board::board;

use squall_proto::v1;
use squall_proto::v1::row::Row;

use crate::feed::Detailed;
use crate::limits::{NAME_CHARS_MAX, PARAGRAPH_CHARS_MAX, TEXT_CHARS_MAX};

/// A name: control characters, bidirectional marks and invisible characters become `\u{..}` or a sign
/// that can be seen; too long a name is cut with `…`.
#[must_use]
pub fn name(raw: &str) -> String {
    clean(raw, NAME_CHARS_MAX)
}

/// A line of words, cleaned like a name but longer.
#[must_use]
pub fn text(raw: &str) -> String {
    clean(raw, TEXT_CHARS_MAX)
}

/// Words that are shown in full, over several lines of the screen: their own line ends become blanks.
#[must_use]
pub fn paragraph(raw: &str) -> String {
    let kept = raw.chars().take(PARAGRAPH_CHARS_MAX + 1);
    let flat: String = kept.map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    clean(flat.trim(), PARAGRAPH_CHARS_MAX)
}

/// Whether a character may reach the terminal as it is.
#[must_use]
pub fn is_safe(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// A figure that belongs to no row.
#[must_use]
pub fn figure(figure: u64) -> u64 {
    figures::fit(figure)
}

/// Cleans every string of a row in place, and cuts its figures. Those with many are taken apart by name, so that a text which is
/// added to one is not forgotten here.
pub fn row(row: &mut v1::Row) {
    if let Some(row) = &mut row.row {
        figures::row(row);
    }
    match row.row.as_mut() {
        Some(Row::Node(n)) => node(n),
        Some(Row::Link(l)) => {
            tidy(&mut [&mut l.peer]);
            l.fault = text(&l.fault);
            l.why = text(&l.why);
        }
        Some(Row::Exchange(e)) => exchange(e),
        Some(Row::Leader(l)) => leader(l),
        Some(Row::Process(p)) => tidy(&mut [&mut p.pid, &mut p.name, &mut p.kind]),
        Some(Row::Fault(f)) => {
            tidy(&mut [&mut f.id, &mut f.by]);
            f.what = text(&f.what);
        }
        None => {}
    }
}

/// Makes the figures of a process fit; its texts are clean.
pub fn process(p: &mut v1::ProcessRow) {
    figures::process(p);
}

fn node(n: &mut v1::NodeRow) {
    tidy(&mut [&mut n.name, &mut n.meta_leader, &mut n.version]);
    n.waiting_for = text(&n.waiting_for);
    n.members.iter_mut().for_each(member);
    n.refusals.iter_mut().for_each(|r| r.reason = text(&r.reason));
}

fn exchange(e: &mut v1::ExchangeRow) {
    let v1::ExchangeRow {
        name,
        pattern,
        strategy,
        owner,
        epoch: _,
        failover,
        handlers: _,
        requests: _,
        replies: _,
        declined: _,
        refused: _,
        in_flight: _,
        p50_us: _,
        p99_us: _,
        owned_here: _,
        moving_to,
        takeover,
        prefers,
    } = e;
    tidy(&mut [name, pattern, strategy, owner, moving_to, takeover, prefers]);
    failover.iter_mut().for_each(|node| tidy(&mut [node]));
}

fn leader(l: &mut v1::LeaderRow) {
    let v1::LeaderRow {
        exchange,
        role: _,
        epoch: _,
        leader,
        leader_epoch: _,
        believed_owner,
        lease_left_ms: _,
        moving_to,
    } = l;
    tidy(&mut [exchange, leader, believed_owner, moving_to]);
}

/// Cleans a member in place.
pub fn member(m: &mut v1::Member) {
    tidy(&mut [&mut m.name, &mut m.mesh_addr, &mut m.grpc_addr]);
    m.why = text(&m.why);
}

/// Cleans an event in place.
pub fn event(e: &mut v1::Event) {
    figures::event(e);
    tidy(&mut [&mut e.kind, &mut e.subject]);
    e.text = text(&e.text);
}

/// Cleans every string of what a node shows in detail, in place.
pub fn detail(detail: &mut Detailed) {
    match detail {
        Detailed::Exchange(detail) => exchange_detail(detail),
        Detailed::Process(detail) => process_detail(detail),
        Detailed::Nothing(why) => *why = text(why),
    }
}

fn exchange_detail(d: &mut v1::ExchangeDetail) {
    figures::exchange_detail(d);
    tidy(&mut [
        &mut d.name,
        &mut d.pattern,
        &mut d.strategy,
        &mut d.owner,
        &mut d.moving_to,
    ]);
    d.note = text(&d.note);
    d.handlers
        .iter_mut()
        .for_each(|h| tidy(&mut [&mut h.pid, &mut h.service_tag]));
    d.groups
        .iter_mut()
        .for_each(|g| tidy(&mut [&mut g.service_tag, &mut g.next]));
    if let Some(l) = &mut d.leader {
        tidy(&mut [&mut l.leader, &mut l.proposed, &mut l.granted_to]);
    }
    d.bindings_sample
        .iter_mut()
        .for_each(|b| tidy(&mut [&mut b.signature, &mut b.handler]));
    d.awaited.iter_mut().for_each(|node| tidy(&mut [node]));
    d.decisions.iter_mut().for_each(decision);
}

fn decision(d: &mut v1::RoutingDecision) {
    tidy(&mut [&mut d.origin, &mut d.trace_id, &mut d.key, &mut d.service_tag]);
    (d.decided_by, d.outcome) = (text(&d.decided_by), text(&d.outcome));
    for candidate in &mut d.candidates {
        tidy(&mut [&mut candidate.pid]);
        candidate.why = text(&candidate.why);
    }
}

fn process_detail(d: &mut v1::ProcessDetail) {
    figures::process_detail(d);
    if let Some(p) = &mut d.row {
        tidy(&mut [&mut p.pid, &mut p.name, &mut p.kind]);
    }
    d.attached_to.iter_mut().for_each(|words| *words = text(words));
    d.head_note = text(&d.head_note);
    for mail in &mut d.head {
        tidy(&mut [&mut mail.kind, &mut mail.exchange, &mut mail.key, &mut mail.from]);
    }
}

fn tidy(names: &mut [&mut String]) {
    for raw in names {
        if raw.len() > NAME_CHARS_MAX || !raw.chars().all(is_safe) {
            **raw = name(raw);
        }
    }
}

fn clean(raw: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(raw.len().min(chars_max * 4));
    for (i, c) in raw.chars().enumerate() {
        if i == chars_max {
            out.push('…');
            break;
        }
        match c {
            c if is_safe(c) => out.push(c),
            // The pictures of control characters show an escape for what it is.
            '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('?')),
            '\u{7f}' => out.push('␡'),
            // Not the usual U+FFFD: there are terminals that swallow it, and what follows would be out of its column.
            _ => out.push('␦'),
        }
    }
    out
}

/// Characters without a picture of their own, or that change how others are drawn: bidirectional marks and overrides,
/// zero-width characters, variation selectors, tags, line separators; halves of flags and skin tones, of which terminals do not
/// agree how many columns they take.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffd}' | '\u{1d173}'..='\u{1d17a}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_cannot_reach_the_terminal() {
        let table = [
            ("orders", "orders"),
            ("\u{1b}[2J", "␛[2J"),
            ("a\nb\tc", "a␊b␉c"),
            ("\u{9b}31m", "␦31m"),
            ("x\u{202e}gpj.exe", "x␦gpj.exe"),
            ("zero\u{200b}width", "zero␦width"),
            ("del\u{7f}", "del␡"),
            ("日本", "日本"),
            ("not text \u{fffd}", "not text ␦"),
        ];
        for (raw, expected) in table {
            assert_eq!(name(raw), expected);
            assert!(name(raw).chars().all(is_safe));
        }
    }

    #[test]
    fn a_long_name_is_cut_and_says_so() {
        let cut = name(&"x".repeat(NAME_CHARS_MAX + 7));
        assert_eq!(cut.chars().count(), NAME_CHARS_MAX + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn every_string_of_a_row_is_cleaned() {
        let bad = || "\u{1b}]0;owned\u{7}".to_owned();
        let mut r = v1::Row {
            row: Some(Row::Exchange(v1::ExchangeRow {
                name: bad(),
                pattern: bad(),
                strategy: bad(),
                owner: bad(),
                failover: vec![bad()],
                moving_to: bad(),
                takeover: bad(),
                prefers: bad(),
                ..Default::default()
            })),
        };
        row(&mut r);
        assert!(!format!("{r:?}").contains("\\u{1b}"));
        assert!(!format!("{r:?}").contains("\\u{7}"));
    }
}
