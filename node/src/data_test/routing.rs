//! Sticky exchanges over failovers and moves, and exchanges that route by a function, on real data planes.

use bytes::Bytes;
use squall_kernel::frame::{Status, Tags};
use squall_kernel::id::{ExchangeId, FunctionName, NodeName};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, RoutingFunction, Strategy};
use squall_kernel::time::Span;

use super::cluster::{Cluster, Log, asked, name, node, none, quiet, reply, told};
use crate::router::{Outcome, Request};

async fn ask_for(cluster: &Cluster, n: usize, exchange: ExchangeId, key: &str) -> Outcome {
    let tags = Tags {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Tags::default()
    };
    let request = Request {
        tags,
        ..asked(exchange, "x")
    };
    cluster.planes[n].router.request(request).await
}

async fn who(cluster: &Cluster, n: usize, exchange: ExchangeId, key: &str) -> String {
    reply(&ask_for(cluster, n, exchange, key).await).to_owned()
}

const KEYS: [&str; 6] = ["k1", "k2", "k3", "k4", "k5", "k6"];

async fn all(cluster: &Cluster, exchange: ExchangeId) -> Vec<String> {
    let mut all = Vec::new();
    for key in KEYS {
        all.push(who(cluster, 2, exchange, key).await);
    }
    all
}

/// A sticky exchange of the first node, with handlers on the other two, and all keys bound.
async fn sticky(log: &Log) -> (Cluster, ExchangeId, Vec<String>) {
    let mut cluster = Cluster::new(3);
    let exchange = cluster.declare("carts", Strategy::Sticky);
    cluster.attach(1, "carts", log.handler("one"));
    cluster.attach(2, "carts", log.handler("two"));
    quiet().await;
    let bound = all(&cluster, exchange).await;
    (cluster, exchange, bound)
}

/// A23.
#[tokio::test(start_paused = true)]
async fn a_key_keeps_its_handler_and_new_ones_are_spread() {
    let (cluster, exchange, bound) = sticky(&Log::default()).await;
    assert_eq!(bound, ["one", "two", "one", "two", "one", "two"]);
    assert_eq!(all(&cluster, exchange).await, bound);
    let without = cluster.request(2, exchange, "x").await;
    assert_eq!(
        (without.status, without.reason().as_str(), without.handler),
        (Status::Declined, "a key is needed: the exchange is sticky", None)
    );
    quiet().await;
    assert_eq!(cluster.planes[0].exchanges.owned()[0].bindings, 6);
}

/// A23.
#[tokio::test(start_paused = true)]
async fn over_a_failover_every_key_keeps_its_handler() {
    let log = Log::default();
    let (mut cluster, exchange, bound) = sticky(&log).await;
    cluster.kill(0);
    cluster.declare_lost(0);
    assert_eq!(all(&cluster, exchange).await, bound);
    cluster.attach(2, "carts", log.handler("late"));
    told().await;
    assert_eq!(
        who(&cluster, 2, exchange, "k7").await,
        "late",
        "the roll is complete, a new key goes to whoever has the fewest"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_waits_for_the_node_that_is_not_heard_and_a_known_one_does_not() {
    let log = Log::default();
    let (mut cluster, exchange, bound) = sticky(&log).await;
    assert_eq!((bound[0].as_str(), bound[1].as_str()), ("one", "two"));
    cluster.kill(0);
    // The third node, which has the second handler, sends into the void.
    cluster.swallow(1);
    cluster.declare_lost(0);
    quiet().await;
    assert_eq!(who(&cluster, 1, exchange, "k1").await, "one");
    let held = ask_for(&cluster, 1, exchange, "k2").await;
    assert_eq!(held.status, none(NoReply::Settling));
    cluster.heal();
    cluster.give_back();
    assert_eq!(who(&cluster, 1, exchange, "k2").await, "two");
}

#[tokio::test(start_paused = true)]
async fn over_a_move_every_key_keeps_its_handler() {
    let (mut cluster, exchange, bound) = sticky(&Log::default()).await;
    cluster.apply(&Command::Move {
        exchange: name("carts"),
        to: Some(NodeName::new(cluster.registry.nodes[&node(1)].name.as_str()).unwrap()),
        epoch: None,
    });
    let moving = cluster.registry.exchanges[&exchange].moving.expect("it moves");
    cluster.planes[0]
        .exchanges
        .hand_off(exchange, moving.to, moving.epoch);
    cluster.appoint().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(1)));
    assert_eq!(all(&cluster, exchange).await, bound);
}

