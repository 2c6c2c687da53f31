//! What keys and messages do to the model, step by step.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::*;
use crate::console::{ConsoleError, Order, Radius};
use crate::feed::{RowsUpdate, Update};
use crate::table::RowId;
use crate::units::Moment;

fn fed(node: &str, os_pid: u64) -> Message {
    let member = |name: &str| v1::Member {
        name: name.to_owned(),
        ..Default::default()
    };
    let own = v1::NodeRow {
        name: node.to_owned(),
        incarnation: os_pid,
        os_pid,
        quorum: true,
        members: ["a", "b"].map(member).to_vec(),
        ..Default::default()
    };
    let link = v1::LinkRow {
        peer: if node == "a" { "b" } else { "a" }.to_owned(),
        ..Default::default()
    };
    let rows = [Row::Node(own), Row::Link(link)]
        .map(|row| v1::Row { row: Some(row) })
        .to_vec();
    Message::Fed(vec![Update::Rows(RowsUpdate {
        node: node.to_owned(),
        whole: true,
        rows,
        ..Default::default()
    })])
}

fn model(console: bool) -> Model {
    let mut m = Model::new((80, 24), Screen::Overview, console);
    update(&mut m, Message::Tick(Moment(1_000)));
    update(&mut m, fed("a", 11));
    update(&mut m, fed("b", 12));
    update(&mut m, Message::Tick(Moment(1_100)));
    m
}

