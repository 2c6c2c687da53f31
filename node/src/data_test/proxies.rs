//! Proxies of publish-subscribe exchanges, and controllers: who passes a publish on, that nothing is lost or doubled while
//! that changes, and who may subscribe.

#[path = "proxies/controlling.rs"]
mod controlling;
#[path = "proxies/ledger.rs"]
mod ledger;

use std::collections::BTreeSet;

use bytes::Bytes;
use squall_kernel::frame::{Kind, Status};
use squall_kernel::id::{ExchangeId, NodeName};
use squall_kernel::publishing::Confirm;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, Outcome as Applied, Pattern, Settings};
use squall_kernel::time::Span;
use tokio::sync::mpsc;

use self::ledger::Ledger;
use super::cluster::{Cluster, name, node, none, quiet};
use crate::pubsub::{Subscription, TableFigures};
use crate::router::{Outcome, Publish, Request};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn set_proxy(cluster: &mut Cluster, n: usize, on: bool) -> Applied {
    cluster.apply(&Command::SetProxy {
        exchange: name("news"),
        node: NodeName::new(NAMES[n]).unwrap(),
        on,
    })
}

/// `news` is owned by a in zone x; b, c and d are in zone y, e in zone x.
fn five() -> (Cluster, ExchangeId) {
    let mut cluster = Cluster::in_zones(&["x", "y", "y", "y", "x"]);
    let news = cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    (cluster, news)
}

async fn subscribe(cluster: &Cluster, n: usize, patterns: &[&str]) -> Subscription {
    let pubsub = &cluster.planes[n].pubsub;
    pubsub
        .subscribe_embedded(&name("news"), "tag", patterns)
        .await
        .unwrap()
}

fn figures(cluster: &Cluster, n: usize, news: ExchangeId) -> TableFigures {
    cluster.planes[n].pubsub.figures(news).unwrap_or_default()
}

/// Lets all tables go where they are to go: over to the owner, and from there to the nearest.
async fn settled() {
    for _ in 0..20 {
        quiet().await;
    }
}

/// A publish that every subscriber's node is to confirm.
fn wanted(news: ExchangeId, payload: &str) -> Request {
    let head = Publish {
        confirm: Confirm::Received,
        ..Publish::default()
    };
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Request::publish(news, Bytes::from_static(b"k"), payload, head)
}

/// How many nodes have said that they have it; none when one has not.
async fn received(cluster: &Cluster, n: usize, news: ExchangeId, payload: &str) -> Option<u32> {
    told(cluster.planes[n].router.request_all(wanted(news, payload))).await
}

async fn told(mut outcomes: mpsc::Receiver<Outcome>) -> Option<u32> {
    let (mut seen, mut all) = (0, true);
    while let Some(outcome) = outcomes.recv().await {
        all &= outcome.status == Status::Reply;
        if outcome.count > 0 {
            seen += 1;
            assert_eq!(outcome.index, seen, "in the order in which they come");
            assert_eq!(outcome.more, seen < outcome.count, "{outcome:?}");
        }
    }
    all.then_some(seen)
}

