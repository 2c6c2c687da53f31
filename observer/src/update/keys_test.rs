//! What keys and clicks do where: the last line tells the truth, no key is silent, and whatever was gone to is left again.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;
use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::update;
use crate::feed::{Detailed, Entity, RowsUpdate, Update};
use crate::keymap::Action;
use crate::model::{Cmd, Message, Model, Overlay, Page, Screen};
use crate::prepare::{Body, keys};
use crate::table::RowId;
use crate::traces::TraceId;
use crate::units::Moment;

const NAMES: [&str; 3] = ["a", "b", "c"];
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Node `name` of three, which own exchange `orders` at a, with a process each.
fn fed(name: &str, faults: usize) -> Update {
    let own = v1::NodeRow {
        name: name.to_owned(),
        incarnation: 7,
        quorum: true,
        ..Default::default()
    };
    let mut rows = vec![Row::Node(own)];
    for peer in NAMES.into_iter().filter(|peer| *peer != name) {
        rows.push(Row::Link(v1::LinkRow {
            peer: peer.to_owned(),
            state: v1::LinkState::Up.into(),
            ..Default::default()
        }));
    }
    for exchange in ["orders", "users"] {
        rows.push(Row::Exchange(v1::ExchangeRow {
            name: exchange.to_owned(),
            owner: "a".to_owned(),
            ..Default::default()
        }));
        rows.push(Row::Leader(v1::LeaderRow {
            exchange: exchange.to_owned(),
            believed_owner: "a".to_owned(),
            ..Default::default()
        }));
    }
    rows.push(Row::Process(v1::ProcessRow {
        pid: format!("<{name}.1>"),
        name: "orders".to_owned(),
        ..Default::default()
    }));
    rows.extend((0..faults).map(|i| {
        Row::Fault(v1::FaultRow {
            id: format!("f{i}"),
            what: "delay".to_owned(),
            left_ms: 9_000,
            ..Default::default()
        })
    }));
    Update::Rows(RowsUpdate {
        node: name.to_owned(),
        whole: true,
        rows: rows.into_iter().map(|row| v1::Row { row: Some(row) }).collect(),
        ..Default::default()
    })
}

fn model(screen: Screen, size: (u16, u16), console: bool, faults: usize) -> Model {
    let mut m = Model::new(size, screen, console);
    update(&mut m, Message::Tick(Moment(1_000)));
    update(
        &mut m,
        Message::Fed(NAMES.iter().map(|name| fed(name, faults)).collect()),
    );
    update(&mut m, Message::Tick(Moment(1_100)));
    m
}

fn press(m: &mut Model, code: KeyCode) -> Vec<Cmd> {
    update(m, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn keys(m: &mut Model, text: &str) -> Vec<Cmd> {
    let code = |c: char| match c {
        '\n' => KeyCode::Enter,
        '\u{1b}' => KeyCode::Esc,
        c => KeyCode::Char(c),
    };
    text.chars().flat_map(|c| press(m, code(c))).collect()
}

fn click(m: &mut Model, spot: Rect) {
    let event = MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column: spot.x,
        row: spot.y,
        modifiers: KeyModifiers::NONE,
    };
    update(m, Message::Mouse(event));
}

fn words(m: &Model) -> Vec<&'static str> {
    m.prepared.hints.iter().map(|(_, word)| *word).collect()
}

/// Two decisions of `orders`: the newest without a trace.
fn decided(m: &mut Model, newer: u64) {
    let decision = |number: u64, trace: &str| v1::RoutingDecision {
        number,
        origin: "a".to_owned(),
        message: 100 + number,
        trace_id: trace.to_owned(),
        ..Default::default()
    };
    let mut decisions: Vec<v1::RoutingDecision> = (0..newer).rev().map(|n| decision(n + 3, "")).collect();
    decisions.extend([decision(2, ""), decision(1, TRACE)]);
    let detail = v1::ExchangeDetail {
        name: "orders".to_owned(),
        owned_here: true,
        decisions,
        ..Default::default()
    };
    let shown = Update::Detail {
        node: "a".to_owned(),
        of: Entity::Exchange("orders".to_owned()),
        what: Detailed::Exchange(Box::new(detail)),
    };
    update(m, Message::Fed(vec![shown]));
    let now = m.now;
    update(m, Message::Tick(now));
}

