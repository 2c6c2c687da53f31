//! The lines of a page as they are put together: headings, fields, tables, and what lines lead to.
//!
//! What does not live here: what stands on the pages.

use std::collections::BTreeSet;

use super::Piece;
use crate::measure::{fit, width};
use crate::prepare::Source;
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::clock;

/// Lines under headings, as they are put together.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) lines: Vec<Vec<Piece>>,
    pub(super) leads: Vec<(usize, RowId)>,
    /// Lines of tables: columns are not broken.
    fixed: BTreeSet<usize>,
}

/// A row of a table on a page, and what it leads to.
pub(super) type Leading = (Vec<Piece>, Option<RowId>);

/// Columns of a table on a page that hold numbers.
type Numbers = &'static [usize];

impl Sheet {
    pub(super) fn heading(&mut self, text: impl Into<String>) {
        if !self.lines.is_empty() {
            self.lines.push(Vec::new());
        }
        self.lines.push(vec![(text.into(), Tone::Head)]);
    }

    /// A line of labels and values.
    pub(super) fn fields(&mut self, fields: &[(&str, String, Tone)]) {
        let mut line: Vec<Piece> = vec![("  ".to_owned(), Tone::Plain)];
        for (label, value, tone) in fields {
            if !label.is_empty() {
                line.push((format!("{label} "), Tone::Dim));
            }
            line.push((value.clone(), *tone));
            line.push(("   ".to_owned(), Tone::Plain));
        }
        self.lines.push(line);
    }

    pub(super) fn say(&mut self, text: impl Into<String>, tone: Tone) {
        self.lines
            .push(vec![("  ".to_owned(), Tone::Plain), (text.into(), tone)]);
    }

    /// A table whose columns are as wide as they need to be.
    pub(super) fn table(&mut self, head: &[&str], numbers: Numbers, rows: &[Vec<Piece>]) {
        let wide = |text: &str| width(text) as usize;
        let column = |i: usize| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(i))
                .map(|(text, _)| wide(text));
            cells.max().unwrap_or(0).max(wide(head[i])).min(48)
        };
        let widths: Vec<usize> = (0..head.len()).map(column).collect();
        let line = |cells: Vec<Piece>| {
            let mut line: Vec<Piece> = vec![("  ".to_owned(), Tone::Plain)];
            for (i, (text, tone)) in cells.into_iter().enumerate() {
                let text = fit(&text, widths[i] as u16).into_owned();
                let blank = " ".repeat(widths[i].saturating_sub(wide(&text)));
                let padded = if numbers.contains(&i) {
                    format!("{blank}{text}  ")
                } else {
                    format!("{text}{blank}  ")
                };
                line.push((padded, tone));
            }
            line
        };
        let first = self.lines.len();
        self.lines.push(line(
            head.iter().map(|text| ((*text).to_owned(), Tone::Dim)).collect(),
        ));
        self.lines.extend(rows.iter().cloned().map(line));
        self.fixed.extend(first..self.lines.len());
    }

    /// The last line leads on.
    pub(super) fn lead(&mut self, to: RowId) {
        if let Some(last) = self.lines.len().checked_sub(1) {
            self.leads.push((last, to));
        }
    }

    /// A table of rows that lead on.
    pub(super) fn leading(&mut self, head: &[&str], numbers: Numbers, rows: Vec<Leading>) {
        let (rows, leads): (Vec<Vec<Piece>>, Vec<Option<RowId>>) = rows.into_iter().unzip();
        self.table(head, numbers, &rows);
        let first = self.lines.len() - rows.len();
        let to = leads.into_iter().enumerate();
        self.leads.extend(to.filter_map(|(i, to)| Some((first + i, to?))));
    }

    /// The newest events that fit a description.
    pub(super) fn events(
        &mut self,
        source: Source<'_>,
        most: usize,
        wanted: impl Fn(&str, &squall_proto::v1::Event) -> bool,
    ) {
        self.heading("What happened");
        let newest = source.cluster.events.newest_first();
        let of = newest.filter(|(key, event)| wanted(&key.node, event)).take(most);
        let before = self.lines.len();
        for (key, event) in of {
            self.lines.push(vec![
                (format!("  {}  ", clock(key.unix_ms)), Tone::Dim),
                (format!("{} ", key.node), Tone::Accent),
                (format!("{}: {}", event.kind, event.text), Tone::Plain),
            ]);
            self.lead(RowId::Event(key.clone()));
        }
        if self.lines.len() == before {
            self.say("nothing that is kept", Tone::Dim);
        }
    }

    /// The same with lines that are too long broken: between fields where that is enough, else between words.
    pub(super) fn wrapped(self, room: u16) -> Self {
        let mut all = Self::default();
        let mut places = Vec::with_capacity(self.lines.len());
        for (i, line) in self.lines.into_iter().enumerate() {
            places.push(all.lines.len());
            let text: String = line.iter().map(|(text, _)| text.as_str()).collect();
            let long = width(text.trim_end()) > room;
            if self.fixed.contains(&i) || !long {
                all.lines.push(line);
            } else {
                all.lines.extend(broken(line, room));
            }
        }
        let led = self.leads.into_iter();
        all.leads = led.map(|(line, to)| (places[line], to)).collect();
        all
    }
}