/// A25.
#[tokio::test(start_paused = true)]
async fn a_script_picks_rewrites_redirects_and_declines() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let other = cluster.declare("other", Strategy::RoundRobin);
    let script = r#"
        switch key {
            "redirect" => redirect("other"),
            "nowhere" => redirect("nowhere"),
            "circle" => redirect("orders"),
            "decline" => decline("closed on " + request_tag),
            "loop" => { loop { } }
            "eu" => group("eu"),
            _ => pick(1).rewrite("rewritten"),
        }
    "#;
    let function = Some(RoutingFunction::script(script));
    let exchange = cluster.declare_with("orders", Strategy::Fun, function);
    cluster.attach_tagged(0, "orders", "eu", log.handler("eu"));
    cluster.attach(1, "orders", log.handler("second"));
    cluster.attach(1, "other", log.handler("elsewhere"));
    quiet().await;
    assert_eq!(who(&cluster, 1, exchange, "eu").await, "eu");
    assert_eq!(who(&cluster, 1, exchange, "any").await, "second");
    assert_eq!(log.payloads("second"), ["rewritten"]);
    let redirected = ask_for(&cluster, 1, exchange, "redirect").await;
    assert_eq!((reply(&redirected), redirected.exchange), ("elsewhere", other));
    for (key, why) in [
        ("decline", "closed on "),
        ("nowhere", "sent on to the exchange 'nowhere', which there is not"),
        ("circle", "sent on more than 8 times, at last to 'orders'"),
        ("loop", "the exchange's script failed: Too many operations"),
    ] {
        let outcome = ask_for(&cluster, 1, exchange, key).await;
        assert_eq!(outcome.status, Status::Declined);
        assert!(outcome.reason().starts_with(why), "{}", outcome.reason());
    }
    told().await;
    let orders = cluster.planes[0].exchanges.owned();
    let orders = orders.iter().find(|o| o.exchange == exchange).expect("owned");
    assert_eq!(orders.failed, 1, "what the script declines itself is no failure");
}

/// A24.
#[tokio::test(start_paused = true)]
async fn a_script_gives_signatures_that_are_kept() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let function = Some(RoutingFunction::script("key.len"));
    let exchange = cluster.declare_with("carts", Strategy::StickyFun, function);
    cluster.attach(0, "carts", log.handler("one"));
    cluster.attach(1, "carts", log.handler("two"));
    quiet().await;
    let first = who(&cluster, 1, exchange, "a").await;
    let second = who(&cluster, 1, exchange, "aa").await;
    assert_ne!(first, second);
    assert_eq!(who(&cluster, 0, exchange, "b").await, first);
    assert_eq!(who(&cluster, 0, exchange, "bb").await, second);
}

/// A24, A25.
#[tokio::test(start_paused = true)]
async fn a_registered_function_routes_and_its_panic_declines_one_request() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let function = Some(RoutingFunction::Registered(FunctionName::new("by-key").unwrap()));
    let exchange = cluster.declare_with("orders", Strategy::Fun, function);
    cluster.attach_tagged(0, "orders", "eu", log.handler("eu"));
    cluster.attach_tagged(1, "orders", "us", log.handler("us"));
    quiet().await;
    assert_eq!(who(&cluster, 1, exchange, "us").await, "us");
    let panicked = ask_for(&cluster, 1, exchange, "panic").await;
    assert_eq!(
        (panicked.status, panicked.reason().as_str()),
        (Status::Declined, "the exchange's function panicked")
    );
    assert_eq!(who(&cluster, 1, exchange, "eu").await, "eu");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_whose_function_no_node_has_is_unavailable_by_name() {
    let mut cluster = Cluster::new(2);
    let function = Some(RoutingFunction::Registered(FunctionName::new("geo").unwrap()));
    let exchange = cluster.declare_with("orders", Strategy::Fun, function);
    let request = Request {
        timeout: Span::from_ms(100),
        ..asked(exchange, "x")
    };
    let outcome = cluster.planes[1].router.request(request).await;
    assert_eq!(outcome.status, none(NoReply::NoFunction));
}
