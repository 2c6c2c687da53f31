//! What a node ever asked for of an exchange.

use std::collections::BTreeSet;

use squall_kernel::keys::{Key, KeyPattern};

use crate::limits::PATTERNS_REMEMBERED;

/// Patterns, up to a bound: of a node that asked for more nothing is said.
#[derive(Debug, Default)]
pub(super) struct Asked {
    patterns: BTreeSet<KeyPattern>,
    beyond: bool,
}

impl Asked {
    pub(super) fn add(&mut self, pattern: &str) {
        if self.beyond {
            return;
        }
        if let Ok(pattern) = KeyPattern::new(pattern) {
            self.patterns.insert(pattern);
        }
        if self.patterns.len() > PATTERNS_REMEMBERED {
            self.beyond = true;
            self.patterns.clear();
        }
    }

    /// True when it may have asked for what has that key.
    pub(super) fn may_want(&self, key: &Key) -> bool {
        self.beyond || self.patterns.iter().any(|pattern| pattern.matches(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_for_more_than_is_remembered_may_want_anything() {
        let mut asked = Asked::default();
        for n in 0..PATTERNS_REMEMBERED {
            asked.add(&format!("news.{n}"));
        }
        // The same again takes no room.
        asked.add("news.0");
        let (known, other) = (
            Key::new("news.7").expect("a key"),
            Key::new("other").expect("a key"),
        );
        assert!(asked.may_want(&known) && !asked.may_want(&other));
        asked.add("one.more");
        assert!(asked.may_want(&known) && asked.may_want(&other));
        assert!(asked.patterns.is_empty());
    }
}