/// Its owner keeps none of them any more.
fn gone(m: &mut Model) {
    let detail = v1::ExchangeDetail {
        name: "orders".to_owned(),
        owned_here: true,
        ..Default::default()
    };
    let shown = Update::Detail {
        node: "a".to_owned(),
        of: Entity::Exchange("orders".to_owned()),
        what: Detailed::Exchange(Box::new(detail)),
    };
    update(m, Message::Fed(vec![shown]));
    let now = m.now;
    update(m, Message::Tick(now));
}

fn chosen(m: &Model) -> Option<RowId> {
    m.page.as_ref().and_then(|page| page.chosen.clone())
}

fn choose_trace(m: &mut Model) {
    for _ in 0..200 {
        press(m, KeyCode::Down);
        if matches!(chosen(m), Some(RowId::Decision(of)) if of.trace.is_some()) {
            return;
        }
    }
    panic!("no decision with a trace: {:?}", m.prepared.body);
}

#[test]
fn a_click_chooses_a_cell_of_the_mesh() {
    for size in [(60, 16), (80, 24), (160, 48)] {
        let mut m = model(Screen::Mesh, size, true, 0);
        for (from, to) in [(2, 0), (0, 2), (1, 0)] {
            let Body::Mesh(v) = &m.prepared.body else {
                panic!("{:?}", m.prepared.body)
            };
            let spot = v.grid.cell(from, to);
            click(&mut m, spot);
            let link = RowId::Link(NAMES[from].to_owned(), NAMES[to].to_owned());
            assert_eq!(m.selected(), Some(&link), "{size:?}");
        }
        let Body::Mesh(v) = &m.prepared.body else {
            panic!("{:?}", m.prepared.body)
        };
        let diagonal = v.grid.cell(1, 1);
        click(&mut m, diagonal);
        assert_eq!(m.selected(), Some(&RowId::Link("b".to_owned(), "a".to_owned())));
    }
}

#[test]
fn a_click_chooses_an_exchange_and_a_node_of_the_leaders() {
    for size in [(60, 16), (80, 24), (160, 48)] {
        let mut m = model(Screen::Leaders, size, true, 0);
        let spot = |m: &Model, row, column: Option<usize>| match &m.prepared.body {
            Body::Leaders(v) => column.map_or_else(|| v.grid.name(row), |column| v.grid.cell(row, column)),
            other => panic!("{other:?}"),
        };
        let at = spot(&m, 1, Some(2));
        click(&mut m, at);
        let users = RowId::Exchange("users".to_owned());
        assert_eq!(
            (m.selected(), m.pane().column.as_deref()),
            (Some(&users), Some("c"))
        );
        // The chosen node is what the dialog aims at.
        keys(&mut m, "x");
        assert!(
            matches!(&m.overlay, Overlay::Chaos(d) if matches!(&d.target, crate::dialog::Target::Node { name, .. } if name == "c"))
        );
        keys(&mut m, "\u{1b}");
        let at = spot(&m, 0, None);
        click(&mut m, at);
        let orders = RowId::Exchange("orders".to_owned());
        assert_eq!((m.selected(), m.pane().column.as_deref()), (Some(&orders), None));
        press(&mut m, KeyCode::Right);
        press(&mut m, KeyCode::Right);
        assert_eq!(m.pane().column.as_deref(), Some("b"));
        press(&mut m, KeyCode::Left);
        press(&mut m, KeyCode::Left);
        assert_eq!(m.pane().column, None, "the whole row");
    }
}

