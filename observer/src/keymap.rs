//! The one table of keys. It feeds the dispatch, the footer and the help page, so that they cannot differ.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

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
    /// Type a filter.
    Filter,
    /// Stop or go on showing what comes.
    Freeze,
    /// Order by the column before.
    SortLeft,
    /// Order by the next column.
    SortRight,
    /// Turn the order round.
    SortInvert,
    /// Chaos dialog on the selected row.
    Chaos,
    /// End all faults.
    HaltAll,
    /// Keys.
    Help,
    /// Do it.
    Accept,
    /// Leave.
    Close,
    /// Take the last character back.
    Erase,
    /// Take all characters back.
    EraseAll,
}

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A view.
    Main,
    /// Text is being typed for the filter.
    Filter,
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
}

/// Every context.
pub const CONTEXTS: [Context; 7] = [
    Context::Main,
    Context::Filter,
    Context::Help,
    Context::Form,
    Context::Typing,
    Context::Confirm,
    Context::Done,
];

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Which.
    pub code: KeyCode,
    /// With control.
    pub ctrl: bool,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Any of these.
    pub keys: &'static [Key],
    /// Does this.
    pub action: Action,
    /// Here.
    pub contexts: &'static [Context],
    /// How the keys are written.
    pub label: &'static str,
    /// What it does, in words, for the help page.
    pub help: &'static str,
    /// One word for the footer; empty keeps it out.
    pub hint: &'static str,
}

const fn c(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        ctrl: false,
    }
}

const fn ctrl(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        ctrl: true,
    }
}

const fn k(code: KeyCode) -> Key {
    Key { code, ctrl: false }
}

const fn bind(
    keys: &'static [Key],
    action: Action,
    contexts: &'static [Context],
    label: &'static str,
    help: &'static str,
    hint: &'static str,
) -> Binding {
    Binding {
        keys,
        action,
        contexts,
        label,
        help,
        hint,
    }
}

use Context::{Confirm, Done, Filter, Form, Help, Main, Typing};

const MAIN: &[Context] = &[Main];
const ALL: &[Context] = &[Main, Filter, Help, Form, Typing, Confirm, Done];
const LISTS: &[Context] = &[Main, Help];
const BOXES: &[Context] = &[Form, Typing, Confirm];
const OVERLAYS: &[Context] = &[Filter, Help, Form, Typing, Confirm];
const TYPED: &[Context] = &[Filter, Typing];

/// The table, a line a key. The footer shows hints in this order.
#[rustfmt::skip]
pub const BINDINGS: &[Binding] = &[
    bind(&[c('1')], Action::Show(Screen::Overview), MAIN, "1", "Overview: nodes, load", ""),
    bind(&[c('2')], Action::Show(Screen::Mesh), MAIN, "2", "Mesh: links, each direction", ""),
    bind(&[c('3')], Action::Show(Screen::Exchanges), MAIN, "3", "Exchanges: owners, rates", ""),
    bind(&[c('4')], Action::Show(Screen::Leaders), MAIN, "4", "Leaders: who believes what", ""),
    bind(&[c('5')], Action::Show(Screen::Processes), MAIN, "5", "Processes: mailboxes", ""),
    bind(&[c('6')], Action::Show(Screen::Timeline), MAIN, "6", "Timeline: what happened", ""),
    bind(&[k(KeyCode::Enter)], Action::Accept, BOXES, "Enter", "go on", "go on"),
    bind(&[k(KeyCode::Enter)], Action::Accept, &[Filter], "Enter", "keep the filter", "keep"),
    bind(&[k(KeyCode::Tab)], Action::NextScreen, MAIN, "Tab", "next view", ""),
    bind(&[k(KeyCode::BackTab)], Action::PreviousScreen, MAIN, "S-Tab", "view before", ""),
    bind(&[k(KeyCode::Up), c('k')], Action::Up, MAIN, "↑ k", "up", ""),
    bind(&[k(KeyCode::Down), c('j')], Action::Down, MAIN, "↓ j", "down", ""),
    bind(&[k(KeyCode::Left), c('h')], Action::Left, MAIN, "← h", "left (links)", ""),
    bind(&[k(KeyCode::Right), c('l')], Action::Right, MAIN, "→ l", "right (links)", ""),
    bind(&[k(KeyCode::Up), c('k')], Action::Up, &[Form], "↑", "field above", ""),
    bind(&[k(KeyCode::Down), c('j'), k(KeyCode::Tab)], Action::Down, &[Form], "↑↓", "field below", "field"),
    bind(&[k(KeyCode::Left), c('h')], Action::Left, &[Form], "←", "value before", ""),
    bind(&[k(KeyCode::Right), c('l')], Action::Right, &[Form], "←→", "next value", "value"),
    bind(&[k(KeyCode::PageUp), ctrl('u')], Action::PageUp, MAIN, "PgUp ^u", "page up", ""),
    bind(&[k(KeyCode::PageDown), ctrl('d')], Action::PageDown, MAIN, "PgDn ^d", "page down", ""),
    bind(&[c('g'), k(KeyCode::Home)], Action::First, MAIN, "g Home", "first row", ""),
    bind(&[c('G'), k(KeyCode::End)], Action::Last, MAIN, "G End", "last row", ""),
    bind(&[c('x')], Action::Chaos, MAIN, "x", "break what is selected", "chaos"),
    bind(&[c('H')], Action::HaltAll, MAIN, "H", "end all faults", "halt"),
    bind(&[c(' ')], Action::Freeze, MAIN, "space", "freeze; what comes is kept", "freeze"),
    bind(&[c('/')], Action::Filter, MAIN, "/", "filter rows; ! leaves out", "filter"),
    bind(&[c('>')], Action::SortRight, MAIN, ">", "sort by the next column", ""),
    bind(&[c('<')], Action::SortLeft, MAIN, "<", "sort by the column before", "sort"),
    bind(&[c('i')], Action::SortInvert, MAIN, "i", "turn the order round", ""),
    bind(&[k(KeyCode::Backspace)], Action::Erase, TYPED, "⌫", "take a character back", ""),
    bind(&[ctrl('u')], Action::EraseAll, TYPED, "^u", "take all back", ""),
    bind(&[c('?'), k(KeyCode::F(1))], Action::Help, LISTS, "?", "this page", "help"),
    bind(&[k(KeyCode::Esc)], Action::Close, MAIN, "Esc", "clear the filter", ""),
    bind(&[k(KeyCode::Esc)], Action::Close, OVERLAYS, "Esc", "close", "leave"),
    bind(&[k(KeyCode::Esc), k(KeyCode::Enter)], Action::Close, &[Done], "Esc", "close", "close"),
    bind(&[c('q')], Action::Quit, MAIN, "q", "quit", "quit"),
    bind(&[c('q')], Action::Close, &[Help, Form, Confirm, Done], "q", "close", ""),
    bind(&[ctrl('c')], Action::Quit, ALL, "^c", "quit from anywhere", ""),
];

