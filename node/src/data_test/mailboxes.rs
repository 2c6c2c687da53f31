//! Mailboxes of handlers and subscribers: what a full one does, that it is counted, and that nobody else notices (B9).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::order::WhenFull;
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::registry::{Pattern, Settings};
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::cluster::{Cluster, Log, asked, name, none, quiet, reply};
use super::grpc_session::{Talk, call, connect};
use crate::handlers::{HandlerTags, MailboxStats};
use crate::router::{Outcome, Publish, Request};

/// Answers one request for each permit it is given.
struct Gated(Arc<Semaphore>);

impl Handler for Gated {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        self.0.acquire().await.expect("never closed").forget();
        Answer::Reply(delivery.payload)
    }
}

struct Rig {
    cluster: Cluster,
    exchange: ExchangeId,
    gate: Arc<Semaphore>,
    slow: Pid,
}

impl Rig {
    /// A slow handler at the second node, with a mailbox of two.
    async fn new(when_full: WhenFull) -> Self {
        let mut cluster = Cluster::new(2);
        let settings = Settings {
            mailbox: Some(2),
            when_full,
            ..Settings::default()
        };
        let exchange = cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
        let gate = Arc::new(Semaphore::new(0));
        let handlers = &cluster.planes[1].handlers;
        let handler = Gated(Arc::clone(&gate));
        let slow = handlers
            .attach_embedded(&name("orders"), HandlerTags::default(), handler)
            .unwrap();
        quiet().await;
        Self {
            cluster,
            exchange,
            gate,
            slow,
        }
    }

    async fn ask(&self, payload: &'static str, timeout: Span) -> JoinHandle<Outcome> {
        let plane = Arc::clone(&self.cluster.planes[0]);
        let request = Request {
            timeout,
            ..asked(self.exchange, payload)
        };
        let asking = tokio::spawn(async move { plane.router.request(request).await });
        quiet().await;
        asking
    }

