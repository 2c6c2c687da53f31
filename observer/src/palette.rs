//! Commands by their names: every action that a key may be bound to, and some that take a word more. Completed while they are
//! typed.
//!
//! What does not live here: doing them (`update`).

use crate::keymap::{Action, Keymap};
use crate::theme::Palette as Colours;

/// What is typed, and which of the commands that fit is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    /// As typed.
    pub text: String,
    /// Place among those that fit.
    pub chosen: usize,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What a key does.
    Do(Action),
    /// Show rows that match.
    Filter(String),
    /// Select the row of that name.
    Goto(String),
    /// Sort by that column.
    Sort(String),
    /// Save the view.
    Save(String),
    /// Draw in other colours.
    Theme(Colours),
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: &'static str,
    /// Keys that do the same, or the word that it takes.
    pub label: String,
    /// What it does.
    pub help: &'static str,
    /// It takes a word more.
    takes: Option<&'static str>,
}

/// Commands that take a word more.
const TAKING: [(&str, &str, &str); 5] = [
    ("filter", "FILTER", "show rows that match"),
    ("goto", "NAME", "select the row of that name"),
    ("sort", "COLUMN", "sort by that column"),
    ("save", "FILE", "save the view: .txt, .json or .svg"),
    ("theme", "NAME", "draw in other colours"),
];

impl Palette {
    /// With a text to go on from.
    #[must_use]
    pub fn with(text: String) -> Self {
        Self { text, chosen: 0 }
    }

    /// The commands that fit what is typed, the closest first.
    #[must_use]
    pub fn fitting(&self, keymap: &Keymap) -> Vec<Entry> {
        let typed = self.name().to_lowercase();
        let mut fitting: Vec<(usize, Entry)> = all(keymap)
            .into_iter()
            .filter_map(|entry| Some((closeness(entry.name, &typed)?, entry)))
            .collect();
        fitting.sort_by_key(|(closeness, _)| *closeness);
        fitting.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The entry that is chosen.
    #[must_use]
    pub fn entry(&self, keymap: &Keymap) -> Option<Entry> {
        let fitting = self.fitting(keymap);
        let last = fitting.len().checked_sub(1)?;
        fitting.into_iter().nth(self.chosen.min(last))
    }

    /// Completes the name.
    pub fn complete(&mut self, keymap: &Keymap) {
        if let Some(entry) = self.entry(keymap) {
            let rest = self.rest().to_owned();
            self.text = match entry.takes {
                Some(_) => format!("{} {rest}", entry.name),
                None => entry.name.to_owned(),
            };
            self.chosen = 0;
        }
    }

    /// The command that is meant.
    ///
    /// # Errors
    /// In words what is wrong.
    pub fn command(&self, keymap: &Keymap) -> Result<Command, String> {
        let Some(entry) = self.entry(keymap) else {
            return Err(format!("there is no command '{}'", self.name()));
        };
        let rest = self.rest();
        let Some(word) = entry.takes else {
            let action = keymap
                .free()
                .find(|b| b.action.name() == entry.name)
                .map(|b| b.action);
            return action.map(Command::Do).ok_or_else(|| "it is gone".to_owned());
        };
        if rest.is_empty() && entry.name != "filter" {
            return Err(format!("'{}' needs {word}: {}", entry.name, entry.help));
        }
        let rest = rest.to_owned();
        match entry.name {
            "filter" => Ok(Command::Filter(rest)),
            "goto" => Ok(Command::Goto(rest)),
            "sort" => Ok(Command::Sort(rest)),
            "save" => Ok(Command::Save(rest)),
            _ => match Colours::named(&rest) {
                Some(colours) => Ok(Command::Theme(colours)),
                None => Err(format!(
                    "there is no theme '{rest}'; there are {}",
                    Colours::ALL.map(Colours::word).join(", ")
                )),
            },
        }
    }

    fn name(&self) -> &str {
        self.text.trim_start().split(' ').next().unwrap_or_default()
    }

    fn rest(&self) -> &str {
        let text = self.text.trim_start();
        text.split_once(' ').map_or("", |(_, rest)| rest.trim())
    }
}

fn all(keymap: &Keymap) -> Vec<Entry> {
    let taking = TAKING.map(|(name, takes, help)| Entry {
        name,
        label: takes.to_owned(),
        help,
        takes: Some(takes),
    });
    // What takes a word stands for the key that asks for it.
    let keys = keymap
        .free()
        .filter(|b| TAKING.iter().all(|(name, ..)| *name != b.action.name()));
    let plain = keys.map(|b| Entry {
        name: b.action.name(),
        label: b.label.clone(),
        help: b.help,
        takes: None,
    });
    plain.chain(taking).collect()
}

/// How close a name is to what is typed: equal, begins with it, contains it, has its letters in order.
fn closeness(name: &str, typed: &str) -> Option<usize> {
    if name == typed {
        Some(0)
    } else if name.starts_with(typed) {
        Some(1)
    } else if name.contains(typed) {
        Some(2)
    } else {
        let mut letters = name.chars();
        let in_order = typed.chars().all(|c| letters.any(|l| l == c));
        in_order.then_some(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Screen;

    fn command(text: &str) -> Result<Command, String> {
        Palette::with(text.to_owned()).command(&Keymap::default())
    }

    #[test]
    fn commands_are_found_by_the_first_letters_or_by_some() {
        assert_eq!(command("quit"), Ok(Command::Do(Action::Quit)));
        assert_eq!(command("lead"), Ok(Command::Do(Action::Show(Screen::Leaders))));
        assert_eq!(command("srtinv"), Ok(Command::Do(Action::SortInvert)));
        assert_eq!(
            command("filter mailbox > 3"),
            Ok(Command::Filter("mailbox > 3".into()))
        );
        assert_eq!(command("filter"), Ok(Command::Filter(String::new())));
        assert_eq!(command("goto b"), Ok(Command::Goto("b".into())));
    }

    #[test]
    fn what_is_no_command_is_said_in_words() {
        assert_eq!(command("zzz"), Err("there is no command 'zzz'".into()));
        assert_eq!(
            command("save"),
            Err("'save' needs FILE: save the view: .txt, .json or .svg".into())
        );
        assert!(command("theme neon").is_err_and(|e| e.starts_with("there is no theme 'neon'; there are ")));
    }

    #[test]
    fn tab_completes_and_keeps_what_follows() {
        let mut palette = Palette::with("sor mailbox".to_owned());
        palette.chosen = palette
            .fitting(&Keymap::default())
            .iter()
            .position(|e| e.name == "sort")
            .expect("it fits");
        palette.complete(&Keymap::default());
        assert_eq!(palette.text, "sort mailbox");
        let mut palette = Palette::with("ove".to_owned());
        palette.complete(&Keymap::default());
        assert_eq!(palette.text, "overview");
    }

    #[test]
    fn every_command_has_one_name() {
        let mut names: Vec<_> = all(&Keymap::default()).iter().map(|e| e.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
