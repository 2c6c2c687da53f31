//! Keys, and how they are written: in a configuration, and on the screen.

use crossterm::event::KeyCode;

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Which.
    pub code: KeyCode,
    /// With control.
    pub ctrl: bool,
}

pub(super) const fn c(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        ctrl: false,
    }
}

pub(super) const fn ctrl(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        ctrl: true,
    }
}

pub(super) const fn k(code: KeyCode) -> Key {
    Key { code, ctrl: false }
}

/// Keys with names: as they are written in a configuration, and on the screen.
const NAMED: [(&str, KeyCode, &str); 15] = [
    ("space", KeyCode::Char(' '), "space"),
    ("enter", KeyCode::Enter, "Enter"),
    ("esc", KeyCode::Esc, "Esc"),
    ("tab", KeyCode::Tab, "Tab"),
    ("backtab", KeyCode::BackTab, "S-Tab"),
    ("backspace", KeyCode::Backspace, "⌫"),
    ("delete", KeyCode::Delete, "Del"),
    ("up", KeyCode::Up, "↑"),
    ("down", KeyCode::Down, "↓"),
    ("left", KeyCode::Left, "←"),
    ("right", KeyCode::Right, "→"),
    ("home", KeyCode::Home, "Home"),
    ("end", KeyCode::End, "End"),
    ("page-up", KeyCode::PageUp, "PgUp"),
    ("page-down", KeyCode::PageDown, "PgDn"),
];

impl Key {
    /// The key of a text such as `x`, `X`, `ctrl-x`, `space` or `f5`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (held, rest) = match text.strip_prefix("ctrl-") {
            Some(rest) if !rest.is_empty() => (true, rest),
            _ => (false, text),
        };
        let named = NAMED.iter().find(|(name, ..)| name.eq_ignore_ascii_case(rest));
        let code = if let Some((_, code, _)) = named {
            *code
        } else if let Some(number) = function(rest) {
            KeyCode::F(number)
        } else {
            let mut chars = rest.chars();
            let only = chars
                .next()
                .filter(|c| chars.as_str().is_empty() && crate::clean::is_safe(*c))?;
            KeyCode::Char(only)
        };
        Some(Self { code, ctrl: held })
    }

    /// How it is written in a configuration.
    #[must_use]
    pub fn text(&self) -> String {
        let named = NAMED.iter().find(|(_, code, _)| *code == self.code);
        let bare = match (named, self.code) {
            (Some((name, ..)), _) => (*name).to_owned(),
            (None, KeyCode::F(n)) => format!("f{n}"),
            (None, KeyCode::Char(c)) => c.to_string(),
            (None, _) => String::new(),
        };
        if self.ctrl { format!("ctrl-{bare}") } else { bare }
    }

    /// How it is written on the screen.
    #[must_use]
    pub fn label(&self) -> String {
        let named = NAMED.iter().find(|(_, code, _)| *code == self.code);
        let bare = match (named, self.code) {
            (Some((_, _, label)), _) => (*label).to_owned(),
            (None, KeyCode::F(n)) => format!("F{n}"),
            (None, KeyCode::Char(c)) => c.to_string(),
            (None, _) => String::new(),
        };
        if self.ctrl { format!("^{bare}") } else { bare }
    }
}

fn function(text: &str) -> Option<u8> {
    let number: u8 = text.strip_prefix(['f', 'F'])?.parse().ok()?;
    (1..=12).contains(&number).then_some(number)
}
