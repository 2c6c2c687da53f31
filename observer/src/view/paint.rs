//! The few strokes all panels are made of: text that is cut to its room, boxes, tables. What does not live
//! here: what any of it means.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::border;
use ratatui::widgets::{Block, Clear, Widget as _};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::table::{Align, Cell, Column, Table};
use crate::theme::{Theme, Tone};

/// A buffer and the looks.
pub struct Paint<'a> {
    /// Where it is drawn.
    pub buf: &'a mut Buffer,
    /// How.
    pub theme: Theme,
}

/// Columns before a row for the mark of the selection.
const MARK: u16 = 2;
/// A column of the first rank is shown whole up to this width.
const WHOLE_MAX: u16 = 20;

impl<'a> Paint<'a> {
    /// Draws into `buf`.
    pub fn new(buf: &'a mut Buffer, theme: Theme) -> Self {
        Self { buf, theme }
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
        let block = Block::bordered()
            .border_set(border::ROUNDED)
            .border_style(self.theme.border());
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
            if !note.is_empty() && width(note) + 3 <= rest.width {
                self.right(rest, &format!(" {note} "), Tone::Dim);
            }
        }
        inside
    }

    /// A box that lies over others.
    pub fn overlay(&mut self, area: Rect, title: &str) -> Rect {
        Clear.render(area, self.buf);
        let inside = self.panel(area, title, "");
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
        self.text(Rect { width: 1, ..row }, "▶", Tone::Strong);
        self.select(row);
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

/// Columns a text takes.
#[must_use]
pub fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// A text cut to a width, with `…` where something is missing.
#[must_use]
pub fn fit(text: &str, room: u16) -> std::borrow::Cow<'_, str> {
    if width(text) <= room {
        return text.into();
    }
    let mut left = usize::from(room).saturating_sub(1);
    let fits = |c: &char| {
        let w = c.width().unwrap_or(0);
        let ok = w <= left;
        left = left.saturating_sub(w);
        ok
    };
    let cut: String = text.chars().take_while(fits).collect();
    format!("{cut}…").into()
}

/// Breaks a text at blanks.
#[must_use]
pub fn wrap(text: &str, room: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word = fit(word, room);
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(&word);
        } else if width(last) + 1 + width(&word) <= room {
            last.push(' ');
            last.push_str(&word);
        } else {
            lines.push(word.into_owned());
        }
    }
    lines
}

/// Columns that fit into a width: index, place and width of each. The highest ranks go first; what is
/// left over goes to the columns that have more to say, the lowest ranks first.
#[must_use]
pub fn columns(table: &Table, room: u16) -> Vec<(usize, u16, u16)> {
    let natural: Vec<u16> = (0..table.columns.len()).map(|i| natural(table, i)).collect();
    let mut kept: Vec<usize> = (0..table.columns.len()).collect();
    // What matters most shows whole before the rest shows at all.
    let base = |i: usize| {
        let column = &table.columns[i];
        if column.rank == 0 {
            natural[i].min(WHOLE_MAX).max(column.min)
        } else {
            column.min
        }
    };
    let least = |kept: &[usize]| kept.iter().map(|i| base(*i) + 1).sum::<u16>();
    while least(&kept) > room + 1 {
        let Some(worst) = kept.iter().copied().max_by_key(|i| (table.columns[*i].rank, *i)) else {
            break;
        };
        if table.columns[worst].rank == 0 {
            break;
        }
        kept.retain(|i| *i != worst);
    }
    let mut widths: Vec<u16> = kept.iter().map(|i| base(*i)).collect();
    let mut spare = (room + 1).saturating_sub(least(&kept));
    let mut by_rank: Vec<usize> = (0..kept.len()).collect();
    by_rank.sort_by_key(|k| table.columns[kept[*k]].rank);
    for k in by_rank {
        let more = natural[kept[k]].saturating_sub(widths[k]).min(spare);
        widths[k] += more;
        spare -= more;
    }
    // Room that nobody needs makes the gaps wider.
    let gap = 1 + (spare / kept.len().max(1) as u16).min(2);
    let mut x = 0;
    let mut placed = Vec::with_capacity(kept.len());
    for (i, width) in kept.into_iter().zip(widths) {
        let width = width.min(room.saturating_sub(x));
        placed.push((i, x, width));
        x += width + gap;
    }
    placed.retain(|(_, _, width)| *width > 0);
    placed
}

fn natural(table: &Table, i: usize) -> u16 {
    let column = &table.columns[i];
    let cells = table
        .lines
        .iter()
        .filter_map(|l| l.cells.get(i))
        .map(|c| width(&c.text));
    let widest = cells.max().unwrap_or(0).max(width(&heading(table, i)));
    widest.clamp(column.min, column.max.max(column.min))
}

fn heading(table: &Table, i: usize) -> String {
    let title = table.columns[i].title;
    match table.sort {
        Some(sort) if sort.column == i && table.selected.is_some() => {
            format!("{title}{}", if sort.descending { "▾" } else { "▴" })
        }
        _ => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_says_so_and_never_splits_a_wide_character() {
        assert_eq!(fit("orders", 6), "orders");
        assert_eq!(fit("orders", 5), "orde…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(width(&fit("日本語", 4)), 3);
    }

    #[test]
    fn columns_go_by_rank_and_never_leave_the_room() {
        let columns_of = [
            Column::words("name", 4, 20, 0),
            Column::number("a", 6, 2),
            Column::number("b", 6, 1),
            Column::words("c", 6, 9, 3),
        ];
        let table = Table {
            columns: columns_of.to_vec(),
            ..Table::default()
        };
        for room in 0..60 {
            let fitted = columns(&table, room);
            assert!(fitted.iter().all(|(_, x, w)| x + w <= room), "{room}: {fitted:?}");
        }
        let kept: Vec<_> = columns(&table, 12).iter().map(|c| c.0).collect();
        assert_eq!(kept, [0, 2]);
    }
}
