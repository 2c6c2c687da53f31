//! Scenarios, their runs, and unlocking: what is asked first, what is sent, and what is said of it. And the invariants beside them.

use std::sync::Arc;

use super::*;
use crate::console::{Bar, Board, Invariant, Run, Scenario, Verdict};
use crate::prepare::Body;
use crate::prepare::board::BoardView;
use crate::question::Wish;

fn scenario(name: &str) -> Scenario {
    Scenario {
        name: name.to_owned(),
        teaches: format!("What {name} teaches. ").repeat(30),
        steps: vec!["2.0s  cut for 5.0s".to_owned()],
    }
}

fn invariants(last: Verdict) -> Bar {
    let one = |(id, verdict): (&str, Verdict)| Invariant {
        id: id.to_owned(),
        claim: "at most one owner".to_owned(),
        verdict,
    };
    Bar {
        invariants: [("I1", Verdict::Holds), ("I2", last)].map(one).to_vec(),
        seen: vec![("a leader was killed".to_owned(), 0)],
        events: 9,
    }
}

fn broken() -> Verdict {
    Verdict::Broken {
        text: "two owners\u{1b}".to_owned(),
        first: Some("one".to_owned()),
        second: "another".to_owned(),
    }
}

fn run(name: &str, ended: Option<&str>) -> Run {
    Run {
        scenario: name.to_owned(),
        ended: ended.map(str::to_owned),
        lines: vec!["it began".to_owned()],
        report: ended.map(|_| "r/report.html".to_owned()),
    }
}

fn board(run: Option<Run>) -> Board {
    Board {
        bar: Some(Ok(invariants(Verdict::Holds))),
        scenarios: ["bridge", "ring"].map(scenario).to_vec(),
        run,
        ..Board::default()
    }
}

fn tell(m: &mut Model, board: Board) {
    update(m, Message::Board(Arc::new(board)));
    let now = m.now;
    update(m, Message::Tick(now));
}

/// In the Chaos view, with a board.
fn chaos(console: bool, run: Option<Run>) -> Model {
    let mut m = model(console);
    keys(&mut m, "9");
    tell(&mut m, board(run));
    m
}

fn shown(m: &Model) -> &BoardView {
    match &m.prepared.body {
        Body::Chaos(v) => v,
        other => panic!("{other:?}"),
    }
}

fn stage(m: &Model) -> Option<&Stage> {
    match &m.overlay {
        Overlay::Question(question) => Some(&question.stage),
        _ => None,
    }
}

#[test]
fn a_scenario_is_run_after_a_question_and_never_by_one_key() {
    let mut m = chaos(true, None);
    assert_eq!(m.selected(), Some(&RowId::Invariants));
    assert!(keys(&mut m, "r").is_empty() && m.overlay == Overlay::None);
    assert!(told(&m).contains("select one there"));
    assert!(keys(&mut m, "jr").is_empty());
    assert_eq!(stage(&m), Some(&Stage::Confirm));
    let asked = m.prepared.asked.clone().expect("it is asked");
    assert!(asked.title.contains("bridge"));
    assert_eq!(keys(&mut m, "\n"), [Cmd::Run("bridge".to_owned())]);
    assert_eq!(stage(&m), Some(&Stage::Running));
    assert!(
        keys(&mut m, "\n").is_empty(),
        "Enter again runs it no second time"
    );
    update(
        &mut m,
        Message::Answered(Wish::Run, Ok("bridge runs\u{7}".to_owned())),
    );
    assert!(
        matches!(&m.overlay, Overlay::Notice { title, text, bad: false } if title == "Run" && text == "bridge runs␇"),
        "closed by Enter meanwhile: {:?}",
        m.overlay
    );
}

#[test]
fn what_a_run_came_to_is_said_where_it_was_asked() {
    let mut m = chaos(true, None);
    keys(&mut m, "jr\n");
    let refused = ConsoleError::Refused("nodes are locked".to_owned());
    update(&mut m, Message::Answered(Wish::Run, Err(refused)));
    assert_eq!(stage(&m), Some(&Stage::Done(Err("nodes are locked".to_owned()))));
    keys(&mut m, "\u{1b}");
    assert_eq!(m.overlay, Overlay::None);
}

