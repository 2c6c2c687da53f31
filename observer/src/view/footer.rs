//! The last line: the keys that count here, from the table of keys, or the filter that is being typed.

use ratatui::layout::Rect;

use super::paint::{Paint, width};
use crate::keymap;
use crate::model::{Model, Overlay};
use crate::prepare;
use crate::theme::Tone;
use crate::update::context;

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
    } else if !model.pane().filter_text.is_empty() {
        let text = &model.pane().filter_text;
        let used = paint.pieces(
            area,
            &[(" filter ", Tone::Warn), (text, Tone::Accent), (" ", Tone::Plain)],
        );
        area.x += used;
        area.width -= used;
    }
    let sortable = prepare::columns(model.screen).1.is_some();
    let mut x = 1;
    for (label, hint) in keymap::hints(context(model), sortable) {
        let needed = width(label) + width(hint) + 3;
        if x + needed > area.width {
            break;
        }
        let spot = Rect {
            x: area.x + x,
            width: area.width - x,
            ..area
        };
        x += paint.pieces(
            spot,
            &[(label, Tone::Accent), (" ", Tone::Plain), (hint, Tone::Dim)],
        ) + 2;
    }
}
