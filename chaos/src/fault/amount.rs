//! Amounts as people write them: times, shares, sizes. What does not live here: which amounts a fault takes (the kernel).

use std::time::Duration;

use squall_kernel::fault::Share;
use squall_kernel::time::Span;

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
pub fn duration(text: &str) -> Result<Duration, String> {
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
pub fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".into()),
        some => Ok(some),
    }
}

/// The same length of time as the kernel counts it.
#[must_use]
pub fn span(time: Duration) -> Span {
    Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// A share such as `5%` or `0.5%`: more than nothing, at most everything.
///
/// # Errors
/// Says how to write it.
pub fn share(text: &str) -> Result<Share, String> {
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

/// How much faster a clock runs, such as `5000ppm` or `-200ppm`, or in percent: `5%`, `-0.5%`.
///
/// # Errors
/// Says how to write it.
pub fn rate(text: &str) -> Result<i32, String> {
    let wrong = || format!("'{text}' is not a rate: write +5000ppm, -200ppm or 5%");
    let (negative, number) = signed(text);
    let parts = match number.strip_suffix("ppm") {
        Some(number) => number.parse::<u32>().map_err(|_| wrong())?,
        None => share(number).map_err(|_| wrong())?.0,
    };
    let parts = i32::try_from(parts).map_err(|_| wrong())?;
    Ok(if negative { -parts } else { parts })
}

/// How far a calendar jumps, in milliseconds: a duration, with `-` in front of it to go back.
///
/// # Errors
/// Says how to write it.
pub fn jump(text: &str) -> Result<i64, String> {
    let (negative, time) = signed(text);
    let ms = i64::try_from(some_time(time)?.as_millis()).map_err(|_| "that is too far".to_owned())?;
    Ok(if negative { -ms } else { ms })
}

/// Whether there is a minus in front of it, and what is behind that, or a plus.
fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A size such as `512B`, `64kB` or `10MB`: more than nothing. Units are powers of ten.
///
/// # Errors
/// Says how to write it.
pub fn bytes(text: &str) -> Result<u64, String> {
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
}
