//! Exchanges and processes watched in detail on real data planes: what is explained is what is done, and nothing is kept for
//! nobody (C3).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::{Tags, TraceContext};
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::limits::CANDIDATES_SHOWN_MAX;
use squall_kernel::registry::{Command, Strategy};
use squall_proto::v1;

use super::cluster::{Cluster, Log, asked, name, quiet, reply};
use crate::introspect::{Detail, Entity, Look, NoDetail};
use crate::limits::{DECISIONS_A_WINDOW_MAX, DECISIONS_KEPT_MAX};
use crate::router::Request;
use crate::sources::detail;

fn watch(cluster: &Cluster, n: usize, entity: &Entity) -> Box<dyn Detail> {
    detail::of(&cluster.planes[n], entity).expect("there is one")
}

fn watch_exchange(cluster: &Cluster, n: usize, exchange: &str) -> Box<dyn Detail> {
    watch(cluster, n, &Entity::Exchange(name(exchange)))
}

fn shown(watch: &mut dyn Detail) -> v1::ExchangeDetail {
    match watch.look() {
        Look::Exchange(detail) => *detail,
        other => panic!("no exchange: {other:?}"),
    }
}

fn inside(watch: &mut dyn Detail) -> v1::ProcessDetail {
    match watch.look() {
        Look::Process(detail) => *detail,
        other => panic!("no process: {other:?}"),
    }
}

fn keyed(exchange: ExchangeId, key: &'static str, group: &'static str) -> Request {
    let tags = Tags {
        key: Bytes::from_static(key.as_bytes()),
        service: Bytes::from_static(group.as_bytes()),
        ..Tags::default()
    };
    Request {
        tags,
        ..asked(exchange, "x")
    }
}

async fn who(cluster: &Cluster, n: usize, request: Request) -> String {
    reply(&cluster.planes[n].router.request(request).await).to_owned()
}

fn why(decision: &v1::RoutingDecision, pid: &str) -> String {
    let found = decision.candidates.iter().find(|c| c.pid == pid);
    found.expect("a candidate").why.clone()
}

fn text(cluster: &Cluster, pid: Pid) -> String {
    cluster.planes[0].context.pid_text(pid)
}

/// C3.
#[tokio::test(start_paused = true)]
async fn a_watched_exchange_explains_who_got_a_request_and_why_the_others_did_not() {
    let (mut cluster, log) = (Cluster::new(3), Log::default());
    let exchange = cluster.declare("carts", Strategy::Sticky);
    let one = cluster.attach_tagged(1, "carts", "eu", log.handler("one"));
    let two = cluster.attach_tagged(2, "carts", "eu", log.handler("two"));
    let other = cluster.attach_tagged(2, "carts", "us", log.handler("other"));
    quiet().await;
    assert_eq!(who(&cluster, 2, keyed(exchange, "k1", "eu")).await, "one");

    let mut owner = watch_exchange(&cluster, 0, "carts");
    assert_eq!(shown(&mut *owner).decisions, [], "nothing was sampled for nobody");
    assert_eq!(who(&cluster, 2, keyed(exchange, "k1", "eu")).await, "one");
    assert_eq!(who(&cluster, 2, keyed(exchange, "k2", "eu")).await, "two");
    quiet().await;

    let detail = shown(&mut *owner);
    let [second, first] = &detail.decisions[..] else {
        panic!("{detail:?}")
    };
    let [one, two, other] = [one, two, other].map(|pid| text(&cluster, pid));
    assert_eq!(first.outcome, format!("given to {one}"));
    assert!(
        first.decided_by.ends_with(&format!("is bound to {one}")),
        "{first:?}"
    );
    assert_eq!(why(first, &two), format!("bound to {one}"));
    assert_eq!(
        (why(first, &other).as_str(), why(first, &one).as_str()),
        ("other group", "")
    );
    assert_eq!((first.key.as_str(), first.service_tag.as_str()), ("k1", "eu"));
    assert_eq!(
        (first.origin.as_str(), first.number, first.delivered),
        ("c", 1, true)
    );
    assert_eq!(why(second, &one), "has 1 binding already");
    assert!(
        second.message > first.message && second.decided_by.contains("is new"),
        "{second:?}"
    );

    assert!(detail.owned_here && detail.note.is_empty(), "{detail:?}");
    let handlers: Vec<_> = detail
        .handlers
        .iter()
        .map(|h| (h.pid.as_str(), h.given))
        .collect();
    assert_eq!(
        handlers,
        [(one.as_str(), 1), (two.as_str(), 1), (other.as_str(), 0)]
    );
    assert_eq!(detail.decided, 2);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let later = shown(&mut *owner);
    assert_eq!(
        (later.bindings, later.bindings_sample.len()),
        (2, 2),
        "it shows itself again"
    );
    let eu = later
        .groups
        .iter()
        .find(|g| g.service_tag == "eu")
        .expect("a group");
    assert_eq!((eu.members, eu.place, eu.next.as_str()), (2, 1, one.as_str()));
}

