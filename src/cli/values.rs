//! Values on the command line: durations, shares, addresses, words of closed lists.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use squall_kernel::fault::Share;
use squall_kernel::order::WhenFull;
use squall_kernel::profile::Profile;
use squall_kernel::publishing::Confirm;
use squall_kernel::registry::{Pattern, Strategy, Takeover};
use squall_observer::check::Question;
use squall_observer::{Palette, Screen};

/// Units of durations, longest spelling first, with their length in microseconds.
const UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("µs", 1),
    ("ms", 1000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
];

/// A duration such as `200ms`, `5s`, `1.5s`, `2m`, `1h`.
///
/// # Errors
/// Says how to write it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration: write 200ms, 5s or 2m");
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let (_, micros) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = number * Duration::from_micros(micros).as_secs_f64();
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// As [`duration`], but not zero.
///
/// # Errors
/// Says how to write it.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".into()),
        some => Ok(some),
    }
}

/// A share such as `5%` or `0.5%`: more than nothing, at most everything.
///
/// # Errors
/// Says how to write it.
pub(crate) fn share(text: &str) -> Result<Share, String> {
    let wrong = || format!("'{text}' is not a share: write 5% or 0.5%");
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(rest) {
        return Err(wrong());
    }
    // Four digits behind the point are parts of a million; finer ones are not told apart.
    let parts: u32 = format!("{rest:0<4.4}").parse().map_err(|_| wrong())?;
    let whole = whole.parse::<u32>().unwrap_or(u32::MAX);
    let share = Share(Share::from_percent(whole).0.saturating_add(parts));
    if share == Share::NONE {
        return Err("it must be more than nothing: at least 0.0001%".into());
    }
    if share > Share::ALL {
        return Err("it is at most 100%".into());
    }
    Ok(share)
}

/// A size such as `512B`, `64kB` or `10MB`: more than nothing. Units are powers of ten.
///
/// # Errors
/// Says how to write it.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size: write 512B, 64kB or 10MB");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.saturating_mul(factor) {
        0 => Err("it must be more than nothing".into()),
        bytes => Ok(bytes),
    }
}

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
    fn durations_have_a_number_and_a_unit() {
        let table = [
            ("200ms", Some(200_000)),
            ("5s", Some(5_000_000)),
            ("1.5s", Some(1_500_000)),
            ("2m", Some(120_000_000)),
            ("1h", Some(3_600_000_000)),
            ("50us", Some(50)),
            ("0s", Some(0)),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            ("5d", None),
            ("1.2.3s", None),
            ("99999999999999999999999h", None),
            ("", None),
        ];
        for (text, micros) in table {
            assert_eq!(duration(text).ok(), micros.map(Duration::from_micros), "{text}");
        }
        assert!(some_time("0ms").is_err());
    }

    #[test]
    fn sizes_have_a_number_and_a_unit() {
        let table = [
            ("512B", Some(512)),
            ("64kB", Some(64_000)),
            ("10MB", Some(10_000_000)),
            ("1GB", Some(1_000_000_000)),
            ("0B", None),
            ("64", None),
            ("64KB", None),
            ("kB", None),
            ("1.5MB", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
        assert_eq!(
            bytes("99999999999GB"),
            Ok(u64::MAX),
            "refused by whoever is asked for it"
        );
    }

    #[test]
    fn shares_are_more_than_nothing_and_at_most_all() {
        let table = [
            ("5%", Ok(50_000)),
            ("0.5%", Ok(5_000)),
            ("100%", Ok(1_000_000)),
            ("12.345678%", Ok(123_456)),
            ("0%", Err("more than nothing")),
            ("0.00001%", Err("more than nothing")),
            ("120%", Err("at most 100%")),
            ("100.0001%", Err("at most 100%")),
            ("99999999999%", Err("at most 100%")),
            ("abc", Err("write 5%")),
            ("5", Err("write 5%")),
            ("-5%", Err("write 5%")),
            ("1.%", Err("write 5%")),
            ("%", Err("write 5%")),
            ("", Err("write 5%")),
        ];
        for (text, expected) in table {
            match (share(text), expected) {
                (Ok(share), Ok(ppm)) => assert_eq!(share.0, ppm, "{text}"),
                (Err(error), Err(words)) => assert!(error.contains(words), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

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
