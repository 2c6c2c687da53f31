//! What keys and messages do to the model, step by step.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::*;
use crate::console::{ConsoleError, Known, Order, Radius};
use crate::dialog::Stage;
use crate::feed::{Entity, RowsUpdate, Update};
use crate::table::RowId;
use crate::units::Moment;

#[path = "update/chaos_test.rs"]
mod chaos_tests;
#[path = "update/question_test.rs"]
mod question_tests;
#[path = "update/travel_test.rs"]
mod travel_tests;

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
        let confirm_by_typing = matches!(&cmds[0], Cmd::Preview(Order { fault, target, .. }, _) if fault == "kill" && target == "b")
            .then(|| "b".to_owned());
        let radius = Radius {
            lines: vec!["1 of 2".to_owned()],
            quorum_lost: true,
            confirm_by_typing,
            impossible: false,
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
                '\t' => KeyCode::Tab,
                c => KeyCode::Char(c),
            };
            press(m, code)
        })
        .collect()
}

fn told(m: &Model) -> &str {
    m.told.as_deref().unwrap_or_default()
}

#[test]
fn digits_and_tab_open_views_which_ask_for_the_processes_that_they_show() {
    let mut m = model(false);
    let cmds = keys(&mut m, "5");
    assert!(matches!(&cmds[..], [Cmd::Want(w)] if w.limit == 0 && w.sort == "mailbox"));
    let cmds = press(&mut m, KeyCode::Tab);
    assert!(matches!(&cmds[..], [Cmd::Want(w)] if w.processes && w.filter.contains("session")));
    assert_eq!(m.screen, Screen::Registry);
    // The fullest mailboxes are looked at everywhere.
    assert!(
        matches!(&press(&mut m, KeyCode::Tab)[..], [Cmd::Want(w)] if w.limit == 20 && w.sort == "mailbox")
    );
    assert_eq!(m.screen, Screen::Timeline);
    assert!(press(&mut m, KeyCode::Tab).is_empty());
    assert_eq!(m.screen, Screen::Traces);
    assert!(press(&mut m, KeyCode::Tab).is_empty());
    assert_eq!(m.screen, Screen::Chaos);
    assert!(press(&mut m, KeyCode::Tab).is_empty());
    assert_eq!(m.screen, Screen::Overview);
}

#[test]
fn the_order_of_processes_is_asked_of_the_nodes() {
    let mut m = model(false);
    keys(&mut m, "5");
    let words = ["growth", "drain", "oldest", "in-rate", "out-rate", "busy-rate"];
    for word in words {
        assert!(
            matches!(&keys(&mut m, ">")[..], [Cmd::Want(w)] if w.sort == word),
            "{word}"
        );
    }
    let is = |cmd: &Cmd, word: &str, reverse: bool| matches!(cmd, Cmd::Want(w) if w.sort == word && w.reverse == reverse);
    assert!(keys(&mut m, "i").iter().all(|cmd| is(cmd, "busy-rate", true)));
    assert_eq!(m.pane().sort.map(|s| s.descending), Some(false));
    assert!(
        keys(&mut m, "<w")
            .last()
            .is_some_and(|cmd| is(cmd, "dequeued", false))
    );
    assert!(
        keys(&mut m, "w")
            .last()
            .is_some_and(|cmd| is(cmd, "out-rate", false))
    );
    // Words begin with A by themselves.
    assert!(
        keys(&mut m, "<<<<<<<<")
            .last()
            .is_some_and(|cmd| is(cmd, "name", false))
    );
    assert!(keys(&mut m, "i").last().is_some_and(|cmd| is(cmd, "name", true)));
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
    .chain("123456789jkhlgGHx/ ?<>iw!ouTy,.{}Lq".chars().map(KeyCode::Char));
    let codes: Vec<_> = codes.collect();
    let mut m = model(true);
    // A walk that visits pairs of keys in many orders; nothing may panic, and no frame may fail.
    for i in 0..codes.len() * codes.len() * 3 {
        let code = codes[(i * 7 + i / codes.len() * 5) % codes.len()];
        press(&mut m, code);
        update(&mut m, Message::Tick(Moment(1_000 + i as u64 * 30)));
    }
}

