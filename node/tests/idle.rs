//! What idle processes of a node take on the heap, as the allocator counts it: not more than they are to take, whatever is added to
//! them. One test alone: the allocator counts for all of the process.

use std::sync::Arc;

use bytes::Bytes;
use squall_client::{Answer, Delivery, Handler};
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Command, Outcome, Pattern, Settings, Strategy};
use squall_node::datadir::DataDir;
use squall_node::handlers::HandlerTags;
use squall_node::node::{Node, NodeOptions};
use squall_node::pubsub::Subscription;
use squall_node::router::Request;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// So many of each that what the node itself does meanwhile is a few bytes for each.
const EXCHANGES: usize = 100;
const HANDLERS_EACH: usize = 10;
const HANDLERS: usize = EXCHANGES * HANDLERS_EACH;
const SUBSCRIBERS: usize = 1_000;
/// Most bytes on the heap for an idle handler, with its part of what its exchange keeps of it.
const HANDLER_BYTES_MAX: usize = 1_500;
/// More for one that has worked and is idle again: most of it what its exchange keeps of latencies and routes.
const WORKED_BYTES_MAX: usize = 1_200;
/// Most bytes for an idle subscriber with one pattern.
const SUBSCRIBER_BYTES_MAX: usize = 900;

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

struct Rig {
    node: Node,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// A node alone that leads a cluster of one.
    async fn alone() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = DataDir::open(dir.path()).expect("a fresh directory");
        let options = NodeOptions {
            data_workers: 2,
            ..NodeOptions::alone(NodeName::new("a").expect("a good name"), b"secret")
        };
        let node = Node::start(data, options).expect("the node starts");
        let mut opinion = node.opinion();
        let leads = opinion.wait_for(|o| o.leads && o.waiting_for.is_empty()).await;
        drop(leads.expect("the node runs"));
        Self { node, _dir: dir }
    }

    async fn declare(&self, name: &str, pattern: Pattern, strategy: Strategy) -> ExchangeName {
        let name = ExchangeName::new(name).expect("a good name");
        let command = Command::Declare {
            name: name.clone(),
            pattern,
            strategy,
            function: None,
            settings: Settings::default(),
            failover: Vec::new(),
            takeover: None,
        };
        let result = self.node.proposals().propose(command).await;
        let done = matches!(
            result,
            ProposeResult::Committed {
                outcome: Outcome::Done,
                ..
            }
        );
        assert!(done, "{result:?}");
        let mut opinion = self.node.opinion();
        let known = opinion.wait_for(|_| self.node.lookup(&name).is_some()).await;
        drop(known.expect("the node runs"));
        name
    }

    /// Lets the handler whose turn it is work, once there is one.
    async fn ask(&self, exchange: ExchangeId) {
        loop {
            let request = Request::new(exchange, Bytes::from_static(b"work"));
            let outcome = self.node.data().router.request(request).await;
            if outcome.status == Status::Reply {
                return;
            }
        }
    }

    fn attached(&self) -> u64 {
        let owned = self.node.data().exchanges.owned();
        owned.iter().map(|exchange| exchange.handlers).sum()
    }
}

fn heap_bytes() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// Bytes that came since, for each of so many.
fn each(before: usize, many: usize) -> usize {
    heap_bytes().saturating_sub(before).div_ceil(many)
}

/// Waits until what is told of what came just now is told: the heap is the same for a while.
async fn settled() {
    let mut before = heap_bytes();
    let mut same = 0;
    let mut look = tokio::time::interval(std::time::Duration::from_millis(20));
    while same < 10 {
        look.tick().await;
        let now = heap_bytes();
        same = if now.abs_diff(before) < 4_096 { same + 1 } else { 0 };
        before = now;
    }
}

async fn subscriber_bytes(rig: &Rig) -> usize {
    let news = rig
        .declare("news", Pattern::PublishSubscribe, Strategy::Default)
        .await;
    let mut all: Vec<Subscription> = Vec::with_capacity(SUBSCRIBERS);
    settled().await;
    let before = heap_bytes();
    let pubsub = Arc::clone(&rig.node.data().pubsub);
    for _ in 0..SUBSCRIBERS {
        let one = pubsub.subscribe_embedded(&news, "", &["news.one"]).await;
        all.push(one.expect("subscribed"));
    }
    settled().await;
    each(before, SUBSCRIBERS)
}

/// Of handlers that have done nothing yet, and what more they take when each has worked.
async fn handler_bytes(rig: &Rig) -> (usize, usize) {
    let mut homes = Vec::new();
    for n in 0..EXCHANGES {
        let name = format!("home-{n}");
        homes.push(
            rig.declare(&name, Pattern::RequestResponse, Strategy::RoundRobin)
                .await,
        );
    }
    settled().await;
    let before = heap_bytes();
    for home in &homes {
        for _ in 0..HANDLERS_EACH {
            let handlers = &rig.node.data().handlers;
            let attached = handlers.attach_embedded(home, HandlerTags::default(), Echo);
            attached.expect("attached");
        }
    }
    let mut look = tokio::time::interval(std::time::Duration::from_millis(5));
    while rig.attached() < HANDLERS as u64 {
        look.tick().await;
    }
    settled().await;
    let idle = each(before, HANDLERS);
    let before = heap_bytes();
    for home in &homes {
        let exchange = rig.node.lookup(home).expect("declared");
        for _ in 0..2 * HANDLERS_EACH {
            rig.ask(exchange).await;
        }
    }
    settled().await;
    (idle, each(before, HANDLERS))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_handler_and_an_idle_subscriber_take_little() {
    let rig = Rig::alone().await;
    let _profiler = dhat::Profiler::builder().testing().build();
    let subscriber = subscriber_bytes(&rig).await;
    let (handler, worked) = handler_bytes(&rig).await;
    println!("bytes: a subscriber {subscriber}, a handler {handler}, {worked} more once it has worked");
    assert!(
        (1..=SUBSCRIBER_BYTES_MAX).contains(&subscriber),
        "{subscriber} bytes"
    );
    assert!((1..=HANDLER_BYTES_MAX).contains(&handler), "{handler} bytes");
    assert!(worked <= WORKED_BYTES_MAX, "{worked} bytes more");
}
