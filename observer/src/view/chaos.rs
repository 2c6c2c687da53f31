//! The chaos dialog, and the small box that says what an order came to.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::dialog::{Dialog, Field, Stage, Target};
use crate::layout::centred;
use crate::measure::wrap;
use crate::prepare::keys::Hint;
use crate::theme::Tone;

/// Draws the dialog.
pub fn draw(paint: &mut Paint<'_>, area: Rect, dialog: &Dialog, keys: &[Hint]) {
    let fields = dialog.fields().len() as u16;
    let radius = dialog.radius.as_ref().map_or(1, |r| r.lines.len().max(1) as u16);
    let room = centred(area, 64, fields + radius.min(6) + 8);
    let title = match &dialog.target {
        Target::Node {
            name,
            owns: Some(owned),
            ..
        } => format!("Chaos on node {name}, the owner of {owned}"),
        Target::Node { name, .. } => format!("Chaos on node {name}"),
        Target::Link { from, to, .. } if dialog.aimed_at() == format!("{from} -> {to}") => {
            format!("Chaos on link {from} → {to}")
        }
        Target::Link { .. } => format!("Chaos on {}", dialog.aimed_at()),
    };
    let inside = paint.overlay(room, &title, "");
    let mut rows = inside.rows();
    if let Some(row) = rows.next() {
        paint.text(row, &frozen(dialog), Tone::Dim);
    }
    for (field, row) in dialog.fields().into_iter().zip(rows.by_ref()) {
        self::field(paint, row, dialog, field);
    }
    rows.next();
    if let Some(row) = rows.next() {
        paint.text(row, "What it does to the cluster", Tone::Head);
    }
    let (lines, tone): (&[String], _) = match &dialog.radius {
        Some(r) => (&r.lines, if r.quorum_lost { Tone::Bad } else { Tone::Plain }),
        None => (&[], Tone::Dim),
    };
    for (line, row) in lines.iter().take(6).zip(rows.by_ref()) {
        let mark = if tone == Tone::Bad { " ! " } else { " · " };
        paint.pieces(row, &[(mark, tone), (line, tone)]);
    }
    let last = Rect {
        y: inside.y + inside.height.saturating_sub(2),
        height: inside.height.min(2),
        ..inside
    };
    stage(paint, last, dialog, keys);
}

/// Draws a box with a text.
pub fn notice(paint: &mut Paint<'_>, area: Rect, title: &str, text: &str, bad: bool, keys: &[Hint]) {
    let lines = wrap(text, 56);
    let inside = paint.overlay(centred(area, 60, lines.len() as u16 + 4), title, "");
    let tone = if bad { Tone::Bad } else { Tone::Plain };
    for (line, row) in lines.iter().zip(inside.rows()) {
        paint.text(row, line, tone);
    }
    if let Some(row) = inside.rows().next_back() {
        hints(paint, row, keys);
    }
}

fn frozen(dialog: &Dialog) -> String {
    let (Target::Node { was, .. } | Target::Link { was, .. }) = &dialog.target;
    match was.os_pid {
        Some(pid) => format!("incarnation {}, process {pid}", was.incarnation),
        None => "not heard of since this observer started".to_owned(),
    }
}

