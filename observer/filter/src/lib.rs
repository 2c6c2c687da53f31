//! The observer's filter language, pure: evaluated in the observer and on the nodes.
//!
//! ```text
//! orders                                   some text of the row contains it, upper and lower case alike
//! !orders                                  none does
//! mailbox > 100 and node = b* and not kind = session
//! (rss >= 1GiB or cpu > 80%) and uptime < 5m
//! name ~ "two words"                       this field contains it
//! ```
//!
//! A *field* is a column of the view. Fields of text take `=` and `!=` with `*` and `?`, and `~`; fields of numbers take
//! `=`, `!=`, `<`, `<=`, `>`, `>=` with a number and its unit: `1k`, `3M` for counts, `64KiB` for bytes, `20ms` for times, `80%`.
//! What is not known is in no relation to anything. A node that does not know a field, because only the reader computes it, keeps the rows that
//! might match ([`Filter::may_match`]).
//!
//! What does not live here: which fields a row has ([`Row`] says so), and drawing.

mod lex;
mod parse;
mod units;

use std::borrow::Cow;

use lex::Op;

/// Longest filter in bytes: a filter is typed by hand, and nodes evaluate it for every row.
pub const FILTER_BYTES_MAX: usize = 256;
/// How deep brackets and `not` may nest.
pub const DEPTH_MAX: usize = 32;

/// What a field holds, and so what it may be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// A number without a unit, or one per second.
    Count,
    /// Bytes.
    Bytes,
    /// A time, in microseconds.
    Micros,
    /// Percent.
    Percent,
}

/// A field by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As it is written in a filter.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

impl Field {
    /// A field.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }

    /// Upper and lower case are alike, and a blank in a heading is written as `-`.
    fn is_called(&self, name: &str) -> bool {
        let own = self.name.split(" (").next().unwrap_or(self.name);
        own.len() == name.len()
            && own
                .bytes()
                .zip(name.bytes())
                .all(|(a, b)| a.eq_ignore_ascii_case(&b) || (a == b' ' && b == b'-'))
    }
}

/// What a filter looks at.
pub trait Row {
    /// Calls `look` with each text of the row until it says yes; whether it did.
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool;
    /// The text of a field, by its place among the fields that the filter was parsed for.
    fn text(&self, field: usize) -> Option<Cow<'_, str>>;
    /// The number of a field, in the unit of its kind.
    fn number(&self, field: usize) -> Option<f64>;
    /// Calls `look` with each text of a field that may have several until it says yes; whether it did.
    fn texts(&self, field: usize, look: &mut dyn FnMut(&str) -> bool) -> bool {
        self.text(field).is_some_and(|text| look(&text))
    }
}

/// Texts alone, for rows without fields.
impl Row for [&str] {
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool {
        self.iter().any(|text| look(text))
    }

    fn text(&self, _field: usize) -> Option<Cow<'_, str>> {
        None
    }

    fn number(&self, _field: usize) -> Option<f64> {
        None
    }
}

/// A parsed filter. The default matches everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    expression: Option<Expression>,
}

#[derive(Debug, Clone, PartialEq)]
enum Expression {
    /// Some text contains it; it is in lower case.
    Contains(String),
    /// A field's text.
    Text {
        field: usize,
        op: Op,
        pattern: String,
    },
    /// A field's number.
    Number {
        field: usize,
        op: Op,
        value: f64,
    },
    /// A field that is not known here.
    Unknown,
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Longer than [`FILTER_BYTES_MAX`].
    #[error("the filter has {bytes} bytes, at most {FILTER_BYTES_MAX} are allowed")]
    TooLong {
        /// Length given.
        bytes: usize,
    },
    /// Holds a control character.
    #[error("the filter holds a control character at byte {at}")]
    ControlCharacter {
        /// Where.
        at: usize,
    },
    /// A `!` with nothing to invert.
    #[error("'!' must be followed by the text to leave out")]
    NothingToInvert,
    /// Something else belongs there.
    #[error("at byte {at}: expected {wanted}")]
    Expected {
        /// Where.
        at: usize,
        /// What.
        wanted: &'static str,
    },
    /// No such field.
    #[error("there is no field '{name}' here{}", told(.known))]
    NoField {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The field cannot be compared like that.
    #[error("'{field}' {why}")]
    Compared {
        /// Field.
        field: &'static str,
        /// What it takes.
        why: &'static str,
    },
    /// Too many brackets.
    #[error("brackets and 'not' nest {DEPTH_MAX} deep at most")]
    TooDeep,
}

fn told(known: &str) -> Cow<'_, str> {
    match known {
        "" => ": nothing can be compared".into(),
        known => format!("; there are {known}").into(),
    }
}

