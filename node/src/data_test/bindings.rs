//! Sticky keys bound, moved and taken back by hand, on real data planes.

use bytes::Bytes;
use squall_kernel::exchange::{NotBindable, Unsure, WishAnswer};
use squall_kernel::frame::Tags;
use squall_kernel::id::{ExchangeId, NodeName, Pid};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, RoutingFunction, Strategy};
use squall_kernel::time::Span;

use super::cluster::{Cluster, Log, asked, name, node, none, quiet, reply, told};
use crate::exchanges::{BindingKey, BindingQuestion, BindingReply};
use crate::router::Request;

fn keyed(exchange: ExchangeId, key: &str) -> Request {
    let tags = Tags {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Tags::default()
    };
    Request {
        tags,
        ..asked(exchange, "x")
    }
}

async fn who(cluster: &Cluster, n: usize, exchange: ExchangeId, key: &str) -> String {
    reply(&cluster.planes[n].router.request(keyed(exchange, key)).await).to_owned()
}

fn of(key: &str) -> BindingKey {
    BindingKey::Key {
        key: Bytes::copy_from_slice(key.as_bytes()),
        service_tag: Bytes::new(),
    }
}

async fn ask(
    cluster: &Cluster,
    owner: usize,
    exchange: ExchangeId,
    question: BindingQuestion,
) -> BindingReply {
    let replied = cluster.planes[owner].exchanges.ask_bindings(exchange, question);
    replied.expect("the owner").await.expect("an answer")
}

async fn changed(
    cluster: &Cluster,
    owner: usize,
    exchange: ExchangeId,
    question: BindingQuestion,
) -> WishAnswer {
    match ask(cluster, owner, exchange, question).await {
        BindingReply::Changed { answer, .. } => answer,
        other => panic!("{other:?}"),
    }
}

fn bind(cluster: &Cluster, key: &str, handler: Pid, rebind: bool) -> BindingQuestion {
    BindingQuestion::Bind {
        binding: of(key),
        handler: cluster.planes[0].context.pid_text(handler),
        rebind,
    }
}

fn unbind(key: &str) -> BindingQuestion {
    BindingQuestion::Unbind { binding: of(key) }
}

/// A sticky exchange of the first node, with a handler on each of three.
struct Scene {
    cluster: Cluster,
    log: Log,
    exchange: ExchangeId,
    handlers: [Pid; 3],
}

const WHO: [&str; 3] = ["zero", "one", "two"];

impl Scene {
    async fn new(strategy: Strategy, function: Option<RoutingFunction>) -> Self {
        let (mut cluster, log) = (Cluster::new(3), Log::default());
        let exchange = cluster.declare_with("carts", strategy, function);
        let handlers = [0, 1, 2].map(|n| cluster.attach(n, "carts", log.handler(WHO[n])));
        quiet().await;
        Self {
            cluster,
            log,
            exchange,
            handlers,
        }
    }

    async fn bind(&self, key: &str, to: usize, rebind: bool) -> WishAnswer {
        let question = bind(&self.cluster, key, self.handlers[to], rebind);
        changed(&self.cluster, 0, self.exchange, question).await
    }

    async fn who(&self, key: &str) -> String {
        who(&self.cluster, 2, self.exchange, key).await
    }
}

fn bound(changed: bool, from: Option<Pid>) -> WishAnswer {
    WishAnswer::Bound { changed, from }
}

/// A23.
#[tokio::test(start_paused = true)]
async fn a_key_bound_by_hand_goes_to_its_handler_also_when_the_owner_is_killed() {
    let mut scene = Scene::new(Strategy::Sticky, None).await;
    for key in ["k1", "k2", "k3", "k4"] {
        assert_eq!(scene.bind(key, 2, false).await, bound(true, None));
    }
    assert_eq!(scene.bind("k1", 2, false).await, bound(false, None));
    scene.cluster.kill(0);
    scene.cluster.declare_lost(0);
    told().await;
    for key in ["k1", "k2", "k3", "k4"] {
        assert_eq!(scene.who(key).await, "two", "no request had bound it");
    }
    assert_eq!(scene.who("k5").await, "one", "it has the fewest");
}

/// A23.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_moved_or_taken_back_stays_so_when_the_owner_is_killed() {
    let mut scene = Scene::new(Strategy::Sticky, None).await;
    for key in ["moved", "kept", "taken"] {
        assert_eq!(scene.bind(key, 1, false).await, bound(true, None));
        assert_eq!(scene.who(key).await, "one");
    }
    let refused = WishAnswer::Refused(NotBindable::BoundTo(scene.handlers[1]));
    assert_eq!(scene.bind("moved", 2, false).await, refused);
    assert_eq!(
        scene.bind("moved", 2, true).await,
        bound(true, Some(scene.handlers[1]))
    );
    assert_eq!(scene.who("moved").await, "two");
    let (cluster, exchange) = (&scene.cluster, scene.exchange);
    assert_eq!(
        changed(cluster, 0, exchange, unbind("taken")).await,
        WishAnswer::Unbound {
            from: scene.handlers[1]
        }
    );
    assert_eq!(
        changed(cluster, 0, exchange, unbind("taken")).await,
        WishAnswer::NotBound
    );
    scene.cluster.kill(0);
    scene.cluster.declare_lost(0);
    told().await;
    let owner = scene.cluster.registry.exchanges[&exchange]
        .owner
        .expect("an owner");
    let owner = [1, 2]
        .into_iter()
        .find(|n| node(*n) == owner)
        .expect("one of them");
    let page = BindingQuestion::Page {
        binding: None,
        handler: None,
        after: None,
        limit: 10,
    };
    let BindingReply::Page {
        total, incomplete, ..
    } = ask(&scene.cluster, owner, exchange, page).await
    else {
        panic!("no page");
    };
    assert!(!incomplete, "all nodes have been heard");
    assert_eq!(total, 2, "the one that was taken back is not among them");
    assert_eq!(
        (scene.who("moved").await, scene.who("kept").await),
        ("two".into(), "one".into())
    );
}

