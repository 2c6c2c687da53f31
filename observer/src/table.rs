//! Tables ready to be drawn: filtered, sorted, and cut to the window that shows. The selection follows a
//! row's identity, never its index. What does not live here: what the columns mean, and drawing.

pub mod fitted;
mod id;

use std::borrow::Cow;

use squall_filter::{Field, Filter, Kind};

use crate::theme::Tone;

pub use id::{Decision, RowId};

/// Which edge a column keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// Narrowest; numbers have a fixed one so that they do not dance.
    pub min: u16,
    /// Widest.
    pub max: u16,
    /// Edge.
    pub align: Align,
    /// The highest go first when there is no room; 0 always stays.
    pub rank: u8,
    /// What a filter compares it with.
    pub kind: Kind,
    /// Its numbers times this are in the unit of that kind.
    pub scale: u32,
}

impl Column {
    /// A column of words.
    #[must_use]
    pub const fn words(title: &'static str, min: u16, max: u16, rank: u8) -> Self {
        Self {
            title,
            min,
            max,
            align: Align::Left,
            rank,
            kind: Kind::Text,
            scale: 1,
        }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn number(title: &'static str, width: u16, rank: u8) -> Self {
        Self {
            title,
            min: width,
            max: width,
            align: Align::Right,
            rank,
            kind: Kind::Count,
            scale: 1,
        }
    }

    /// Its numbers are bytes.
    #[must_use]
    pub const fn bytes(self) -> Self {
        Self {
            kind: Kind::Bytes,
            ..self
        }
    }

    /// Its numbers are microseconds.
    #[must_use]
    pub const fn micros(self) -> Self {
        Self {
            kind: Kind::Micros,
            ..self
        }
    }

    /// Its numbers are milliseconds.
    #[must_use]
    pub const fn millis(self) -> Self {
        Self {
            kind: Kind::Micros,
            scale: 1000,
            ..self
        }
    }

    /// Its numbers are percent.
    #[must_use]
    pub const fn percent(self) -> Self {
        Self {
            kind: Kind::Percent,
            ..self
        }
    }
}

/// The fields that a filter may name where a table has these columns.
#[must_use]
pub fn fields(columns: &[Column]) -> Vec<Field> {
    columns.iter().map(|c| Field::new(c.title, c.kind)).collect()
}

/// The columns, those under other headings that show totals in place of rates.
#[must_use]
pub fn titled(columns: &[Column], renamed: &[(&str, &'static str)], totals: bool) -> Vec<Column> {
    let title = |c: &Column| {
        let other = renamed.iter().find(|(rate, _)| totals && *rate == c.title);
        other.map_or(c.title, |(_, total)| total)
    };
    columns
        .iter()
        .map(|c| Column {
            title: title(c),
            ..*c
        })
        .collect()
}

/// Whether a filter wants a line of a table with these columns.
#[must_use]
pub fn wants(filter: &Filter, columns: &[Column], line: &Line) -> bool {
    filter.is_all() || filter.matches(&Seen { columns, line })
}

/// A line as a filter sees it.
struct Seen<'a> {
    columns: &'a [Column],
    line: &'a Line,
}

impl squall_filter::Row for Seen<'_> {
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool {
        self.line.cells.iter().any(|cell| look(&cell.text))
    }

    fn text(&self, field: usize) -> Option<Cow<'_, str>> {
        let cell = self.line.cells.get(field)?;
        Some(cell.word.as_deref().unwrap_or(&cell.text).into())
    }

    fn number(&self, field: usize) -> Option<f64> {
        let number = self.line.cells.get(field)?.number.filter(|n| n.is_finite())?;
        Some(number * f64::from(self.columns.get(field)?.scale))
    }
}

/// A cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How.
    pub tone: Tone,
    /// What it is sorted by, when that is a number; no finite one where it is not known.
    pub number: Option<f64>,
    /// What a filter compares, where that is not the text as it stands.
    pub word: Option<String>,
}

impl Cell {
    /// Words.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// A number and how it is written.
    pub fn number(value: f64, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            number: Some(value),
            ..Self::default()
        }
    }

    /// A number that is not known, and what stands in its place.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self::number(f64::NEG_INFINITY, text)
    }

    /// A number that may not be known.
    pub fn perhaps(value: Option<f64>, text: impl Into<String>) -> Self {
        Self::number(value.unwrap_or(f64::NEG_INFINITY), text)
    }

    /// The same cell, which filters compare by a word of its own.
    #[must_use]
    pub fn word(mut self, word: impl Into<String>) -> Self {
        self.word = Some(word.into());
        self
    }

    /// The same cell in another tone.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Identity.
    pub id: RowId,
    /// One cell per column.
    pub cells: Vec<Cell>,
    /// Drawn grey as a whole: what it says is old.
    pub dim: bool,
}

