//! The few strokes all panels are made of: text that is cut to its room, boxes, tables. What does not live
//! here: what any of it means.

use crate::measure::{fit, width};
use crate::table::fitted::{MARK, columns, heading};
use crate::table::{Align, Cell, Column, Table};
use crate::theme::{Theme, Tone};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::widgets::{Block, Clear, Widget as _};

/// A buffer and the looks.
pub struct Paint<'a> {
    /// Where it is drawn.
    pub buf: &'a mut Buffer,
    /// How.
    pub theme: Theme,
    /// How old what the panels show is; it stands in their corners.
    pub age: &'a str,
}

impl<'a> Paint<'a> {
    /// Draws into `buf`.
    pub fn new(buf: &'a mut Buffer, theme: Theme) -> Self {
        Self { buf, theme, age: "" }
    }

    /// Text at the left of `area`; says how many columns it took.
    pub fn text(&mut self, area: Rect, text: &str, tone: Tone) -> u16 {
        self.styled(area, text, self.theme.style(tone))
    }

    /// Text in a style at the left of `area`, cut with `…`; says how many columns it took.
    pub fn styled(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        if area.is_empty() {
            return 0;
        }
        let text = fit(text, area.width);
        let (x, _) = self
            .buf
            .set_stringn(area.x, area.y, &text, usize::from(area.width), style);
        x - area.x
    }

    /// Text at the right of `area`.
    pub fn right(&mut self, area: Rect, text: &str, tone: Tone) {
        let width = width(text).min(area.width);
        self.text(
            Rect {
                x: area.x + area.width - width,
                width,
                ..area
            },
            text,
            tone,
        );
    }

    /// Text in the middle of `area`.
    pub fn centre(&mut self, area: Rect, text: &str, tone: Tone) {
        let width = width(text).min(area.width);
        self.text(
            Rect {
                x: area.x + (area.width - width) / 2,
                width,
                ..area
            },
            text,
            tone,
        );
    }

    /// Pieces of text in a row; what does not fit is cut.
    pub fn pieces(&mut self, area: Rect, pieces: &[(&str, Tone)]) -> u16 {
        let mut used = 0;
        for (text, tone) in pieces {
            used += self.text(
                Rect {
                    x: area.x + used,
                    width: area.width - used,
                    ..area
                },
                text,
                *tone,
            );
        }
        used
    }

    /// Says in the middle of `inside` why there is nothing in it.
    pub fn nothing(&mut self, inside: Rect, why: &str) {
        let middle = Rect {
            y: inside.y + inside.height / 2,
            height: inside.height.min(1),
            ..inside
        };
        self.centre(middle, why, Tone::Dim);
    }

    /// A box with a title; what comes back is its inside.
    pub fn panel(&mut self, area: Rect, title: &str, note: &str) -> Rect {
        self.boxed(area, title, note, self.theme.border())
    }

    /// The same for what must not be missed.
    pub fn alarm(&mut self, area: Rect, title: &str, note: &str) -> Rect {
        self.boxed(area, title, note, self.theme.style(Tone::Bad))
    }

    fn boxed(&mut self, area: Rect, title: &str, note: &str, border: Style) -> Rect {
        let block = Block::bordered().border_set(border::ROUNDED).border_style(border);
        let inside = block.inner(area);
        block.render(area, self.buf);
        if area.height > 0 && area.width > 6 {
            let line = Rect {
                x: area.x + 2,
                width: area.width - 4,
                height: 1,
                ..area
            };
            // The border's colour must not shine through.
            let used = self.styled(line, &format!(" {title} "), self.theme.title());
            let rest = Rect {
                x: line.x + used,
                width: line.width - used,
                ..line
            };
            let age = self.age;
            let both = match (note.is_empty(), age.is_empty()) {
                (false, false) => format!("{note} · {age}"),
                _ => format!("{note}{age}"),
            };
            // The age is worth more than the note.
            let mut corner = [both.as_str(), age, note].into_iter();
            if let Some(text) = corner.find(|text| !text.is_empty() && width(text) + 3 <= rest.width) {
                self.right(rest, &format!(" {text} "), Tone::Dim);
            }
        }
        inside
    }

    /// A small box in a tone; what comes back is its inside. Nothing shines through.
    pub fn frame(&mut self, area: Rect, tone: Tone) -> Rect {
        Clear.render(area, self.buf);
        let block = Block::bordered()
            .border_set(border::ROUNDED)
            .border_style(self.theme.style(tone));
        let inside = block.inner(area);
        block.render(area, self.buf);
        inside
    }

