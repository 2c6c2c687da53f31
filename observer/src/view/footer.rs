//! The last line: the keys that count here, from the table of keys, or the filter that is being typed.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::measure::width;
use crate::model::{Model, Overlay};
use crate::prepare::keys::Hint;
use crate::theme::Tone;

/// Draws the line.
pub fn draw(paint: &mut Paint<'_>, area: Rect, model: &Model) {
    let mut area = area;
    if let Overlay::Filter(text) = &model.overlay {
        let used = paint.pieces(
            area,
            &[(" / ", Tone::Strong), (text, Tone::Accent), ("▏ ", Tone::Strong)],
        );
        area.x += used;
        area.width -= used;
        if let Some(why) = &model.pane().filter_error {
            paint.text(area, why, Tone::Warn);
            return;
        }
    } else if let Overlay::Palette(palette) = &model.overlay {
        let used = paint.pieces(
            area,
            &[
                (" : ", Tone::Strong),
                (&palette.text, Tone::Accent),
                ("▏ ", Tone::Strong),
            ],
        );
        area.x += used;
        area.width -= used;
    } else if !model.pane().filter_text.is_empty() {
        let text = &model.pane().filter_text;
        let used = paint.pieces(
            area,
            &[(" filter ", Tone::Warn), (text, Tone::Accent), (" ", Tone::Plain)],
        );
        area.x += used;
        area.width -= used;
    }
    if let Some(told) = &model.told {
        paint.pieces(area, &[(" ▲ ", Tone::Warn), (told, Tone::Strong)]);
        return;
    }
    let mut x = 1;
    for (label, hint) in fitting(&model.prepared.hints, area.width) {
        let label = label.as_str();
        let spot = Rect {
            x: area.x + x,
            width: area.width.saturating_sub(x),
            ..area
        };
        x += paint.pieces(
            spot,
            &[(label, Tone::Accent), (" ", Tone::Plain), (hint, Tone::Dim)],
        ) + GAP;
    }
}

/// Columns between two hints.
const GAP: u16 = 2;

/// The hints that fit, in their order. The last ones, how to get help and how to leave, go last.
fn fitting(all: &[Hint], room: u16) -> Vec<Hint> {
    let needed = |hints: &[Hint]| {
        let widths = hints
            .iter()
            .map(|(label, hint)| width(label) + width(hint) + 1 + GAP);
        1 + widths.sum::<u16>().saturating_sub(GAP)
    };
    let mut kept = all.to_vec();
    while kept.len() > 1 && needed(&kept) > room {
        kept.remove(kept.len().saturating_sub(3));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keymap::{Context, Keymap};

    #[test]
    fn help_and_quit_stay_at_every_width() {
        let all: Vec<Hint> = Keymap::default().hints(Context::Main).collect();
        for room in 20..120 {
            let kept = fitting(&all, room);
            let last = &kept[kept.len() - 2..];
            assert_eq!(last, [("?".into(), "help"), ("q".into(), "quit")], "{room}");
        }
        assert_eq!(fitting(&all, 120), all);
    }
}
