//! Numbers with their units.

use super::Kind;

/// A number of a kind; none when it is no number, or its unit is not one of that kind.
pub(crate) fn number(text: &str, kind: Kind) -> Option<f64> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value: f64 = digits.replace('_', "").parse().ok()?;
    Some(value * factor(unit, kind)?)
}

fn factor(unit: &str, kind: Kind) -> Option<f64> {
    let table: &[(&str, f64)] = match kind {
        Kind::Text => &[],
        Kind::Count => &[("", 1.0), ("k", 1e3), ("m", 1e6), ("g", 1e9)],
        Kind::Percent => &[("", 1.0), ("%", 1.0)],
        Kind::Bytes => &[
            ("b", 1.0),
            ("k", KI),
            ("kb", KI),
            ("kib", KI),
            ("m", KI * KI),
            ("mb", KI * KI),
            ("mib", KI * KI),
            ("g", KI * KI * KI),
            ("gb", KI * KI * KI),
            ("gib", KI * KI * KI),
        ],
        Kind::Micros => &[
            ("us", 1.0),
            ("µs", 1.0),
            ("ms", 1e3),
            ("s", 1e6),
            ("m", 60e6),
            ("min", 60e6),
            ("h", 3600e6),
            ("d", 86_400e6),
        ],
    };
    table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, factor)| *factor)
}

const KI: f64 = 1024.0;

/// What a field of a kind is compared with, in words.
pub(crate) const fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "is text: compare it with =, != or ~",
        Kind::Count => "is a number: compare it with one such as 100, 5k or 2M",
        Kind::Bytes => "is a size: compare it with one such as 512B, 64KiB or 1GiB",
        Kind::Micros => "is a time: compare it with one such as 250us, 20ms, 3s, 5m or 2h",
        Kind::Percent => "is a percentage: compare it with one such as 80%",
    }
}
