//! The observer's filter, pure: evaluated in the observer and on the nodes.
//!
//! A filter is a text that some field must contain, upper and lower case alike; a leading `!` turns it
//! round. What does not live here: which fields a row has, and drawing.

/// Longest filter in bytes: a filter is typed by hand, and nodes evaluate it for every row.
pub const FILTER_BYTES_MAX: usize = 256;

/// A parsed filter. The default matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    needle: String,
    inverted: bool,
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
}

impl Filter {
    /// Parses `text`; surrounding blanks do not count, and an empty text matches everything.
    ///
    /// # Errors
    /// [`FilterError`] when the text is too long, holds a control character, or is a lone `!`.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLong { bytes: text.len() });
        }
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(FilterError::ControlCharacter { at });
        }
        let text = text.trim();
        let (inverted, needle) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        if inverted && needle.is_empty() {
            return Err(FilterError::NothingToInvert);
        }
        Ok(Self {
            needle: needle.to_lowercase(),
            inverted,
        })
    }

    /// Whether a row with these `fields` is wanted.
    pub fn matches<'a>(&self, mut fields: impl Iterator<Item = &'a str>) -> bool {
        self.needle.is_empty() || fields.any(|field| contains(field, &self.needle)) != self.inverted
    }

    /// True when every row matches.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.needle.is_empty()
    }
}

/// Whether `field` contains `needle`, which is in lower case already.
fn contains(field: &str, needle: &str) -> bool {
    if !field.is_ascii() || !needle.is_ascii() {
        return field.to_lowercase().contains(needle);
    }
    // Nodes ask this of every row: no allocation on the way that nearly all names take.
    field
        .as_bytes()
        .windows(needle.len())
        .any(|part| part.eq_ignore_ascii_case(needle.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, fields: &[&str]) -> bool {
        Filter::parse(filter)
            .expect("a filter")
            .matches(fields.iter().copied())
    }

    #[test]
    fn case_does_not_count_and_one_field_is_enough() {
        let table: &[(&str, &[&str], bool)] = &[
            ("", &["anything"], true),
            ("  ", &[], true),
            ("ORD", &["users", "orders"], true),
            ("ord", &["USERS", "ORDERS"], true),
            ("zebra", &["users", "orders"], false),
            ("! ord", &["users"], true),
            ("!ORD", &["users", "orders"], false),
            ("!x", &[], true),
            ("ÄRGER", &["kein ärger"], true),
            ("é", &["CAFÉ"], true),
            ("longer than the field", &["short"], false),
        ];
        for (filter, fields, expected) in table {
            assert_eq!(matches(filter, fields), *expected, "{filter:?} on {fields:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_reason() {
        assert_eq!(Filter::parse("!"), Err(FilterError::NothingToInvert));
        assert_eq!(
            Filter::parse("a\u{1b}b"),
            Err(FilterError::ControlCharacter { at: 1 })
        );
        let long = "x".repeat(FILTER_BYTES_MAX + 1);
        assert_eq!(
            Filter::parse(&long),
            Err(FilterError::TooLong {
                bytes: FILTER_BYTES_MAX + 1
            })
        );
        assert!(Filter::parse(&long[1..]).is_ok());
    }

    #[test]
    fn only_the_empty_filter_is_all() {
        assert!(Filter::default().is_all());
        assert!(!Filter::parse("a").expect("a filter").is_all());
    }
}
