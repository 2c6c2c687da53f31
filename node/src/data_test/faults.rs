//! Faults on handlers, and on messages that leave their exchange's owner: what a requester, a publisher and a subscriber see
//! of each, and that it ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_client::handler::{Restart, Supervision};
use squall_kernel::fault::{FaultKind, MessageFault, ProcessFault, Share, Wanted};
use squall_kernel::frame::{Status, TraceContext};
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::keys::KeyPattern;
use squall_kernel::order::WhenFull;
use squall_kernel::publishing::Confirm;
use squall_kernel::registry::{Pattern, Settings, Strategy};
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::cluster::{Cluster, Log, asked, name, quiet, reply};
use super::grpc_session::{Talk, attach, connect};
use super::tasks::{self, Worker};
use crate::handlers::HandlerTags;
use crate::pubsub::{SubscriberEvent, Subscription};
use crate::router::{Outcome, Publish, Request};
use crate::telemetry::logging::overheard;

const TTL: Span = Span::from_ms(30_000);
const REJECTED: &str = "rejected: overloaded";

/// "orders" is owned by the first node; its handler is at the second one, and its requester at the first.
struct Rig {
    cluster: Cluster,
    exchange: ExchangeId,
    log: Log,
}

impl Rig {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let mut cluster = Cluster::new(2);
        let exchange = cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
        let log = Log::default();
        cluster.attach(1, "orders", log.handler("h"));
        quiet().await;
        Self {
            cluster,
            exchange,
            log,
        }
    }

    async fn handlers(&self, what: ProcessFault) {
        let exchange = name("orders");
        self.set(1, FaultKind::Process { exchange, what });
        quiet().await;
    }

    fn messages(&self, key: Option<&str>, what: MessageFault) {
        self.set(0, message("orders", key, what));
    }

    fn set(&self, n: usize, kind: FaultKind) {
        let faults = &self.cluster.planes[n].context.faults;
        faults.set("x", kind, TTL, "test").unwrap();
    }

    async fn clear(&self) {
        for plane in &self.cluster.planes {
            plane.context.faults.halt();
        }
        quiet().await;
    }

    fn touched(&self, n: usize) -> u64 {
        self.cluster.planes[n].context.faults.list()[0].touched
    }

    async fn ask(&self, payload: &'static str) -> JoinHandle<Outcome> {
        let plane = Arc::clone(&self.cluster.planes[0]);
        let request = asked(self.exchange, payload);
        let asking = tokio::spawn(async move { plane.router.request(request).await });
        quiet().await;
        asking
    }

    async fn words(&self, payload: &'static str) -> String {
        words(self.ask(payload).await).await
    }

    /// Restarts of the handler.
    fn restarts(&self, handler: Pid) -> u64 {
        let context = &self.cluster.planes[1].context;
        let process = context.processes.get(handler.serial).unwrap();
        process.figures(context.clock.now()).restarts
    }

    fn handler(&self) -> Pid {
        self.cluster.planes[1].handlers.attached()[0].0
    }
}

fn message(exchange: &str, key: Option<&str>, what: MessageFault) -> FaultKind {
    let of = Wanted {
        exchange: name(exchange),
        key: key.map(|key| KeyPattern::new(key).unwrap()),
        share: Share::ALL,
    };
    FaultKind::Message { of, what }
}

