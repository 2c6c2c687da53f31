//! Real nodes in this process keep journals; the checkers judge the history that the journals give.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use squall_chaos::coverage::{Coverage, Sight};
use squall_chaos::history::{Event, What};
use squall_chaos::invariant::{Id, Verdict, check};
use squall_chaos::record::history_of;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::Status;
use squall_kernel::id::{Epoch, ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Command, Outcome, Pattern, Registry, Strategy, Takeover};
use squall_node::datadir::DataDir;
use squall_node::handlers::HandlerTags;
use squall_node::node::{Node, NodeOptions};
use squall_node::router::Request;

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

fn start(dir: &Path, name: &str, join: Option<&Node>) -> Node {
    let options = NodeOptions {
        profile: Profile::Slow,
        journal: Some(dir.join("%n-%i.jsonl")),
        data_workers: 2,
        ..NodeOptions::alone(name.parse().expect("a good name"), b"secret")
            .joining(join.map(|node| node.introduction().mesh_addr.clone()))
    };
    let data = DataDir::open(dir.join(name)).expect("a fresh directory");
    Node::start(data, options).expect("the node starts")
}

/// Waits until a node sees `wanted`; it looks after every beat of the node.
async fn until(node: &Node, mut wanted: impl FnMut(&Node) -> bool) {
    let mut opinion = node.opinion();
    // What is wanted may look at the opinion itself, which must not be held meanwhile.
    while !wanted(node) {
        opinion.changed().await.expect("the node runs");
    }
}

fn registry(node: &Node) -> Arc<Registry> {
    Arc::clone(&node.registry().borrow())
}

async fn declare(node: &Node, name: &ExchangeName) {
    let failover: Vec<NodeName> = ["a", "b", "c"].map(|n| n.parse().expect("a good name")).to_vec();
    let command = Command::Declare {
        name: name.clone(),
        pattern: Pattern::RequestResponse,
        strategy: Strategy::RoundRobin,
        function: None,
        settings: squall_kernel::registry::Settings::default(),
        failover,
        takeover: Some(Takeover::Manual),
    };
    let result = node.proposals().propose(command).await;
    let done = matches!(
        result,
        ProposeResult::Committed {
            outcome: Outcome::Done,
            ..
        }
    );
    assert!(done, "{result:?}");
}

async fn attach(node: &Node, name: &ExchangeName) {
    until(node, |node| node.lookup(name).is_some()).await;
    let handlers = &node.data().handlers;
    handlers
        .attach_embedded(name, HandlerTags::default(), Echo)
        .expect("attached");
    until(node, |node| {
        node.data()
            .handlers
            .attached()
            .iter()
            .all(|(.., epoch)| epoch.is_some())
    })
    .await;
}

async fn ask(node: &Node, name: &ExchangeName, times: usize) {
    let exchange = node.lookup(name).expect("declared");
    for _ in 0..times {
        let request = Request::new(exchange, Bytes::from_static(b"x"));
        assert_eq!(node.data().router.request(request).await.status, Status::Reply);
    }
}

async fn stop(node: Node) {
    let stopped = tokio::task::spawn_blocking(move || node.stop()).await;
    stopped.expect("no panic").expect("it ran to its end");
}

/// Three nodes; the owner leaves in order under requests; all end.
async fn run(dir: &Path) -> Vec<PathBuf> {
    let name = ExchangeName::new("orders").expect("a good name");
    let a = start(dir, "a", None);
    let b = start(dir, "b", Some(&a));
    let c = start(dir, "c", Some(&a));
    for node in [&a, &b, &c] {
        until(node, |node| node.opinion().borrow().voters.len() == 3).await;
    }
    declare(&a, &name).await;
    attach(&b, &name).await;
    attach(&c, &name).await;
    ask(&c, &name, 20).await;
    stop(a).await;
    let second = |node: &Node| {
        registry(node)
            .exchange(&name)
            .is_some_and(|e| e.epoch == Epoch(2))
    };
    until(&c, second).await;
    ask(&c, &name, 20).await;
    stop(c).await;
    stop(b).await;
    let files = std::fs::read_dir(dir).expect("it is there");
    let paths = files.map(|file| file.expect("readable").path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect()
}

fn count(history: &[Event], wanted: impl Fn(&What) -> bool) -> usize {
    history.iter().filter(|event| wanted(&event.what)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_live_failover_keeps_the_invariants() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journals = run(dir.path()).await;
    assert_eq!(journals.len(), 3, "{journals:?}");
    let history = history_of(&journals).expect("journals");
    assert_eq!(count(&history, |what| matches!(what, What::Begun { .. })), 40);
    assert_eq!(count(&history, |what| matches!(what, What::Handled { .. })), 40);
    let verdicts = check(&history);
    for (id, verdict) in &verdicts {
        assert!(!matches!(verdict, Verdict::Fail(_)), "{id}: {verdict}");
    }
    let judged: Vec<Id> = verdicts
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Ok)
        .map(|(id, _)| *id)
        .collect();
    for id in [1, 2, 3, 4, 5, 8, 11, 12, 14] {
        assert!(judged.contains(&Id(id)), "I{id} was not judged: {verdicts:?}");
    }
    let coverage = Coverage::of(&history);
    let missing = coverage.missing([Sight::NodeLeft, Sight::HandledAfterFailover, Sight::Replied]);
    assert!(missing.is_empty(), "{missing:?}");
}