fn field(paint: &mut Paint<'_>, row: Rect, dialog: &Dialog, field: Field) {
    let active = dialog.field == field && dialog.stage == Stage::Form;
    let (label, mark) = (
        match field {
            Field::Deed => "action",
            Field::Ttl => "time",
            Field::Delay => "delay",
            Field::Loss => "loss",
            Field::Words => "fault",
            Field::Whom => "aim",
        },
        if active { "▶ " } else { "  " },
    );
    let tone = if active { Tone::Strong } else { Tone::Dim };
    let used = paint.pieces(row, &[(mark, Tone::Strong), (label, tone)]);
    let mut rest = Rect {
        x: row.x + used.max(10),
        width: row.width.saturating_sub(used.max(10)),
        ..row
    };
    if field != Field::Deed {
        let words = match field {
            Field::Ttl => dialog.ttl_words(),
            Field::Loss => dialog.loss_words(),
            Field::Words => dialog.written().to_owned(),
            Field::Whom => dialog.aimed_at().to_owned(),
            Field::Deed | Field::Delay => dialog.delay_words(),
        };
        let (left, right) = if active { ("‹ ", " ›") } else { ("  ", "") };
        paint.pieces(
            rest,
            &[(left, Tone::Accent), (&words, Tone::Plain), (right, Tone::Accent)],
        );
        return;
    }
    let deeds = dialog.deeds();
    let at = deeds.iter().position(|deed| *deed == dialog.deed).unwrap_or(0);
    // So many are before the chosen one that it shows with some behind it.
    for deed in deeds.iter().skip(at.saturating_sub(DEEDS_BEFORE)) {
        let chosen = *deed == dialog.deed;
        let word = dialog.word(*deed);
        let text = if chosen {
            format!("[{word}]")
        } else {
            format!(" {word} ")
        };
        let mut style = paint.theme.style(if chosen { Tone::Strong } else { Tone::Dim });
        if chosen && active {
            style = style.patch(paint.theme.selected());
        }
        let used = paint.styled(rest, &text, style) + 1;
        rest.x += used.min(rest.width);
        rest.width = rest.width.saturating_sub(used);
    }
}

/// Deeds that show before the chosen one.
const DEEDS_BEFORE: usize = 3;

fn stage(paint: &mut Paint<'_>, area: Rect, dialog: &Dialog, keys: &[Hint]) {
    let mut rows = area.rows();
    let (Some(first), second) = (rows.next(), rows.next().unwrap_or_default()) else {
        return;
    };
    match &dialog.stage {
        Stage::Form => {
            if let Some(known) = dialog.known() {
                paint.text(first, known.form, Tone::Dim);
            }
            hints(paint, second, keys);
        }
        Stage::Writing(text) => {
            paint.pieces(
                first,
                &[("fault: ", Tone::Dim), (text, Tone::Strong), ("▏", Tone::Strong)],
            );
            hints(paint, second, keys);
        }
        Stage::Typing(text) => {
            let wanted = dialog
                .radius
                .as_ref()
                .and_then(|r| r.confirm_by_typing.as_deref())
                .unwrap_or("");
            let ask = format!("Type {wanted} and press Enter to {}: ", dialog.word(dialog.deed));
            paint.pieces(
                first,
                &[(&ask, Tone::Bad), (text, Tone::Strong), ("▏", Tone::Strong)],
            );
            hints(paint, second, keys);
        }
        Stage::Confirm => {
            paint.text(
                first,
                &format!("Press Enter once more to {}.", dialog.word(dialog.deed)),
                Tone::Bad,
            );
            hints(paint, second, keys);
        }
        Stage::Running => {
            paint.text(first, "Being carried out …", Tone::Warn);
        }
        Stage::Done(result) => {
            let (mark, text, tone) = match result {
                Ok(text) => ("✔ ", text, Tone::Good),
                Err(text) => ("✖ ", text, Tone::Bad),
            };
            let lines = wrap(text, first.width.saturating_sub(2));
            for (i, (line, row)) in lines.iter().zip([first, second]).enumerate() {
                paint.pieces(row, &[(if i == 0 { mark } else { "  " }, tone), (line, tone)]);
            }
            // The footer says it too, where a long answer leaves no room here.
            if lines.len() == 1 {
                hints(paint, second, keys);
            }
        }
    }
}

/// The keys that count in the dialog.
pub(super) fn hints(paint: &mut Paint<'_>, row: Rect, keys: &[Hint]) {
    let words = keys.iter().map(|(label, hint)| format!("{label} {hint}"));
    paint.right(row, &words.collect::<Vec<_>>().join("  "), Tone::Dim);
}
