//! Owners that are lost, links that break, epochs that are over.

use std::io::{self, Cursor, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use squall_client::handler::NoticeKind;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{Epoch, ExchangeId, MessageId, Pid};
use squall_kernel::reason::{NoReply, StepDown};
use squall_kernel::registry::{Command, Strategy};
use squall_kernel::time::{Instant, Span};

use super::cluster::{Cluster, Log, asked, name, node, none, quiet, reply, told};
use crate::journal::{Journal, Replay};

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_next_owner_and_handlers_attach_there_by_themselves() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(2, "orders", log.handler("on-c"));
    quiet().await;
    cluster.kill(0);
    let router = Arc::clone(&cluster.planes[2].router);
    let open = tokio::spawn(async move { router.request(asked(exchange, "x")).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!open.is_finished());
    cluster.declare_lost(0);
    assert_eq!(reply(&open.await.unwrap()), "on-c");
    assert_eq!(cluster.planes[1].exchanges.owned()[0].epoch, Epoch(2));
    assert_eq!(cluster.planes[2].handlers.attached()[0].2, Some(Epoch(2)));
}

#[tokio::test(start_paused = true)]
async fn without_an_owner_in_reach_a_request_ends_as_unavailable() {
    let mut cluster = Cluster::new(2);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.cut(0);
    let before = cluster.planes[1].context.clock.now();
    assert_eq!(
        cluster.request(1, exchange, "x").await.status,
        none(NoReply::Unreachable)
    );
    let took = cluster.planes[1].context.clock.now().since(before);
    assert!((2000..2100).contains(&took.as_ms()), "{took}");
}

#[tokio::test(start_paused = true)]
async fn an_owner_without_lease_refuses_and_goes_on_when_it_has_one_again() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(1, "orders", log.handler("on-b"));
    quiet().await;
    cluster.leases[0].set(Instant(0));
    assert_eq!(
        cluster.request(1, exchange, "x").await.status,
        none(NoReply::NoQuorum)
    );
    cluster.leases[0].set(Instant(u64::MAX));
    assert_eq!(reply(&cluster.request(1, exchange, "x").await), "on-b");

    cluster.planes[0].exchanges.disown(exchange, StepDown::LeaseEnded);
    assert_eq!(
        cluster.request(1, exchange, "x").await.status,
        none(NoReply::NoQuorum)
    );
    let record = cluster.registry.exchanges[&exchange].clone();
    cluster.planes[0].exchanges.own(&record, Span::from_ms(100));
    assert_eq!(
        reply(&cluster.request(1, exchange, "x").await),
        "on-b",
        "its handlers are still attached"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_owner_held_is_interrupted() {
    let mut cluster = Cluster::new(2);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.swallow(0);
    let router = Arc::clone(&cluster.planes[1].router);
    let open = tokio::spawn(async move { router.request(asked(exchange, "x")).await });
    quiet().await;
    cluster.kill(0);
    cluster.declare_lost(0);
    assert_eq!(open.await.unwrap().status, none(NoReply::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn what_came_back_undeliverable_is_tried_again() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(0, "orders", log.handler("on-a"));
    quiet().await;
    cluster.swallow(0);
    let router = Arc::clone(&cluster.planes[1].router);
    let open = tokio::spawn(async move { router.request(asked(exchange, "x")).await });
    quiet().await;
    cluster.heal();
    cluster.give_back();
    assert_eq!(reply(&open.await.unwrap()), "on-a");
    assert_eq!(log.count("on-a"), 1, "delivered once");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_came_back_is_tried_again() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(2, "orders", log.handler("on-c"));
    quiet().await;
    cluster.swallow(2);
    let router = Arc::clone(&cluster.planes[1].router);
    let open = tokio::spawn(async move { router.request(asked(exchange, "x")).await });
    quiet().await;
    cluster.heal();
    cluster.give_back();
    assert_eq!(reply(&open.await.unwrap()), "on-c");
    assert_eq!(log.count("on-c"), 1, "delivered once");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_of_an_earlier_owner_is_fenced() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let pid = cluster.attach(2, "orders", log.handler("on-c"));
    quiet().await;
    cluster.kill(0);
    cluster.declare_lost(0);
    quiet().await;
    cluster.planes[2].frame(node(0), stale(exchange, pid));
    quiet().await;
    assert_eq!(cluster.planes[2].context.wire.tally.fenced.load(Relaxed), 1);
    assert_eq!(log.count("on-c"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_of_an_earlier_owner_is_fenced_although_the_next_one_has_not_been_heard() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let pid = cluster.attach(2, "orders", log.handler("on-c"));
    quiet().await;
    cluster.kill(0);
    cluster.cut(2);
    cluster.declare_lost(0);
    quiet().await;
    assert_eq!(
        cluster.planes[2].handlers.attached()[0].2,
        Some(Epoch(1)),
        "only the registry has told of the next owner"
    );
    cluster.planes[2].frame(node(0), stale(exchange, pid));
    quiet().await;
    assert_eq!(cluster.planes[2].context.wire.tally.fenced.load(Relaxed), 1);
    assert_eq!(log.count("on-c"), 0);
}

/// What the owner under the first epoch sent, and nothing has delivered yet.
fn stale(exchange: ExchangeId, to: Pid) -> Frame {
    Frame {
        exchange,
        epoch: Epoch(1),
        origin: node(1),
        message: MessageId(7),
        to: to.serial,
        left_ms: 1000,
        index: 1,
        count: 1,
        payload: Bytes::from_static(b"stale"),
        ..Frame::new(Kind::Deliver)
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_exchange_lets_go_of_its_handlers() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(1, "orders", log.handler("on-b"));
    quiet().await;
    cluster.apply(&Command::Delete { name: name("orders") });
    quiet().await;
    assert_eq!(
        cluster.request(1, exchange, "x").await.status,
        none(NoReply::UnknownExchange)
    );
    assert!(cluster.planes[1].handlers.attached().is_empty());
    assert!(cluster.planes[0].exchanges.owned().is_empty());
    let mut processes = Vec::new();
    for plane in &cluster.planes {
        plane.context.processes.each(|p| processes.push(p.pid()));
    }
    assert!(processes.is_empty(), "{processes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_system_message_that_was_lost_is_made_good() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(1, "orders", log.handler("on-b"));
    quiet().await;
    cluster.cut(1);
    cluster.attach(2, "orders", log.handler("on-c"));
    told().await;
    cluster.heal();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let servers = log.notices("on-b").iter().rev().find_map(|n| match &n.what {
        NoticeKind::Leader { servers, .. } => Some(servers.len()),
        _ => None,
    });
    assert_eq!(servers, Some(2));
}

#[derive(Clone, Default)]
pub(super) struct Memory(pub(super) Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_of_a_failover_replays_to_the_same_effects() {
    let memory = Memory::default();
    let (journal, writer) = Journal::start_writer(memory.clone()).unwrap();
    let mut cluster = Cluster::recording(3, Some((&journal, 1)));
    let log = Log::default();
    let exchange = cluster.declare("ledger", Strategy::Consensus);
    cluster.attach(2, "ledger", log.handler("leads"));
    cluster.appoint().await;
    cluster.attach(1, "ledger", log.handler("follows"));
    cluster.appoint().await;
    assert_eq!(reply(&cluster.request(1, exchange, "x").await), "leads");
    cluster.kill(0);
    // What the next owner grants to the leader ends soon.
    let now = cluster.planes[1].context.clock.now();
    cluster.leases[1].set(now + Span::from_ms(100));
    cluster.declare_lost(0);
    for _ in 0..20 {
        assert_eq!(reply(&cluster.request(1, exchange, "x").await), "leads");
    }
    cluster.kill(2);
    cluster.leases[1].set(Instant(u64::MAX));
    cluster.declare_lost(2);
    // The new owner gives the leader it was told of time to attach again.
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.appoint().await;
    assert_eq!(reply(&cluster.request(1, exchange, "x").await), "follows");
    drop((cluster, journal));
    quiet().await;
    writer.finish().unwrap();
    let bytes = memory.0.lock().unwrap().clone();
    let report = Replay::default().run(Cursor::new(bytes)).unwrap();
    assert_eq!(
        (report.difference.clone(), report.machines, report.torn),
        (None, 1, false)
    );
    assert!(
        report.steps > 24,
        "two attachments, 21 requests, a lost node, a new leader: {report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_interrupts_what_may_have_arrived_and_repeats_replies() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(2, "orders", log.handler("on-c"));
    quiet().await;
    // On the way to the owner, to the handler, and back to the requester.
    for (lossy, expected) in [
        (0, none(NoReply::Interrupted)),
        (2, none(NoReply::Interrupted)),
        (1, Status::Reply),
    ] {
        cluster.swallow(lossy);
        let router = Arc::clone(&cluster.planes[1].router);
        let open = tokio::spawn(async move { router.request(asked(exchange, "x")).await });
        quiet().await;
        assert!(!open.is_finished());
        cluster.heal();
        cluster.lose_track();
        assert_eq!(open.await.unwrap().status, expected, "node {lossy}");
    }
    assert_eq!(
        log.count("on-c"),
        1,
        "what was lost was not delivered a second time"
    );
}

#[tokio::test(start_paused = true)]
async fn on_a_node_without_a_majority_what_needs_one_ends_as_no_quorum() {
    let mut cluster = Cluster::new(2);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.cut(0);
    cluster.planes[1].isolated(true);
    let outcome = cluster.request(1, exchange, "x").await;
    assert_eq!(outcome.status, none(NoReply::NoQuorum));
    cluster.planes[1].isolated(false);
    let outcome = cluster.request(1, exchange, "x").await;
    assert_eq!(outcome.status, none(NoReply::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_handlers_that_attach_at_once_cost_their_neighbours_few_frames() {
    const MANY: usize = 1000;
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(1, "orders", log.handler("first"));
    quiet().await;
    let before = cluster.net.frames(0, 1);
    for _ in 0..MANY {
        cluster.attach(0, "orders", log.handler("more"));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let frames = cluster.net.frames(0, 1) - before;
    assert!(frames <= 20, "{frames} frames");
    let told = log.notices("first");
    let ups: Vec<u64> = told
        .iter()
        .filter(|notice| matches!(notice.what, NoticeKind::SlaveUp(_)))
        .map(|notice| notice.counter.0)
        .collect();
    assert_eq!(ups.len(), MANY, "each of them is told");
    assert!(ups.is_sorted_by(|a, b| a + 1 == *b), "in order, none left out");
}
