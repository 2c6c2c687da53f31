//! The view in a file: as text, as JSON, or as a picture, as the file's name ends.
//!
//! What does not live here: which view, and the JSON's schema (`headless`).

use std::fs::OpenOptions;
use std::io::Write as _;

use ratatui::buffer::Buffer;

use crate::headless;
use crate::model::{Model, Screen};
use crate::svg;
use crate::theme::Theme;

/// What goes into the file.
///
/// # Errors
/// In words why there is nothing to write.
pub(crate) fn saved(model: &Model, theme: &Theme, file: &str) -> Result<String, String> {
    let ending = file
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("txt") => Ok(text(&svg::drawn(model, theme))),
        Some("svg") => Ok(svg::to_svg(&svg::drawn(model, theme))),
        Some("json") => {
            let (cluster, now) = model.shown();
            let filter = &model.pane().filter;
            let json = match model.screen {
                Screen::Traces => headless::traces::to_json(&model.traces, now, filter),
                screen => headless::to_json(cluster, now, screen, filter),
            };
            json.map(|json| format!("{json}\n"))
                .map_err(|error| error.to_string())
        }
        _ => Err(format!(
            "'{file}' ends in none of .txt, .json and .svg, which say how to save it"
        )),
    }
}

/// Writes a new file; one that is there stays as it is.
///
/// # Errors
/// In words why it cannot be written.
pub(crate) fn write(file: &str, text: &str) -> Result<String, String> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(format!("saved to {file}")),
        Err(error) => Err(format!("{file}: {error}")),
    }
}

/// A screen as lines of text.
fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let row: String = (0..buffer.area.width)
            .filter_map(|x| buffer.cell((x, y)))
            .map(|cell| cell.symbol())
            .collect();
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}
