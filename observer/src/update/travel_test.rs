//! Going back and forth, and playing a recording.

use super::*;
use crate::history::History;

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

/// A model with what keeps what it was fed.
struct Rig {
    m: Model,
    history: History,
}

impl Rig {
    fn new() -> Self {
        let (m, history) = (model(false), History::default());
        Self { m, history }
    }

    fn take(&mut self, message: Message) {
        for cmd in update(&mut self.m, message) {
            self.answer(&cmd);
        }
    }

    /// Presses keys one by one, and answers what they ask for.
    fn keys(&mut self, text: &str) {
        for key in text.chars() {
            for cmd in keys(&mut self.m, &key.to_string()) {
                self.answer(&cmd);
            }
        }
    }

    fn answer(&mut self, cmd: &Cmd) {
        match cmd {
            Cmd::Keep(updates) => self.history.push(self.m.now, updates.clone()),
            Cmd::Recall(at) => {
                let found = self.history.at(*at).map(|(cluster, at)| (Box::new(cluster), at));
                self.take(Message::Recalled((*at, found)));
            }
            _ => {}
        }
    }

    /// So many seconds, in each of which node a tells how many messages it has taken in.
    fn seconds(&mut self, count: u64) {
        for n in 1..=count {
            self.take(Message::Tick(Moment(1_100 + n * 1_000)));
            self.take(messages(n));
        }
    }
}

fn shown_messages(m: &Model) -> u64 {
    let row = m.shown().0.nodes["a"].row.as_ref().expect("it was heard");
    row.messages_in
}

#[test]
fn steps_go_back_and_on_in_what_was_seen_and_live_is_live() {
    let mut rig = Rig::new();
    rig.seconds(10);
    rig.take(Message::Tick(Moment(11_200)));
    rig.keys(",,,");
    assert_eq!((shown_messages(&rig.m), rig.m.shown().1), (7, Moment(8_200)));
    rig.take(Message::Tick(Moment(12_000)));
    rig.take(messages(11));
    assert_eq!(shown_messages(&rig.m), 7, "what comes is kept, and not shown");
    rig.keys(".");
    assert_eq!(shown_messages(&rig.m), 8);
    rig.keys("L");
    assert_eq!((shown_messages(&rig.m), rig.m.is_back()), (11, false));
    rig.keys(",");
    rig.keys("..");
    assert!(!rig.m.is_back(), "behind the last moment is now");
}

#[test]
fn keys_go_on_while_a_moment_is_made_again_and_what_comes_too_late_is_not_shown() {
    let mut rig = Rig::new();
    rig.seconds(10);
    rig.take(Message::Tick(Moment(11_200)));
    let asked = keys(&mut rig.m, ",,,");
    let seconds = [10_200, 9_200, 8_200].map(|at| Cmd::Recall(Moment(at)));
    assert_eq!(asked, seconds, "each from where the one before leads to");
    assert_eq!(
        (shown_messages(&rig.m), rig.m.prepared.head.recalling_ms),
        (10, Some(3_000))
    );
    rig.answer(&asked[0]);
    assert_eq!(
        (shown_messages(&rig.m), rig.m.prepared.head.recalling_ms),
        (9, Some(3_000))
    );
    rig.answer(&asked[2]);
    assert_eq!(
        (shown_messages(&rig.m), rig.m.prepared.head.recalling_ms),
        (7, None)
    );
    let late = keys(&mut rig.m, ",");
    rig.keys("L");
    rig.answer(&late[0]);
    assert_eq!((shown_messages(&rig.m), rig.m.is_back()), (10, false));
}

#[test]
fn the_beginning_of_what_was_seen_is_said_and_no_key_leads_beyond_it() {
    let mut rig = Rig::new();
    rig.seconds(3);
    rig.take(Message::Tick(Moment(4_200)));
    rig.keys(",,");
    assert_eq!((rig.m.shown().1, &rig.m.told), (Moment(2_200), &None));
    rig.keys(",");
    assert_eq!(rig.m.shown().1, Moment(2_100), "the first there is");
    assert!(told(&rig.m).contains("Nothing was seen before"));
    let asked = keys(&mut rig.m, ",");
    assert!(asked.is_empty() && told(&rig.m).contains("Nothing was seen before"));
    // Several at once, of which the first leads there already.
    rig.keys("L");
    let asked = keys(&mut rig.m, ",,,,,");
    for cmd in &asked {
        rig.answer(cmd);
    }
    assert_eq!((rig.m.shown().1, rig.m.recalling), (Moment(2_100), None));
    rig.keys(".");
    assert_eq!(rig.m.shown().1, Moment(3_100), "from where one is");
}

#[test]
fn what_was_forgotten_is_said_and_is_not_gone_back_to() {
    let mut rig = Rig::new();
    rig.seconds(10);
    rig.take(Message::Tick(Moment(11_200)));
    rig.keys(",,,");
    rig.take(Message::Forgotten);
    assert!(told(&rig.m).contains("is forgotten"));
    let asked = keys(&mut rig.m, ",");
    assert!(asked.is_empty() && told(&rig.m).contains("Nothing was seen before"));
    assert_eq!(shown_messages(&rig.m), 7, "what is shown stays");
}

#[test]
fn braces_go_to_what_happened() {
    let mut rig = Rig::new();
    let event = |seq: u64, unix_ms: u64| v1::Event {
        seq,
        unix_ms,
        kind: "owner-changed".to_owned(),
        ..Default::default()
    };
    rig.seconds(20);
    rig.take(Message::Fed(vec![Update::Events {
        node: "a".to_owned(),
        incarnation: 1,
        events: vec![event(1, 5_500), event(2, 15_500)],
        lost: 0,
    }]));
    rig.keys("{");
    assert_eq!((rig.m.shown().1, shown_messages(&rig.m)), (Moment(15_500), 14));
    rig.keys("{");
    assert_eq!(
        (rig.m.shown().1, rig.m.shown().0.events.len()),
        (Moment(5_500), 1)
    );
    rig.keys("{");
    assert!(told(&rig.m).contains("Nothing happened before"));
    rig.keys("}");
    assert_eq!(rig.m.shown().1, Moment(15_500));
    rig.keys("}");
    assert!(!rig.m.is_back());
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
