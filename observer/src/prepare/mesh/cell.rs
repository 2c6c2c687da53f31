//! A cell of the matrix in as much room as there is: from a glyph to everything that is known of the link.

use super::{Lines, glyph, way_phi};
use crate::facts::LinkFact;
use crate::measure::width;
use crate::theme::Tone;
use crate::units::{bytes, micros, millis, whole_seconds};

/// Lines of a cell that says everything, with a blank one below.
pub(super) const HEIGHT: u16 = 5;

/// What a cell says, in a room of that size.
pub(super) fn lines(l: &LinkFact, (room, height): (u16, u16)) -> Lines {
    let tone = tone(l);
    let quiet = if l.stale_ms.is_some() {
        Tone::Dim
    } else {
        Tone::Plain
    };
    let sign = if l.fault.is_some() { "✶" } else { glyph(l.way).0 };
    let (p50, p99) = (micros(l.rtt_p50_us), micros(l.rtt_p99_us));
    let (phi, queue) = (way_phi(l), bytes(l.queue_bytes));
    let heard = l.way_heard_ms.map(millis).unwrap_or_default();
    let fault = l
        .fault
        .as_ref()
        .map(|what| (what.as_str(), whole_seconds(l.fault_left_ms)));
    let short = match (&fault, l.way) {
        (Some((_, left)), _) => format!("{sign} {left}"),
        (None, "up") => format!("{sign} {p50}"),
        (None, state) => format!("{sign} {state}"),
    };
    if height == 1 {
        let long = match (&fault, l.way) {
            (Some((what, left)), _) => format!("{sign} {left} {what}"),
            (None, "up") => format!("{sign} {p50:>6} {p99:>6} φ{phi}"),
            (None, state) => format!("{sign} {state} φ{phi}"),
        };
        let fits = [long, short].into_iter().find(|text| width(text) <= room);
        return vec![(fits.unwrap_or_else(|| sign.to_owned()), tone)];
    }
    let state = [
        format!("{sign} {} · {heard} ago", l.way),
        format!("{sign} {} {heard}", l.way),
        format!("{sign} {}", l.way),
        short,
    ];
    let state = if heard.is_empty() { &state[2..] } else { &state[..] };
    let rtt = [
        format!("p50 {p50} p99 {p99}"),
        format!("{p50} {p99}"),
        p50.clone(),
    ];
    let load = [
        format!("φ{phi} queue {queue}"),
        format!("φ{phi} {queue}"),
        format!("φ{phi}"),
    ];
    let mut all = vec![(fitting(state, room), tone)];
    let mut rest = vec![(fitting(&rtt, room), quiet), (fitting(&load, room), quiet)];
    if let Some((what, left)) = fault {
        let forms = [
            format!("✶ {left} left · {what}"),
            format!("✶ {left} {what}"),
            format!("✶ {left}"),
        ];
        // Where a line is missing, the fault is worth more than the round trips.
        let at = if height >= 4 { rest.len() } else { 0 };
        rest.insert(at, (fitting_or_cut(&forms, room), tone));
    }
    all.append(&mut rest);
    all.truncate(usize::from(height.clamp(1, HEIGHT - 1)));
    all
}

/// What the cells say, by their size.
pub(super) fn legend((room, height): (u16, u16)) -> &'static str {
    match (room, height) {
        (26.., 1) => "row sends to column · round trips p50, p99 · φ suspicion",
        (_, 1) => "row sends to column · round trip p50",
        _ => "row sends to column · φ suspicion · ✶ fault, time left",
    }
}

fn tone(l: &LinkFact) -> Tone {
    if l.fault.is_some() {
        Tone::Warn
    } else {
        glyph(l.way).1
    }
}

/// The first of several forms that fits, or the last.
fn fitting(forms: &[String], room: u16) -> String {
    let fits = forms.iter().find(|text| width(text) <= room);
    fits.or(forms.last()).cloned().unwrap_or_default()
}

/// The same for what ends in words that may be cut.
fn fitting_or_cut(forms: &[String], room: u16) -> String {
    match forms {
        [long, middle, _] if width(long) > room && room >= 12 => middle.clone(),
        _ => fitting(forms, room),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(fault: Option<&str>) -> LinkFact {
        LinkFact {
            from: "a".to_owned(),
            to: "b".to_owned(),
            state: "up",
            rtt_p50_us: 2_400,
            rtt_p99_us: 32_000,
            phi: 0.3,
            queue_bytes: 1_331,
            last_heard_ms: 15,
            fault: fault.map(str::to_owned),
            fault_left_ms: 24_900,
            frames_out: 0,
            bytes_out: 0,
            connects: 1,
            why: None,
            way: "up",
            way_phi: Some(0.3),
            way_heard_ms: Some(15),
            stale_ms: None,
        }
    }

    fn texts(l: &LinkFact, size: (u16, u16)) -> Vec<String> {
        lines(l, size).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn a_cell_says_as_much_as_there_is_room_for() {
        let l = link(None);
        assert_eq!(
            texts(&l, (24, 5)),
            ["● up · 15ms ago", "p50 2.4ms p99 32ms", "φ0.3 queue 1.3K"]
        );
        assert_eq!(texts(&l, (11, 3)), ["● up 15ms", "2.4ms 32ms", "φ0.3 1.3K"]);
        assert_eq!(texts(&l, (24, 1)), ["●  2.4ms   32ms φ0.3"]);
        assert_eq!(texts(&l, (8, 1)), ["● 2.4ms"]);
        assert_eq!(texts(&l, (2, 1)), ["●"]);
    }

    #[test]
    fn a_fault_and_its_time_left_come_before_round_trips() {
        let l = link(Some("delay 200ms"));
        assert_eq!(texts(&l, (24, 5))[3], "✶ 24s left · delay 200ms");
        assert_eq!(texts(&l, (24, 2))[1], "✶ 24s left · delay 200ms");
        assert_eq!(texts(&l, (8, 2))[1], "✶ 24s");
        assert_eq!(texts(&l, (24, 1)), ["✶ 24s delay 200ms"]);
        for size in [(1, 1), (5, 2), (30, 9)] {
            assert!(lines(&l, size).len() <= usize::from(size.1));
        }
    }
}