#[test]
fn commands_are_typed_completed_and_done() {
    let mut m = model(false);
    assert!(matches!(&keys(&mut m, ":lead\n")[..], []));
    assert_eq!((m.screen, &m.overlay), (Screen::Leaders, &Overlay::None));
    keys(&mut m, ":overv\t");
    assert!(matches!(&m.overlay, Overlay::Palette(p) if p.text == "overview"));
    keys(&mut m, "\n");
    assert_eq!(m.screen, Screen::Overview);
    keys(&mut m, ":goto b\n");
    assert_eq!(m.pane().cursor.id, Some(RowId::Node("b".to_owned())));
    keys(&mut m, ":filter node = a\n");
    assert_eq!(
        (m.pane().filter_text.as_str(), m.pane().filter.is_all()),
        ("node = a", false)
    );
    keys(&mut m, ":sort rss\n");
    assert_eq!(m.pane().sort.map(|s| (s.column, s.descending)), Some((4, true)));
    for (typed, said) in [
        (":zzz\n", "there is no command 'zzz'"),
        (":goto nobody\n", "There is no row named 'nobody'"),
        (
            ":sort bogus\n",
            "There is no column 'bogus'; there are node, state",
        ),
        (":filter rss > 3MiB apples\n", "expected 'and', 'or' or the end"),
        (":theme neon\n", "there is no theme 'neon'"),
    ] {
        keys(&mut m, typed);
        assert!(
            matches!(&m.overlay, Overlay::Notice { text, bad: true, .. } if text.contains(said)),
            "{typed}: {:?}",
            m.overlay
        );
        keys(&mut m, "\u{1b}");
    }
    assert_eq!(
        keys(&mut m, ":theme light\n"),
        [Cmd::Theme(crate::theme::Palette::Light)]
    );
    assert_eq!(keys(&mut m, ":quit\n"), [Cmd::Quit]);
}

#[test]
fn a_view_is_saved_under_a_name_that_can_be_changed() {
    let mut m = model(false);
    update(
        &mut m,
        Message::Key(KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL)),
    );
    assert!(matches!(&m.overlay, Overlay::Palette(p) if p.text == "save squall-overview-000001.svg"));
    press(&mut m, KeyCode::Backspace);
    assert_eq!(
        keys(&mut m, "\n"),
        [Cmd::Save("squall-overview-000001.sv".to_owned())]
    );
    update(&mut m, Message::Saved(Err("it is full".to_owned())));
    assert!(matches!(&m.overlay, Overlay::Notice { text, bad: true, .. } if text == "it is full"));
}

#[test]
fn names_are_copied_and_rows_lead_to_their_owners_and_users() {
    let mut m = model(false);
    assert_eq!(keys(&mut m, "jy"), [Cmd::Copy("b".to_owned())]);
    let cmds = keys(&mut m, "u");
    assert!(
        matches!(&cmds[..], [Cmd::Want(w)] if w.filter == "node = \"b\""),
        "{cmds:?}"
    );
    assert_eq!(m.screen, Screen::Processes);
    keys(&mut m, "2o");
    assert_eq!(
        (m.screen, &m.pane().cursor.id),
        (Screen::Overview, &Some(RowId::Node("a".to_owned())))
    );
}

#[test]
fn an_exclamation_mark_leaves_rows_out() {
    let mut m = model(false);
    keys(&mut m, "!b\n");
    assert_eq!(m.pane().filter_text, "!b");
    assert!(matches!(&m.prepared.body, prepare::Body::Overview(v) if v.nodes.total == 1));
    keys(&mut m, "/ and\n");
    assert!(m.pane().filter_error.is_some(), "what is wrong is said");
}

#[test]
fn clicks_open_tabs_and_select_rows_and_the_wheel_moves() {
    use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
    let mut m = model(false);
    let mut mouse = |kind, column, row| {
        let event = MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        };
        update(&mut m, Message::Mouse(event));
        (m.screen, m.pane().cursor.id.clone())
    };
    let down = MouseEventKind::Down(MouseButton::Left);
    let b = Some(RowId::Node("b".to_owned()));
    let mesh = layout_of_tab(Screen::Mesh);
    // Header, tabs, border, headings, a, b.
    assert_eq!(mouse(down, 5, 5).1, b);
    assert_eq!(
        mouse(MouseEventKind::ScrollUp, 5, 5).1,
        Some(RowId::Node("a".to_owned()))
    );
    assert_eq!(mouse(down, mesh, 1).0, Screen::Mesh);
    assert_eq!(mouse(down, 79, 23).0, Screen::Mesh, "there is nothing to open");
}

