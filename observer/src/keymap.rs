//! The one table of keys, and the keymap that is made of it and of what the user's configuration says instead. It feeds the
//! dispatch, the footer and the help page, so that they cannot differ.

mod keys;
mod table;

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use self::keys::Key;
use self::table::table;
use crate::model::Screen;

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// End.
    Quit,
    /// Open a view.
    Show(Screen),
    /// Next view.
    NextScreen,
    /// View before.
    PreviousScreen,
    /// One up.
    Up,
    /// One down.
    Down,
    /// One left.
    Left,
    /// One right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// First.
    First,
    /// Last.
    Last,
    /// Details of the selected row.
    Open,
    /// Type a filter.
    Filter,
    /// Type a filter for what is left out.
    FilterOut,
    /// Type a command.
    Palette,
    /// Stop or go on showing what comes.
    Freeze,
    /// One moment back in what was seen.
    StepBack,
    /// One moment on.
    StepOn,
    /// To the event before.
    EventBack,
    /// To the next event.
    EventOn,
    /// To what is there now.
    Live,
    /// Order by the column before.
    SortLeft,
    /// Order by the next column.
    SortRight,
    /// Turn the order round.
    SortInvert,
    /// Play a recording faster.
    Faster,
    /// Play it more slowly.
    Slower,
    /// Rates, or totals.
    Totals,
    /// To the owner of the selected row.
    Owner,
    /// To those that use it.
    Users,
    /// To the traces of the selected row.
    Traces,
    /// Copy its name.
    Copy,
    /// Save the view to a file.
    Save,
    /// Chaos dialog on the selected row.
    Chaos,
    /// Paint a link, or take the paint away.
    Paint,
    /// Write a fault in one's own words.
    Write,
    /// End all faults.
    HaltAll,
    /// Let new faults act again after that.
    Unlock,
    /// Run the selected scenario.
    Run,
    /// End the run.
    Stop,
    /// Keys.
    Help,
    /// Do it.
    Accept,
    /// Leave.
    Close,
    /// What is typed, to its end.
    Complete,
    /// Take the last character back.
    Erase,
    /// Take all characters back.
    EraseAll,
}

impl Action {
    /// As it is called in the configuration and in the palette.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Show(screen) => screen.word(),
            Self::NextScreen => "next-view",
            Self::PreviousScreen => "previous-view",
            Self::Up => "up",
            Self::Down => "down",
            Self::Left => "left",
            Self::Right => "right",
            Self::PageUp => "page-up",
            Self::PageDown => "page-down",
            Self::First => "first",
            Self::Last => "last",
            Self::Open => "open",
            Self::Filter => "filter",
            Self::FilterOut => "filter-out",
            Self::Palette => "palette",
            Self::Freeze => "freeze",
            Self::StepBack => "step-back",
            Self::StepOn => "step-on",
            Self::EventBack => "event-back",
            Self::EventOn => "event-on",
            Self::Live => "live",
            Self::SortLeft => "sort-left",
            Self::SortRight => "sort-right",
            Self::SortInvert => "sort-invert",
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Totals => "totals",
            Self::Owner => "owner",
            Self::Users => "users",
            Self::Traces => "traces-of",
            Self::Copy => "copy",
            Self::Save => "save",
            Self::Chaos => "chaos-dialog",
            Self::Paint => "paint",
            Self::Write => "write",
            Self::HaltAll => "halt",
            Self::Unlock => "unlock",
            Self::Run => "run",
            Self::Stop => "stop",
            Self::Help => "help",
            Self::Accept => "accept",
            Self::Close => "close",
            Self::Complete => "complete",
            Self::Erase => "erase",
            Self::EraseAll => "erase-all",
        }
    }
}

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A view, or the details of a row.
    Main,
    /// Text is being typed for the filter.
    Filter,
    /// A command is being typed.
    Palette,
    /// The help page.
    Help,
    /// The chaos dialog's form.
    Form,
    /// The chaos dialog asks for a name to be typed.
    Typing,
    /// The chaos dialog asks for a plain confirmation.
    Confirm,
    /// A box shows what came of an order, or why there is none.
    Done,
    /// The same, and how much of the fault there is can be changed while it acts.
    Slide,
    /// Something is asked before it is done.
    Question,
}

/// Every context.
pub const CONTEXTS: [Context; 10] = [
    Context::Main,
    Context::Filter,
    Context::Palette,
    Context::Help,
    Context::Form,
    Context::Typing,
    Context::Confirm,
    Context::Done,
    Context::Slide,
    Context::Question,
];

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Any of these.
    pub keys: Vec<Key>,
    /// Does this.
    pub action: Action,
    /// Here.
    pub contexts: &'static [Context],
    /// How the keys are written.
    pub label: String,
    /// What it does, in words, for the help page.
    pub help: &'static str,
    /// One word for the footer; empty keeps it out.
    pub hint: &'static str,
}

impl Binding {
    /// Whether the user may bind other keys to it: those of views, not those of dialogs.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.contexts.contains(&Context::Main) && self.contexts.len() < CONTEXTS.len()
    }
}

/// The keys as they are bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    bindings: Vec<Binding>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self { bindings: table() }
    }
}

