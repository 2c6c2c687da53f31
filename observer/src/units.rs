//! Numbers as people read them: durations, bytes, rates, counts. All results are at most eight columns
//! wide. What does not live here: colours and alignment.

/// Milliseconds since the Unix epoch by the reader's own clock, which never runs backwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Milliseconds from `earlier` to this moment; 0 when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds: `120ms`, `3.2s`, `4m07s`, `2h05m`, `3d04h`.
#[must_use]
pub fn millis(ms: u64) -> String {
    let s = ms / 1000;
    match ms {
        0..=999 => format!("{ms}ms"),
        1_000..=9_999 => format!("{}.{}s", s, ms % 1000 / 100),
        10_000..=59_999 => format!("{s}s"),
        60_000..=3_599_999 => format!("{}m{:02}s", s / 60, s % 60),
        3_600_000..=86_399_999 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// Milliseconds as whole seconds, for what counts on the screen: `0s`, `7s`, `4m07s`.
#[must_use]
pub fn whole_seconds(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..=59 => format!("{s}s"),
        s => millis(s * 1000),
    }
}

/// Microseconds: `85µs`, `1.2ms`, `230ms`, `1.4s`; `–` for zero, which means "not measured".
#[must_use]
pub fn micros(us: u64) -> String {
    match us {
        0 => "–".to_owned(),
        1..=999 => format!("{us}µs"),
        1_000..=9_999 => format!("{}.{}ms", us / 1000, us % 1000 / 100),
        10_000..=999_999 => format!("{}ms", us / 1000),
        _ => millis(us / 1000),
    }
}

/// Bytes in binary units: `812B`, `4.1K`, `18M`, `1.2G`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if n < 1024 {
        return format!("{n}B");
    }
    let (mut value, mut unit) = (n as f64 / 1024.0, 0);
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1}{}", UNITS[unit])
    } else {
        format!("{value:.0}{}", UNITS[unit])
    }
}

/// A count in decimal units: `812`, `4.1k`, `18k`, `1.2M`.
#[must_use]
pub fn count(n: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if n < 10_000 {
        return n.to_string();
    }
    let (mut value, mut unit) = (n as f64 / 1000.0, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1}{}", UNITS[unit])
    } else {
        format!("{value:.0}{}", UNITS[unit])
    }
}

/// A rate per second; `–` before it can be told.
#[must_use]
pub fn rate(per_s: Option<f64>) -> String {
    match per_s {
        None => "–".to_owned(),
        Some(r) if r < 0.05 => "0".to_owned(),
        Some(r) if r < 9.95 => format!("{r:.1}"),
        Some(r) => count(r.round() as u64),
    }
}

/// Processor use in percent of one core; `–` for the negative value that means "not measured yet".
#[must_use]
pub fn percent(p: f64) -> String {
    if !p.is_finite() || p < 0.0 {
        "–".to_owned()
    } else if p < 9.95 {
        format!("{p:.1}%")
    } else {
        format!("{:.0}%", p.min(99_999.0))
    }
}

/// Time of day in UTC for the name of a file: `140307`.
#[must_use]
pub fn stamp(unix_ms: u64) -> String {
    clock(unix_ms)
        .chars()
        .filter(char::is_ascii_digit)
        .take(6)
        .collect()
}

/// Date and time in UTC as RFC 3339 has them: `2026-11-22T14:03:07.250Z`.
#[must_use]
pub fn date_time(unix_ms: u64) -> String {
    // Days to a date: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = unix_ms / 86_400_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{}Z", clock(unix_ms))
}

/// Time of day in UTC: `14:03:07.250`.
#[must_use]
pub fn clock(unix_ms: u64) -> String {
    let s = unix_ms / 1000;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        s / 3600 % 24,
        s / 60 % 60,
        s % 60,
        unix_ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_056_800_250, "2023-11-15T14:00:00.250Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ];
        for (ms, expected) in table {
            assert_eq!(date_time(ms), expected);
        }
    }

    #[test]
    fn durations_keep_two_places() {
        let table = [
            (0, "0ms"),
            (999, "999ms"),
            (3_249, "3.2s"),
            (59_999, "59s"),
            (247_000, "4m07s"),
            (7_500_000, "2h05m"),
            (273_600_000, "3d04h"),
        ];
        for (ms, expected) in table {
            assert_eq!(millis(ms), expected);
        }
        assert_eq!(
            [whole_seconds(999), whole_seconds(3_900), whole_seconds(61_000)],
            ["0s", "3s", "1m01s"]
        );
        assert_eq!(
            [micros(0), micros(85), micros(1_250), micros(230_400)],
            ["–", "85µs", "1.2ms", "230ms"]
        );
    }

    #[test]
    fn counts_and_bytes_fit_the_column_at_every_size() {
        for shift in 0..64 {
            for n in [1u64 << shift, (1u64 << shift) - 1, u64::MAX] {
                assert!(bytes(n).len() <= 6, "{}", bytes(n));
                assert!(count(n).len() <= 6, "{}", count(n));
            }
        }
        assert_eq!(
            [bytes(812), bytes(4_200), bytes(18 << 20)],
            ["812B", "4.1K", "18M"]
        );
        assert_eq!(
            [count(9_999), count(18_200), count(1_230_000)],
            ["9999", "18k", "1.2M"]
        );
    }

    #[test]
    fn what_is_not_measured_is_not_a_number() {
        assert_eq!([rate(None), rate(Some(0.0)), rate(Some(3.12))], ["–", "0", "3.1"]);
        assert_eq!(
            [percent(-1.0), percent(f64::NAN), percent(1.26), percent(312.4)],
            ["–", "–", "1.3%", "312%"]
        );
        assert_eq!(clock(50_587_250), "14:03:07.250");
    }
}