/// C3.
#[tokio::test(start_paused = true)]
async fn sampling_is_bounded_and_ends_with_the_last_watcher() {
    let (mut cluster, log) = (Cluster::new(1), Log::default());
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    for _ in 0..CANDIDATES_SHOWN_MAX + 4 {
        cluster.attach(0, "orders", log.handler("one"));
    }
    quiet().await;
    let explained = || cluster.planes[0].context.wire.tally.explained.load(Relaxed);
    who(&cluster, 0, asked(exchange, "x")).await;
    assert_eq!(explained(), 0);

    let mut first = watch_exchange(&cluster, 0, "orders");
    let mut second = watch_exchange(&cluster, 0, "orders");
    let _both = (shown(&mut *first), shown(&mut *second));
    assert_eq!(
        cluster.planes[0].context.wire.tally.detail_watchers.load(Relaxed),
        2
    );
    for _ in 0..4 * DECISIONS_KEPT_MAX {
        who(&cluster, 0, asked(exchange, "x")).await;
    }
    let detail = shown(&mut *first);
    assert_eq!(detail.decided, 4 * DECISIONS_KEPT_MAX as u64);
    assert!(detail.decisions.len() <= DECISIONS_KEPT_MAX);
    assert_eq!(detail.decisions.len(), shown(&mut *second).decisions.len());
    let newest = &detail.decisions[0];
    assert_eq!(newest.candidates.iter().filter(|c| c.picked).count(), 1);
    let most = u64::from(DECISIONS_A_WINDOW_MAX);
    assert!(explained() >= most, "{}", explained());

    drop(first);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = explained();
    who(&cluster, 0, asked(exchange, "x")).await;
    assert_eq!(explained(), before + 1, "the other one still watches");
    drop(second);
    who(&cluster, 0, asked(exchange, "x")).await;
    assert_eq!(explained(), before + 1);
    let mut again = watch_exchange(&cluster, 0, "orders");
    assert_eq!(shown(&mut *again).decided, 0, "nothing was kept");
}

#[tokio::test(start_paused = true)]
async fn a_decision_with_a_trace_is_kept_longer_than_others() {
    let (mut cluster, log) = (Cluster::new(1), Log::default());
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(0, "orders", log.handler("one"));
    quiet().await;
    let mut watch = watch_exchange(&cluster, 0, "orders");
    shown(&mut *watch);
    let trace = TraceContext {
        trace_id: [7; 16],
        span_id: [1; 8],
        sampled: true,
    };
    let traced = Request {
        trace,
        ..asked(exchange, "x")
    };
    who(&cluster, 0, traced).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..2 * DECISIONS_A_WINDOW_MAX {
            who(&cluster, 0, asked(exchange, "x")).await;
        }
    }
    let detail = shown(&mut *watch);
    assert_eq!(detail.decisions.len(), DECISIONS_KEPT_MAX);
    let oldest = detail.decisions.last().expect("many");
    assert_eq!(
        (oldest.trace_id.as_str(), oldest.number),
        ("07".repeat(16).as_str(), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn other_nodes_say_what_they_know_and_the_watch_goes_along_with_the_ownership() {
    let (mut cluster, log) = (Cluster::new(2), Log::default());
    let exchange = cluster.declare("orders", Strategy::Consensus);
    let mut far = watch_exchange(&cluster, 1, "orders");
    let detail = shown(&mut *far);
    assert!(!detail.owned_here && detail.decisions.is_empty(), "{detail:?}");
    assert_eq!(
        detail.note,
        "not the owner: handlers and decisions are known at a"
    );

    // Nobody commits the appointment: the request waits where it entered.
    cluster.attach(1, "orders", log.handler("one"));
    quiet().await;
    let waits = tokio::spawn({
        let router = cluster.planes[1].router.clone();
        async move { router.request(asked(exchange, "x")).await }
    });
    quiet().await;
    assert_eq!(shown(&mut *far).held, 1);
    cluster.appoint().await;
    assert_eq!(reply(&waits.await.expect("no panic")), "one");
    assert_eq!(shown(&mut *far).held, 0);

    cluster.kill(0);
    cluster.declare_lost(0);
    assert!(shown(&mut *far).owned_here);
    // The handler attaches with the new owner, which shows itself again.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let leader = shown(&mut *far).leader.expect("a strategy with a leader");
    assert!(leader.attached && leader.epoch > 0, "{leader:?}");
    cluster.apply(&Command::Delete { name: name("orders") });
    assert_eq!(
        far.look(),
        Look::Ended("the exchange 'orders' was deleted".into())
    );
}

/// C3.
#[tokio::test(start_paused = true)]
async fn a_watched_process_shows_envelopes_and_times_and_its_end() {
    let (mut cluster, log) = (Cluster::new(1), Log::default());
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let pid = cluster.attach_tagged(0, "orders", "eu", log.handler("one"));
    quiet().await;
    let entity = Entity::Process(text(&cluster, pid));
    let mut watch = watch(&cluster, 0, &entity);
    let slow = |payload| {
        let request = Request {
            payload: Bytes::from_static(payload),
            ..keyed(exchange, "k", "eu")
        };
        let router = cluster.planes[0].router.clone();
        tokio::spawn(async move { router.request(request).await })
    };
    let _open = [slow(b"never"), slow(b"22"), slow(b"333")];
    quiet().await;
    let detail = inside(&mut *watch);
    let head: Vec<_> = detail
        .head
        .iter()
        .map(|m| (m.kind.as_str(), m.bytes, m.key.as_str()))
        .collect();
    assert_eq!(head, [("request", 2, "k"), ("request", 3, "k")]);
    assert_eq!(
        (detail.head[0].exchange.as_str(), detail.head_unseen),
        ("orders", 0)
    );
    assert!(detail.head[0].from.starts_with("<a."), "{:?}", detail.head[0]);
    assert_eq!(detail.attached_to, ["exchange orders, group eu, connection tag"]);
    assert_eq!(detail.wait.expect("times").count, 1);
    assert_eq!(detail.row.expect("a row").kind, "handler");

    cluster.planes[0]
        .handlers
        .detach(pid.serial, squall_kernel::reason::DetachReason::Asked);
    cluster.apply(&Command::Delete { name: name("orders") });
    let unknown = detail::of(&cluster.planes[0], &Entity::Process("<a.999>".into())).err();
    assert_eq!(unknown, Some(NoDetail::Process("<a.999>".into())));
}