#[test]
fn a_click_on_a_heading_sorts_and_again_turns_the_order_round() {
    let mut m = model(Screen::Overview, (80, 24), false, 0);
    let shell = crate::prepare::shell(&m.prepared.head, false, Rect::new(0, 0, 80, 24));
    let heading = Rect::new(4, shell.body.y + 1, 1, 1);
    assert_eq!(m.pane().sort, None);
    click(&mut m, heading);
    assert_eq!(m.pane().sort.map(|s| (s.column, s.descending)), Some((0, true)));
    click(&mut m, heading);
    assert_eq!(m.pane().sort.map(|s| (s.column, s.descending)), Some((0, false)));
}

#[test]
fn a_decision_leads_to_its_trace_and_back() {
    for (key, newer) in [("\n", 0), ("T", 0), ("\n", 3)] {
        let mut m = model(Screen::Exchanges, (80, 24), false, 0);
        keys(&mut m, "\n");
        decided(&mut m, 0);
        choose_trace(&mut m);
        let before = chosen(&m);
        decided(&mut m, newer);
        assert_eq!(chosen(&m), before, "they stand still");
        gone(&mut m);
        assert_eq!(chosen(&m), before, "also when the node has forgotten it");
        assert_eq!(words(&m)[..2], ["back", "its trace"]);
        let cmds = keys(&mut m, key);
        let trace = TraceId::parse(TRACE).expect("an id");
        assert_eq!(cmds.first(), Some(&Cmd::Trace(trace)));
        assert_eq!(
            (m.screen, m.page.as_ref().map(|p| &p.id)),
            (Screen::Traces, Some(&RowId::Trace(trace)))
        );
        assert!(
            matches!(&m.prepared.body, Body::Page(v) if v.title.contains(TRACE)),
            "it has not come yet"
        );
        // Nodes go on telling of the exchange meanwhile: the way back leads to the same decision.
        assert_eq!(m.wants().detail, Some(Entity::Exchange("orders".to_owned())));
        keys(&mut m, "\u{1b}");
        assert_eq!((m.screen, chosen(&m)), (Screen::Exchanges, before));
        keys(&mut m, "\u{1b}");
        assert_eq!((m.screen, &m.page), (Screen::Exchanges, &None));
    }
}

#[test]
fn a_decision_that_was_not_traced_says_so() {
    let mut m = model(Screen::Exchanges, (120, 40), false, 0);
    keys(&mut m, "\n");
    decided(&mut m, 0);
    for _ in 0..200 {
        press(&mut m, KeyCode::Down);
        if matches!(chosen(&m), Some(RowId::Decision(_))) {
            break;
        }
    }
    assert!(!words(&m).contains(&"its trace"));
    for key in ["\n", "T"] {
        assert!(keys(&mut m, key).is_empty());
        assert_eq!(m.told.as_deref(), Some(keys::NOT_TRACED));
    }
    assert_eq!(m.screen, Screen::Exchanges);
}

#[test]
fn the_last_line_offers_what_keys_do_where_the_viewer_is() {
    let mut m = model(Screen::Overview, (120, 40), true, 0);
    assert_eq!(
        words(&m),
        ["open", "chaos", "freeze", "filter", "sort", "help", "quit"]
    );
    keys(&mut m, "\n");
    assert_eq!(
        words(&m),
        ["back", "choose", "chaos", "freeze", "traces", "help", "quit"]
    );
    keys(&mut m, "j");
    assert_eq!(words(&m)[..2], ["back", "open"]);
    keys(&mut m, "\u{1b}2");
    assert_eq!(
        words(&m),
        [
            "open", "chaos", "paint", "freeze", "filter", "graph", "help", "quit"
        ]
    );
    let mut m = model(Screen::Chaos, (120, 40), true, 2);
    assert_eq!(
        words(&m),
        [
            "open", "chaos", "halt", "unlock", "freeze", "filter", "sort", "help", "quit"
        ]
    );
    keys(&mut m, " ");
    assert!(words(&m).contains(&"live"));
    let m = model(Screen::Chaos, (120, 40), false, 0);
    assert_eq!(
        words(&m),
        ["freeze", "filter", "sort", "help", "quit"],
        "read-only, and nothing to open"
    );
    let mut m = model(Screen::Overview, (120, 40), false, 0);
    keys(&mut m, "/a\n");
    assert!(words(&m).contains(&"all rows"));
}