/// A23: while the node of either handler is not heard nothing is said to be done.
#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_leaves_the_change_in_doubt_and_the_key_where_it_was() {
    let scene = Scene::new(Strategy::Sticky, None).await;
    assert_eq!(scene.bind("k", 1, false).await, bound(true, None));
    scene.cluster.swallow(1);
    let doubt = WishAnswer::Unknown(Unsure::Silent(scene.handlers[1]));
    assert_eq!(
        changed(&scene.cluster, 0, scene.exchange, unbind("k")).await,
        doubt
    );
    assert_eq!(
        scene.bind("k", 2, true).await,
        doubt,
        "the next one keeps it, and hears that it is not its"
    );
    scene.cluster.heal();
    assert_eq!(scene.who("k").await, "one");
    assert_eq!(
        scene.bind("k", 2, true).await,
        bound(true, Some(scene.handlers[1])),
        "said again it is done"
    );
    assert_eq!(scene.who("k").await, "two");
}

/// A23.
#[tokio::test(start_paused = true)]
async fn a_handler_is_named_as_people_read_it_and_must_be_there_and_of_the_group() {
    let scene = Scene::new(Strategy::Sticky, None).await;
    let (cluster, exchange) = (&scene.cluster, scene.exchange);
    let tagged = cluster.attach_tagged(1, "carts", "eu", scene.log.handler("eu"));
    quiet().await;
    let text = |pid| cluster.planes[0].context.pid_text(pid);
    let bare = text(tagged).trim_matches(['<', '>']).to_owned();
    let in_group = |tag: &'static str, handler: &str| BindingQuestion::Bind {
        binding: BindingKey::Key {
            key: Bytes::from_static(b"k"),
            service_tag: Bytes::from_static(tag.as_bytes()),
        },
        handler: handler.into(),
        rebind: false,
    };
    assert_eq!(
        changed(cluster, 0, exchange, in_group("eu", &bare)).await,
        bound(true, None)
    );
    let other = changed(cluster, 0, exchange, in_group("eu", &text(scene.handlers[2]))).await;
    assert_eq!(other, WishAnswer::Refused(NotBindable::OtherGroup));
    let nobody = ask(cluster, 0, exchange, in_group("eu", "<x.9>")).await;
    assert_eq!(nobody, BindingReply::NoSuchHandler("<x.9>".into()));
    for (key, words) in [
        (String::new(), "a key is needed"),
        ("x".repeat(256), "a key has at most 255 bytes"),
    ] {
        let BindingReply::NoSignature(why) = ask(cluster, 0, exchange, unbind(&key)).await else {
            panic!("{words}");
        };
        assert!(why.starts_with(words), "{why}");
    }
    cluster.planes[1]
        .handlers
        .detach(tagged.serial, squall_kernel::reason::DetachReason::Asked);
    quiet().await;
    let of_handler = BindingQuestion::Page {
        binding: None,
        handler: None,
        after: None,
        limit: 10,
    };
    let BindingReply::Page { bindings, total, .. } = ask(cluster, 0, exchange, of_handler).await else {
        panic!("no page");
    };
    assert_eq!((bindings.len(), total), (0, 0), "it went with its handler");
}

/// A24: the function says the signature of a key; a signature that is seen can be moved, whatever it is of.
#[tokio::test(start_paused = true)]
async fn under_sticky_fun_the_function_says_what_a_key_is_bound_by() {
    let script = r#"if key == "odd" { decline("no odd ones") } else { key.len() % 2 }"#;
    let scene = Scene::new(Strategy::StickyFun, Some(RoutingFunction::script(script))).await;
    assert_eq!(scene.bind("aa", 2, false).await, bound(true, None));
    assert_eq!(scene.who("bbbb").await, "two", "it has the same signature");
    let (cluster, exchange) = (&scene.cluster, scene.exchange);
    let BindingReply::NoSignature(why) = ask(cluster, 0, exchange, unbind("odd")).await else {
        panic!("it has none");
    };
    assert!(why.contains("no odd ones"), "{why}");
    let page = BindingQuestion::Page {
        binding: None,
        handler: Some(cluster.planes[0].context.pid_text(scene.handlers[2])),
        after: None,
        limit: 10,
    };
    let BindingReply::Page { bindings, .. } = ask(cluster, 0, exchange, page).await else {
        panic!("no page");
    };
    assert_eq!(bindings.len(), 1);
    let seen = BindingQuestion::Bind {
        binding: BindingKey::Signature(bindings[0].signature),
        handler: cluster.planes[0].context.pid_text(scene.handlers[1]),
        rebind: true,
    };
    assert_eq!(
        changed(cluster, 0, exchange, seen).await,
        bound(true, Some(scene.handlers[2]))
    );
    assert_eq!(scene.who("cc").await, "one");
}

