//! What a user may choose once and for all: `~/.config/squall/observer.toml`.
//!
//! What does not live here: which keys there are (`keymap`), and options of the command line, which come first.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::keymap::{Keymap, KeymapError};
use crate::model::Screen;
use crate::theme::{ColorChoice, Palette};

/// Largest file that is read.
const BYTES_MAX: u64 = 64 * 1024;

/// The choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// View to begin with.
    pub view: Screen,
    /// When to use colours.
    pub color: ColorChoice,
    /// Which ones.
    pub theme: Palette,
    /// Nothing but ASCII.
    pub ascii: bool,
    /// Take clicks and the wheel; the terminal's own selection needs shift then.
    pub mouse: bool,
    /// Keys.
    pub keymap: Keymap,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            view: Screen::default(),
            color: ColorChoice::default(),
            theme: Palette::default(),
            ascii: false,
            mouse: true,
            keymap: Keymap::default(),
        }
    }
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("configuration {}: {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says something that makes no sense, with line and column.
    #[error("configuration {}: {why}", path.display())]
    Wrong {
        /// File.
        path: PathBuf,
        /// What, and where.
        why: String,
    },
    /// Keys that cannot be bound like that.
    #[error("configuration {}: {source}", path.display())]
    Keys {
        /// File.
        path: PathBuf,
        /// Why.
        source: KeymapError,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    view: Option<String>,
    color: Option<String>,
    theme: Option<String>,
    ascii: Option<bool>,
    mouse: Option<bool>,
    keys: BTreeMap<String, Keys>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Keys {
    One(String),
    Some(Vec<String>),
}

impl Config {
    /// The file of a user whose home and `XDG_CONFIG_HOME` are these; none without either.
    #[must_use]
    pub fn path(config_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
        let base = config_home
            .filter(|path| path.is_absolute())
            .or_else(|| Some(home?.join(".config")))?;
        Some(base.join("squall").join("observer.toml"))
    }

    /// What the file says; the defaults where there is none.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, and the place in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(read(error)),
            Ok(file) if file.len() > BYTES_MAX => {
                let why = format!("it has {} bytes, at most {BYTES_MAX} are read", file.len());
                return Err(ConfigError::Wrong {
                    path: path.to_owned(),
                    why,
                });
            }
            Ok(_) => {}
        }
        Self::parse(path, &std::fs::read_to_string(path).map_err(read)?)
    }

    /// What a text says; `path` is for words of errors.
    ///
    /// # Errors
    /// As of [`Config::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError::Wrong {
            path: path.to_owned(),
            why,
        };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        let mut config = Self::default();
        if let Some(word) = &file.view {
            let known = Screen::ALL.map(Screen::word).join(", ");
            config.view = Screen::named(word)
                .ok_or_else(|| wrong(format!("view: there is no view '{word}'; there are {known}")))?;
        }
        if let Some(word) = &file.color {
            config.color = ColorChoice::named(word)
                .ok_or_else(|| wrong(format!("color: '{word}' is not auto, always or never")))?;
        }
        if let Some(word) = &file.theme {
            let known = Palette::ALL.map(Palette::word).join(", ");
            config.theme = Palette::named(word)
                .ok_or_else(|| wrong(format!("theme: there is no theme '{word}'; there are {known}")))?;
        }
        config.ascii = file.ascii.unwrap_or(config.ascii);
        config.mouse = file.mouse.unwrap_or(config.mouse);
        let keys = file.keys.into_iter().map(|(name, keys)| match keys {
            Keys::One(key) => (name, vec![key]),
            Keys::Some(keys) => (name, keys),
        });
        config.keymap = Keymap::rebound(&keys.collect()).map_err(|source| ConfigError::Keys {
            path: path.to_owned(),
            source,
        })?;
        Ok(config)
    }

    /// As a file that says the same, with all there is to choose and what it means.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::from("# squall observe: ~/.config/squall/observer.toml\n\n");
        let views = Screen::ALL.map(Screen::word).join(", ");
        let themes = Palette::ALL.map(Palette::word).join(", ");
        let settings = [
            (
                format!("View to begin with: {views}"),
                format!("view = \"{}\"", self.view.word()),
            ),
            (
                "Colours: auto (unless NO_COLOR is set), always, never".to_owned(),
                format!("color = \"{}\"", self.color.word()),
            ),
            (
                format!("Which ones: {themes}"),
                format!("theme = \"{}\"", self.theme.word()),
            ),
            ("Nothing but ASCII".to_owned(), format!("ascii = {}", self.ascii)),
            (
                "Clicks and the wheel; with it the terminal's own selection needs shift".to_owned(),
                format!("mouse = {}", self.mouse),
            ),
        ];
        for (about, setting) in settings {
            let _ = writeln!(out, "# {about}\n{setting}\n");
        }
        out.push_str("# Keys: x, X, ctrl-x, space, enter, esc, tab, f1 …; [] takes them away\n[keys]\n");
        for binding in self.keymap.free() {
            let keys: Vec<String> = binding
                .keys
                .iter()
                .map(|key| toml::Value::String(key.text()).to_string())
                .collect();
            let setting = format!("{} = [{}]", binding.action.name(), keys.join(", "));
            let _ = writeln!(out, "{setting:<34}# {}", binding.help);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("o.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_printed_says_the_same_when_it_is_read() {
        let config = parse(
            "view = 'leaders'\ncolor = 'never'\ntheme = 'light'\nascii = true\nmouse = false\n[keys]\nquit = 'Q'\ncopy = []\n",
        )
        .expect("a configuration");
        assert_eq!(
            (config.view, config.theme, config.ascii),
            (Screen::Leaders, Palette::Light, true)
        );
        for config in [config, Config::default()] {
            let back = parse(&config.to_toml()).expect("a configuration");
            assert_eq!(back.to_toml(), config.to_toml());
            assert_eq!(back.view, config.view);
        }
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_place() {
        let refused = |text: &str| parse(text).expect_err(text);
        assert!(
            refused("viwe = 'leaders'").contains("line 1"),
            "{}",
            refused("viwe = 'leaders'")
        );
        assert!(refused("\nascii = 3").contains("line 2"));
        assert!(
            refused("view = 'lead'")
                .starts_with("configuration o.toml: view: there is no view 'lead'; there are overview")
        );
        assert!(refused("color = 'red'").contains("'red' is not auto, always or never"));
        assert!(refused("theme = 'x'").contains("there are dark, light, terminal"));
        assert!(refused("[keys]\nquit = 'x'").contains("bound to 'chaos-dialog' and to 'quit'"));
    }

    #[test]
    fn the_file_is_where_other_programs_have_theirs() {
        let path = |config: Option<&str>, home: Option<&str>| {
            Config::path(config.map(Into::into), home.map(Into::into))
        };
        assert_eq!(
            path(None, Some("/h")),
            Some("/h/.config/squall/observer.toml".into())
        );
        assert_eq!(
            path(Some("/c"), Some("/h")),
            Some("/c/squall/observer.toml".into())
        );
        assert_eq!(
            path(Some("relative"), Some("/h")),
            Some("/h/.config/squall/observer.toml".into())
        );
        assert_eq!(path(None, None), None);
    }

    #[test]
    fn no_file_is_no_error_and_a_huge_one_is() {
        let dir = std::env::temp_dir().join(format!("squall-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        assert_eq!(Config::read(&dir.join("none.toml")).ok(), Some(Config::default()));
        let huge = dir.join("huge.toml");
        std::fs::write(&huge, "#".repeat(70_000)).expect("written");
        assert!(Config::read(&huge).is_err_and(|e| e.to_string().contains("at most 65536 are read")));
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
