//! The one table of keys, a line a key.

use crossterm::event::KeyCode;

use super::keys::{Key, c, ctrl, k};
use super::{Action, Binding, Context};
use crate::model::Screen;
use Context::{Confirm, Done, Filter, Form, Help, Main, Palette, Question, Slide, Typing};

fn bind(
    keys: &[Key],
    action: Action,
    contexts: &'static [Context],
    label: &'static str,
    help: &'static str,
    hint: &'static str,
) -> Binding {
    Binding {
        keys: keys.to_vec(),
        action,
        contexts,
        label: label.to_owned(),
        help,
        hint,
    }
}

const MAIN: &[Context] = &[Main];
const ALL: &[Context] = &[
    Main, Filter, Palette, Help, Form, Typing, Confirm, Done, Slide, Question,
];
const LISTS: &[Context] = &[Main, Help];
const BOXES: &[Context] = &[Form, Typing, Confirm];
const OVERLAYS: &[Context] = &[Filter, Palette, Help, Form, Typing, Confirm, Question];
const PAGES: &[Context] = &[Help, Question];
const TYPED: &[Context] = &[Filter, Palette, Typing];

/// The table, a line a key. The footer shows hints in this order.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Binding> {
    let show = |n: char, screen: Screen, label| {
        bind(&[c(n)], Action::Show(screen), MAIN, label, screen.about(), "")
    };
    let mut all: Vec<Binding> = Screen::ALL.into_iter().zip(["1", "2", "3", "4", "5", "6", "7", "8", "9"])
        .map(|(screen, label)| show(label.chars().next().unwrap_or('0'), screen, label))
        .collect();
    all.extend([
        bind(&[k(KeyCode::Enter)], Action::Open, MAIN, "Enter", "open; fold a span", "open"),
        bind(&[k(KeyCode::Enter)], Action::Accept, BOXES, "Enter", "go on", "go on"),
        bind(&[k(KeyCode::Enter)], Action::Accept, &[Filter], "Enter", "keep the filter", "keep"),
        bind(&[k(KeyCode::Enter)], Action::Accept, &[Palette, Question], "Enter", "do it", "do it"),
        bind(&[k(KeyCode::Tab)], Action::Complete, &[Palette], "Tab", "complete", "complete"),
        bind(&[k(KeyCode::Up), c('k')], Action::Up, PAGES, "↑ k", "up", ""),
        bind(&[k(KeyCode::Down), c('j')], Action::Down, PAGES, "↑↓", "down", "scroll"),
        bind(&[k(KeyCode::PageUp), ctrl('u')], Action::PageUp, PAGES, "PgUp", "page up", ""),
        bind(&[k(KeyCode::PageDown), ctrl('d')], Action::PageDown, PAGES, "PgDn", "page down", ""),
        bind(&[k(KeyCode::Up)], Action::Up, &[Palette], "↑", "command above", ""),
        bind(&[k(KeyCode::Down)], Action::Down, &[Palette], "↓", "command below", "choose"),
        bind(&[k(KeyCode::Tab)], Action::NextScreen, MAIN, "Tab", "next view", ""),
        bind(&[k(KeyCode::BackTab)], Action::PreviousScreen, MAIN, "S-Tab", "view before", ""),
        bind(&[k(KeyCode::Up), c('k')], Action::Up, MAIN, "↑ k", "up", ""),
        bind(&[k(KeyCode::Down), c('j')], Action::Down, MAIN, "↓ j", "down", ""),
        bind(&[k(KeyCode::Left), c('h')], Action::Left, MAIN, "← h", "left; fold; more time", ""),
        bind(&[k(KeyCode::Right), c('l')], Action::Right, MAIN, "→ l", "right; unfold; less", ""),
        bind(&[k(KeyCode::Up), c('k')], Action::Up, &[Form], "↑", "field above", ""),
        bind(&[k(KeyCode::Down), c('j'), k(KeyCode::Tab)], Action::Down, &[Form], "↑↓", "field below", "field"),
        bind(&[k(KeyCode::Left), c('h')], Action::Left, &[Form, Slide], "←", "value before; less", ""),
        bind(&[k(KeyCode::Right), c('l')], Action::Right, &[Form, Slide], "←→", "next value; more", "value"),
        bind(&[c('e')], Action::Write, &[Form], "e", "write the fault", "write"),
        bind(&[k(KeyCode::PageUp), ctrl('u')], Action::PageUp, MAIN, "PgUp ^u", "page up", ""),
        bind(&[k(KeyCode::PageDown), ctrl('d')], Action::PageDown, MAIN, "PgDn ^d", "page down", ""),
        bind(&[c('g'), k(KeyCode::Home)], Action::First, MAIN, "g Home", "first row", ""),
        bind(&[c('G'), k(KeyCode::End)], Action::Last, MAIN, "G End", "last row", ""),
        bind(&[c('x')], Action::Chaos, MAIN, "x", "break what is selected", "chaos"),
        bind(&[c('m')], Action::Paint, MAIN, "m", "paint a link of the Mesh", "paint"),
        bind(&[c('H')], Action::HaltAll, MAIN, "H", "end all faults", "halt"),
        bind(&[c('r')], Action::Run, MAIN, "r", "run a scenario", "run"),
        bind(&[c('S')], Action::Stop, MAIN, "S", "end the run", "stop"),
        bind(&[c('U')], Action::Unlock, MAIN, "U", "let faults act after a halt", "unlock"),
        bind(&[c(' ')], Action::Freeze, MAIN, "space", "freeze; what comes is kept", "freeze"),
        bind(&[c(',')], Action::StepBack, MAIN, ",", "a moment back", ""),
        bind(&[c('.')], Action::StepOn, MAIN, ".", "a moment on", ""),
        bind(&[c('{')], Action::EventBack, MAIN, "{", "to the event before", ""),
        bind(&[c('}')], Action::EventOn, MAIN, "}", "to the next event", ""),
        bind(&[c('L')], Action::Live, MAIN, "L", "live again", ""),
        bind(&[c('+')], Action::Faster, MAIN, "+", "play a recording faster", ""),
        bind(&[c('-')], Action::Slower, MAIN, "-", "play it more slowly", ""),
        bind(&[c('/')], Action::Filter, MAIN, "/", "filter rows", "filter"),
        bind(&[c('!')], Action::FilterOut, MAIN, "!", "leave rows out", ""),
        bind(&[c(':')], Action::Palette, MAIN, ":", "command by its name", ""),
        bind(&[c('>')], Action::SortRight, MAIN, ">", "sort by the next column", ""),
        bind(&[c('<')], Action::SortLeft, MAIN, "<", "sort by the column before", "sort"),
        bind(&[c('i')], Action::SortInvert, MAIN, "i", "turn the order round", ""),
        bind(&[c('w')], Action::Totals, MAIN, "w", "totals; Mesh: the graph", ""),
        bind(&[c('o')], Action::Owner, MAIN, "o", "to its owner", ""),
        bind(&[c('u')], Action::Users, MAIN, "u", "to those that use it", ""),
        bind(&[c('T')], Action::Traces, MAIN, "T", "to its traces", ""),
        bind(&[c('y')], Action::Copy, MAIN, "y", "copy its name", ""),
        bind(&[ctrl('s')], Action::Save, MAIN, "^s", "save the view to a file", ""),
        bind(&[k(KeyCode::Backspace)], Action::Erase, TYPED, "⌫", "take a character back", ""),
        bind(&[ctrl('u')], Action::EraseAll, TYPED, "^u", "take all back", ""),
        bind(&[k(KeyCode::Esc)], Action::Close, MAIN, "Esc", "back; clear the filter", ""),
        bind(&[c('?'), k(KeyCode::F(1))], Action::Help, LISTS, "?", "this page", "help"),
        bind(&[k(KeyCode::Esc)], Action::Close, OVERLAYS, "Esc", "close", "leave"),
        bind(&[k(KeyCode::Esc), k(KeyCode::Enter)], Action::Close, &[Done, Slide], "Esc", "close", "close"),
        bind(&[c('q')], Action::Quit, MAIN, "q", "quit", "quit"),
        bind(&[c('q')], Action::Close, &[Help, Form, Confirm, Done, Slide, Question], "q", "close", ""),
        bind(&[ctrl('c')], Action::Quit, ALL, "^c", "quit from anywhere", ""),
    ]);
    all
}
