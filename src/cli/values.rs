//! Values on the command line: durations, shares, addresses, words of closed lists.

use std::fmt;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
pub(crate) use squall_chaos::fault::amount::{bytes, duration, jump, rate, share, some_time};
use squall_kernel::order::WhenFull;
use squall_kernel::profile::Profile;
use squall_kernel::publishing::Confirm;
use squall_kernel::registry::{Pattern, Strategy, Takeover};
use squall_observer::check::Question;
use squall_observer::{Palette, Screen};

/// Addresses separated by commas; none for an empty text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Addresses(pub(crate) Vec<String>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|part| address(part.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is not an address: write host:port, such as 127.0.0.1:7400");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    let odd = host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    if host.is_empty() || port == 0 || bare_ipv6 || odd {
        Err(wrong())
    } else {
        Ok(text.into())
    }
}

/// Parses a strategy's word.
pub(crate) fn strategy() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::ALL.map(Strategy::as_str))
        .map(|word| Strategy::parse(&word).expect("clap lets only strategies through"))
}

/// Parses the word of an exchange's pattern.
pub(crate) fn pattern() -> impl TypedValueParser<Value = Pattern> {
    PossibleValuesParser::new(Pattern::ALL.map(Pattern::as_str))
        .map(|word| Pattern::parse(&word).expect("clap lets only patterns through"))
}

/// Parses what a publish is to have confirmed.
pub(crate) fn confirm() -> impl TypedValueParser<Value = Confirm> {
    PossibleValuesParser::new(Confirm::ALL.map(Confirm::as_str))
        .map(|word| Confirm::parse(&word).expect("clap lets only confirms through"))
}

/// Parses what a full mailbox does.
pub(crate) fn when_full() -> impl TypedValueParser<Value = WhenFull> {
    PossibleValuesParser::new(WhenFull::ALL.map(WhenFull::as_str))
        .map(|word| WhenFull::parse(&word).expect("clap lets only policies through"))
}

/// Parses the word of a takeover policy.
pub(crate) fn takeover() -> impl TypedValueParser<Value = Takeover> {
    PossibleValuesParser::new(Takeover::ALL.map(Takeover::as_str))
        .map(|word| Takeover::parse(&word).expect("clap lets only policies through"))
}

/// Parses the word of a timer profile.
pub(crate) fn profile() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new([Profile::Lan, Profile::Wan, Profile::Slow].map(Profile::as_str))
        .map(|word| Profile::parse(&word).expect("clap lets only profiles through"))
}

/// Parses `on` and `off`.
pub(crate) fn on_off() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|word| word == "on")
}

/// Parses the name of a view.
pub(crate) fn screen() -> impl TypedValueParser<Value = Screen> {
    PossibleValuesParser::new(Screen::ALL.map(Screen::word))
        .map(|word| Screen::named(&word).expect("clap lets only views through"))
}

/// Questions to a cluster by their word.
pub(crate) fn question() -> impl TypedValueParser<Value = Question> {
    PossibleValuesParser::new(Question::ALL.map(Question::word))
        .map(|word| Question::named(&word).expect("clap lets only questions through"))
}

/// Colours of the observer by their word.
pub(crate) fn theme() -> impl TypedValueParser<Value = Palette> {
    PossibleValuesParser::new(Palette::ALL.map(Palette::word))
        .map(|word| Palette::named(&word).expect("clap lets only themes through"))
}

/// Columns and rows, such as `120x40`.
///
/// # Errors
/// Says how to write it.
pub(crate) fn size(text: &str) -> Result<(u16, u16), String> {
    let split = text
        .split_once('x')
        .and_then(|(cols, rows)| Some((cols.parse().ok()?, rows.parse().ok()?)));
    split.ok_or_else(|| format!("'{text}' is not a size: write columns and rows, such as 120x40"))
}

/// So many of something, in the right number: `1 node`, `2 nodes`.
pub(crate) fn counted<N: fmt::Display + PartialEq + Copy + From<u8>>(n: N, one: &str, many: &str) -> String {
    format!("{n} {}", if n == N::from(1) { one } else { many })
}

/// Rows as text, each column as wide as its widest cell.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let chars = |row: &[String; N], column: usize| row[column].chars().count();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| chars(row, column)).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// The text as it may appear in a terminal: line breaks and tabs stay, other control characters are shown.
pub(crate) fn for_terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_one_by_one() {
        let list = |text: &str| text.parse::<Addresses>().map(|a| a.0);
        assert_eq!(list("a:1, [::1]:2").unwrap(), ["a:1", "[::1]:2"]);
        assert_eq!(list("").unwrap(), [""; 0], "an empty variable is as good as none");
        for wrong in ["a", "a:", ":1", "a:0", "a:70000", "a:1,", "::1:2", "http://a:1"] {
            let error = list(wrong).unwrap_err();
            assert!(error.contains("host:port"), "{wrong}: {error}");
        }
    }

    #[test]
    fn one_is_not_many_and_nothing_is() {
        let told = [0, 1, 2].map(|n| counted(n, "copy", "copies"));
        assert_eq!(told, ["0 copies", "1 copy", "2 copies"]);
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(for_terminal("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
    }
}
