//! Reads a line of words, and says where it went wrong. What does not live here: which words there are.

use super::Unreadable;

/// A place in a text.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// What is left, without leading blanks.
    pub(super) fn rest(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    /// The next piece up to a blank; none at the end.
    pub(super) fn word(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.taken(end)
    }

    /// The next piece of a name: letters, digits, and what names may have between them.
    pub(super) fn name(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':');
        // An arrow begins with what may be part of a name.
        let arrow = rest.find("->").unwrap_or(rest.len());
        let end = rest.find(|c| !in_name(c)).unwrap_or(rest.len()).min(arrow);
        self.taken(end)
    }

    /// Takes that piece if it comes next.
    pub(super) fn take(&mut self, piece: &str) -> bool {
        let is = self.rest().starts_with(piece);
        self.at += if is { piece.len() } else { 0 };
        is
    }

    /// An error at what was taken last, or at what comes next.
    pub(super) fn error_at(&self, piece: &str, why: impl Into<String>) -> Unreadable {
        let from = self.at - piece.len();
        Unreadable {
            at: from..self.at,
            why: why.into(),
        }
    }

    /// An error at what comes next: it is not what was expected.
    pub(super) fn expected(&mut self, what: &str) -> Unreadable {
        let rest = self.rest();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let why = match &rest[..end] {
            "" => format!("expected {what} here"),
            found => format!("expected {what}, found '{}'", shown(found)),
        };
        Unreadable {
            at: self.at..self.at + end,
            why,
        }
    }

    /// Nothing more may come.
    pub(super) fn end(&mut self) -> Result<(), Unreadable> {
        match self.rest() {
            "" => Ok(()),
            _ => Err(self.expected("nothing more")),
        }
    }

    fn taken(&mut self, len: usize) -> Option<&'t str> {
        let piece = &self.text[self.at..self.at + len];
        self.at += len;
        (!piece.is_empty()).then_some(piece)
    }
}

/// What somebody wrote, in a message: no control characters, and not much of it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