/// Why keys cannot be bound like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeymapError {
    /// No such action.
    #[error("there is no action '{name}' to bind keys to; there are {known}")]
    NoAction {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Not a key.
    #[error(
        "'{text}' for '{action}' is no key; write it as x, X, ctrl-x, space, enter, esc, tab, backtab, backspace, up, down, left, right, home, end, page-up, page-down or f1 to f12"
    )]
    NoKey {
        /// What it was to be bound to.
        action: String,
        /// What was written.
        text: String,
    },
    /// One key, two meanings.
    #[error("the key {key} is bound to '{one}' and to '{other}'")]
    Conflict {
        /// Key.
        key: String,
        /// Action.
        one: &'static str,
        /// Another one.
        other: &'static str,
    },
    /// Nothing would end the program or explain the keys.
    #[error("'{0}' needs a key")]
    Needed(&'static str),
}

impl Keymap {
    /// The table, with other keys for some actions of views. No keys at all take them away.
    ///
    /// # Errors
    /// [`KeymapError`] names the action and the key.
    pub fn rebound(changes: &BTreeMap<String, Vec<String>>) -> Result<Self, KeymapError> {
        let mut keymap = Self::default();
        for (name, texts) in changes {
            let keys: Option<Vec<Key>> = texts.iter().map(|text| Key::parse(text)).collect();
            let Some(keys) = keys else {
                let bad = texts.iter().find(|text| Key::parse(text).is_none());
                return Err(KeymapError::NoKey {
                    action: name.clone(),
                    text: bad.cloned().unwrap_or_default(),
                });
            };
            keymap.bind(name, keys)?;
        }
        keymap.check()?;
        Ok(keymap)
    }

    fn bind(&mut self, name: &str, keys: Vec<Key>) -> Result<(), KeymapError> {
        let free = |b: &&mut Binding| b.is_free() && b.action.name() == name;
        let Some(binding) = self.bindings.iter_mut().find(free) else {
            let known: Vec<&str> = self.free().map(|b| b.action.name()).collect();
            return Err(KeymapError::NoAction {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let labels: Vec<String> = keys.iter().map(Key::label).collect();
        (binding.keys, binding.label) = (keys, labels.join(" "));
        Ok(())
    }

    /// No key means two things in one context, and the program can be left.
    fn check(&self) -> Result<(), KeymapError> {
        for context in CONTEXTS {
            let mut seen: Vec<(Key, Action)> = Vec::new();
            for binding in self.bindings.iter().filter(|b| b.contexts.contains(&context)) {
                for key in &binding.keys {
                    if let Some((_, other)) = seen.iter().find(|(k, _)| k == key) {
                        return Err(KeymapError::Conflict {
                            key: key.label(),
                            one: other.name(),
                            other: binding.action.name(),
                        });
                    }
                    seen.push((*key, binding.action));
                }
            }
        }
        let gone = |action: Action| {
            let mut of = self.free().filter(|b| b.action == action);
            of.all(|b| b.keys.is_empty())
        };
        let needed = [Action::Quit, Action::Help, Action::Close];
        match needed.into_iter().find(|action| gone(*action)) {
            Some(action) => Err(KeymapError::Needed(action.name())),
            None => Ok(()),
        }
    }

    /// Everything that is bound.
    #[must_use]
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// What the user may bind other keys to.
    pub fn free(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(|b| b.is_free())
    }

    /// What a key does in a context.
    #[must_use]
    pub fn action(&self, context: Context, event: &KeyEvent) -> Option<Action> {
        let key = Key {
            code: event.code,
            ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
        };
        let here = |b: &&Binding| b.contexts.contains(&context) && b.keys.contains(&key);
        self.bindings.iter().find(here).map(|b| b.action)
    }

    /// Keys of several actions of views, side by side.
    #[must_use]
    pub fn labels(&self, actions: &[Action]) -> String {
        let label = |action: &Action| {
            let of = self.free().find(|b| b.action == *action);
            of.map_or("", |b| b.label.as_str())
        };
        let all: Vec<&str> = actions.iter().map(label).filter(|l| !l.is_empty()).collect();
        all.join(" ")
    }

    /// The first key of each of several actions of views.
    #[must_use]
    pub fn firsts(&self, actions: &[Action]) -> String {
        let first = |action: &Action| {
            let of = self.free().find(|b| b.action == *action);
            of.and_then(|b| b.keys.first()).map(Key::label)
        };
        actions.iter().filter_map(first).collect()
    }

    /// Hints of a context: label and word.
    pub fn hints(&self, context: Context) -> impl Iterator<Item = (String, &'static str)> {
        // The help's own key closes it again: that is said already.
        let again = move |b: &Binding| context == Context::Help && b.action == Action::Help;
        let here = move |b: &&Binding| {
            b.contexts.contains(&context) && !b.hint.is_empty() && !b.keys.is_empty() && !again(b)
        };
        self.bindings
            .iter()
            .filter(here)
            .map(|b| (b.label.clone(), b.hint))
    }
}

/// The character a key types, if it types one that may be shown.
#[must_use]
pub fn typed(event: &KeyEvent) -> Option<char> {
    let held = event
        .modifiers
        .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match event.code {
        KeyCode::Char(c) if !held && crate::clean::is_safe(c) => Some(c),
        _ => None,
    }
}

#[cfg(test)]
#[path = "keymap_test.rs"]
mod tests;
