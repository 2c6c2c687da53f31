//! Draws the model. Nothing is sorted, filtered, timed or changed here: all that was done in `update`.
//! One panel, one file.

pub mod ascii;
pub mod board;
pub mod chaos;
pub mod exchanges;
pub mod footer;
pub mod header;
pub mod health;
pub mod help;
pub mod leaders;
pub mod load;
pub mod mesh;
pub mod overview;
pub mod page;
pub mod paint;
pub mod palette;
pub mod processes;
pub mod question;
pub mod registry;
pub mod ring;
pub mod timeline;
pub mod traces;
pub mod waterfall;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layout;
use crate::limits::{HEIGHT_MIN, WIDTH_MIN};
use crate::model::{Model, Overlay};
use crate::prepare::{self, Body};
use crate::theme::{Theme, Tone};
use paint::Paint;

/// Draws everything into `area`.
pub fn view(model: &Model, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let mut paint = Paint::new(frame.buffer_mut(), *theme);
    let prepared = &model.prepared;
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!(
            "need {WIDTH_MIN}x{HEIGHT_MIN}, have {}x{}",
            area.width, area.height
        );
        let y = area.y + area.height / 2;
        paint.centre(
            Rect {
                y,
                height: 1.min(area.height),
                ..area
            },
            &text,
            Tone::Warn,
        );
        return;
    }
    let shell = prepare::shell(&model.prepared.head, model.status.is_some(), area);
    header::draw(&mut paint, shell.header, model);
    header::tabs(&mut paint, shell.tabs, model.screen);
    header::banners(&mut paint, shell.banners, &model.prepared.head);
    paint.age = &prepared.age;
    body(&mut paint, shell.body, model);
    paint.age = "";
    if let Some(status) = &model.status {
        paint.text(shell.status, status, Tone::Dim);
    }
    footer::draw(&mut paint, shell.footer, model);
    // What lies over the view leaves what must be seen in sight.
    let over = layout::under(area, shell.body);
    match &model.overlay {
        Overlay::None | Overlay::Filter(_) => {}
        Overlay::Help(_) => {
            if let Some(v) = &prepared.help {
                help::draw(&mut paint, over, v);
            }
        }
        Overlay::Palette(typed) => palette::draw(&mut paint, over, typed.chosen, &prepared.commands),
        Overlay::Chaos(dialog) => chaos::draw(&mut paint, over, dialog, &prepared.hints),
        Overlay::Question(_) => {
            if let Some(v) = &prepared.asked {
                question::draw(&mut paint, over, v, &prepared.hints);
            }
        }
        Overlay::Notice { title, text, bad } => {
            chaos::notice(&mut paint, over, title, text, *bad, &prepared.hints);
        }
    }
    if theme.is_ascii() {
        ascii::reduce(frame.buffer_mut());
    }
}

fn body(paint: &mut Paint<'_>, area: Rect, model: &Model) {
    match &model.prepared.body {
        Body::Page(v) => page::draw(paint, area, v),
        Body::Loading => header::loading(paint, area, &model.prepared.head),
        Body::Overview(v) => overview::draw(paint, area, v),
        Body::Mesh(v) => mesh::draw(paint, area, v),
        Body::Exchanges(v) => exchanges::draw(paint, area, v),
        Body::Leaders(v) => leaders::draw(paint, area, v),
        Body::Processes(v) => processes::draw(paint, area, v),
        Body::Registry(v) => registry::draw(paint, area, v),
        Body::Timeline(v) => timeline::draw(paint, area, v),
        Body::Traces(v) => traces::draw(paint, area, v),
        Body::Waterfall(v) => waterfall::draw(paint, area, v),
        Body::Chaos(v) => board::draw(paint, area, v),
    }
}