async fn words(asking: JoinHandle<Outcome>) -> String {
    let outcome = asking.await.unwrap();
    match outcome.status {
        Status::Reply => reply(&outcome).to_owned(),
        _ => outcome.reason(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_handler_takes_nothing_and_goes_on_when_that_is_over() {
    let rig = Rig::new().await;
    rig.handlers(ProcessFault::Suspend).await;
    let (first, second) = (rig.ask("1").await, rig.ask("2").await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((rig.log.count("h"), rig.touched(1)), (0, 1));
    rig.clear().await;
    assert_eq!(
        (words(first).await, words(second).await),
        ("h".into(), "h".into())
    );
    assert_eq!(rig.log.payloads("h"), ["1", "2"]);

    rig.handlers(ProcessFault::Suspend).await;
    let last = rig.ask("3").await;
    assert_eq!(words(last).await, "timeout");
    tokio::time::sleep(Duration::from_micros(TTL.0)).await;
    assert_eq!(rig.words("4").await, "h", "it ends by itself");
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_takes_longer_for_each_and_no_longer_than_the_fault_lasts() {
    let rig = Rig::new().await;
    let by = Span::from_ms(200);
    rig.handlers(ProcessFault::Slow { by }).await;
    let began = Instant::now();
    let (first, second) = (rig.ask("1").await, rig.ask("2").await);
    assert_eq!(
        (words(first).await, words(second).await),
        ("h".into(), "h".into())
    );
    let took = began.elapsed().as_millis();
    assert!((400..420).contains(&took), "{took}");
    assert_eq!(rig.touched(1), 2);
    let (last, began) = (rig.ask("3").await, Instant::now());
    rig.clear().await;
    assert_eq!(words(last).await, "h");
    assert!(began.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn each_handler_panics_once_and_its_supervision_has_it() {
    let rig = Rig::new().await;
    let handler = rig.handler();
    rig.handlers(ProcessFault::Panic).await;
    assert_eq!(rig.words("1").await, "failed: a fault lets it panic");
    assert_eq!(rig.words("2").await, "h");
    assert_eq!(
        (rig.restarts(handler), rig.touched(1), rig.log.count("h")),
        (1, 1, 1)
    );
    let events = rig.cluster.events[1].read(0).events;
    assert_eq!(events.last().unwrap().kind, "handler-panicked");
    rig.cluster.attach(1, "orders", rig.log.handler("new"));
    quiet().await;
    let answers = [rig.words("3").await, rig.words("4").await];
    assert!(
        answers.iter().all(|answer| !answer.starts_with("failed")),
        "{answers:?}"
    );
    rig.handlers(ProcessFault::Panic).await;
    assert!(
        rig.words("5").await.starts_with("failed"),
        "set anew, it acts anew"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_met_no_delivery_goes_with_its_fault() {
    let rig = Rig::new().await;
    rig.handlers(ProcessFault::Panic).await;
    rig.clear().await;
    assert_eq!(rig.words("1").await, "h");
}

#[tokio::test(start_paused = true)]
async fn a_killed_handler_loses_what_it_has_in_hand_and_begins_anew() {
    let rig = Rig::new().await;
    let handler = rig.handler();
    let (in_hand, waits) = (rig.ask("never").await, rig.ask("x").await);
    rig.handlers(ProcessFault::Kill).await;
    assert_eq!(words(in_hand).await, "failed: a fault kills it");
    assert_eq!(words(waits).await, "h");
    assert_eq!((rig.restarts(handler), rig.touched(1)), (1, 1));
    rig.handlers(ProcessFault::Kill).await;
    assert_eq!(rig.restarts(handler), 2, "one that does nothing dies, too");
    assert_eq!(rig.words("x").await, "h");
}

#[tokio::test(start_paused = true)]
async fn a_killed_handler_that_is_not_restarted_is_gone() {
    let mut cluster = Cluster::new(2);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let log = Log::default();
    let supervision = Supervision {
        restart: Restart::Temporary,
        ..Supervision::default()
    };
    let handlers = &cluster.planes[1].handlers;
    handlers
        .attach_supervised(
            &name("orders"),
            HandlerTags::default(),
            supervision,
            log.handler("h"),
        )
        .unwrap();
    quiet().await;
    let rig = Rig {
        cluster,
        exchange,
        log,
    };
    rig.handlers(ProcessFault::Kill).await;
    assert!(rig.cluster.planes[1].handlers.attached().is_empty());
    assert_eq!(rig.words("x").await, "no responders");
}

#[tokio::test(start_paused = true)]
async fn a_filled_mailbox_refuses_and_under_block_it_holds_back() {
    let rig = Rig::new().await;
    rig.handlers(ProcessFault::Fill).await;
    assert_eq!(rig.words("1").await, REJECTED);
    rig.clear().await;
    assert_eq!(rig.words("2").await, "h");

    let block = Settings {
        when_full: WhenFull::Block,
        ..Settings::default()
    };
    let rig = Rig::with(block).await;
    rig.handlers(ProcessFault::Fill).await;
    let held = rig.ask("3").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.log.count("h"), 0);
    rig.clear().await;
    assert_eq!(words(held).await, "h");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_handler_that_is_detached_suffers_no_more() {
    let rig = Rig::new().await;
    let handler = rig.handler();
    rig.handlers(ProcessFault::Suspend).await;
    let waits = rig.ask("1").await;
    let handlers = &rig.cluster.planes[1].handlers;
    handlers.detach(handler.serial, squall_kernel::reason::DetachReason::Asked);
    assert_eq!(words(waits).await, "h", "it finishes what it was given");
    quiet().await;
    let processes = &rig.cluster.planes[1].context.processes;
    assert!(processes.get(handler.serial).is_none(), "and its task ends");
}

/// A handler of a client at the second node, and what it is given.
async fn client(rig: &Rig) -> Talk {
    let mut connected = connect(&rig.cluster, 1).await;
    let mut talk = Talk::open(&mut connected).await;
    assert!(matches!(talk.next().await, Event::Opened(_)));
    rig.cluster.planes[1]
        .handlers
        .detach(rig.handler().serial, squall_kernel::reason::DetachReason::Asked);
    let Action::Attach(attach) = attach(7, "orders") else {
        unreachable!("as it says")
    };
    talk.say(vec![Action::Attach(v1::Attach { credit: 4, ..attach })])
        .await;
    assert!(matches!(talk.next().await, Event::Attached(_)));
    talk
}

async fn delivery(talk: &mut Talk) -> v1::Delivery {
    loop {
        if let Event::Delivery(delivery) = talk.next().await {
            return delivery;
        }
    }
}

async fn answer(talk: &Talk, delivery: &v1::Delivery) {
    let reply = v1::Reply {
        delivery: delivery.delivery,
        payload: "client".into(),
        ..Default::default()
    };
    talk.say(vec![Action::Reply(reply)]).await;
}

#[tokio::test]
async fn a_clients_handler_suffers_on_the_way_to_its_session() {
    let rig = Rig::new().await;
    let mut talk = client(&rig).await;
    rig.handlers(ProcessFault::Panic).await;
    assert_eq!(rig.words("1").await, "failed: a fault lets it panic");
    rig.handlers(ProcessFault::Suspend).await;
    let (first, second) = (rig.ask("2").await, rig.ask("3").await);
    assert_eq!(rig.touched(1), 2, "held back, and not on the way to it");
    rig.clear().await;
    for payload in ["2", "3"] {
        let given = delivery(&mut talk).await;
        assert_eq!(given.payload, payload);
        answer(&talk, &given).await;
    }
    assert_eq!(
        (words(first).await, words(second).await),
        ("client".into(), "client".into())
    );
    let by = Span::from_ms(20);
    rig.handlers(ProcessFault::Slow { by }).await;
    let (began, slow) = (Instant::now(), rig.ask("4").await);
    let given = delivery(&mut talk).await;
    assert!(began.elapsed() >= Duration::from_micros(by.0));
    answer(&talk, &given).await;
    assert_eq!(words(slow).await, "client");
}

#[tokio::test]
async fn the_log_says_at_which_request_a_fault_let_a_clients_handler_panic() {
    let heard = overheard();
    let rig = Rig::new().await;
    let _talk = client(&rig).await;
    rig.handlers(ProcessFault::Panic).await;
    let trace = TraceContext {
        trace_id: [0xab; 16],
        span_id: [1; 8],
        sampled: false,
    };
    let request = Request {
        trace,
        ..asked(rig.exchange, "1")
    };
    let outcome = rig.cluster.planes[0].router.request(request).await;
    assert_eq!(outcome.reason(), "failed: a fault lets it panic");
    let lines = heard.take();
    let line = lines
        .iter()
        .find(|line| line.contains("panicked: a fault lets it panic"));
    let trace = format!("trace_id={} ", "ab".repeat(16));
    assert!(line.is_some_and(|line| line.starts_with(&trace)), "{lines:?}");
}

#[tokio::test]
async fn a_clients_handler_that_is_killed_is_detached_and_what_waited_goes_elsewhere() {
    let rig = Rig::new().await;
    let mut talk = client(&rig).await;
    rig.handlers(ProcessFault::Suspend).await;
    let waits = rig.ask("1").await;
    rig.cluster.attach(0, "orders", rig.log.handler("other"));
    quiet().await;
    rig.handlers(ProcessFault::Kill).await;
    let detached = loop {
        if let Event::Detached(detached) = talk.next().await {
            break detached;
        }
    };
    assert_eq!(
        (detached.handler, detached.why()),
        (7, v1::DetachReason::ClientGone)
    );
    assert_eq!(words(waits).await, "other");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_message_is_lost_and_its_requester_hears_nothing() {
    let rig = Rig::new().await;
    rig.messages(None, MessageFault::Drop);
    let began = Instant::now();
    assert_eq!(rig.words("1").await, "timeout");
    assert!(began.elapsed() >= Duration::from_secs(5));
    assert_eq!((rig.touched(0), rig.log.count("h")), (1, 0));
    rig.clear().await;
    assert_eq!(rig.words("2").await, "h");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_comes_later_and_at_once_when_the_fault_ends() {
    let rig = Rig::new().await;
    let by = Span::from_ms(300);
    rig.messages(None, MessageFault::Delay { by });
    let began = Instant::now();
    assert_eq!(rig.words("1").await, "h");
    let took = began.elapsed().as_millis();
    assert!((300..310).contains(&took), "{took}");
    let (asking, began) = (rig.ask("2").await, Instant::now());
    rig.clear().await;
    assert_eq!(words(asking).await, "h");
    assert!(began.elapsed() < Duration::from_millis(10));
    assert_eq!(rig.cluster.planes[0].context.late.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_doubled_request_is_handled_twice_and_answered_once() {
    let rig = Rig::new().await;
    rig.messages(None, MessageFault::Duplicate);
    assert_eq!(rig.words("1").await, "h");
    quiet().await;
    assert_eq!(rig.log.payloads("h"), ["1", "1"]);
    let tally = &rig.cluster.planes[0].context.wire.tally;
    assert_eq!(tally.late_replies.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_clients_handler_gets_twice_costs_it_no_credit() {
    let rig = Rig::new().await;
    let mut talk = client(&rig).await;
    rig.messages(None, MessageFault::Duplicate);
    for _ in 0..8 {
        let asking = rig.ask("x").await;
        let given = delivery(&mut talk).await;
        let again = delivery(&mut talk).await;
        answer(&talk, &given).await;
        answer(&talk, &again).await;
        assert_eq!(words(asking).await, "client");
    }
}

/// A publish-subscribe exchange that the first node owns, with a subscriber there and one at the second node.
struct News {
    cluster: Cluster,
    exchange: ExchangeId,
    here: Subscription,
    there: Subscription,
}

impl News {
    async fn new() -> Self {
        let mut cluster = Cluster::new(2);
        let settings = Settings::default();
        let exchange = cluster.declare_pattern("news", Pattern::PublishSubscribe, settings);
        let subscribe = |n: usize| {
            let pubsub = Arc::clone(&cluster.planes[n].pubsub);
            async move {
                pubsub
                    .subscribe_embedded(&name("news"), "", &["#"])
                    .await
                    .unwrap()
            }
        };
        let (here, there) = (subscribe(0).await, subscribe(1).await);
        Self {
            cluster,
            exchange,
            here,
            there,
        }
    }

    fn set(&self, key: Option<&str>, what: MessageFault) {
        let faults = &self.cluster.planes[0].context.faults;
        faults.set("x", message("news", key, what), TTL, "test").unwrap();
    }

    /// The publisher's outcome, and what each of the two subscribers has got after so many milliseconds.
    async fn publish(&mut self, key: &'static str, confirm: Confirm, ms: u64) -> (Status, usize, usize) {
        let head = Publish {
            confirm,
            ..Publish::default()
        };
        let (key, payload) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(b"x"));
        let request = Request::publish(self.exchange, key, payload, head);
        let plane = Arc::clone(&self.cluster.planes[1]);
        let outcome = tokio::spawn(async move { plane.router.request(request).await });
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let (here, there) = (got(&mut self.here), got(&mut self.there));
        (outcome.await.unwrap().status, here, there)
    }
}

fn got(subscription: &mut Subscription) -> usize {
    std::iter::from_fn(|| subscription.try_next())
        .map(|_: SubscriberEvent| ())
        .count()
}

#[tokio::test(start_paused = true)]
async fn publishes_of_a_key_are_dropped_at_their_owner_for_subscribers_everywhere() {
    let mut news = News::new().await;
    news.set(Some("weather.*"), MessageFault::Drop);
    let none = (Status::Reply, 0, 0);
    assert_eq!(news.publish("weather.north", Confirm::Accepted, 5).await, none);
    let both = (Status::Reply, 1, 1);
    assert_eq!(news.publish("sport", Confirm::Accepted, 5).await, both);
    let (status, here, there) = news.publish("weather.north", Confirm::Received, 5).await;
    assert_ne!(status, Status::Reply, "nobody says that it was received");
    assert_eq!((here, there), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_doubled_publish_reaches_each_subscriber_twice_and_is_confirmed_once() {
    let mut news = News::new().await;
    news.set(None, MessageFault::Duplicate);
    for confirm in [Confirm::Accepted, Confirm::Received] {
        assert_eq!(news.publish("sport", confirm, 5).await, (Status::Reply, 2, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_publish_comes_later_and_is_confirmed_then() {
    let mut news = News::new().await;
    let by = Span::from_ms(100);
    news.set(None, MessageFault::Delay { by });
    assert_eq!(
        news.publish("sport", Confirm::Accepted, 50).await,
        (Status::Reply, 0, 0)
    );
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!((got(&mut news.here), got(&mut news.there)), (1, 1));
    let received = news.publish("sport", Confirm::Received, 110).await;
    assert_eq!(received, (Status::Reply, 1, 1));
}

/// "mails" is owned by the only node, and so is its worker.
async fn work(credit: u32) -> (Cluster, ExchangeId, Worker) {
    let mut cluster = Cluster::new(1);
    let exchange = tasks::declare(&mut cluster, Settings::default());
    let worker = Worker::attach(&cluster, 0, credit);
    quiet().await;
    (cluster, exchange, worker)
}

async fn submitted(cluster: &Cluster, exchange: ExchangeId, payload: &'static str) {
    let outcome = tasks::submit(cluster, 0, exchange, payload).await;
    assert_eq!(outcome.status, Status::Reply);
    quiet().await;
}

/// Attempts of the tasks that the worker was given, in order.
fn attempts(worker: &Worker) -> Vec<u32> {
    worker.given().iter().map(|(_, attempt, _)| *attempt).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_task_comes_again_when_its_lease_is_over() {
    let (cluster, exchange, worker) = work(8).await;
    let faults = &cluster.planes[0].context.faults;
    let lost = message("mails", None, MessageFault::Drop);
    faults.set("x", lost, Span::from_ms(1000), "").unwrap();
    submitted(&cluster, exchange, "1").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(worker.given().is_empty());
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(attempts(&worker), [2]);
}

#[tokio::test(start_paused = true)]
async fn workers_stand_still_panic_and_are_full_as_handlers_are() {
    let (cluster, exchange, worker) = work(1).await;
    let faults = &cluster.planes[0].context.faults;
    let set = |what| {
        let exchange = name("mails");
        let kind = FaultKind::Process { exchange, what };
        faults.set("x", kind, Span::from_ms(100), "").unwrap();
    };
    set(ProcessFault::Suspend);
    submitted(&cluster, exchange, "1").await;
    assert!(worker.given().is_empty());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(attempts(&worker), [1]);
    worker
        .say(&cluster, 0, squall_kernel::message::Settlement::Confirm)
        .await;

    set(ProcessFault::Fill);
    submitted(&cluster, exchange, "2").await;
    assert_eq!(attempts(&worker), [1]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(attempts(&worker), [1, 1], "it never saw it: that was no attempt");
    worker
        .say(&cluster, 1, squall_kernel::message::Settlement::Confirm)
        .await;

    set(ProcessFault::Panic);
    submitted(&cluster, exchange, "3").await;
    assert_eq!(attempts(&worker), [1, 1]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(attempts(&worker), [1, 1, 2]);
}