/// Every action of views in every view, on its pages, in both modes: it does something, or says why not.
#[test]
fn no_key_is_silent() {
    let actions = crate::keymap::Keymap::default();
    let actions: Vec<Action> = actions.free().map(|b| b.action).collect();
    let moves = [
        Action::Up,
        Action::Down,
        Action::Left,
        Action::Right,
        Action::PageUp,
        Action::PageDown,
        Action::First,
        Action::Last,
    ];
    for screen in Screen::ALL {
        for page in [
            None,
            Some(RowId::Exchange("orders".to_owned())),
            Some(RowId::Node("b".to_owned())),
        ] {
            for console in [false, true] {
                for action in actions.iter().filter(|action| !moves.contains(action)) {
                    let mut m = model(screen, (120, 40), console, 1);
                    m.page = page.clone().map(Page::new);
                    let now = m.now;
                    update(&mut m, Message::Tick(now));
                    let before = m.clone();
                    let offered = keys::offer(&m, *action);
                    let cmds = super::acted(&mut m, |m| super::main(m, *action));
                    let did = !cmds.is_empty()
                        || m.told.is_some()
                        || m.overlay != before.overlay
                        || m.prepared != before.prepared
                        || (m.screen, &m.page) != (before.screen, &before.page)
                        || m.pane().sort != before.pane().sort
                        || m.pane().totals != before.pane().totals
                        || m.is_back()
                        || *action == Action::Show(screen);
                    assert!(did || *action == Action::Quit, "{action:?} {screen:?} {page:?}");
                    let refused = m.told.is_some() || matches!(m.overlay, Overlay::Notice { bad: false, .. });
                    assert!(offered.is_ok() || refused, "{action:?} {screen:?} {page:?}");
                }
            }
        }
    }
}

#[test]
fn whatever_was_gone_to_is_left_again_with_its_filter() {
    let mut m = model(Screen::Exchanges, (120, 40), false, 0);
    keys(&mut m, "8/abc\n3");
    assert_eq!(m.selected(), Some(&RowId::Exchange("orders".to_owned())));
    keys(&mut m, "T");
    assert_eq!(
        (m.screen, m.pane().filter_text.as_str()),
        (Screen::Traces, "exchange = \"orders\"")
    );
    keys(&mut m, "/x\n");
    assert!(words(&m).contains(&"filter off"));
    keys(&mut m, "\u{1b}");
    assert_eq!(
        (m.screen, m.pane().filter_text.as_str()),
        (Screen::Traces, "exchange = \"orders\"")
    );
    keys(&mut m, "\u{1b}");
    assert_eq!(m.screen, Screen::Exchanges);
    keys(&mut m, "8");
    assert_eq!(m.pane().filter_text, "abc", "as it was before");
    keys(&mut m, "3u");
    assert_eq!(m.pane().filter_text, "name = \"orders\"");
    keys(&mut m, "o\u{1b}");
    assert_eq!(
        (m.screen, m.pane().filter_text.as_str()),
        (Screen::Processes, "name = \"orders\"")
    );
    // A tab is opened anew: there is nothing to go back to.
    keys(&mut m, "1\u{1b}");
    assert_eq!((m.screen, m.back.len()), (Screen::Overview, 0));
}

