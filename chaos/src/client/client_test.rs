//! The fault client without a cluster: what it makes of answers. With one: tests/faults.rs.

use super::*;

fn known() -> Known {
    let member = |name: &str, addr: &str| (name.to_owned(), addr.to_owned());
    Known {
        members: vec![member("a", "127.0.0.1:7401"), member("b", "127.0.0.1:7411")],
        supervisor: None,
        key: None,
    }
}

#[test]
fn an_unknown_node_is_a_usage_error_that_names_the_known_ones() {
    let error = find(&known(), "z").unwrap_err();
    assert_eq!(
        (error.exit_code(), error.to_string().as_str()),
        (2, "unknown node \"z\"; known are a, b")
    );
    assert_eq!(find(&known(), "b"), Ok("127.0.0.1:7411"));
}

#[test]
fn statuses_become_exit_codes() {
    let code = |status: tonic::Status| ChaosError::of("a", &status).exit_code();
    assert_eq!(code(tonic::Status::not_found("")), 2);
    assert_eq!(code(tonic::Status::invalid_argument("")), 2);
    assert_eq!(code(tonic::Status::failed_precondition("")), 1);
    assert_eq!(code(tonic::Status::unimplemented("")), 1);
    assert_eq!(code(tonic::Status::unavailable("")), 5);
    assert_eq!(code(tonic::Status::deadline_exceeded("")), 5);
}

#[test]
fn a_length_below_a_millisecond_is_not_taken_for_the_default() {
    let lengths = [
        Duration::ZERO,
        Duration::from_micros(10),
        Duration::from_millis(1500),
    ];
    assert_eq!(lengths.map(millis), [0, 1, 1500]);
}

#[test]
fn a_listing_is_clear_when_every_running_node_has_said_so() {
    let child = |name: &str, state: proto::ChildState| proto::Child {
        name: name.into(),
        state: state.into(),
        last_exit: "killed by SIGKILL".into(),
        ..Default::default()
    };
    let silent = || {
        vec![listing::NodeFaults::Silent {
            node: "b".into(),
            why: "refused".into(),
        }]
    };
    assert!(
        Listing::new(silent(), None).is_clear(),
        "nobody can tell whether b runs"
    );
    let running = [child("b", proto::ChildState::Running)];
    assert!(!Listing::new(silent(), Some(&running)).is_clear());
    let dead = Listing::new(silent(), Some(&[child("b", proto::ChildState::Dead)]));
    assert_eq!(
        (dead.is_clear(), dead.to_string().as_str()),
        (false, "b is dead (killed by SIGKILL)")
    );
    assert_eq!(Listing::default().to_string(), "nothing is active");
}

#[test]
fn text_of_others_cannot_move_the_cursor() {
    let fault = ActiveFault {
        id: "1".into(),
        node: "a".into(),
        what: "delay a -> b 200ms".into(),
        left_ms: 29_950,
        by: "\u{1b}[2Jme".into(),
        touched: 7,
    };
    let listing = Listing {
        faults: vec![fault],
        ..Listing::default()
    };
    assert_eq!(
        listing.to_string(),
        "1  on a: delay a -> b 200ms, 29.9 s left, 7 touched, by [2Jme"
    );
}

#[tokio::test]
async fn without_a_cluster_everything_is_unavailable() {
    let client = ChaosClient::new(vec!["127.0.0.1:1".into()], "test".into());
    assert_eq!(client.list().await.unwrap_err().exit_code(), 5);
    assert_eq!(
        client
            .on_node("a", NodeDeed::Pause, &Firing::default())
            .await
            .unwrap_err()
            .exit_code(),
        5
    );
    let same = client
        .on_link(("a", "a"), LinkFault::Cut, &Firing::default())
        .await
        .unwrap_err();
    assert_eq!((same.exit_code(), same), (2, ChaosError::SameNode("a".into())));
}