fn layout_of_tab(screen: Screen) -> u16 {
    let tabs = crate::layout::tabs(ratatui::layout::Rect::new(0, 1, 80, 1), Screen::Overview);
    let tab = tabs.into_iter().find(|tab| tab.screen == screen);
    tab.expect("it has one").area.x + 1
}

#[test]
fn enter_opens_the_page_of_a_row_and_esc_leaves_it() {
    let mut m = model(false);
    update(&mut m, Message::Resize(80, 16));
    let cmds = keys(&mut m, "j\n");
    assert!(
        matches!(&cmds[..], [Cmd::Want(w)] if w.filter == "node = \"b\""),
        "{cmds:?}"
    );
    assert!(matches!(&m.prepared.body, prepare::Body::Page(v) if v.title == "Node b"));
    let at = |m: &Model| m.page.as_ref().map(|page| (page.first, page.chosen.clone()));
    // The lines on its link lead on.
    let link = RowId::Link("b".to_owned(), "a".to_owned());
    keys(&mut m, "G");
    let last = at(&m).map(|at| at.0);
    keys(&mut m, "jjj");
    assert_eq!(
        (at(&m).map(|at| at.0), last > Some(2)),
        (last, true),
        "not beyond its end"
    );
    keys(&mut m, "g");
    assert_eq!(keys(&mut m, "y"), [Cmd::Copy("b".to_owned())]);
    while at(&m).and_then(|at| at.1) != Some(link.clone()) {
        keys(&mut m, "j");
    }
    keys(&mut m, "\n");
    assert!(matches!(&m.prepared.body, prepare::Body::Page(v) if v.title == "Link b – a"));
    keys(&mut m, "\u{1b}");
    assert_eq!(at(&m).and_then(|at| at.1), Some(link), "back where it was left");
    keys(&mut m, "\u{1b}");
    assert_eq!((m.page.is_none(), m.screen), (true, Screen::Overview));
    assert_eq!(m.pane().cursor.id, Some(RowId::Node("b".to_owned())));
    keys(&mut m, "\n2");
    assert_eq!(
        (m.page.is_none(), m.screen),
        (true, Screen::Mesh),
        "a view is opened from a page"
    );
}

#[test]
fn w_shows_totals_in_place_of_rates() {
    let mut m = model(false);
    let title = |m: &Model| match &m.prepared.body {
        prepare::Body::Overview(v) => v.nodes.columns[7].title,
        other => panic!("{other:?}"),
    };
    assert_eq!(title(&m), "in/s");
    keys(&mut m, "w");
    assert_eq!(title(&m), "in");
    keys(&mut m, "w");
    assert_eq!(title(&m), "in/s");
}

/// C3: nodes keep what a page shows in detail only while it is open.
#[test]
fn an_open_page_asks_for_its_details_and_a_closed_one_does_not() {
    let mut m = model(false);
    let page = |id| Some(crate::model::Page::new(id));
    assert_eq!(m.wants().detail, None);
    m.page = page(RowId::Exchange("orders".to_owned()));
    assert_eq!(m.wants().detail, Some(Entity::Exchange("orders".to_owned())));
    m.page = page(RowId::Process("a".to_owned(), "<a.9>".to_owned()));
    let process = Entity::Process {
        node: "a".to_owned(),
        pid: "<a.9>".to_owned(),
    };
    assert_eq!(m.wants().detail, Some(process));
    m.page = page(RowId::Node("a".to_owned()));
    assert_eq!(m.wants().detail, None);
    m.page = page(RowId::Exchange("orders".to_owned()));
    let cmds = press(&mut m, KeyCode::Esc);
    assert!(
        matches!(&cmds[..], [Cmd::Want(wants)] if wants.detail.is_none()),
        "{cmds:?}"
    );
}