impl Filter {
    /// Parses `text` for rows with these fields; surrounding blanks do not count, and an empty text matches everything.
    ///
    /// # Errors
    /// [`FilterError`] says what is wrong and where.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, FilterError> {
        parse::filter(text, fields, false)
    }

    /// As [`Filter::parse`], but a field that is not among these is one that only the reader knows.
    ///
    /// # Errors
    /// As of [`Filter::parse`], but for unknown fields.
    pub fn parse_in_part(text: &str, fields: &[Field]) -> Result<Self, FilterError> {
        parse::filter(text, fields, true)
    }

    /// Whether a row is wanted.
    pub fn matches<R: Row + ?Sized>(&self, row: &R) -> bool {
        self.expression
            .as_ref()
            .is_none_or(|expression| expression.holds(row) == Some(true))
    }

    /// Whether a row may be wanted by somebody who knows all fields.
    pub fn may_match<R: Row + ?Sized>(&self, row: &R) -> bool {
        self.expression
            .as_ref()
            .is_none_or(|expression| expression.holds(row) != Some(false))
    }

    /// True when every row matches.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.expression.is_none()
    }
}

impl Expression {
    /// None where it depends on a field that is not known here.
    fn holds<R: Row + ?Sized>(&self, row: &R) -> Option<bool> {
        match self {
            Self::Contains(needle) => Some(row.any_text(&mut |text| contains(text, needle))),
            Self::Text { field, op, pattern } => {
                // Of several texts one is enough to be equal, and to differ none may be.
                let mut known = false;
                let (positive, differs) = match op {
                    Op::Differs => (Op::Equal, true),
                    op => (*op, false),
                };
                let found = row.texts(*field, &mut |text| {
                    known = true;
                    positive.holds_of_text(text, pattern)
                });
                Some(known && found != differs)
            }
            Self::Number { field, op, value } => {
                let number = row.number(*field);
                Some(number.is_some_and(|number| op.holds_of_number(number, *value)))
            }
            Self::Unknown => None,
            Self::Not(inner) => inner.holds(row).map(|holds| !holds),
            Self::And(a, b) => match a.holds(row) {
                Some(false) => Some(false),
                Some(true) => b.holds(row),
                None => b.holds(row).filter(|holds| !holds),
            },
            Self::Or(a, b) => match a.holds(row) {
                Some(true) => Some(true),
                Some(false) => b.holds(row),
                None => b.holds(row).filter(|holds| *holds),
            },
        }
    }
}

impl Op {
    fn holds_of_number(self, a: f64, b: f64) -> bool {
        match self {
            // As it is shown, a number is rounded: what is written like it is equal to it.
            Self::Equal => (a - b).abs() <= f64::EPSILON * b.abs().max(1.0),
            Self::Differs => !Self::Equal.holds_of_number(a, b),
            Self::Less => a < b,
            Self::AtMost => a <= b,
            Self::More => a > b,
            Self::AtLeast => a >= b,
            Self::Contains => false,
        }
    }

    fn holds_of_text(self, text: &str, pattern: &str) -> bool {
        match self {
            Self::Equal => like(text, pattern),
            Self::Differs => !like(text, pattern),
            Self::Contains => contains(text, pattern),
            Self::Less | Self::AtMost | Self::More | Self::AtLeast => false,
        }
    }
}

/// Whether `field` contains `needle`, which is in lower case already.
fn contains(field: &str, needle: &str) -> bool {
    if needle.is_empty() {
        return true;
    }
    if !field.is_ascii() || !needle.is_ascii() {
        return field.to_lowercase().contains(needle);
    }
    // Nodes ask this of every row: no allocation on the way that nearly all names take.
    field
        .as_bytes()
        .windows(needle.len())
        .any(|part| part.eq_ignore_ascii_case(needle.as_bytes()))
}

/// Whether the whole text is like a pattern in lower case: `*` stands for anything, `?` for one character. Goes back at most
/// once for each `*`, so that no pattern takes long.
fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match star {
                Some((at, from)) => {
                    (p, t) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
#[path = "filter_test.rs"]
mod tests;