#[test]
fn a_question_scrolls_and_is_left_without_anything_done() {
    let mut m = chaos(true, None);
    update(&mut m, Message::Resize(60, 16));
    keys(&mut m, "jr");
    let first = |m: &Model| {
        m.prepared
            .asked
            .as_ref()
            .map(|v| (v.first, v.lines.len(), v.total))
    };
    let (_, rows, total) = first(&m).expect("asked");
    assert!(rows < total);
    assert!(m.prepared.hints.iter().any(|(_, word)| *word == "scroll"));
    keys(&mut m, "j");
    assert_eq!(first(&m), Some((1, rows, total)));
    for _ in 0..total {
        press(&mut m, KeyCode::PageDown);
    }
    assert_eq!(first(&m), Some((total - rows, rows, total)));
    assert!(
        keys(&mut m, "x").is_empty() && stage(&m).is_some(),
        "other keys do nothing"
    );
    assert!(keys(&mut m, "q").is_empty());
    assert_eq!((&m.overlay, &m.prepared.asked), (&Overlay::None, &None));
    keys(&mut m, "U");
    assert!(m.prepared.hints.iter().all(|(_, word)| *word != "scroll"));
}

#[test]
fn a_scenario_that_changed_while_it_was_asked_about_is_not_run() {
    let mut m = chaos(true, None);
    keys(&mut m, "jr");
    tell(&mut m, board(Some(run("ring", None))));
    assert!(keys(&mut m, "\n").is_empty());
    assert!(matches!(stage(&m), Some(Stage::Done(Err(why))) if why.contains("ring runs now")));
    let mut m = chaos(true, None);
    keys(&mut m, "jr");
    let mut other = board(None);
    other.scenarios[0].steps.push("9s  kill".to_owned());
    tell(&mut m, other);
    assert!(keys(&mut m, "\n").is_empty());
    assert!(matches!(stage(&m), Some(Stage::Done(Err(why))) if why.contains("not what it was")));
}

#[test]
fn a_run_is_ended_after_a_question_while_it_goes_on() {
    let mut m = chaos(true, Some(run("bridge", None)));
    assert!(keys(&mut m, "jr").is_empty());
    assert!(told(&m).contains("bridge runs now; S ends it"), "{}", told(&m));
    assert!(keys(&mut m, "S").is_empty());
    assert_eq!(stage(&m), Some(&Stage::Confirm));
    assert_eq!(keys(&mut m, "\n"), [Cmd::Stop]);
    update(&mut m, Message::Answered(Wish::Stop, Ok("it ends".to_owned())));
    assert_eq!(stage(&m), Some(&Stage::Done(Ok("it ends".to_owned()))));
    keys(&mut m, "\u{1b}S");
    tell(&mut m, board(Some(run("bridge", Some("passed")))));
    assert!(keys(&mut m, "\n").is_empty(), "it has ended by itself");
    keys(&mut m, "\u{1b}S");
    assert!(told(&m).contains("No scenario runs"));
}

#[test]
fn unlocking_wants_a_reason() {
    let mut m = chaos(true, None);
    keys(&mut m, "U");
    assert_eq!(stage(&m), Some(&Stage::Typing(String::new())));
    assert!(keys(&mut m, "\n  \n").is_empty(), "blanks are none");
    assert!(matches!(&m.overlay, Overlay::Question(q) if q.wanting));
    let cmds = keys(&mut m, "qq");
    assert!(cmds.is_empty(), "letters are typed, not obeyed");
    press(&mut m, KeyCode::Backspace);
    press(&mut m, KeyCode::Backspace);
    assert_eq!(
        keys(&mut m, "all is well \n"),
        [Cmd::Unlock("all is well".to_owned())]
    );
    update(&mut m, Message::Answered(Wish::Unlock, Ok("a, b".to_owned())));
    assert_eq!(stage(&m), Some(&Stage::Done(Ok("a, b".to_owned()))));
    keys(&mut m, "\n1U\u{1b}");
    assert_eq!(m.overlay, Overlay::None, "in every view, and left by Esc");
}

#[test]
fn without_a_console_or_in_a_recording_nothing_is_run_nor_shown() {
    let mut m = chaos(false, Some(run("bridge", None)));
    for key in ["r", "S", "U"] {
        assert!(keys(&mut m, key).is_empty(), "{key}");
        let said =
            matches!(&m.overlay, Overlay::Notice { text, bad: false, .. } if text.contains("only watches"));
        assert!(said, "{key}: {:?} {:?}", m.overlay, m.told);
        keys(&mut m, "\u{1b}");
    }
    assert!(shown(&m).scenarios.is_empty() && shown(&m).groups.is_empty());
    let mut m = chaos(true, Some(run("bridge", None)));
    let breach = Board {
        bar: Some(Ok(invariants(broken()))),
        ..board(None)
    };
    tell(&mut m, breach);
    assert!(m.prepared.head.breach.is_some());
    m.replay = Some(crate::model::Replay {
        speed: 1.0,
        paused: false,
        ended: None,
    });
    keys(&mut m, "U");
    assert!(told(&m).contains("recorded"));
    assert_eq!(m.prepared.head.breach, None);
}

