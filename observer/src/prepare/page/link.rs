//! The page of a link: both directions, for each is one of its own.

use super::{Sheet, Source, plain};
use crate::facts::{self, LinkFact};
use crate::prepare::mesh;
use crate::theme::Tone;
use crate::units::{bytes, count, micros, millis};

const EVENTS: usize = 12;

pub(super) fn sheet(source: Source<'_>, from: &str, to: &str) -> (String, Sheet) {
    let links = facts::links(source.cluster, source.now);
    let mut sheet = Sheet::default();
    for (a, b) in [(from, to), (to, from)] {
        sheet.heading(format!("{a} → {b}"));
        match links.iter().find(|l| l.from == a && l.to == b) {
            Some(link) => direction(&mut sheet, link),
            None => sheet.say(format!("{a} reports no link to {b}"), Tone::Dim),
        }
    }
    let between = |node: &str, event: &squall_proto::v1::Event| {
        (node == from && event.text.contains(to)) || (node == to && event.text.contains(from))
    };
    sheet.events(source, EVENTS, |node, event| {
        event.kind.starts_with("link") && between(node, event)
    });
    (format!("Link {from} – {to}"), sheet)
}

fn direction(sheet: &mut Sheet, l: &LinkFact) {
    let (glyph, tone) = mesh::glyph(l.way);
    sheet.fields(&[
        ("", format!("{glyph} {}", l.way), tone),
        plain("p50", micros(l.rtt_p50_us)),
        plain("p99", micros(l.rtt_p99_us)),
        ("", format!("{} heard it", l.to), Tone::Dim),
        ("", mesh::heard(l), Tone::Plain),
        plain("phi", mesh::way_phi(l)),
    ]);
    sheet.fields(&[
        plain("waiting", bytes(l.queue_bytes)),
        plain(
            "sent",
            format!("{} in {} frames", bytes(l.bytes_out), count(l.frames_out)),
        ),
        plain("connected", format!("{} times", l.connects)),
    ]);
    if let Some(why) = &l.why {
        sheet.say(format!("not up: {why}"), Tone::Bad);
    }
    if let Some(fault) = &l.fault {
        sheet.say(
            format!("✶ {fault} · {} left", millis(l.fault_left_ms)),
            Tone::Warn,
        );
    }
    if let Some(ms) = l.stale_ms {
        sheet.say(format!("said {} ago", millis(ms)), Tone::Warn);
    }
}
