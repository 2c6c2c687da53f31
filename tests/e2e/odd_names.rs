//! The observer in a terminal on a node with hostile names: what reaches the terminal is what can be seen, and columns stay
//! where they are.

use squall_proto::v1;
use squall_proto::v1::row::Row;

use crate::fake::{Fakes, Story};
use crate::odd_nodes::{VIEWS, frames_are_whole, goes_on, observe, quits};

/// Names that would do something to a terminal, to the order of what is read, or to the columns.
fn hostile_names() -> Vec<String> {
    let names = [
        "cls\x1b[2J\x1b[H",
        "title\x1b]0;owned\x07",
        "c1\u{9b}31m\u{9d}0;owned\u{9c}",
        "lines\r\n\tback\x08del\x7f\0",
        "bidi\u{202e}gpj.exe\u{2066}\u{200f}",
        "zero\u{200b}wi\u{200d}dth\u{feff}\u{2060}",
        "wide日本語テスト一二三四五六七八",
        "marks e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
        "emoji 👩\u{200d}👩\u{200d}👧 👍🏽 🇩🇪 ❤\u{fe0f}",
        "\u{fdfd}\u{1242b}",
        "'; DROP TABLE \"x\" %s %n {} \\",
        "",
        " ",
    ];
    let long = ["x".repeat(10_240), "語".repeat(10_240), "\x1b[31m".repeat(2_048)];
    names.iter().map(ToString::to_string).chain(long).collect()
}

fn hostile() -> Story {
    let mut story = Story::of("good", "0.1.0\x1b[7m");
    for (i, name) in hostile_names().into_iter().enumerate() {
        let name = || name.clone();
        let number = i as u64 + 1;
        story.rows.extend([
            Row::Link(v1::LinkRow {
                peer: name(),
                state: v1::LinkState::Up.into(),
                fault: name(),
                fault_left_ms: 60_000,
                why: name(),
                ..Default::default()
            }),
            Row::Exchange(v1::ExchangeRow {
                name: name(),
                pattern: name(),
                strategy: name(),
                owner: name(),
                failover: vec![name(); 3],
                moving_to: name(),
                takeover: name(),
                prefers: name(),
                owned_here: true,
                epoch: number,
                ..Default::default()
            }),
            Row::Leader(v1::LeaderRow {
                exchange: name(),
                role: v1::LeaderRole::Owner.into(),
                leader: name(),
                believed_owner: name(),
                moving_to: name(),
                lease_left_ms: 500,
                ..Default::default()
            }),
            Row::Process(v1::ProcessRow {
                pid: format!("<{}.{number}>", name()),
                name: name(),
                kind: name(),
                enqueued: number,
                bound: 64,
                ..Default::default()
            }),
            Row::Fault(v1::FaultRow {
                id: format!("{}{number}", name()),
                what: name(),
                by: name(),
                left_ms: 60_000,
                ..Default::default()
            }),
        ]);
        story.events.push(v1::Event {
            seq: number,
            unix_ms: 1_700_000_000_000 + number,
            kind: name(),
            subject: name(),
            text: name(),
            severity: v1::Severity::Alert.into(),
            ..Default::default()
        });
        story.hello.members.push(v1::Member {
            name: name(),
            why: name(),
            ..Default::default()
        });
    }
    story.hello.cluster = "c\x1b[2Jluster".into();
    story
}

/// What is left of what a terminal got when the sequences that the observer itself writes are taken out: CSI, and those of two
/// characters.
fn without_own_sequences(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut chars = text.chars().peekable();
    let mut left = String::new();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            left.push(c);
        } else if chars.next() == Some('[') {
            // Parameters, then a letter.
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        }
    }
    left
}

#[test]
fn hostile_names_reach_the_terminal_as_signs_and_leave_the_columns_where_they_are() {
    let fakes = Fakes::new();
    let dir = tempfile::tempdir().expect("a directory");
    let mut observer = observe(&[fakes.start(hostile())], dir.path());
    observer.sees(&["1/", "─ Nodes ─"]);
    for (key, title) in VIEWS {
        observer.press(key);
        observer.sees(&[title]);
        goes_on(&observer);
        frames_are_whole(&observer, title);
    }
    observer.press("3");
    observer.sees(&["cls␛[2J␛[H"]);
    // The pages of rows, and what a selection leads through.
    for view in ["3", "4", "5", "6", "7"] {
        observer.press(view);
        for _ in 0..8 {
            observer.press("j\r");
            goes_on(&observer);
            frames_are_whole(&observer, view);
            // A page of its own, or no page at all: `Esc` leaves the one and clears what there is of a filter in the other.
            observer.press("\x1b");
            goes_on(&observer);
        }
    }
    let left = quits(observer);
    let text = without_own_sequences(&left.raw);
    let bad =
        |c: char| c.is_control() || "\u{202e}\u{2066}\u{200f}\u{200b}\u{200d}\u{feff}\u{2060}".contains(c);
    let found: Vec<String> = text
        .chars()
        .filter(|c| bad(*c))
        .map(|c| format!("{c:?}"))
        .collect();
    assert_eq!(found, Vec::<String>::new(), "they reached the terminal");
}
