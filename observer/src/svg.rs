//! The real screen as a picture: the same view drawn into a buffer, and the buffer written as SVG.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use crate::console::Console;
use crate::error::Error;
use crate::feed::Feed;
use crate::feed::grpc::GrpcFeed;
use crate::gather::Gather;
use crate::headless::detail::page;
use crate::limits::{HEIGHT_MIN, WIDTH_MIN};
use crate::model::{Message, Model, Page, Screen};
use crate::theme::Theme;
use crate::traces::{Sources, Span, TraceFeed};
use crate::units::Moment;
use crate::update::update;
use crate::view::view;

/// How the picture is taken.
#[derive(Clone)]
pub struct Options {
    /// Addresses of any ports of any nodes.
    pub addresses: Vec<String>,
    /// Which view.
    pub view: Screen,
    /// The page of this exchange, or of the process of this pid, in place of the view.
    pub detail: Option<String>,
    /// Columns and rows.
    pub size: (u16, u16),
    /// How long to wait for a whole picture.
    pub patience: Duration,
    /// How long to watch after that, so that rates and charts have something to say.
    pub watch: Duration,
    /// What the Chaos view shows beside faults; without one it says that there is none.
    pub console: Option<Arc<dyn Console>>,
}

impl Options {
    /// A picture of `view`, with three seconds of patience, taken after five seconds of watching.
    #[must_use]
    pub fn new(addresses: Vec<String>, view: Screen, size: (u16, u16)) -> Self {
        Self {
            addresses,
            view,
            detail: None,
            size,
            patience: Duration::from_secs(3),
            watch: Duration::from_secs(5),
            console: None,
        }
    }
}

/// Spans taken for a picture.
const SPANS_MAX: usize = 50_000;
const CELL_W: f64 = 8.4;
const CELL_H: f64 = 18.0;
const PAD: f64 = 10.0;
const FONT: &str = "'DejaVu Sans Mono','Cascadia Mono',Menlo,Consolas,monospace";
const PAPER: &str = "#11151c";
const INK: &str = "#d5dbe3";

/// Watches the cluster for a moment and draws its screen.
///
/// # Errors
/// [`Error::TooSmall`], [`Error::NotDetailed`], or [`Error::Unreachable`] when no node answered.
pub async fn svg(options: &Options, sources: Sources) -> Result<String, Error> {
    if options.size.0 < WIDTH_MIN || options.size.1 < HEIGHT_MIN {
        return Err(Error::TooSmall(options.size.0, options.size.1));
    }
    let feed = GrpcFeed::start(options.addresses.clone());
    let page = page(options.view, options.detail.as_deref())?;
    let gather = Gather::of(feed, options.view, page.clone());
    let mut traces = sources.feed();
    let mut spans = Vec::new();
    let board = options.console.as_ref().map(|console| console.board());
    let gather = tokio::select! {
        watched = watched(gather, options) => watched?,
        never = kept(&mut traces, &mut spans) => match never {},
    };
    let mut model = model(gather, options);
    model.page = page.map(Page::new);
    model.traces.sources = traces.status();
    model.traces.store.insert(spans);
    if let Some(board) = board {
        let board = Arc::clone(&board.borrow());
        update(&mut model, Message::Board(board));
    }
    let now = model.now;
    Ok(to_svg(&screen(&mut model, now, &Theme::new(true))))
}

/// Keeps what comes; the newest are enough to fill a screen many times.
async fn kept(traces: &mut TraceFeed, spans: &mut Vec<Span>) -> std::convert::Infallible {
    while let Some(more) = traces.next().await {
        if spans.len() < SPANS_MAX {
            spans.extend(more);
        }
    }
    std::future::pending().await
}

/// Watches as long as the options say. Traces have sources of their own: they show without a node, too.
async fn watched<F: Feed>(mut gather: Gather<F>, options: &Options) -> Result<Gather<F>, Error> {
    match gather.complete(options.view, options.patience).await {
        Err(Error::Unreachable { .. }) if options.view == Screen::Traces => {}
        done => done?,
    }
    gather.go_on(options.watch).await;
    Ok(gather)
}

fn model<F: Feed>(gather: Gather<F>, options: &Options) -> Model {
    let mut model = Model::new(options.size, options.view, options.console.is_some());
    (model.now, model.live) = (gather.clock.now(), gather.cluster);
    model
}

/// The same with any feed.
///
/// # Errors
/// As [`svg`].
pub async fn take<F: Feed>(gather: Gather<F>, options: &Options) -> Result<String, Error> {
    let mut model = model(watched(gather, options).await?, options);
    let now = model.now;
    Ok(to_svg(&screen(&mut model, now, &Theme::new(true))))
}

/// The screen of a model at a time, as a buffer.
#[must_use]
pub fn screen(model: &mut Model, now: Moment, theme: &Theme) -> Buffer {
    update(model, Message::Tick(now));
    drawn(model, theme)
}

