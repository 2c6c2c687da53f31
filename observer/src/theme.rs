//! Colours and modifiers by meaning. The usual palette is that of Okabe and Ito, which colour-blind people can
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

impl ColorChoice {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Auto, Self::Always, Self::Never]
            .into_iter()
            .find(|choice| choice.word() == word)
    }
}

/// Colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Palette {
    /// Those of Okabe and Ito on a dark ground: colour-blind people can tell them apart.
    #[default]
    Dark,
    /// The same, darker, on a light ground.
    Light,
    /// The sixteen colours of the terminal, whatever they are there.
    Terminal,
}

impl Palette {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::Terminal];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Terminal => "terminal",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|palette| palette.word() == word)
    }

    const fn colors(self) -> Colors {
        const fn indexed(all: [u8; 7]) -> Colors {
            let [good, warn, bad, accent, dim, border, ink] = all;
            Colors {
                good: Color::Indexed(good),
                warn: Color::Indexed(warn),
                bad: Color::Indexed(bad),
                accent: Color::Indexed(accent),
                dim: Color::Indexed(dim),
                border: Color::Indexed(border),
                ink: Color::Indexed(ink),
            }
        }
        match self {
            Self::Dark => indexed([36, 214, 202, 74, 245, 239, 16]),
            Self::Light => indexed([29, 130, 160, 25, 242, 250, 231]),
            Self::Terminal => Colors {
                good: Color::Green,
                warn: Color::Yellow,
                bad: Color::Red,
                accent: Color::Cyan,
                dim: Color::DarkGray,
                border: Color::DarkGray,
                ink: Color::Black,
            },
        }
    }
}

struct Colors {
    good: Color,
    warn: Color,
    bad: Color,
    accent: Color,
    dim: Color,
    border: Color,
    /// On a coloured ground.
    ink: Color,
}

/// The looks of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    color: bool,
    palette: Palette,
    ascii: bool,
}

impl Theme {
    /// A theme with or without colours.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self {
            color,
            palette: Palette::default(),
            ascii: false,
        }
    }

    /// The same in other colours.
    #[must_use]
    pub const fn palette(self, palette: Palette) -> Self {
        Self { palette, ..self }
    }

    /// The same with nothing but ASCII, or not.
    #[must_use]
    pub const fn ascii(self, ascii: bool) -> Self {
        Self { ascii, ..self }
    }

    /// Whether nothing but ASCII is drawn.
    #[must_use]
    pub const fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// The theme for a choice, given the value of `NO_COLOR`: set and not empty means none.
    #[must_use]
    pub fn choose(choice: ColorChoice, no_color: Option<&std::ffi::OsStr>) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => no_color.is_none_or(std::ffi::OsStr::is_empty),
        };
        Self::new(color)
    }

    /// Style of a tone.
    #[must_use]
    pub fn style(&self, tone: Tone) -> Style {
        let s = Style::new();
        let colors = self.palette.colors();
        match (tone, self.color) {
            (Tone::Plain, _) => s,
            (Tone::Strong, _) | (Tone::Bad, false) => s.add_modifier(Modifier::BOLD),
            (Tone::Dim, true) => s.fg(colors.dim),
            (Tone::Dim, false) => s.add_modifier(Modifier::DIM),
            (Tone::Good, true) => s.fg(colors.good),
            (Tone::Warn, true) => s.fg(colors.warn),
            (Tone::Bad, true) => s.fg(colors.bad).add_modifier(Modifier::BOLD),
            (Tone::Accent, true) => s.fg(colors.accent),
            (Tone::Head, true) => s.fg(colors.dim).add_modifier(Modifier::BOLD),
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
            (_, true) => s.fg(self.palette.colors().ink).bg(self.palette.colors().warn),
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
            Style::new().fg(self.palette.colors().border)
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
                .fg(self.palette.colors().ink)
                .bg(self.palette.colors().accent)
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
