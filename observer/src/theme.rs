//! Colours and modifiers by meaning. The palette is that of Okabe and Ito, which colour-blind people can
//! tell apart; every meaning has a glyph or a word too, so that nothing is lost without colours.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Plain.
    #[default]
    Plain,
    /// Less important.
    Dim,
    /// As it should be.
    Good,
    /// Somebody should look.
    Warn,
    /// Broken.
    Bad,
    /// A name that leads somewhere: node, exchange, key.
    Accent,
    /// Heading of a column.
    Head,
    /// Important text without a judgement.
    Strong,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The looks of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    color: bool,
}

const GREEN: Color = Color::Indexed(36);
const ORANGE: Color = Color::Indexed(214);
const VERMILLION: Color = Color::Indexed(202);
const SKY: Color = Color::Indexed(74);
const GREY: Color = Color::Indexed(245);
const DARK: Color = Color::Indexed(239);

impl Theme {
    /// A theme with or without colours.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self { color }
    }

    /// The theme for a choice, given the value of `NO_COLOR`: set and not empty means none.
    #[must_use]
    pub fn choose(choice: ColorChoice, no_color: Option<&std::ffi::OsStr>) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => no_color.is_none_or(std::ffi::OsStr::is_empty),
        };
        Self { color }
    }

    /// Style of a tone.
    #[must_use]
    pub fn style(&self, tone: Tone) -> Style {
        let s = Style::new();
        match (tone, self.color) {
            (Tone::Plain, _) => s,
            (Tone::Strong, _) | (Tone::Bad, false) => s.add_modifier(Modifier::BOLD),
            (Tone::Dim, true) => s.fg(GREY),
            (Tone::Dim, false) => s.add_modifier(Modifier::DIM),
            (Tone::Good, true) => s.fg(GREEN),
            (Tone::Warn, true) => s.fg(ORANGE),
            (Tone::Bad, true) => s.fg(VERMILLION).add_modifier(Modifier::BOLD),
            (Tone::Accent, true) => s.fg(SKY),
            (Tone::Head, true) => s.fg(GREY).add_modifier(Modifier::BOLD),
            (Tone::Head, false) => s.add_modifier(Modifier::UNDERLINED),
            (Tone::Good | Tone::Warn | Tone::Accent, false) => s,
        }
    }

    /// A whole line that must be seen.
    #[must_use]
    pub fn banner(&self, tone: Tone) -> Style {
        let s = Style::new().add_modifier(Modifier::BOLD);
        match (tone, self.color) {
            (_, false) => s.add_modifier(Modifier::REVERSED),
            (Tone::Bad, true) => s.fg(Color::Indexed(231)).bg(Color::Indexed(166)),
            (_, true) => s.fg(Color::Indexed(16)).bg(ORANGE),
        }
    }

    /// Titles of panels.
    #[must_use]
    pub fn title(&self) -> Style {
        let s = Style::new()
            .add_modifier(Modifier::BOLD)
            .remove_modifier(Modifier::DIM);
        if self.color { s.fg(Color::Reset) } else { s }
    }

    /// Borders of panels.
    #[must_use]
    pub fn border(&self) -> Style {
        if self.color {
            Style::new().fg(DARK)
        } else {
            Style::new().add_modifier(Modifier::DIM)
        }
    }

    /// Laid over the selected row.
    #[must_use]
    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The open tab.
    #[must_use]
    pub fn tab(&self, open: bool) -> Style {
        match (open, self.color) {
            (true, true) => Style::new()
                .fg(Color::Indexed(16))
                .bg(SKY)
                .add_modifier(Modifier::BOLD),
            (true, false) => Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
            (false, _) => self.style(Tone::Dim),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_is_honoured_unless_colours_are_asked_for() {
        let set = std::ffi::OsStr::new("1");
        let empty = std::ffi::OsStr::new("");
        assert_eq!(Theme::choose(ColorChoice::Auto, Some(set)), Theme::new(false));
        assert_eq!(Theme::choose(ColorChoice::Auto, Some(empty)), Theme::new(true));
        assert_eq!(Theme::choose(ColorChoice::Auto, None), Theme::new(true));
        assert_eq!(Theme::choose(ColorChoice::Always, Some(set)), Theme::new(true));
        assert_eq!(Theme::choose(ColorChoice::Never, None), Theme::new(false));
    }

    #[test]
    fn without_colours_no_style_has_one() {
        let t = Theme::new(false);
        let tones = [
            Tone::Plain,
            Tone::Dim,
            Tone::Good,
            Tone::Warn,
            Tone::Bad,
            Tone::Accent,
            Tone::Head,
        ];
        let styles = tones
            .map(|tone| t.style(tone))
            .into_iter()
            .chain(tones.map(|tone| t.banner(tone)));
        for style in styles.chain([t.border(), t.selected(), t.tab(true), t.tab(false)]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