/// A23. The process hears of the move, of its end, and of another move and its end, all at once: it has not even begun to leave.
#[tokio::test(start_paused = true)]
async fn bindings_stay_where_moves_are_cancelled_before_they_begin() {
    let mut scene = Scene::new(Strategy::Sticky, None).await;
    assert_eq!(scene.bind("k", 2, false).await, bound(true, None));
    assert_eq!(scene.who("k").await, "two");
    let exchange = scene.exchange;
    for _ in 0..2 {
        scene.cluster.apply(&Command::Move {
            exchange: name("carts"),
            to: Some(NodeName::new(scene.cluster.registry.nodes[&node(1)].name.as_str()).unwrap()),
            epoch: None,
        });
        let moving = scene.cluster.registry.exchanges[&exchange]
            .moving
            .expect("it moves");
        scene.cluster.planes[0]
            .exchanges
            .hand_off(exchange, moving.to, moving.epoch);
        let epoch = moving.epoch;
        scene.cluster.apply(&Command::CancelMove { exchange, epoch });
    }
    let record = &scene.cluster.registry.exchanges[&exchange];
    assert_eq!((record.owner, record.epoch.0), (Some(node(0)), 5));
    quiet().await;
    for _ in 0..3 {
        assert_eq!(scene.who("k").await, "two");
    }
    assert_eq!(scene.cluster.planes[0].exchanges.owned().len(), 1);
}

/// A23.
#[tokio::test(start_paused = true)]
async fn bindings_travel_in_a_move_and_the_old_owner_is_asked_no_more() {
    let mut scene = Scene::new(Strategy::Sticky, None).await;
    assert_eq!(scene.bind("k", 2, false).await, bound(true, None));
    let exchange = scene.exchange;
    scene.cluster.apply(&Command::Move {
        exchange: name("carts"),
        to: Some(NodeName::new(scene.cluster.registry.nodes[&node(1)].name.as_str()).unwrap()),
        epoch: None,
    });
    let moving = scene.cluster.registry.exchanges[&exchange]
        .moving
        .expect("it moves");
    scene.cluster.planes[0]
        .exchanges
        .hand_off(exchange, moving.to, moving.epoch);
    let refused = changed(&scene.cluster, 0, exchange, unbind("k")).await;
    assert_eq!(refused, WishAnswer::Refused(NotBindable::Moved));
    scene.cluster.appoint().await;
    assert!(
        scene.cluster.planes[0]
            .exchanges
            .ask_bindings(exchange, unbind("k"))
            .is_none()
    );
    assert_eq!(scene.who("k").await, "two");
    let question = bind(&scene.cluster, "k", scene.handlers[0], true);
    assert_eq!(
        changed(&scene.cluster, 1, exchange, question).await,
        bound(true, Some(scene.handlers[2]))
    );
    assert_eq!(scene.who("k").await, "zero");
    // Without a lease nothing is changed.
    scene.cluster.leases[1].set(squall_kernel::time::Instant(0));
    tokio::time::advance(std::time::Duration::from_micros(Span::from_ms(1).0)).await;
    let refused = changed(&scene.cluster, 1, exchange, unbind("k")).await;
    assert_eq!(refused, WishAnswer::Refused(NotBindable::NoQuorum));
}

/// A23, I6.
#[tokio::test(start_paused = true)]
async fn what_was_sent_to_a_handler_before_its_node_was_lost_brings_no_key_back_to_it() {
    let mut scene = Scene::new(Strategy::Sticky, None).await;
    assert_eq!(scene.bind("k", 1, false).await, bound(true, None));
    scene.cluster.swallow(1);
    let router = std::sync::Arc::clone(&scene.cluster.planes[2]);
    let request = keyed(scene.exchange, "k");
    let sent = tokio::spawn(async move { router.router.request(request).await });
    quiet().await;
    scene.cluster.declare_lost(1);
    assert_eq!(sent.await.unwrap().status, none(NoReply::Interrupted));
    assert_eq!(scene.bind("k", 2, false).await, bound(true, None));
    scene.cluster.declare_up(1);
    quiet().await;
    scene.cluster.arrive_late();
    told().await;
    assert_eq!(scene.log.count("one"), 0, "it is another one's by now");
    assert_eq!(scene.bind("new", 1, false).await, bound(true, None));
    assert_eq!(scene.who("new").await, "one", "it is taken in again");
    scene.cluster.kill(0);
    scene.cluster.declare_lost(0);
    told().await;
    assert_eq!(
        (scene.who("k").await, scene.who("new").await),
        ("two".into(), "one".into())
    );
}