/// What a model shows, as a buffer.
#[must_use]
pub fn drawn(model: &Model, theme: &Theme) -> Buffer {
    let backend = TestBackend::new(model.size.0, model.size.1);
    let Ok(mut terminal) = Terminal::new(backend);
    let Ok(frame) = terminal.draw(|frame| view(model, theme, frame, frame.area()));
    frame.buffer.clone()
}

/// A buffer as SVG.
#[must_use]
pub fn to_svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (w, h) = (
        f64::from(area.width) * CELL_W + 2.0 * PAD,
        f64::from(area.height) * CELL_H + 2.0 * PAD,
    );
    let mut out = String::new();
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.1} {h:.1}" width="{w:.0}" height="{h:.0}" font-family="{FONT}" font-size="14">"#
    );
    let _ = writeln!(out, r#"<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>"#);
    for y in 0..area.height {
        let row: Vec<&Cell> = (0..area.width)
            .filter_map(|x| buffer.cell((area.x + x, area.y + y)))
            .collect();
        line(&mut out, &row, PAD + f64::from(y) * CELL_H);
    }
    out.push_str("</svg>\n");
    out
}

/// How a run of cells looks.
#[derive(PartialEq)]
struct Look {
    ink: String,
    paper: Option<String>,
    bold: bool,
    faint: bool,
    underlined: bool,
}

fn line(out: &mut String, row: &[&Cell], y: f64) {
    let mut start = 0;
    while start < row.len() {
        let look = look(row[start]);
        let mut end = start + 1;
        while end < row.len() && self::look(row[end]) == look {
            end += 1;
        }
        run(out, &row[start..end], &look, PAD + start as f64 * CELL_W, y);
        start = end;
    }
}

fn run(out: &mut String, cells: &[&Cell], look: &Look, x: f64, y: f64) {
    let width = cells.len() as f64 * CELL_W;
    if let Some(paper) = &look.paper {
        let _ = writeln!(
            out,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{CELL_H}" fill="{paper}"/>"#
        );
    }
    let text: String = cells.iter().map(|c| c.symbol()).collect();
    if text.trim().is_empty() {
        return;
    }
    let mut style = String::new();
    for (on, attribute) in [
        (look.bold, r#" font-weight="bold""#),
        (look.faint, r#" opacity="0.6""#),
        (look.underlined, r#" text-decoration="underline""#),
    ] {
        if on {
            style.push_str(attribute);
        }
    }
    let base = y + CELL_H * 0.74;
    let _ = writeln!(
        out,
        r#"<text x="{x:.1}" y="{base:.1}" fill="{}" textLength="{width:.1}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"{style}>{}</text>"#,
        look.ink,
        escape(&text)
    );
}

fn look(cell: &Cell) -> Look {
    let is = |m: Modifier| cell.modifier.contains(m);
    let (mut ink, mut paper) = (hex(cell.fg), hex(cell.bg));
    if is(Modifier::REVERSED) {
        (ink, paper) = (
            Some(paper.unwrap_or_else(|| PAPER.to_owned())),
            Some(ink.unwrap_or_else(|| INK.to_owned())),
        );
    }
    Look {
        ink: ink.unwrap_or_else(|| INK.to_owned()),
        paper,
        bold: is(Modifier::BOLD),
        faint: is(Modifier::DIM),
        underlined: is(Modifier::UNDERLINED),
    }
}

/// A colour of the 256 as terminals draw it; the terminal's own is none.
fn hex(color: Color) -> Option<String> {
    let (r, g, b) = match color {
        Color::Indexed(i @ 16..=231) => {
            let step = |v: u8| if v == 0 { 0 } else { 55 + v * 40 };
            let i = i - 16;
            (step(i / 36), step(i / 6 % 6), step(i % 6))
        }
        Color::Indexed(i @ 232..) => (8 + (i - 232) * 10, 8 + (i - 232) * 10, 8 + (i - 232) * 10),
        Color::Rgb(r, g, b) => (r, g, b),
        _ => return None,
    };
    Some(format!("#{r:02x}{g:02x}{b:02x}"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;

    #[test]
    fn a_picture_holds_the_text_its_colours_and_nothing_that_breaks_it() {
        let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, 20, 2));
        buffer.set_string(0, 0, "<orders> & co", Style::new().fg(Color::Indexed(202)));
        buffer.set_string(0, 1, "selected", Style::new().add_modifier(Modifier::REVERSED));
        let svg = to_svg(&buffer);
        assert!(svg.contains("&lt;orders&gt; &amp; co") && svg.contains("#ff5f00"));
        assert!(
            svg.contains(&format!(r#"fill="{INK}"/>"#)),
            "the selection is reversed"
        );
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