/// What a key does in a context.
#[must_use]
pub fn action(context: Context, event: &KeyEvent) -> Option<Action> {
    let key = Key {
        code: event.code,
        ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
    };
    find(context, key).map(|b| b.action)
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

/// Hints for the footer: label and word; those about order only where there is one to choose.
pub fn hints(context: Context, sortable: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let sorts = |b: &Binding| {
        matches!(
            b.action,
            Action::SortLeft | Action::SortRight | Action::SortInvert
        )
    };
    let here =
        move |b: &&Binding| b.contexts.contains(&context) && !b.hint.is_empty() && (sortable || !sorts(b));
    BINDINGS
        .iter()
        .filter(here)
        .map(|b| (if b.label == "<" { "< > i" } else { b.label }, b.hint))
}

fn find(context: Context, key: Key) -> Option<&'static Binding> {
    BINDINGS
        .iter()
        .find(|b| b.contexts.contains(&context) && b.keys.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_context() {
        for context in CONTEXTS {
            let mut seen: Vec<(Key, Action)> = Vec::new();
            for b in BINDINGS.iter().filter(|b| b.contexts.contains(&context)) {
                for key in b.keys {
                    let other = seen.iter().find(|(k, _)| k == key);
                    assert_eq!(other, None, "{key:?} in {context:?}: {:?} as well", b.action);
                    seen.push((*key, b.action));
                }
            }
        }
    }

    #[test]
    fn no_letter_is_taken_where_text_is_typed() {
        for context in [Context::Filter, Context::Typing] {
            let letters = BINDINGS
                .iter()
                .filter(|b| b.contexts.contains(&context))
                .flat_map(|b| b.keys);
            for key in letters {
                assert!(
                    key.ctrl || !matches!(key.code, KeyCode::Char(_)),
                    "{key:?} in {context:?}"
                );
            }
        }
    }

    #[test]
    fn every_context_can_be_left_and_every_key_is_explained() {
        for context in CONTEXTS {
            let leaves = |b: &Binding| matches!(b.action, Action::Close | Action::Quit);
            assert!(
                BINDINGS
                    .iter()
                    .any(|b| leaves(b) && b.contexts.contains(&context))
            );
        }
        assert!(
            BINDINGS
                .iter()
                .all(|b| !b.help.is_empty() && !b.label.is_empty() && !b.keys.is_empty())
        );
    }

    #[test]
    fn every_screen_has_its_number() {
        for (i, screen) in Screen::ALL.into_iter().enumerate() {
            let digit = char::from_digit(i as u32 + 1, 10).expect("fewer than ten screens");
            let event = KeyEvent::new(KeyCode::Char(digit), KeyModifiers::NONE);
            assert_eq!(action(Context::Main, &event), Some(Action::Show(screen)));
        }
    }
}