/// What separates fields.
const GAP: &str = "   ";

/// Breaks a line; what goes on stands a little to the right of where it began.
fn broken(line: Vec<Piece>, room: u16) -> Vec<Vec<Piece>> {
    let indent = line
        .first()
        .map_or(0, |(text, _)| text.len() - text.trim_start().len())
        + 2;
    let indent = " ".repeat(indent.min(usize::from(room) / 2));
    let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut used = 0;
    let mut fields: Vec<Vec<Piece>> = vec![Vec::new()];
    for piece in line {
        let ends = piece.0.ends_with(GAP);
        fields.last_mut().expect("there is always one").push(piece);
        if ends {
            fields.push(Vec::new());
        }
    }
    for field in fields {
        let wide: u16 = field.iter().map(|(text, _)| width(text)).sum();
        let bare = wide
            - field
                .last()
                .map_or(0, |(text, _)| width(text) - width(text.trim_end()));
        let fits = used + bare <= room;
        if !fits && width(&indent) + bare <= room {
            lines.push(vec![(indent.clone(), Tone::Plain)]);
            used = width(&indent);
        }
        for (text, tone) in field {
            for word in words(&text) {
                if used + width(word.trim_end()) > room && used > width(&indent) {
                    lines.push(vec![(indent.clone(), Tone::Plain)]);
                    used = width(&indent);
                }
                used = used.saturating_add(width(word));
                lines
                    .last_mut()
                    .expect("there is always one")
                    .push((word.to_owned(), tone));
            }
        }
    }
    lines
}

/// Words with the blanks behind them; blanks before the first are a word of their own.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let word = rest.find(' ').unwrap_or(rest.len());
        let end = rest[word..]
            .find(|c| c != ' ')
            .map_or(rest.len(), |blanks| word + blanks);
        let (first, others) = rest.split_at(end);
        rest = others;
        Some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sheet: Sheet, room: u16) -> Vec<String> {
        let wrapped = sheet.wrapped(room);
        let line = |line: &Vec<Piece>| line.iter().map(|(text, _)| text.as_str()).collect::<String>();
        wrapped
            .lines
            .iter()
            .map(|l| line(l).trim_end().to_owned())
            .collect()
    }

    #[test]
    fn long_lines_break_between_fields_and_then_between_words() {
        let mut sheet = Sheet::default();
        let field = |label, value: &str| (label, value.to_owned(), Tone::Plain);
        sheet.fields(&[
            field("role", "voter"),
            field("version", "0.1.0"),
            field("up", "3m"),
        ]);
        sheet.say("waits for b and c to tell which handlers they have", Tone::Warn);
        assert_eq!(
            texts(sheet, 30),
            [
                "  role voter   version 0.1.0",
                "    up 3m",
                "  waits for b and c to tell",
                "    which handlers they have",
            ]
        );
    }

    #[test]
    fn tables_stay_whole_and_leads_follow_their_lines() {
        let mut sheet = Sheet::default();
        sheet.say("one two three four five six", Tone::Plain);
        let id = RowId::Node("b".to_owned());
        let row = vec![("a long name".to_owned(), Tone::Plain)];
        sheet.leading(&["name"], &[], vec![(row, Some(id.clone()))]);
        let wrapped = sheet.wrapped(12);
        assert_eq!(wrapped.leads, [(wrapped.lines.len() - 1, id)]);
        assert_eq!(wrapped.lines.last().map(Vec::len), Some(2));
    }

    #[test]
    fn any_width_keeps_every_word() {
        let mut sheet = Sheet::default();
        sheet.say("αβγ δ εζηθ 日本語 x", Tone::Plain);
        for room in 0..40 {
            let mut copy = Sheet::default();
            copy.lines.clone_from(&sheet.lines);
            let all = texts(copy, room).join(" ");
            assert_eq!(
                all.split_whitespace().collect::<Vec<_>>(),
                ["αβγ", "δ", "εζηθ", "日本語", "x"]
            );
        }
    }
}
