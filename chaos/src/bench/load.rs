//! When something is asked, published or submitted: in closed loops, or at intended moments. What does not live here: the loops.

use std::fmt;

use serde::Serialize;

/// A load. In JSON one member of its row: `in_flight` or `rate_intended`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Load {
    /// So many at a time, each as soon as the one before has ended.
    #[serde(rename = "in_flight")]
    Closed(usize),
    /// So many a second, whatever becomes of those before; latencies are counted from when each was to be sent.
    #[serde(rename = "rate_intended")]
    Open(u32),
}

impl Load {
    /// In words: `10 in flight`, `2000/s`.
    pub(super) fn words(self) -> String {
        match self {
            Self::Closed(_) => format!("{self} in flight"),
            Self::Open(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(in_flight) => f.pad(&in_flight.to_string()),
            Self::Open(rate) => f.pad(&format!("{rate}/s")),
        }
    }
}

/// What is said below a row of which something was not sent; empty where all was.
pub(super) fn held_back_line(held_back: u64) -> String {
    if held_back == 0 {
        String::new()
    } else {
        format!("\n  {held_back} not sent: too many were open")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_one_word_in_a_table_and_says_what_it_counts_elsewhere() {
        assert_eq!(
            format!("{:>5}|{:>7}", Load::Closed(10), Load::Open(200)),
            "   10|  200/s"
        );
        assert_eq!(
            [Load::Closed(1).words(), Load::Open(5).words()],
            ["1 in flight", "5/s"]
        );
        assert_eq!(
            (held_back_line(0).as_str(), held_back_line(2).trim()),
            ("", "2 not sent: too many were open")
        );
    }
}
