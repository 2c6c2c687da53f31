//! The screen in nothing but ASCII, for terminals and fonts that have no more: each sign by one that is as wide, and those that
//! mean different things by different ones.
//!
//! What does not live here: what the signs mean (the help page says it).

use ratatui::buffer::Buffer;

/// Signs and what stands for them.
const SIGNS: [(&str, &str); 15] = [
    ("─━╌═", "-"),
    ("│┃▏║", "|"),
    ("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
    ("●", "*"),
    ("○◌", "o"),
    ("◐", "%"),
    ("✖", "x"),
    ("★", "#"),
    ("☆", "@"),
    ("✶", "&"),
    ("▲▴↑", "^"),
    ("▽▾↓", "v"),
    ("▶▸→⇥›", ">"),
    ("←‹⌫◄", "<"),
    ("–—", "-"),
];
const MORE: [(&str, &str); 13] = [
    ("⊘", "/"),
    ("◆", "$"),
    ("⇄", "="),
    ("✔", "+"),
    ("■█▇", "#"),
    ("▆▅", "="),
    ("▄▃", "-"),
    ("▂▁░", "_"),
    ("·", "."),
    ("…", "~"),
    ("µ", "u"),
    ("φ", "f"),
    ("±", "~"),
];

/// Puts ASCII in the place of everything else.
pub fn reduce(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() {
            continue;
        }
        let mut all = SIGNS.iter().chain(&MORE);
        let fitting = all.find(|(signs, _)| signs.contains(symbol));
        let ascii = fitting.map_or("?", |(_, ascii)| ascii);
        cell.set_symbol(ascii);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    #[test]
    fn states_stay_apart_and_names_lose_only_what_ascii_lacks() {
        let line = "● ○ ◐ ✖ ⊘ ★ ☆ → ! ✶ ▶ kähler 日";
        let mut buffer = Buffer::empty(Rect::new(0, 0, 40, 1));
        buffer.set_string(0, 0, line, ratatui::style::Style::new());
        reduce(&mut buffer);
        let text: String = buffer.content.iter().map(|c| c.symbol()).collect();
        assert!(text.is_ascii(), "{text}");
        assert!(text.starts_with("* o % x / # @ > ! & > k?hler ?"), "{text}");
    }
}
