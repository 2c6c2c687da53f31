//! The first lines of every view: who is watched and how it stands, the tabs, and what must be seen.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout;
use crate::measure::width;
use crate::model::{Model, Screen};
use crate::prepare::Head;
use crate::theme::Tone;
use crate::units::whole_seconds;

/// Who is watched, and how it stands.
pub fn draw(paint: &mut Paint<'_>, area: Rect, model: &Model) {
    let head = &model.prepared.head;
    let mut rest = area;
    let (word, tone) = live_word(head);
    let flag = layout::right(&mut rest, width(&word) + 1);
    paint.text(flag, &word, tone);
    if head.insecure {
        let flag = layout::right(&mut rest, 12);
        paint.text(flag, "▲ INSECURE", Tone::Warn);
    }
    let nodes = format!("{}/{} up", head.up, head.nodes);
    let leader = head.leader.as_deref().unwrap_or("none");
    let (term, revision) = (head.term.to_string(), head.revision.to_string());
    let up_tone = if head.up == head.nodes && head.nodes > 0 {
        Tone::Good
    } else {
        Tone::Warn
    };
    let leader_tone = if head.leader.is_some() {
        Tone::Accent
    } else {
        Tone::Bad
    };
    let cluster = head.cluster.as_deref().map(short).unwrap_or_default();
    let mut groups = vec![vec![
        (" SQUALL ", Tone::Strong),
        (" ", Tone::Plain),
        (nodes.as_str(), up_tone),
    ]];
    if head.nodes > 0 {
        groups.push(vec![(" · leader ", Tone::Dim), (leader, leader_tone)]);
        groups.push(vec![(" · term ", Tone::Dim), (&term, Tone::Plain)]);
        groups.push(vec![(" · rev ", Tone::Dim), (&revision, Tone::Plain)]);
    }
    if !cluster.is_empty() {
        groups.push(vec![(" · cluster ", Tone::Dim), (&cluster, Tone::Dim)]);
    }
    paint.pieces(rest, &whole(groups, rest.width.saturating_sub(1)));
}

/// The groups that fit as a whole, in their order.
fn whole(groups: Vec<Vec<(&str, Tone)>>, room: u16) -> Vec<(&str, Tone)> {
    let mut used = 0;
    let fits = |group: &Vec<(&str, Tone)>| {
        used += group.iter().map(|(text, _)| width(text)).sum::<u16>();
        used <= room
    };
    groups.into_iter().take_while(fits).flatten().collect()
}

/// The tabs.
pub fn tabs(paint: &mut Paint<'_>, area: Rect, open: Screen) {
    for tab in layout::tabs(area, open) {
        let style = paint.theme.tab(tab.screen == open);
        paint.styled(tab.area, &tab.label, style);
    }
}

/// What must be seen in every view.
pub fn banners(paint: &mut Paint<'_>, area: Rect, head: &Head) {
    let mut rows = area.rows();
    if let Some(alarm) = &head.alarm
        && let Some(row) = rows.next()
    {
        let style = paint.theme.banner(Tone::Bad);
        paint.cover(row, style);
        paint.styled(row, &format!(" ✖ {alarm}"), style);
    }
    if let Some(breach) = &head.breach
        && let Some(row) = rows.next()
    {
        let style = paint.theme.banner(Tone::Bad);
        paint.cover(row, style);
        paint.styled(row, &format!(" ✖ {breach}"), style);
    }
    if head.faults.count > 0
        && let Some(row) = rows.next()
    {
        let style = paint.theme.banner(Tone::Warn);
        paint.cover(row, style);
        let faults = &head.faults;
        let count = if faults.count == 1 {
            "1 FAULT".to_owned()
        } else {
            format!("{} FAULTS", faults.count)
        };
        let text = format!(
            " ✶ {count} ACTIVE · next ends in {} · {} · {}",
            whole_seconds(faults.shortest_ms.div_ceil(1000) * 1000),
            head.halt,
            faults.what
        );
        paint.styled(row, &text, style);
    }
}

/// Nothing has come yet.
pub fn loading(paint: &mut Paint<'_>, area: Rect, head: &Head) {
    let inside = paint.panel(area, "Connecting", "");
    let mut rows = inside.rows().skip(1);
    if let Some(row) = rows.next() {
        let text = if head.silent.is_empty() {
            "Waiting for the first node to answer …"
        } else {
            "No node answers yet; trying again until one does."
        };
        paint.text(indent(row), text, Tone::Plain);
    }
    for ((addr, why), row) in head.silent.iter().zip(rows.skip(1)) {
        paint.pieces(
            indent(row),
            &[
                ("✖ ", Tone::Bad),
                (addr, Tone::Accent),
                ("  ", Tone::Plain),
                (why, Tone::Dim),
            ],
        );
    }
}

fn indent(row: Rect) -> Rect {
    Rect {
        x: row.x + 2.min(row.width),
        width: row.width.saturating_sub(3),
        ..row
    }
}

fn live_word(head: &Head) -> (String, Tone) {
    let at = head
        .shown_at
        .as_deref()
        .map_or_else(String::new, |at| format!(" · {at}"));
    let rec = if head.recording { "● REC · " } else { "" };
    let (word, tone) = state_word(head);
    (format!("{rec}{word}{at}"), tone)
}

fn state_word(head: &Head) -> (String, Tone) {
    if let Some(ms) = head.recalling_ms {
        return (format!("◀ BACK {}", whole_seconds(ms)), Tone::Warn);
    }
    match head.frozen_ms {
        Some(ms) => (format!("■ FROZEN {}", whole_seconds(ms)), Tone::Warn),
        None if head.replay.is_some() => (head.replay.clone().unwrap_or_default(), Tone::Warn),
        None if head.up > 0 => ("● LIVE".to_owned(), Tone::Good),
        None if head.nodes == 0 => ("◌ CONNECTING".to_owned(), Tone::Warn),
        None => ("✖ STALE".to_owned(), Tone::Bad),
    }
}

fn short(cluster: &str) -> String {
    cluster.chars().take(8).collect()
}