    /// A box that lies over others.
    pub fn overlay(&mut self, area: Rect, title: &str, note: &str) -> Rect {
        Clear.render(area, self.buf);
        let inside = self.panel(area, title, note);
        Rect {
            x: inside.x + 1,
            width: inside.width.saturating_sub(2),
            ..inside
        }
    }

    /// Lays a style over an area.
    pub fn cover(&mut self, area: Rect, style: Style) {
        self.buf.set_style(area, style);
    }

    /// A table with headings; the selected line is reversed and marked.
    pub fn table(&mut self, area: Rect, table: &Table) {
        let fitted = columns(table, area.width.saturating_sub(MARK));
        let mut rows = area.rows();
        let Some(head) = rows.next() else { return };
        for (i, x, width) in &fitted {
            let column = &table.columns[*i];
            let spot = Rect {
                x: head.x + MARK + x,
                width: *width,
                ..head
            };
            self.aligned(
                spot,
                &heading(table, *i),
                column.align,
                self.theme.style(Tone::Head),
            );
        }
        for ((i, line), row) in table.lines.iter().enumerate().zip(rows) {
            self.cells(row, &table.columns, &fitted, &line.cells, line.dim);
            if table.selected == Some(table.first + i) {
                self.mark(row);
            }
        }
    }

    /// One more line under a table, in its columns.
    pub fn under(&mut self, row: Rect, of: &Table, cells: &[Cell]) {
        let fitted = columns(of, row.width.saturating_sub(MARK));
        self.cells(row, &of.columns, &fitted, cells, false);
    }

    /// Marks a row as selected: by a glyph and by reversing it.
    pub fn mark(&mut self, row: Rect) {
        self.point(row);
        self.select(row);
    }

    /// Points at a row.
    pub fn point(&mut self, row: Rect) {
        self.text(Rect { width: 1, ..row }, "▶", Tone::Strong);
    }

    /// Reverses an area. Only what is broken keeps its colour: a patchwork would be hard to read.
    pub fn select(&mut self, area: Rect) {
        let bad = self.theme.style(Tone::Bad).fg;
        for place in area.positions() {
            if let Some(cell) = self.buf.cell_mut(place)
                && Some(cell.fg) != bad
            {
                cell.fg = Color::Reset;
            }
        }
        self.cover(area, self.theme.selected());
    }

    /// Marks an area as painted: underlined in the colour of what is chosen, whatever stands in it.
    pub fn painted(&mut self, area: Rect) {
        let style = self
            .theme
            .style(Tone::Accent)
            .add_modifier(Modifier::UNDERLINED | Modifier::BOLD);
        let line = Rect {
            height: area.height.min(1),
            ..area
        };
        self.cover(line, style);
    }

    /// Lines of label and value.
    pub fn details(&mut self, area: Rect, lines: &[Vec<(&'static str, String, Tone)>]) {
        for (row, line) in area.rows().zip(lines) {
            let mut used = 1;
            for (label, value, tone) in line {
                let rest = |used: u16| Rect {
                    x: row.x + used.min(row.width),
                    width: row.width.saturating_sub(used),
                    ..row
                };
                if !label.is_empty() {
                    used += self.text(rest(used), label, Tone::Dim) + 1;
                }
                used += self.text(rest(used), value, *tone) + 3;
            }
        }
    }

    fn cells(&mut self, row: Rect, all: &[Column], fitted: &[(usize, u16, u16)], cells: &[Cell], dim: bool) {
        for (i, x, width) in fitted {
            let Some(cell) = cells.get(*i) else { continue };
            let spot = Rect {
                x: row.x + MARK + x,
                width: *width,
                ..row
            };
            // A stale row is grey, but what is broken stays so.
            let tone = if dim && cell.tone != Tone::Bad {
                Tone::Dim
            } else {
                cell.tone
            };
            self.aligned(spot, &cell.text, all[*i].align, self.theme.style(tone));
        }
    }

    fn aligned(&mut self, spot: Rect, text: &str, align: Align, style: Style) {
        let width = width(text).min(spot.width);
        let x = if align == Align::Right {
            spot.x + spot.width - width
        } else {
            spot.x
        };
        self.styled(
            Rect {
                x,
                width: spot.width - (x - spot.x),
                ..spot
            },
            text,
            style,
        );
    }
}
