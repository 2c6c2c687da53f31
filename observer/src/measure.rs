//! How wide texts are on a screen, and how they are cut to their room. What does not live here: drawing.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns a text takes.
#[must_use]
pub fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// A text cut to a width, with `…` where something is missing.
#[must_use]
pub fn fit(text: &str, room: u16) -> std::borrow::Cow<'_, str> {
    if width(text) <= room {
        return text.into();
    }
    let mut left = usize::from(room).saturating_sub(1);
    let fits = |c: &char| {
        let w = c.width().unwrap_or(0);
        let ok = w <= left;
        left = left.saturating_sub(w);
        ok
    };
    let cut: String = text.chars().take_while(fits).collect();
    format!("{cut}…").into()
}

/// Breaks a text at blanks.
#[must_use]
pub fn wrap(text: &str, room: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word = fit(word, room);
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(&word);
        } else if width(last) + 1 + width(&word) <= room {
            last.push(' ');
            last.push_str(&word);
        } else {
            lines.push(word.into_owned());
        }
    }
    lines
}

/// The same without losing anything: a word that is longer than a line goes on in the next one.
#[must_use]
pub fn fold(text: &str, room: u16) -> Vec<String> {
    let room = room.max(2);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if width(last).saturating_add(1).saturating_add(width(word)) <= room {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
        while let Some(rest) = lines.last_mut().and_then(|line| beyond(line, room)) {
            lines.push(rest);
        }
    }
    lines
}

/// Cuts a line to its room; what was beyond it.
fn beyond(line: &mut String, room: u16) -> Option<String> {
    if width(line) <= room {
        return None;
    }
    let mut left = usize::from(room);
    let fits = |(_, c): &(usize, char)| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= left;
        left = left.saturating_sub(wide);
        !fits
    };
    let at = line.char_indices().find(fits).map(|(at, _)| at)?;
    Some(line.split_off(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_text_loses_nothing_and_keeps_to_its_room() {
        let text = "one two 日本語日本語 abcdefghijklmnopqrstuvwxyz end";
        for room in 0..40 {
            let lines = fold(text, room);
            assert!(
                lines.iter().all(|line| width(line) <= room.max(2)),
                "{room}: {lines:?}"
            );
            let whole: String = lines.concat().split_whitespace().collect();
            assert_eq!(whole, text.split_whitespace().collect::<String>(), "{room}");
        }
        assert_eq!(fold("one two three", 8), ["one two", "three"]);
        assert_eq!(fold("", 8), [""]);
    }

    #[test]
    fn a_cut_text_says_so_and_never_splits_a_wide_character() {
        assert_eq!(fit("orders", 6), "orders");
        assert_eq!(fit("orders", 5), "orde…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(width(&fit("日本語", 4)), 3);
    }
}
