//! Who may break a cluster: nodes that want a key take faults from whoever has it, and from nobody else.

use crate::rig::Cluster;

#[test]
fn nodes_with_a_chaos_key_take_faults_only_from_whoever_has_it() {
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "a secret\n").expect("room");
    let path = key.path().to_str().expect("a plain path");
    let cluster = Cluster::start_with(2, &["--chaos", "--chaos-key-file", path]);
    let refused = cluster.run(&["chaos", "delay", "a", "b", "1ms"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(why.contains("only from whoever has its chaos key"), "{why}");
    assert!(
        cluster.ok(&["chaos", "list"]).contains("nothing is active"),
        "it may look"
    );
    let set = cluster.ok(&["chaos", "delay", "a", "b", "1ms", "--chaos-key-file", path]);
    assert!(set.contains("delay a -> b 1ms, for 30s"), "{set}");
    let halted = cluster.run(&["chaos", "halt"]);
    assert_eq!(halted.status.code(), Some(1), "who has no key halts nothing");
    assert!(
        cluster.ok(&["chaos", "list"]).contains("delay a -> b"),
        "it acts on"
    );
    let with_key = |args: &[&str]| {
        let mut command = cluster.client(args);
        cluster.succeeds(command.env("SQUALL_CHAOS_KEY_FILE", path))
    };
    let halted = with_key(&["chaos", "halt", "--reason", "enough"]);
    assert!(
        halted.contains("1 fault ended; nothing is active; no new faults until"),
        "{halted}"
    );
    let list = cluster.ok(&["chaos", "list"]);
    assert!(
        list.contains("a, b: no new faults until") && list.contains("(enough)"),
        "{list}"
    );
    let mut locked = cluster.client(&["chaos", "delay", "a", "b", "1ms"]);
    let locked = locked
        .env("SQUALL_CHAOS_KEY_FILE", path)
        .output()
        .expect("it runs");
    let why = String::from_utf8_lossy(&locked.stderr).into_owned();
    assert!(
        locked.status.code() == Some(1) && why.contains("(enough): no new faults"),
        "{why}"
    );
    assert!(with_key(&["chaos", "unlock", "--reason", "all well"]).contains("a, b take new faults again"));
    with_key(&["chaos", "delay", "a", "b", "1ms"]);
}
