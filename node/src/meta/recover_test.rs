//! One survivor of three, with a log of its own: what it keeps, what it refuses, and what a crash leaves.

use squall_kernel::profile::Profile;
use squall_kernel::reason::Lost;
use squall_kernel::registry::NodeLife;

use super::super::harness::*;
use super::super::types::{Entry, Proposal};
use super::super::{Change, Role};
use super::*;

/// Three nodes `a`, `b`, `c`, of which the first one to lead was cut off, has an entry that nobody else has, and lacks
/// one that the others committed. Returned first.
async fn divergent() -> (Cluster, tempfile::TempDir, Vec<tempfile::TempDir>) {
    let cluster = Cluster::default();
    let mut nodes = cluster.three().await;
    for (node, name) in nodes.iter().zip(["a", "b", "c"]) {
        acknowledged(&nodes, introduction(node, name)).await;
        node.dir.bind_cluster(CLUSTER).unwrap();
    }
    acknowledged(&nodes, declare("before")).await;
    let cut = nodes.remove(leader(&nodes).await);
    cluster.board.cut.lock().unwrap().insert(cut.meta.id());
    acknowledged(&nodes, declare("elsewhere")).await;
    let survivor = cluster.kill(cut).await;
    append_uncommitted(&survivor, "alone");
    let mut lost = Vec::new();
    for node in nodes {
        lost.push(cluster.kill(node).await);
    }
    cluster.board.cut.lock().unwrap().clear();
    (cluster, survivor, lost)
}

/// An entry at the end of the log that no majority has.
fn append_uncommitted(home: &tempfile::TempDir, exchange: &str) {
    let dir = DataDir::open(home.path()).unwrap();
    let (mut disk, loaded) = disk::open(&dir).unwrap();
    let last = loaded.last_log_id().unwrap();
    let entry = Entry {
        log_id: LogId {
            index: last.index + 1,
            ..last
        },
        payload: EntryPayload::Normal(Proposal(declare(exchange))),
    };
    let append = Op::Append(vec![(entry.log_id.index, disk::encode(&entry))]);
    disk.commit(&[append]).unwrap();
}

/// As a node does when it starts: the directory's cluster and the registry's have to be one.
async fn revived(cluster: &Cluster, home: tempfile::TempDir) -> Node {
    let node = cluster.start_on(home).await;
    let registry = registry_where(&node, |r| r.cluster.is_some()).await;
    node.dir.bind_cluster(registry.cluster.unwrap()).unwrap();
    node
}

#[tokio::test]
async fn a_survivor_leads_alone_with_every_entry_of_its_log() {
    let (cluster, home, _lost) = divergent().await;
    let survivor = Survivor::open(home.path()).unwrap();
    let prospect = survivor.prospect();
    assert_eq!(prospect.cluster, CLUSTER);
    assert_eq!(prospect.given_up.len(), 2);
    assert!(prospect.committed < prospect.revision, "{prospect:?}");
    let (name, seen) = (prospect.name.clone(), survivor.term());
    let before = survivor.before.clone();
    let done = survivor.recover(name.as_str()).unwrap();
    assert!(done.revision > prospect.revision);
    assert!(done.backup.exists());

    let node = revived(&cluster, home).await;
    let times = Profile::Lan.times();
    let state = state_where(&node, |s| s.leads(&times)).await;
    assert_eq!((state.voters, state.learners), (vec![node.meta.id()], vec![]));
    assert!(state.term.0 > seen);
    let written = node.meta.propose(declare("after")).await.unwrap();
    let registry = registry_where(&node, |r| r.revision >= written.revision).await;
    assert_eq!(registry.cluster, Some(done.cluster));
    assert!(has(&registry, "before") && has(&registry, "alone") && has(&registry, "after"));
    assert!(!has(&registry, "elsewhere"));
    for (id, exchange) in &before.exchanges {
        assert!(registry.exchanges[id].epoch.0 > exchange.epoch.0 + 1000);
    }
    let given_up = registry.nodes.values().filter(|n| n.id != node.meta.id());
    for other in given_up {
        assert_eq!(other.life, NodeLife::Down(Lost::Recovered));
    }
    assert_eq!(node.dir.former_clusters(), [CLUSTER]);
    assert!(matches!(
        node.dir.bind_cluster(CLUSTER),
        Err(DataDirError::OtherCluster { .. })
    ));
    cluster.kill(node).await;
}

