//! A fault on a link as it stands in a plan's file: as scenarios write it, and read with the same complaints. What does not live
//! here: the words (`crate::fault`).

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_kernel::fault::LinkFault;

use crate::fault::Fault;

/// A fault on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OnLink(pub LinkFault);

impl TryFrom<String> for OnLink {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(Fault::Link(what)) => Ok(Self(what)),
            Ok(other) => Err(format!("'{other}' is no fault on a link")),
            Err(unreadable) => Err(unreadable.to_string()),
        }
    }
}

impl From<OnLink> for String {
    fn from(written: OnLink) -> Self {
        written.to_string()
    }
}

impl fmt::Display for OnLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Fault::Link(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_it_in_words_and_one_that_makes_no_sense_is_no_plan() {
        let read = |text: &str| serde_json::from_str::<OnLink>(&format!("\"{text}\""));
        let cut = read("cut").unwrap();
        assert_eq!(
            (cut, serde_json::to_string(&cut).unwrap().as_str()),
            (OnLink(LinkFault::Cut), "\"cut\"")
        );
        for (text, why) in [
            ("kill", "no fault on a link"),
            ("delay 2h", "at most"),
            ("wet", "there is no fault"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
