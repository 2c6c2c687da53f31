//! Tests of playing a recording. Its clock is the wall's times a speed: here it stands still and is moved by hand.

use super::*;
use crate::recording::Recorder;

fn file(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("squall-replay-{}-{name}", std::process::id()))
}

fn told(n: u64) -> Update {
    Update::Refused {
        node: "a".to_owned(),
        reason: n.to_string(),
    }
}

#[tokio::test]
async fn what_is_due_comes_and_no_more_and_the_clock_stands_at_the_end() {
    let path = file("due");
    let mut recorder = Recorder::create(&path, Moment(10_000)).expect("a new file");
    for n in 0..5 {
        recorder
            .record(Moment(10_000 + n * 1_000), &[told(n)])
            .expect("written");
    }
    recorder.flush().expect("written");
    let (mut feed, clock, opened) = ReplayFeed::open(&path, 0.0).expect("a recording");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!((opened.started, opened.warning), (Moment(10_000), None));
    assert_eq!(feed.next().await, Some(vec![told(0)]));
    clock.step(2_000);
    let mut two = Vec::new();
    while two.len() < 2 {
        two.extend(feed.next().await.expect("it goes on"));
    }
    assert_eq!(two, [told(1), told(2)]);
    assert!(feed.next().now_or_never().is_none(), "the others are not due");
    assert_eq!(feed.ended(), None);
    clock.step(60_000);
    let mut rest = Vec::new();
    while rest.len() < 2 {
        rest.extend(feed.next().await.expect("it goes on"));
    }
    assert_eq!(rest, [told(3), told(4)]);
    // The reader's thread tells of the end by the same way.
    while feed.ended().is_none() {
        assert!(feed.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(feed.ended().as_deref(), Some("the end"));
    assert_eq!(clock.now(), Moment(14_000), "it does not run past what there is");
}

#[tokio::test]
async fn one_that_is_cut_short_says_so() {
    let path = file("cut");
    let mut recorder = Recorder::create(&path, Moment(10_000)).expect("a new file");
    recorder
        .record(Moment(10_000), &[told(0), told(1)])
        .expect("written");
    recorder.flush().expect("written");
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() - 3]).expect("written");
    let (mut feed, _clock, _opened) = ReplayFeed::open(&path, 0.0).expect("a recording");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(feed.next().await, Some(vec![told(0)]));
    while feed.ended().is_none() {
        assert!(feed.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(
        feed.ended().as_deref(),
        Some("the end: the recording is cut short")
    );
    assert!(ReplayFeed::open(&file("none"), 1.0).is_err());
}