#[test]
fn what_the_console_says_is_cleaned_and_drawn_with_the_next_tick() {
    let mut m = chaos(true, None);
    m.dirty = false;
    let now = m.now;
    update(&mut m, Message::Tick(now));
    assert!(!m.dirty, "nothing is new");
    let breach = Board {
        bar: Some(Ok(invariants(broken()))),
        ..board(None)
    };
    update(&mut m, Message::Board(Arc::new(breach)));
    update(&mut m, Message::Tick(now));
    assert!(m.dirty);
    assert_eq!(
        m.prepared.head.breach.as_deref(),
        Some("I2 BROKEN · 9 shows the two events · two owners␛")
    );
}

#[test]
fn a_breach_is_said_in_every_view_also_while_the_screen_stands_still() {
    let mut m = model(true);
    let breach = |seconds: Verdict| Board {
        bar: Some(Ok(invariants(seconds))),
        ..board(None)
    };
    tell(&mut m, breach(broken()));
    for screen in Screen::ALL {
        m.open(screen);
        for freeze in ["", " "] {
            keys(&mut m, freeze);
            let now = m.now;
            update(&mut m, Message::Tick(now));
            assert!(m.prepared.head.breach.is_some(), "{screen:?}");
        }
        keys(&mut m, "L");
    }
    tell(&mut m, breach(Verdict::Holds));
    assert_eq!(m.prepared.head.breach, None);
    let alone = Verdict::Broken {
        text: "late".to_owned(),
        first: None,
        second: "x".to_owned(),
    };
    tell(&mut m, breach(alone));
    let said = m.prepared.head.breach.as_deref().unwrap_or_default();
    assert!(said.contains("9 shows the event ·"), "{said}");
}

#[test]
fn one_selection_goes_through_all_lists_and_from_list_to_list() {
    let mut m = chaos(true, Some(run("mine", None)));
    let at = |m: &Model| m.selected().cloned();
    let scenario = |name: &str| Some(RowId::Scenario(name.to_owned()));
    assert_eq!(at(&m), Some(RowId::Invariants));
    press(&mut m, KeyCode::Right);
    assert_eq!(at(&m), scenario("bridge"));
    keys(&mut m, "jj");
    assert_eq!(at(&m), scenario("mine"), "what runs although nobody offers it");
    press(&mut m, KeyCode::Left);
    assert_eq!(at(&m), Some(RowId::Invariants));
    keys(&mut m, "G\n");
    assert_eq!(m.page.as_ref().map(|page| page.id.clone()), scenario("mine"));
    assert!(matches!(&m.prepared.body, Body::Page(v) if v.title == "Scenario mine"));
    keys(&mut m, "r");
    assert!(told(&m).contains("mine runs now"), "{}", told(&m));
    keys(&mut m, "\u{1b}g\n");
    assert!(matches!(&m.prepared.body, Body::Page(v) if v.title == "What must hold"));
    keys(&mut m, "\u{1b}:goto ring\n");
    assert_eq!(at(&m), scenario("ring"));
    tell(&mut m, board(None));
    assert_eq!(at(&m), scenario("ring"), "it stays with its row");
}

#[test]
fn a_click_chooses_a_scenario_and_a_page_of_one_can_be_run() {
    use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
    let mut m = chaos(true, None);
    let list = shown(&m).parts.scenarios;
    let click = MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column: list.x + 4,
        row: list.y + 2,
        modifiers: KeyModifiers::NONE,
    };
    update(&mut m, Message::Mouse(click));
    assert_eq!(m.selected(), Some(&RowId::Scenario("ring".to_owned())));
    assert_eq!(keys(&mut m, "y"), [Cmd::Copy("ring".to_owned())]);
    assert_eq!(keys(&mut m, "\nr\n"), [Cmd::Run("ring".to_owned())]);
    assert!(
        matches!(&m.prepared.body, Body::Page(v) if v.title == "Scenario ring"),
        "the page stays under the question"
    );
}

#[test]
fn what_is_copied_of_the_invariants_is_the_breach() {
    let mut m = chaos(true, None);
    assert_eq!(
        keys(&mut m, "y"),
        [Cmd::Copy("2 of 2 invariants hold".to_owned())]
    );
    let breach = Board {
        bar: Some(Ok(invariants(broken()))),
        ..board(None)
    };
    tell(&mut m, breach);
    assert_eq!(
        keys(&mut m, "y"),
        [Cmd::Copy("I2 broken: two owners␛\none\nanother\n".to_owned())]
    );
}

#[test]
fn a_halt_says_how_it_is_undone() {
    let mut m = chaos(true, None);
    update(&mut m, Message::Halted(Ok("2 faults ended".to_owned())));
    assert!(
        matches!(&m.overlay, Overlay::Notice { text, .. } if text == "2 faults ended · U unlocks from here"),
        "{:?}",
        m.overlay
    );
}