fn payloads(subscription: &mut Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.try_next())
        .map(|event| String::from_utf8(event.published.payload.to_vec()).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a31_a33_a_publish_goes_through_the_proxy_of_the_zone_one_frame_a_node() {
    let (mut cluster, news) = five();
    assert_eq!(set_proxy(&mut cluster, 1, true), Applied::Done);
    let mut all = Vec::new();
    for n in [2, 3, 4] {
        for _ in 0..50 {
            all.push(subscribe(&cluster, n, &["k", "k.#"]).await);
        }
    }
    settled().await;
    let before = |cluster: &Cluster| {
        [(0, 1), (1, 2), (1, 3), (0, 4), (0, 2), (0, 3)].map(|(from, to)| cluster.net.frames(from, to))
    };
    let frames = before(&cluster);
    assert_eq!(
        received(&cluster, 0, news, "once").await,
        Some(3),
        "three nodes have subscribers"
    );
    quiet().await;
    let sent: Vec<usize> = before(&cluster)
        .iter()
        .zip(frames)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(sent, [1, 1, 1, 1, 0, 0], "through b to c and d, from a to e");
    assert!(all.iter_mut().all(|s| payloads(s) == ["once"]));
    let (owner, proxy) = (figures(&cluster, 0, news), figures(&cluster, 1, news));
    assert_eq!(
        (owner.downstreams, owner.patterns),
        (2, 2),
        "A33: each pattern once from b and e"
    );
    assert_eq!((proxy.downstreams, proxy.patterns, proxy.subscribers), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a38_proxies_come_and_go_under_publishes_and_nothing_is_lost_or_doubled() {
    let (mut cluster, news) = five();
    let mut ledger = Ledger::of(&cluster, &[0, 1, 2, 3, 4]).await;
    for round in 0..60_usize {
        if round % 3 == 0 {
            let n = 1 + round / 3 % 4;
            let on = round / 12 % 2 == 0;
            assert_eq!(set_proxy(&mut cluster, n, on), Applied::Done, "{round}");
        }
        ledger.publish(&cluster, round % 5, news).await;
        if round % 4 == 0 {
            settled().await;
        }
    }
    settled().await;
    assert_eq!(ledger.confirmed.len(), 60, "all were confirmed");
    ledger.check();
}

/// Publishes under way at any moment while proxies come, go and start again and the owner moves, as a number decides.
#[tokio::test(start_paused = true)]
async fn i7_whatever_proxies_do_nothing_confirmed_is_lost_and_nothing_is_doubled() {
    for seed in 1..=12_u64 {
        let (mut cluster, news) = five();
        // Not at b and c, which start again.
        let mut ledger = Ledger::of(&cluster, &[0, 3, 4]).await;
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((dice >> 33) % sides).unwrap()
        };
        let mut restarted = BTreeSet::new();
        for _ in 0..60 {
            for _ in 0..roll(3) {
                ledger.begin(&cluster, [0, 3, 4][roll(3)], news);
            }
            match roll(8) {
                0..=3 => {
                    let (n, on) = (1 + roll(4), roll(3) > 0);
                    set_proxy(&mut cluster, n, on);
                }
                4 => {
                    let n = 1 + roll(2);
                    if restarted.insert(n) {
                        cluster.restart(n);
                    }
                }
                5 => tokio::time::sleep(std::time::Duration::from_secs(6)).await,
                _ => quiet().await,
            }
        }
        ledger.end().await;
        settled().await;
        assert!(
            ledger.confirmed.len() > 20,
            "seed {seed}: {}",
            ledger.confirmed.len()
        );
        ledger.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a32_the_nearest_is_of_the_zone_then_the_one_with_the_shorter_way_and_noise_moves_nobody() {
    let mut cluster = Cluster::new(4);
    let news = cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    let _subscriber = subscribe(&cluster, 3, &["k"]).await;
    for n in [1, 2] {
        set_proxy(&mut cluster, n, true);
    }
    let far = |owner, b, c| [(node(0), owner), (node(1), b), (node(2), c)].map(|(n, us)| (n, Span(us)));
    for (ways, served_by) in [
        (far(1000, 400, 900), 1),
        (far(1000, 400, 380), 1),
        (far(1000, 400, 200), 2),
        (far(1000, 170, 200), 2),
        (far(90, 170, 200), 0),
    ] {
        cluster.planes[3].measured(ways.into_iter().collect());
        settled().await;
        // A proxy is left late, and nobody goes over to the next one before that.
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        let serving: Vec<usize> = (1..3)
            .filter(|n| figures(&cluster, *n, news).downstreams > 0)
            .collect();
        let expected: &[usize] = if served_by == 0 { &[] } else { &[served_by] };
        assert_eq!(serving, expected, "{ways:?}");
        assert_eq!(received(&cluster, 0, news, "x").await, Some(1));
    }
}

/// What is on its way to a proxy when that is left.
#[tokio::test(start_paused = true)]
async fn a38_a_proxy_that_is_removed_still_passes_on_what_was_on_its_way() {
    let (mut cluster, news) = five();
    set_proxy(&mut cluster, 1, true);
    let mut subscriber = subscribe(&cluster, 3, &["k"]).await;
    settled().await;
    cluster.swallow(1);
    let mut confirm = Box::pin(received(&cluster, 0, news, "on its way"));
    tokio::select! {
        biased;
        _ = &mut confirm => panic!("b has not got it"),
        () = quiet() => {}
    }
    assert_eq!(payloads(&mut subscriber), [""; 0]);
    let set = Command::SetProxy {
        exchange: name("news"),
        node: NodeName::new("b").unwrap(),
        on: false,
    };
    drop(confirm);
    cluster.apply(&set);
    settled().await;
    assert_eq!(
        figures(&cluster, 0, news).downstreams,
        2,
        "d has gone over, b is still told"
    );
    cluster.heal();
    let mut late = std::mem::take(&mut *cluster.net.swallowed.lock().unwrap());
    // What d has told b meanwhile is there first.
    late.sort_by_key(|(_, _, frame)| frame.kind == Kind::Event);
    assert_eq!(late.last().map(|(_, _, frame)| frame.kind), Some(Kind::Event));
    for (from, _, frame) in late {
        cluster.planes[1].frame(from, frame);
    }
    quiet().await;
    assert_eq!(payloads(&mut subscriber), ["on its way"]);
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(figures(&cluster, 1, news).downstreams, 0, "left in the end");
    assert_eq!(received(&cluster, 0, news, "later").await, Some(1));
    assert_eq!(payloads(&mut subscriber), ["later"]);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_dies_takes_nothing_with_it_that_was_confirmed() {
    let (mut cluster, news) = five();
    set_proxy(&mut cluster, 1, true);
    set_proxy(&mut cluster, 2, true);
    let mut ledger = Ledger::of(&cluster, &[3, 4]).await;
    settled().await;
    assert_eq!(figures(&cluster, 1, news).downstreams, 1, "d is behind b");
    assert_eq!(ledger.publish(&cluster, 0, news).await, Some(2));
    cluster.kill(1);
    assert_eq!(ledger.publish(&cluster, 0, news).await, None, "b does not answer");
    cluster.declare_lost(1);
    // At once: the owner takes none before d has said that it is heard.
    assert_eq!(ledger.publish(&cluster, 4, news).await, Some(2));
    settled().await;
    assert_eq!(figures(&cluster, 2, news).downstreams, 1, "d is behind c now");
    assert_eq!(ledger.publish(&cluster, 4, news).await, Some(2));
    ledger.check();
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_starts_again_before_anybody_missed_it_is_told_what_it_passed_on() {
    let (mut cluster, news) = five();
    set_proxy(&mut cluster, 1, true);
    let mut ledger = Ledger::of(&cluster, &[2, 3, 4]).await;
    settled().await;
    assert_eq!(ledger.publish(&cluster, 0, news).await, Some(3));
    cluster.restart(1);
    assert_eq!(ledger.publish(&cluster, 0, news).await, Some(3));
    settled().await;
    assert_eq!(
        figures(&cluster, 1, news).downstreams,
        2,
        "c and d are behind its new run"
    );
    assert_eq!(ledger.publish(&cluster, 0, news).await, Some(3));
    ledger.check();
}

#[tokio::test(start_paused = true)]
async fn subscribers_behind_a_proxy_outlive_the_owner_and_each_owner_after_it() {
    let (mut cluster, news) = five();
    set_proxy(&mut cluster, 2, true);
    let mut ledger = Ledger::of(&cluster, &[2, 3, 4]).await;
    settled().await;
    assert_eq!(ledger.publish(&cluster, 4, news).await, Some(3));
    for gone in [0, 1, 2] {
        cluster.kill(gone);
        cluster.declare_lost(gone);
        let nodes = if gone == 2 { 2 } else { 3 };
        assert_eq!(
            ledger.publish(&cluster, 4, news).await,
            Some(nodes),
            "without {gone}"
        );
        settled().await;
        assert_eq!(
            ledger.publish(&cluster, 3, news).await,
            Some(nodes),
            "without {gone}, later"
        );
    }
    ledger.subscribers.remove(0);
    ledger.check();
}

#[tokio::test(start_paused = true)]
async fn i7_a_move_with_proxies_loses_and_doubles_nothing() {
    let (mut cluster, news) = five();
    set_proxy(&mut cluster, 1, true);
    let mut ledger = Ledger::of(&cluster, &[0, 1, 2, 3, 4]).await;
    for (round, to) in [4, 1, 2, 0, 1, 3].into_iter().enumerate() {
        ledger.publish(&cluster, round % 5, news).await;
        cluster.apply(&Command::Move {
            exchange: name("news"),
            to: Some(NodeName::new(NAMES[to]).unwrap()),
            epoch: None,
        });
        let moving = cluster.registry.exchanges[&news].moving.expect("it moves");
        let from = cluster.registry.exchanges[&news].owner.expect("owned");
        let from = usize::try_from(from.0).unwrap() - 1;
        cluster.planes[from]
            .exchanges
            .hand_off(news, moving.to, moving.epoch);
        cluster.appoint().await;
        assert_eq!(cluster.registry.exchanges[&news].owner, Some(node(to)));
        let nodes = ledger.publish(&cluster, round % 5, news).await;
        assert!(
            nodes.is_some_and(|n| n >= 5),
            "at {to}: {nodes:?}, some by two ways"
        );
        settled().await;
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        let nodes = ledger.publish(&cluster, round % 5, news).await;
        assert_eq!(nodes, Some(5), "at {to}, later");
    }
    ledger.check();
}

#[tokio::test(start_paused = true)]
async fn b2_behind_a_proxy_too_publishes_go_on_locally_without_an_owner() {
    let (mut cluster, news) = five();
    set_proxy(&mut cluster, 1, true);
    let mut here = subscribe(&cluster, 2, &["k"]).await;
    settled().await;
    cluster.cut(0);
    let request = wanted(news, "alone");
    let outcome = cluster.planes[2].router.request(request).await;
    assert_eq!(outcome.status, none(NoReply::Degraded));
    quiet().await;
    assert_eq!(payloads(&mut here), ["alone"]);
}