fn press(m: &mut Model, code: KeyCode) -> Vec<Cmd> {
    let cmds = update(m, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    if cmds.iter().any(|c| matches!(c, Cmd::Preview(..))) {
        let confirm_by_typing = matches!(&cmds[0], Cmd::Preview(Order::Kill { node, .. }, _) if node == "b")
            .then(|| "b".to_owned());
        let radius = Radius {
            lines: vec!["1 of 2".to_owned()],
            quorum_lost: true,
            confirm_by_typing,
        };
        update(m, Message::Previewed(radius));
    }
    cmds
}

fn keys(m: &mut Model, text: &str) -> Vec<Cmd> {
    text.chars()
        .flat_map(|c| {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            press(m, code)
        })
        .collect()
}

fn stage(m: &Model) -> Option<&Stage> {
    match &m.overlay {
        Overlay::Chaos(dialog) => Some(&dialog.stage),
        _ => None,
    }
}

#[test]
fn digits_and_tab_open_views_and_only_processes_ask_for_processes() {
    let mut m = model(false);
    let cmds = keys(&mut m, "5");
    assert!(matches!(&cmds[..], [Cmd::Want(w)] if w.processes && w.sort == "mailbox"));
    assert!(matches!(&press(&mut m, KeyCode::Tab)[..], [Cmd::Want(w)] if !w.processes));
    assert_eq!(m.screen, Screen::Timeline);
    assert!(press(&mut m, KeyCode::Tab).is_empty());
    assert_eq!(m.screen, Screen::Overview);
}

#[test]
fn the_order_of_processes_is_asked_of_the_nodes() {
    let mut m = model(false);
    keys(&mut m, "5");
    assert!(matches!(&keys(&mut m, ">>>")[..], [.., Cmd::Want(w)] if w.sort == "enqueued"));
    assert!(keys(&mut m, "i").is_empty());
    assert_eq!(m.pane().sort.map(|s| s.descending), Some(false));
}

#[test]
fn a_selection_stays_with_its_row() {
    let mut m = model(false);
    keys(&mut m, "j");
    assert_eq!(m.pane().cursor.id, Some(RowId::Node("b".to_owned())));
    update(&mut m, fed("aa", 13));
    update(&mut m, Message::Tick(Moment(1_200)));
    assert_eq!(m.pane().cursor.id, Some(RowId::Node("b".to_owned())));
}

#[test]
fn a_filter_is_typed_kept_and_cleared() {
    let mut m = model(false);
    keys(&mut m, "/qb\n");
    assert_eq!(
        (m.pane().filter_text.as_str(), &m.overlay),
        ("qb", &Overlay::None)
    );
    keys(&mut m, "/");
    press(&mut m, KeyCode::Backspace);
    assert_eq!(m.pane().filter_text, "q");
    keys(&mut m, "\u{1b}");
    assert!(m.pane().filter.is_all() && m.pane().filter_text.is_empty());
    keys(&mut m, "/!");
    assert!(m.pane().filter.is_all(), "a lone ! is no filter yet");
}

#[test]
fn a_frozen_screen_shows_what_was_while_the_stream_goes_on() {
    let mut m = model(false);
    keys(&mut m, " ");
    update(&mut m, fed("c", 13));
    update(&mut m, Message::Tick(Moment(4_100)));
    assert_eq!((m.shown().0.nodes.len(), m.live.nodes.len()), (2, 3));
    assert_eq!(m.prepared.head.frozen_ms, Some(3_000));
    keys(&mut m, " ");
    assert_eq!(m.shown().0.nodes.len(), 3);
}

#[test]
fn nothing_new_leaves_the_screen_clean() {
    let mut m = model(false);
    m.dirty = false;
    update(&mut m, Message::Tick(Moment(1_150)));
    assert!(!m.dirty);
    update(&mut m, fed("c", 1));
    update(&mut m, Message::Tick(Moment(1_200)));
    assert!(m.dirty);
}

#[test]
fn without_a_console_nothing_can_be_broken() {
    let mut m = model(false);
    assert!(keys(&mut m, "x").is_empty());
    assert!(matches!(&m.overlay, Overlay::Notice { text, .. } if text.contains("--chaos")));
    keys(&mut m, "\u{1b}");
    assert!(keys(&mut m, "H").is_empty());
}

#[test]
fn a_kill_wants_the_name_typed() {
    let mut m = model(true);
    keys(&mut m, "jx\n");
    assert_eq!(stage(&m), Some(&Stage::Typing(String::new())));
    assert!(keys(&mut m, "a\n").is_empty(), "the wrong name fires nothing");
    press(&mut m, KeyCode::Backspace);
    let cmds = keys(&mut m, "b\n");
    assert!(
        matches!(&cmds[..], [Cmd::Fire(Order::Kill { node, expect_os_pid: Some(12), stay_down: false, .. })] if node == "b")
    );
    update(&mut m, Message::Fired(Ok("killed b".to_owned())));
    assert_eq!(stage(&m), Some(&Stage::Done(Ok("killed b".to_owned()))));
    keys(&mut m, "\u{1b}");
    assert_eq!(m.overlay, Overlay::None);
}

#[test]
fn other_orders_want_a_second_enter() {
    let mut m = model(true);
    keys(&mut m, "jx");
    press(&mut m, KeyCode::Right);
    assert!(keys(&mut m, "\n").is_empty());
    assert_eq!(stage(&m), Some(&Stage::Confirm));
    assert!(matches!(
        &keys(&mut m, "\n")[..],
        [Cmd::Fire(Order::Pause { .. })]
    ));
}

#[test]
fn a_target_that_changed_meanwhile_is_left_alone() {
    let mut m = model(true);
    keys(&mut m, "jx\nb");
    update(&mut m, fed("b", 99));
    assert!(keys(&mut m, "\n").is_empty());
    assert!(matches!(stage(&m), Some(Stage::Done(Err(why))) if why.contains("process 12 is 99")));
}

#[test]
fn a_link_is_broken_from_the_mesh() {
    let mut m = model(true);
    keys(&mut m, "2x");
    for _ in 0..2 {
        press(&mut m, KeyCode::Down);
    }
    press(&mut m, KeyCode::Right);
    let cmds = keys(&mut m, "\n\n");
    let Some(Cmd::Fire(Order::Delay {
        from,
        to,
        delay,
        jitter,
        ttl,
    })) = cmds.last()
    else {
        panic!("{cmds:?}")
    };
    assert_eq!((from.as_str(), to.as_str()), ("a", "b"));
    assert_eq!(
        (delay.as_millis(), jitter.as_millis(), ttl.as_secs()),
        (200, 50, 30)
    );
}

#[test]
fn a_link_loses_what_the_dialog_says() {
    let mut m = model(true);
    keys(&mut m, "2x");
    // From delay to loss, and from 5% to 10%.
    press(&mut m, KeyCode::Right);
    press(&mut m, KeyCode::Down);
    press(&mut m, KeyCode::Right);
    let cmds = keys(&mut m, "\n\n");
    let Some(Cmd::Fire(Order::Loss {
        from, to, share_ppm, ..
    })) = cmds.last()
    else {
        panic!("{cmds:?}")
    };
    assert_eq!((from.as_str(), to.as_str(), *share_ppm), ("a", "b", 100_000));
}

#[test]
fn the_answer_of_a_closed_dialog_is_still_shown() {
    let mut m = model(true);
    update(
        &mut m,
        Message::Fired(Err(ConsoleError::Refused("no\u{1b}pe".to_owned()))),
    );
    assert!(matches!(&m.overlay, Overlay::Notice { text, bad: true, .. } if text == "no␛pe"));
}

#[test]
fn every_key_is_taken_in_every_state() {
    let codes = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Backspace,
        KeyCode::Left,
    ]
    .into_iter()
    .chain([
        KeyCode::Right,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageDown,
        KeyCode::End,
        KeyCode::F(1),
    ])
    .chain("123456jkhlgGHx/ ?<>i!q".chars().map(KeyCode::Char));
    let codes: Vec<_> = codes.collect();
    let mut m = model(true);
    // A walk that visits pairs of keys in many orders; nothing may panic, and no frame may fail.
    for i in 0..codes.len() * codes.len() * 3 {
        let code = codes[(i * 7 + i / codes.len() * 5) % codes.len()];
        press(&mut m, code);
        update(&mut m, Message::Tick(Moment(1_000 + i as u64 * 30)));
    }
}
