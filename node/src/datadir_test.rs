//! What a data directory promises across runs, and what it refuses.

use super::*;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_second_run_keeps_the_id_and_counts_up() {
    let home = dir();
    let first = DataDir::open(home.path().join("deep/er")).unwrap();
    let (id, incarnation) = (first.node_id(), first.incarnation());
    assert_ne!(id, NodeId(0));
    assert_eq!(first.boot(), Boot(1));
    drop(first);
    let second = DataDir::open(home.path().join("deep/er")).unwrap();
    assert_eq!((second.node_id(), second.boot()), (id, Boot(2)));
    assert!(second.incarnation() > incarnation);
}

#[test]
fn the_incarnation_rises_even_when_the_clock_was_set_back() {
    let stored = next_run(None, 5_000);
    assert_eq!(stored.incarnation, 5_000);
    assert_eq!(next_run(Some(stored), 3_000).incarnation, 5_001);
}

#[test]
fn a_directory_in_use_is_refused_by_name_and_holder() {
    let home = dir();
    let _held = DataDir::open(home.path()).unwrap();
    let refused = DataDir::open(home.path()).unwrap_err();
    let text = refused.to_string();
    assert!(
        matches!(refused, DataDirError::Held { holder: Some(p), .. } if p == std::process::id()),
        "{text}"
    );
    assert!(text.contains(&home.path().display().to_string()), "{text}");
}

#[test]
fn a_directory_belongs_to_one_cluster_for_good() {
    let home = dir();
    let (ours, other) = (ClusterId(7), ClusterId(u128::MAX));
    let open = DataDir::open(home.path()).unwrap();
    assert_eq!(open.cluster(), None);
    open.bind_cluster(ours).unwrap();
    open.bind_cluster(ours).unwrap();
    drop(open);
    let open = DataDir::open(home.path()).unwrap();
    assert_eq!(open.cluster(), Some(ours));
    let text = open.bind_cluster(other).unwrap_err().to_string();
    assert!(
        text.contains(&ours.to_string()) && text.contains(&other.to_string()),
        "{text}"
    );
}

#[test]
fn a_damaged_identity_is_named_and_left_alone() {
    let torn = br#"{"layout":2,"node_id":"#.as_slice();
    let zero =
        br#"{"layout":2,"node_id":0,"boot":1,"incarnation":1,"cluster":null,"registry":false}"#.as_slice();
    let cluster =
        br#"{"layout":2,"node_id":1,"boot":1,"incarnation":1,"cluster":"x","registry":false}"#.as_slice();
    for bytes in [b"".as_slice(), torn, zero, cluster] {
        let home = dir();
        let file = home.path().join("identity.json");
        std::fs::write(&file, bytes).unwrap();
        let refused = DataDir::open(home.path()).unwrap_err();
        assert!(matches!(refused, DataDirError::Damaged { .. }), "{refused}");
        assert!(
            refused.to_string().contains(&file.display().to_string()),
            "{refused}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }
}

#[test]
fn an_identity_of_a_later_version_is_refused_as_such() {
    let home = dir();
    std::fs::write(home.path().join("identity.json"), br#"{"layout":9,"soul":"yes"}"#).unwrap();
    assert!(matches!(
        DataDir::open(home.path()),
        Err(DataDirError::Newer { found: 9, .. })
    ));
}

#[test]
fn a_directory_of_an_earlier_version_is_refused_with_what_to_do() {
    let home = dir();
    let file = home.path().join("identity.json");
    std::fs::write(&file, br#"{"layout":1,"node_id":7,"boot":1,"incarnation":1}"#).unwrap();
    let refused = DataDir::open(home.path()).unwrap_err();
    assert!(
        matches!(refused, DataDirError::Older { found: 1, .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("start with an empty data directory"),
        "{refused}"
    );
}
