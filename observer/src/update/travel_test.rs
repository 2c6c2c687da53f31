//! Going back and forth, and playing a recording.

use super::*;

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

/// Node a has taken in so many messages.
fn messages(n: u64) -> Message {
    let own = v1::NodeRow {
        name: "a".to_owned(),
        messages_in: n,
        ..Default::default()
    };
    Message::Fed(vec![Update::Rows(RowsUpdate {
        node: "a".to_owned(),
        rows: vec![v1::Row {
            row: Some(Row::Node(own)),
        }],
        ..Default::default()
    })])
}

fn shown_messages(m: &Model) -> u64 {
    let row = m.shown().0.nodes["a"].row.as_ref().expect("it was heard");
    row.messages_in
}

#[test]
fn steps_go_back_and_on_in_what_was_seen_and_live_is_live() {
    let mut m = model(false);
    for n in 1..=10u64 {
        update(&mut m, Message::Tick(Moment(1_100 + n * 1_000)));
        update(&mut m, messages(n));
    }
    update(&mut m, Message::Tick(Moment(11_200)));
    keys(&mut m, ",,,");
    assert_eq!((shown_messages(&m), m.shown().1), (7, Moment(8_200)));
    update(&mut m, Message::Tick(Moment(12_000)));
    update(&mut m, messages(11));
    assert_eq!(shown_messages(&m), 7, "what comes is kept, and not shown");
    keys(&mut m, ".");
    assert_eq!(shown_messages(&m), 8);
    keys(&mut m, "L");
    assert_eq!((shown_messages(&m), m.frozen.is_none()), (11, true));
    keys(&mut m, ",");
    keys(&mut m, "..");
    assert!(m.frozen.is_none(), "behind the last moment is now");
}

#[test]
fn braces_go_to_what_happened() {
    let mut m = model(false);
    let event = |seq: u64, unix_ms: u64| v1::Event {
        seq,
        unix_ms,
        kind: "owner-changed".to_owned(),
        ..Default::default()
    };
    for n in 1..=20u64 {
        update(&mut m, Message::Tick(Moment(1_100 + n * 1_000)));
        update(&mut m, messages(n));
    }
    update(
        &mut m,
        Message::Fed(vec![Update::Events {
            node: "a".to_owned(),
            incarnation: 1,
            events: vec![event(1, 5_500), event(2, 15_500)],
            lost: 0,
        }]),
    );
    keys(&mut m, "{");
    assert_eq!((m.shown().1, shown_messages(&m)), (Moment(15_500), 14));
    keys(&mut m, "{");
    assert_eq!((m.shown().1, m.shown().0.events.len()), (Moment(5_500), 1));
    keys(&mut m, "{");
    assert!(told(&m).contains("Nothing happened before"));
    keys(&mut m, "}");
    assert_eq!(m.shown().1, Moment(15_500));
    keys(&mut m, "}");
    assert!(m.frozen.is_none());
}

#[test]
fn a_recording_stands_still_plays_on_and_plays_faster() {
    use crate::model::Replay;
    let mut m = model(false);
    assert!(keys(&mut m, "+").is_empty());
    assert!(told(&m).contains("--replay"));
    m.replay = Some(Replay {
        speed: 1.0,
        paused: false,
        ended: None,
    });
    assert_eq!(keys(&mut m, " "), [Cmd::Play(0.0)]);
    assert_eq!(keys(&mut m, "."), [Cmd::PlayOn(1_000)]);
    assert_eq!(keys(&mut m, " "), [Cmd::Play(1.0)]);
    assert_eq!(keys(&mut m, "+"), [Cmd::Play(4.0)]);
    assert_eq!(
        keys(&mut m, "+++"),
        [Cmd::Play(10.0), Cmd::Play(60.0), Cmd::Play(60.0)]
    );
    assert_eq!(keys(&mut m, "-"), [Cmd::Play(10.0)]);
    assert_eq!(m.prepared.head.replay.as_deref(), Some("▶ REPLAY 10×"));
    update(&mut m, Message::ReplayEnded("the end".to_owned()));
    update(&mut m, Message::Tick(Moment(1_300)));
    assert_eq!(m.prepared.head.replay.as_deref(), Some("■ the end"));
}