#[test]
fn the_charts_show_more_time_and_less() {
    let mut m = model(Screen::Overview, (120, 40), false, 0);
    let scale = |m: &Model| match &m.prepared.body {
        Body::Overview(v) => v.scale,
        other => panic!("{other:?}"),
    };
    keys(&mut m, "l");
    assert!(
        m.told
            .as_deref()
            .is_some_and(|told| told.contains("as close as it gets"))
    );
    for expected in ["2s", "5s", "10s"] {
        keys(&mut m, "h");
        assert!(scale(&m).contains(expected) && m.told.is_none());
    }
    keys(&mut m, "h");
    assert!(m.told.as_deref().is_some_and(|told| told.contains("ten minutes")));
    keys(&mut m, "lll");
    assert!(scale(&m).ends_with("one column a second"));
    let mut small = model(Screen::Overview, (60, 16), false, 0);
    keys(&mut small, "h");
    assert!(small.told.as_deref().is_some_and(|told| told.contains("no room")));
}

#[test]
fn the_way_back_is_bounded() {
    let mut m = model(Screen::Overview, (80, 24), false, 0);
    for _ in 0..crate::limits::BACK_MAX * 3 {
        keys(&mut m, "\no");
    }
    assert_eq!(m.back.len(), crate::limits::BACK_MAX);
}

#[test]
fn the_help_scrolls_where_it_does_not_fit_and_greys_what_does_nothing_here() {
    let mut m = model(Screen::Mesh, (60, 16), false, 0);
    keys(&mut m, "?");
    let help = |m: &Model| m.prepared.help.clone().expect("it is open");
    let all = help(&m).total;
    assert!(help(&m).rows < all && help(&m).first == 0);
    keys(&mut m, "j");
    assert_eq!(help(&m).first, 1);
    press(&mut m, KeyCode::PageDown);
    assert_eq!(help(&m).first, 1 + help(&m).rows);
    for _ in 0..all {
        press(&mut m, KeyCode::Down);
    }
    assert_eq!(help(&m).first + help(&m).rows, all);
    keys(&mut m, "\u{1b}");
    assert_eq!((&m.overlay, &m.prepared.help), (&Overlay::None, &None));
    update(&mut m, Message::Resize(120, 60));
    keys(&mut m, "?");
    let here = |label: &str| help(&m).lines.iter().any(|(l, _, here)| l == label && *here);
    assert!(here("Enter") && here("w") && !here("x") && !here("i") && !here("L"));
}

#[test]
fn a_fault_that_lives_is_said_on_a_frozen_screen_and_by_who_cannot_end_it() {
    let mut m = model(Screen::Overview, (120, 40), false, 0);
    keys(&mut m, " ");
    update(&mut m, Message::Fed(vec![fed("a", 2)]));
    update(&mut m, Message::Tick(Moment(1_200)));
    assert_eq!(m.prepared.head.faults.count, 2);
    assert_eq!(m.prepared.head.halt, "squall chaos halt ends all");
    let m = model(Screen::Overview, (120, 40), true, 1);
    assert_eq!(m.prepared.head.halt, "H ends all");
}

#[test]
fn an_exchange_that_has_moved_meanwhile_is_not_aimed_at_any_more() {
    let mut m = model(Screen::Exchanges, (120, 40), true, 0);
    keys(&mut m, "x");
    let Overlay::Chaos(dialog) = &m.overlay else {
        panic!("{:?}", m.overlay)
    };
    assert_eq!(dialog.changed(&m.live, m.now), None);
    let mut moved = fed("b", 0);
    let Update::Rows(rows) = &mut moved else {
        panic!("rows")
    };
    for row in &mut rows.rows {
        match &mut row.row {
            Some(Row::Exchange(e)) => (e.owner, e.epoch) = ("b".to_owned(), 9),
            Some(Row::Node(n)) => n.revision = 99,
            _ => {}
        }
    }
    update(&mut m, Message::Fed(vec![moved]));
    let Overlay::Chaos(dialog) = &m.overlay else {
        panic!("{:?}", m.overlay)
    };
    let why = dialog.changed(&m.live, m.now);
    assert!(why.is_some_and(|why| why.contains("a does not own orders any more")));
}