    async fn ask_all(&self, payloads: &[&'static str]) -> Vec<JoinHandle<Outcome>> {
        let mut asking = Vec::new();
        for payload in payloads {
            asking.push(self.ask(payload, Span::from_ms(60_000)).await);
        }
        asking
    }

    fn did(&self) -> MailboxStats {
        self.cluster.planes[1]
            .handlers
            .deliveries(self.exchange)
            .mailboxes
    }
}

async fn words(asking: Vec<JoinHandle<Outcome>>) -> Vec<String> {
    let mut words = Vec::new();
    for one in asking {
        let outcome = one.await.unwrap();
        words.push(match outcome.status {
            Status::Reply => reply(&outcome).to_owned(),
            _ => outcome.reason(),
        });
    }
    words
}

const REJECTED: &str = "rejected: overloaded";

/// B9: one is being answered, two wait, and what becomes of the rest is the exchange's policy.
#[tokio::test(start_paused = true)]
async fn a_handlers_full_mailbox_does_as_its_exchange_says() {
    let table = [
        (
            WhenFull::Reject,
            ["1", "2", "3", REJECTED, REJECTED],
            MailboxStats {
                rejected: 2,
                ..MailboxStats::default()
            },
        ),
        (
            WhenFull::DropOldest,
            ["1", REJECTED, REJECTED, "4", "5"],
            MailboxStats {
                dropped: 2,
                ..MailboxStats::default()
            },
        ),
        (
            WhenFull::Block,
            ["1", "2", "3", "4", "5"],
            MailboxStats {
                held: 2,
                ..MailboxStats::default()
            },
        ),
    ];
    for (when_full, expected, did) in table {
        let rig = Rig::new(when_full).await;
        let asking = rig.ask_all(&["1", "2", "3", "4", "5"]).await;
        rig.gate.add_permits(5);
        assert_eq!(words(asking).await, expected, "{when_full}");
        assert_eq!(rig.did(), did, "{when_full}");
        assert_eq!(rig.cluster.planes[0].router.open(), 0);
    }
}

/// B9: nobody works on what its requester does not wait for any more.
#[tokio::test(start_paused = true)]
async fn what_waits_longer_than_its_requester_is_dropped_unhandled() {
    let rig = Rig::new(WhenFull::Block).await;
    let mut asking = rig.ask_all(&["1"]).await;
    for payload in ["short", "short too", "held"] {
        asking.push(rig.ask(payload, Span::from_ms(100)).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    asking.extend(rig.ask_all(&["last"]).await);
    rig.gate.add_permits(2);
    let timeout = "timeout";
    assert_eq!(words(asking).await, ["1", timeout, timeout, timeout, "last"]);
    assert_eq!((rig.did().expired, rig.gate.available_permits()), (3, 0));
}

/// B9: the bound of what is held back is one, too.
#[tokio::test(start_paused = true)]
async fn what_a_full_mailbox_holds_back_is_bounded() {
    let rig = Rig::new(WhenFull::Block).await;
    let payloads: Vec<&'static str> = vec!["x"; 3 + crate::limits::REQUESTS_HELD_MAX + 2];
    let asking = rig.ask_all(&payloads).await;
    rig.gate.add_permits(payloads.len());
    let words = words(asking).await;
    assert_eq!(words.iter().filter(|word| *word == REJECTED).count(), 2);
    assert_eq!(rig.did().rejected, 2);
}

/// B9: a slow handler's requests do not hold up those of its neighbour.
#[tokio::test(start_paused = true)]
async fn a_slow_handler_hurts_nobody_else() {
    let rig = Rig::new(WhenFull::Block).await;
    let log = Log::default();
    rig.cluster.attach(1, "orders", log.handler("quick"));
    quiet().await;
    let asking = rig.ask_all(&["x"; 40]).await;
    assert_eq!(
        log.count("quick"),
        20,
        "all that were for it, while the other one stands"
    );
    rig.gate.add_permits(20);
    assert_eq!(words(asking).await.len(), 40);
}

/// B9: what waits for a handler that is detached was not handled, and goes to another one.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_handler_that_leaves_goes_to_another_one() {
    let rig = Rig::new(WhenFull::Block).await;
    let asking = rig.ask_all(&["1", "2", "3", "4"]).await;
    let log = Log::default();
    rig.cluster.attach(0, "orders", log.handler("other"));
    quiet().await;
    let handlers = &rig.cluster.planes[1].handlers;
    assert!(handlers.detach(rig.slow.serial, DetachReason::Asked));
    // They are tried again a little later.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(log.count("other"), 3);
    rig.gate.add_permits(1);
    assert_eq!(words(asking).await, ["1", "other", "other", "other"]);
}

/// B9: a subscriber that never reads costs the others nothing, whatever the policy; what its mailbox did is counted.
#[tokio::test(start_paused = true)]
async fn one_subscriber_that_never_reads_does_not_slow_the_others() {
    const EVENTS: usize = 5000;
    for when_full in WhenFull::ALL {
        let mut cluster = Cluster::new(2);
        let settings = Settings {
            mailbox: Some(16),
            when_full,
            ..Settings::default()
        };
        let exchange = cluster.declare_pattern("news", Pattern::PublishSubscribe, settings);
        let pubsub = &cluster.planes[1].pubsub;
        let _never_read = pubsub
            .subscribe_embedded(&name("news"), "", &["k"])
            .await
            .unwrap();
        let mut quick = Vec::new();
        for _ in 0..3 {
            quick.push(
                pubsub
                    .subscribe_embedded(&name("news"), "", &["k"])
                    .await
                    .unwrap(),
            );
        }
        let began = tokio::time::Instant::now();
        for event in 0..EVENTS {
            let payload = Bytes::from(event.to_string());
            let publish = Request::publish(exchange, Bytes::from_static(b"k"), payload, Publish::default());
            let outcome = cluster.planes[0].router.request(publish).await;
            assert_eq!(outcome.status, Status::Reply, "{when_full}: accepted at once");
            tokio::task::yield_now().await;
            for subscriber in &mut quick {
                let got = loop {
                    match subscriber.try_next() {
                        Some(event) => break event,
                        None => tokio::task::yield_now().await,
                    }
                };
                assert_eq!(
                    &got.published.payload[..],
                    event.to_string().as_bytes(),
                    "{when_full}"
                );
            }
        }
        assert_eq!(
            began.elapsed(),
            Duration::ZERO,
            "{when_full}: nobody waited for anything"
        );
        let did = cluster.planes[1].handlers.deliveries(exchange).mailboxes;
        let lost = (EVENTS - 16) as u64;
        let held = crate::limits::PUBLISHES_HELD_MAX as u64;
        let expected = match when_full {
            WhenFull::Reject => (lost, 0, 0),
            WhenFull::DropOldest => (0, lost, 0),
            WhenFull::Block => (lost - held, 0, held),
        };
        assert_eq!((did.rejected, did.dropped, did.held), expected, "{when_full}");
    }
}

/// B9: without a word about mailboxes a handler's is as large as ever, and what it turns away is counted.
#[tokio::test(start_paused = true)]
async fn what_a_handler_turns_away_is_counted_without_settings_too() {
    let mut cluster = Cluster::new(1);
    let exchange = cluster.declare_pattern("orders", Pattern::RequestResponse, Settings::default());
    cluster.attach(0, "orders", Log::default().handler("never"));
    quiet().await;
    let plane = Arc::clone(&cluster.planes[0]);
    let bound = squall_kernel::limits::MAILBOX_BOUND;
    let mut asking = Vec::new();
    while asking.len() < bound + 3 {
        let plane = Arc::clone(&plane);
        asking.push(tokio::spawn(async move {
            plane.router.request(asked(exchange, "never")).await
        }));
        if asking.len() % 500 == 0 {
            // The exchange's own mailbox is bounded, too.
            quiet().await;
        }
    }
    let all = futures::future::join_all(asking).await;
    let is_rejected = |outcome: &Outcome| outcome.status == none(NoReply::Rejected);
    let rejected = all
        .iter()
        .filter(|one| is_rejected(one.as_ref().unwrap()))
        .count();
    assert_eq!(rejected, 2, "one is being handled, and so many wait");
    assert_eq!(
        plane.handlers.deliveries(exchange).mailboxes.rejected,
        rejected as u64
    );
}

/// B9: what a handler across a connection does not take waits at its node.
#[tokio::test]
async fn what_a_clients_handler_has_no_credit_for_waits_at_its_node() {
    let mut cluster = Cluster::new(1);
    let settings = Settings {
        mailbox: Some(1),
        ..Settings::default()
    };
    let exchange = cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
    let (mut serving, mut asking) = (connect(&cluster, 0).await, connect(&cluster, 0).await);
    let (mut server, mut client) = (Talk::open(&mut serving).await, Talk::open(&mut asking).await);
    let one_at_a_time = v1::Attach {
        handler: 7,
        exchange: "orders".into(),
        credit: 1,
        ..Default::default()
    };
    server.say(vec![Action::Attach(one_at_a_time)]).await;
    server.next().await;
    assert!(matches!(server.next().await, Event::Attached(_)));
    client.next().await;
    for id in 1..=3 {
        client.say(vec![Action::Request(call(id, "orders"))]).await;
    }
    let Event::Outcome(turned_away) = client.next().await else {
        panic!("the third one is turned away")
    };
    assert_eq!(
        (turned_away.id, turned_away.kind()),
        (3, v1::OutcomeKind::Rejected)
    );
    for id in 1..=2 {
        let delivery = loop {
            match server.next().await {
                Event::Delivery(delivery) => break delivery,
                Event::System(_) => {}
                other => panic!("{other:?}"),
            }
        };
        let reply = v1::Reply {
            delivery: delivery.delivery,
            ..Default::default()
        };
        server.say(vec![Action::Reply(reply)]).await;
        assert!(matches!(client.next().await, Event::Outcome(outcome) if outcome.id == id));
    }
    assert_eq!(
        cluster.planes[0].handlers.deliveries(exchange).mailboxes.rejected,
        1
    );
}
