//! Tests of the table of keys, and of what users make of it.

use super::*;

fn rebound(changes: &[(&str, &[&str])]) -> Result<Keymap, KeymapError> {
    let changes = changes.iter().map(|(name, keys)| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        ((*name).to_owned(), keys)
    });
    Keymap::rebound(&changes.collect())
}

fn press(keymap: &Keymap, text: &str) -> Option<Action> {
    let key = Key::parse(text).expect("a key");
    let held = if key.ctrl {
        KeyModifiers::CONTROL
    } else {
        KeyModifiers::NONE
    };
    keymap.action(Context::Main, &KeyEvent::new(key.code, held))
}

#[test]
fn no_key_means_two_things_in_one_context() {
    assert_eq!(Keymap::default().check(), Ok(()));
}

#[test]
fn no_letter_is_taken_where_text_is_typed() {
    let keymap = Keymap::default();
    for context in [Context::Filter, Context::Palette, Context::Typing] {
        let here = keymap.bindings().iter().filter(|b| b.contexts.contains(&context));
        for key in here.flat_map(|b| &b.keys) {
            assert!(
                key.ctrl || !matches!(key.code, KeyCode::Char(_)),
                "{key:?} in {context:?}"
            );
        }
    }
}

#[test]
fn every_context_can_be_left_and_every_key_is_explained() {
    let keymap = Keymap::default();
    for context in CONTEXTS {
        let leaves = |b: &Binding| matches!(b.action, Action::Close | Action::Quit);
        let mut here = keymap.bindings().iter().filter(|b| b.contexts.contains(&context));
        assert!(here.any(leaves), "{context:?}");
    }
    let explained = |b: &Binding| !b.help.is_empty() && !b.label.is_empty() && !b.keys.is_empty();
    assert!(keymap.bindings().iter().all(explained));
}

#[test]
fn every_screen_has_its_number() {
    for (i, screen) in Screen::ALL.into_iter().enumerate() {
        let digit = (i + 1).to_string();
        assert_eq!(press(&Keymap::default(), &digit), Some(Action::Show(screen)));
    }
}

#[test]
fn keys_are_written_as_they_are_read() {
    let keymap = Keymap::default();
    for key in keymap.bindings().iter().flat_map(|b| &b.keys) {
        assert_eq!(Key::parse(&key.text()), Some(*key), "{key:?}");
    }
    for bad in ["", "ctrl-", "f0", "f13", "hyper-x", "xy", "\u{1b}"] {
        assert_eq!(Key::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn users_bind_other_keys_and_the_footer_and_the_help_say_so() {
    let keymap =
        rebound(&[("quit", &["Q"]), ("sort-left", &["ctrl-left"]), ("copy", &[])]).expect("a keymap");
    assert_eq!(press(&keymap, "Q"), Some(Action::Quit));
    assert_eq!((press(&keymap, "q"), press(&keymap, "y")), (None, None));
    let hints: Vec<_> = keymap.hints(Context::Main).collect();
    assert!(hints.contains(&("Q".to_owned(), "quit")), "{hints:?}");
    let order = [
        Action::SortLeft,
        Action::SortRight,
        Action::SortInvert,
        Action::Copy,
    ];
    assert_eq!(keymap.labels(&order), "^← > i");
}

#[test]
fn what_cannot_be_bound_is_refused_by_name() {
    let refused = |changes: &[(&str, &[&str])]| rebound(changes).expect_err("refused").to_string();
    assert!(
        refused(&[("qiut", &["q"])])
            .starts_with("there is no action 'qiut' to bind keys to; there are overview, mesh")
    );
    assert!(refused(&[("quit", &["hyper-q"])]).starts_with("'hyper-q' for 'quit' is no key"));
    assert_eq!(
        refused(&[("quit", &["x"])]),
        "the key x is bound to 'chaos-dialog' and to 'quit'"
    );
    assert_eq!(
        refused(&[("down", &["ctrl-c"])]),
        "the key ^c is bound to 'down' and to 'quit'"
    );
    assert_eq!(refused(&[("quit", &[])]), "'quit' needs a key");
    assert!(refused(&[("accept", &["y"])]).contains("no action 'accept'"));
    assert!(rebound(&[("quit", &["x"]), ("chaos-dialog", &["X"])]).is_ok());
}