#[tokio::test]
async fn who_joins_later_never_hears_of_the_lost_cluster() {
    let (cluster, home, _lost) = divergent().await;
    let survivor = Survivor::open(home.path()).unwrap();
    let name = survivor.prospect().name;
    let done = survivor.recover(name.as_str()).unwrap();
    let node = revived(&cluster, home).await;
    let times = Profile::Lan.times();
    state_where(&node, |s| s.leads(&times)).await;
    let newcomer = cluster.start().await;
    let first = {
        let mut registry = newcomer.meta.registry();
        let id = newcomer.meta.id();
        let (added, first) = tokio::join!(node.meta.add_learner(id, "127.0.0.1:1"), async move {
            registry.wait_for(|r| r.cluster.is_some()).await.unwrap().clone()
        });
        assert_eq!(added.unwrap(), Some(Change::Learner(id)));
        first
    };
    assert_eq!(first.cluster, Some(done.cluster));
    state_where(&newcomer, |s| s.role == Role::Learner).await;
    cluster.kill(node).await;
    cluster.kill(newcomer).await;
}

#[tokio::test]
async fn nothing_changes_without_the_right_name_a_free_directory_and_a_lost_quorum() {
    let (cluster, home, _lost) = divergent().await;
    let files = || {
        let read = |name: &str| fs::read(home.path().join(name)).unwrap();
        (read("registry.redb"), read("identity.json"))
    };
    let before = files();
    let survivor = Survivor::open(home.path()).unwrap();
    let busy = Survivor::open(home.path()).unwrap_err();
    assert!(
        matches!(busy, RecoverError::DataDir(DataDirError::Held { .. })),
        "{busy}"
    );
    let wrong = survivor.recover("somebody").unwrap_err();
    assert!(matches!(wrong, RecoverError::NotConfirmed { .. }), "{wrong}");
    assert_eq!(files(), before);

    let survivor = Survivor::open(home.path()).unwrap();
    let name = survivor.prospect().name;
    survivor.recover(name.as_str()).unwrap();
    let again = Survivor::open(home.path()).unwrap_err();
    assert!(matches!(again, RecoverError::NotNeeded { .. }), "{again}");
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        Survivor::open(empty.path()),
        Err(RecoverError::DataDir(DataDirError::Io { .. }))
    ));
    let stranger = cluster.start().await;
    let stranger = cluster.kill(stranger).await;
    let error = Survivor::open(stranger.path()).unwrap_err();
    assert!(matches!(error, RecoverError::NotAMember { .. }), "{error}");
}

/// The steps of [`Survivor::recover`], and of [`DataDir::switch_cluster`], cut short after each of them.
#[tokio::test]
async fn a_crash_on_the_way_leaves_the_directory_as_it_was_or_recovered() {
    let (cluster, home, _lost) = divergent().await;
    let registry = home.path().join("registry.redb");
    let old = fs::read(&registry).unwrap();
    let identity = fs::read_to_string(home.path().join("identity.json")).unwrap();
    let survivor = Survivor::open(home.path()).unwrap();
    let new_cluster = ClusterId(0xd1);
    let (ops, _) = survivor.new_state(new_cluster).unwrap();
    let new = survivor.dir.recovered_file();
    disk::write_new(&new, survivor.dir.node_id(), survivor.dir.disk_fault(), &ops).unwrap();
    drop(survivor);
    // The new file is written, and announced, but has not taken the registry's place.
    let announced = identity.replacen('{', &format!("{{\"recovering\": \"{new_cluster}\","), 1);
    fs::write(home.path().join("identity.json"), &announced).unwrap();
    let dir = DataDir::open_offline(home.path()).unwrap();
    assert_eq!(dir.cluster(), Some(CLUSTER));
    drop(dir);
    assert_eq!(fs::read(&registry).unwrap(), old);
    // Renamed, and the identity not written again.
    fs::rename(&new, &registry).unwrap();
    let dir = DataDir::open(home.path()).unwrap();
    assert_eq!(dir.cluster(), Some(new_cluster));
    assert_eq!(dir.former_clusters(), [CLUSTER]);
    drop(dir);
    let node = revived(&cluster, home).await;
    let times = Profile::Lan.times();
    state_where(&node, |s| s.leads(&times)).await;
    cluster.kill(node).await;
}