/// Order of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// Column.
    pub column: usize,
    /// Largest or last first.
    pub descending: bool,
}

/// A table cut to its window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Columns.
    pub columns: Vec<Column>,
    /// Lines of the window.
    pub lines: Vec<Line>,
    /// Index of the first of them.
    pub first: usize,
    /// Lines that match the filter.
    pub total: usize,
    /// Lines there are.
    pub unfiltered: usize,
    /// Index of the selected line.
    pub selected: Option<usize>,
    /// Order.
    pub sort: Option<Sort>,
}

/// A wish to move the selection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Motion {
    /// Stay.
    #[default]
    Stay,
    /// This many lines down, or up when negative.
    By(isize),
    /// This many pages.
    Pages(isize),
    /// This many lines by the wheel: as `By`, but on a page nothing is chosen.
    Scroll(isize),
    /// To the first line.
    First,
    /// To the last line.
    Last,
}

/// Where the selection is.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    /// The selected row; none is the first.
    pub id: Option<RowId>,
    /// Motion to make when the table is prepared next.
    pub motion: Motion,
    /// Moved by hand: it follows its row from then on. Before, and after a jump to the first row, it
    /// stays with whatever is first.
    held: bool,
    index: usize,
    first: usize,
}

impl Cursor {
    /// Finds the place of the selection among `total` rows, moves it, and scrolls so that it shows in a
    /// window of `height` rows. `found` is where the selected row is now. The row at the index that comes
    /// back is the selected one: its identity must be stored.
    pub fn place(&mut self, total: usize, found: Option<usize>, height: usize) -> Option<usize> {
        let motion = std::mem::take(&mut self.motion);
        let Some(last) = total.checked_sub(1) else {
            (self.index, self.first) = (0, 0);
            return None;
        };
        // A row that is gone leaves the selection where it was.
        let at = if self.held {
            found.unwrap_or(self.index).min(last)
        } else {
            0
        };
        self.held = match motion {
            Motion::Stay => self.held,
            Motion::First => false,
            Motion::By(_) | Motion::Scroll(_) | Motion::Pages(_) | Motion::Last => true,
        };
        let page = height.saturating_sub(1).max(1) as isize;
        let step = |by: isize| at.saturating_add_signed(by).min(last);
        self.index = match motion {
            Motion::Stay => at,
            Motion::By(by) | Motion::Scroll(by) => step(by),
            Motion::Pages(by) => step(by.saturating_mul(page)),
            Motion::First => 0,
            Motion::Last => last,
        };
        let height = height.max(1);
        self.first = self
            .first
            .min(self.index)
            .max((self.index + 1).saturating_sub(height));
        self.first = self.first.min(total.saturating_sub(height));
        Some(self.index)
    }

    /// Selects a row from now on.
    pub fn hold(&mut self, id: RowId) {
        (self.id, self.held) = (Some(id), true);
    }

    /// The selection follows its row, wherever that is now.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.held
    }

    /// Index of the first row of the window.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first
    }
}

impl Table {
    /// Filters, sorts and cuts `lines` to a window of `height`.
    #[must_use]
    pub fn new(
        columns: &[Column],
        mut lines: Vec<Line>,
        filter: &Filter,
        sort: Option<Sort>,
        cursor: &mut Cursor,
        height: usize,
    ) -> Self {
        let unfiltered = lines.len();
        lines.retain(|line| wants(filter, columns, line));
        if let Some(sort) = sort {
            lines.sort_by(|a, b| compare(a, b, sort));
        }
        let total = lines.len();
        let found = cursor
            .id
            .as_ref()
            .and_then(|id| lines.iter().position(|l| l.id == *id));
        let selected = cursor.place(total, found, height);
        cursor.id = selected.map(|i| lines[i].id.clone());
        let lines = lines.into_iter().skip(cursor.first()).take(height).collect();
        Self {
            columns: columns.to_vec(),
            lines,
            first: cursor.first(),
            total,
            unfiltered,
            selected,
            sort,
        }
    }
}

fn compare(a: &Line, b: &Line, sort: Sort) -> std::cmp::Ordering {
    let (Some(x), Some(y)) = (a.cells.get(sort.column), b.cells.get(sort.column)) else {
        return std::cmp::Ordering::Equal;
    };
    let order = match (x.number, y.number) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        (x, y) if x.is_some() != y.is_some() => x.is_some().cmp(&y.is_some()),
        _ => x.text.cmp(&y.text),
    };
    if sort.descending { order.reverse() } else { order }
}

#[cfg(test)]
#[path = "table_test.rs"]
mod tests;
