//! Middleware (A30): what stands in front of an exchange sees its requests first, on real data planes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::{Status, Tags};
use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, Outcome as Applied, Pattern, Refused, Settings, Strategy};
use squall_kernel::talk::Terms;
use squall_kernel::time::Span;

use super::cluster::{Cluster, Log, asked, name, none, quiet, reply};
use crate::handlers::HandlerTags;
use crate::router::{Outcome, Request, Said};

/// What handlers have seen.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Sight>>>);

/// Who saw it, which exchange it was for, and its payload.
type Sight = (&'static str, String, String);

impl Seen {
    fn all(&self) -> Vec<Sight> {
        self.0.lock().unwrap().clone()
    }

    fn who(&self) -> Vec<&'static str> {
        self.all().into_iter().map(|(who, ..)| who).collect()
    }
}

/// Answers as its function says.
struct Judge {
    who: &'static str,
    seen: Seen,
    says: fn(&Delivery) -> Answer,
}

impl Handler for Judge {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let of = delivery.ahead_of.as_ref().map(ToString::to_string);
        let payload = String::from_utf8_lossy(&delivery.payload).into_owned();
        let seen = (self.who, of.unwrap_or_default(), payload.clone());
        self.seen.0.lock().unwrap().push(seen);
        if payload.starts_with("never") {
            std::future::pending::<()>().await;
        }
        (self.says)(&delivery)
    }
}

struct Rig {
    cluster: Cluster,
    seen: Seen,
}

impl Rig {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(3),
            seen: Seen::default(),
        }
    }

    /// An exchange with that middleware, owned by the first node.
    fn declare(&mut self, exchange: &str, middleware: &[&str]) -> ExchangeId {
        let settings = Settings {
            middleware: middleware
                .iter()
                .map(|name| ExchangeName::new(name).unwrap())
                .collect(),
            ..Settings::default()
        };
        self.cluster
            .declare_pattern(exchange, Pattern::RequestResponse, settings)
    }

    fn judge(&self, n: usize, who: &'static str, says: fn(&Delivery) -> Answer) {
        let judge = Judge {
            who,
            seen: self.seen.clone(),
            says,
        };
        self.cluster.planes[n]
            .handlers
            .attach_embedded(&name(who), HandlerTags::default(), judge)
            .unwrap();
    }

    async fn ask(&self, exchange: ExchangeId, payload: &'static str) -> Outcome {
        self.cluster.request(2, exchange, payload).await
    }
}

fn pass(_: &Delivery) -> Answer {
    Answer::Pass
}

fn echo(delivery: &Delivery) -> Answer {
    Answer::Reply(delivery.payload.clone())
}

fn louder(delivery: &Delivery) -> Answer {
    Answer::Rewrite([&delivery.payload[..], b"!"].concat().into())
}

/// `orders` with `log`, which lets pass, and `auth`, which changes; each with its handler at another node.
async fn guarded() -> (Rig, ExchangeId) {
    let mut rig = Rig::new();
    rig.declare("log", &[]);
    rig.declare("auth", &[]);
    let orders = rig.declare("orders", &["log", "auth"]);
    rig.judge(0, "log", pass);
    rig.judge(1, "auth", louder);
    rig.judge(2, "orders", echo);
    quiet().await;
    (rig, orders)
}

/// A30: in order, each once, and the service is as it was.
#[tokio::test(start_paused = true)]
async fn requests_go_through_the_middleware_in_order_and_may_be_rewritten() {
    let (rig, orders) = guarded().await;
    let request = Request {
        tags: Tags {
            request: Bytes::from_static(b"t"),
            key: Bytes::from_static(b"k"),
            ..Tags::default()
        },
        ..asked(orders, "x")
    };
    let outcome = rig.cluster.planes[2].router.request(request).await;
    assert_eq!(reply(&outcome), "x!");
    assert_eq!(&outcome.request_tag[..], b"t");
    let told = |who, of: &str, payload: &str| (who, of.to_owned(), payload.to_owned());
    assert_eq!(
        rig.seen.all(),
        [
            told("log", "orders", "x"),
            told("auth", "orders", "x"),
            told("orders", "", "x!")
        ]
    );
}

/// A30: a request's service tag is for the exchange it is for, and not for what stands in front of it.
#[tokio::test(start_paused = true)]
async fn a_service_tag_reaches_its_exchange_through_middleware_without_it() {
    let (rig, orders) = guarded().await;
    let of = |service: &'static str| Request {
        tags: Tags {
            service: Bytes::from_static(service.as_bytes()),
            ..Tags::default()
        },
        ..asked(orders, "x")
    };
    let log = Log::default();
    rig.cluster
        .attach_tagged(0, "orders", "eu", log.handler("european"));
    quiet().await;
    let router = &rig.cluster.planes[1].router;
    assert_eq!(reply(&router.request(of("eu")).await), "european");
    assert_eq!(router.request(of("us")).await.status, none(NoReply::NoResponders));
}

/// A30: a decline is the requester's, with its reason, and the service hears nothing of it.
#[tokio::test(start_paused = true)]
async fn a_middleware_declines_and_the_service_is_not_asked() {
    let mut rig = Rig::new();
    rig.declare("auth", &[]);
    let orders = rig.declare("orders", &["auth"]);
    rig.judge(1, "auth", |_| Answer::Decline("not you".into()));
    rig.judge(2, "orders", echo);
    quiet().await;
    let outcome = rig.ask(orders, "x").await;
    assert_eq!(
        (outcome.status, outcome.reason().as_str()),
        (Status::Declined, "not you")
    );
    assert_eq!(rig.seen.who(), ["auth"]);
}

/// A30: whoever is redirected goes through what stands in front of the other exchange, too.
#[tokio::test(start_paused = true)]
async fn a_middleware_sends_on_to_another_exchange_and_its_middleware() {
    let (mut rig, _) = guarded().await;
    rig.declare("door", &[]);
    let shop = rig.declare("shop", &["door"]);
    rig.judge(1, "door", |_| Answer::Redirect("orders".parse().unwrap()));
    rig.judge(1, "shop", echo);
    quiet().await;
    assert_eq!(reply(&rig.ask(shop, "x").await), "x!");
    assert_eq!(rig.seen.who(), ["door", "log", "auth", "orders"]);
}

/// A30: hops are counted over all, so that a request does not go round for ever.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_round_is_declined_after_eight_hops() {
    let mut rig = Rig::new();
    rig.declare("door", &[]);
    let shop = rig.declare("shop", &["door"]);
    rig.judge(1, "door", |_| Answer::Redirect("shop".parse().unwrap()));
    quiet().await;
    let outcome = rig.ask(shop, "x").await;
    assert_eq!(
        (outcome.status, outcome.reason().as_str()),
        (Status::Declined, "sent on more than 8 times, at last to 'shop'")
    );
    assert_eq!(rig.seen.who().len(), 9);
    let nowhere = rig.declare("nowhere", &[]);
    rig.judge(1, "nowhere", |_| Answer::Redirect("away".parse().unwrap()));
    quiet().await;
    let outcome = rig.ask(nowhere, "x").await;
    assert_eq!(
        outcome.reason(),
        "sent on to the exchange 'away', which there is not"
    );
}

/// A30: middleware has middleware of its own, which is asked before it.
#[tokio::test(start_paused = true)]
async fn what_stands_in_front_of_a_middleware_is_asked_first() {
    let mut rig = Rig::new();
    rig.declare("log", &[]);
    rig.declare("auth", &["log"]);
    let orders = rig.declare("orders", &["auth"]);
    for (n, who) in [(0, "log"), (1, "auth")] {
        rig.judge(n, who, pass);
    }
    rig.judge(2, "orders", echo);
    quiet().await;
    assert_eq!(reply(&rig.ask(orders, "x").await), "x");
    let of: Vec<_> = rig.seen.all().into_iter().map(|(who, of, _)| (who, of)).collect();
    let told = |who, of: &str| (who, of.to_owned());
    assert_eq!(
        of,
        [told("log", "auth"), told("auth", "orders"), told("orders", "")]
    );
}

/// A30: what cannot be asked is named, and the service hears nothing.
#[tokio::test(start_paused = true)]
async fn a_middleware_that_cannot_be_asked_is_named() {
    let mut rig = Rig::new();
    rig.declare("empty", &[]);
    rig.cluster.declare("all", Strategy::Default);
    rig.declare("chicken", &["egg"]);
    rig.declare("egg", &["chicken"]);
    let table = [
        (
            "a",
            "nothing",
            "no middleware: the middleware 'nothing': there is no such exchange",
        ),
        (
            "b",
            "empty",
            "no middleware: the middleware 'empty' has no handlers",
        ),
        (
            "c",
            "all",
            "no middleware: the middleware 'all' is no request-response exchange that gives each request to one handler",
        ),
        (
            "d",
            "chicken",
            "no middleware: the middleware of 'chicken' leads back to it: a circle",
        ),
    ];
    for (service, middleware, words) in table {
        let exchange = rig.declare(service, &[middleware]);
        let log = Log::default();
        rig.cluster.attach(1, service, log.handler("service"));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let outcome = rig.ask(exchange, "x").await;
        assert_eq!(outcome.status, none(NoReply::NoMiddleware), "{service}");
        assert_eq!(outcome.reason(), words);
        assert_eq!(log.count("service"), 0);
    }
    assert_eq!(rig.cluster.planes[2].router.open(), 0);
}

/// A30: the longest way is bounded, too.
#[tokio::test(start_paused = true)]
async fn a_way_of_more_than_32_middleware_is_refused() {
    let mut rig = Rig::new();
    let names: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    rig.declare("m0", &[]);
    for pair in names.windows(2) {
        rig.declare(&pair[1], &[&pair[0]]);
    }
    let service = rig.declare("service", &["m39"]);
    let outcome = rig.ask(service, "x").await;
    assert_eq!(outcome.status, none(NoReply::NoMiddleware));
    assert!(
        outcome.reason().contains("more than 32 middleware"),
        "{}",
        outcome.reason()
    );
}

/// A30: a middleware's own answer is not taken for the service's, and a pass without anything behind it is none.
#[tokio::test(start_paused = true)]
async fn answers_in_the_wrong_place_are_declined() {
    let mut rig = Rig::new();
    rig.declare("auth", &[]);
    let orders = rig.declare("orders", &["auth"]);
    rig.judge(1, "auth", echo);
    rig.judge(2, "orders", pass);
    quiet().await;
    let outcome = rig.ask(orders, "x").await;
    assert_eq!(
        (outcome.status, outcome.reason().as_str()),
        (
            Status::Declined,
            "the middleware 'auth' replied, which is not for it to do"
        )
    );
    let plain = rig.declare("plain", &[]);
    rig.judge(2, "plain", louder);
    let many = rig.cluster.declare("many", Strategy::Default);
    rig.judge(1, "many", pass);
    rig.judge(2, "many", pass);
    quiet().await;
    for exchange in [plain, many] {
        let outcome = rig.ask(exchange, "x").await;
        assert_eq!(outcome.status, Status::Declined, "{}", outcome.reason());
    }
}

/// A30: the deadline is one for the whole way.
#[tokio::test(start_paused = true)]
async fn a_middleware_that_does_not_answer_times_the_request_out() {
    let (rig, orders) = guarded().await;
    let request = Request {
        timeout: Span::from_ms(100),
        ..asked(orders, "never mind")
    };
    let begun = tokio::time::Instant::now();
    let outcome = rig.cluster.planes[2].router.request(request).await;
    assert_eq!(outcome.status, none(NoReply::Timeout));
    assert!(begun.elapsed() < std::time::Duration::from_millis(200));
    assert_eq!(rig.seen.who(), ["log"]);
}

/// A30: while a middleware has no owner its requests wait for the next one, and each ends once.
#[tokio::test(start_paused = true)]
async fn over_a_failover_of_a_middleware_each_request_has_one_outcome() {
    let (mut rig, orders) = guarded().await;
    rig.cluster.kill(0);
    let asking: Vec<_> = (0..20).map(|_| asked(orders, "x")).collect();
    let router = Arc::clone(&rig.cluster.planes[2]);
    let outcomes = tokio::spawn(async move {
        let all = asking.into_iter().map(|request| router.router.request(request));
        futures::future::join_all(all).await
    });
    quiet().await;
    rig.cluster.declare_lost(0);
    rig.judge(1, "log", pass);
    for outcome in outcomes.await.unwrap() {
        assert_eq!(reply(&outcome), "x!");
    }
    assert_eq!(rig.seen.who().iter().filter(|who| **who == "orders").count(), 20);
}

/// A30: what a middleware's handler was given is not given to another one.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_lost_with_a_middlewares_handler_is_interrupted() {
    let mut rig = Rig::new();
    rig.declare("auth", &[]);
    let orders = rig.declare("orders", &["auth"]);
    rig.judge(1, "auth", pass);
    rig.judge(2, "orders", echo);
    quiet().await;
    let router = Arc::clone(&rig.cluster.planes[2]);
    let outcome = tokio::spawn(async move { router.router.request(asked(orders, "never")).await });
    quiet().await;
    rig.judge(0, "auth", pass);
    rig.cluster.kill(1);
    rig.cluster.declare_lost(1);
    assert_eq!(outcome.await.unwrap().status, none(NoReply::Interrupted));
    assert_eq!(rig.seen.who(), ["auth"]);
}

/// A30, A106: chunks and questions are the service's; middleware has no part in them.
#[tokio::test(start_paused = true)]
async fn a_response_in_chunks_comes_through_middleware() {
    struct InChunks;

    impl Handler for InChunks {
        async fn handle(&mut self, delivery: Delivery) -> Answer {
            let mut sender = delivery.chunks().expect("its requester takes chunks");
            sender.send("one").await.unwrap();
            Answer::Reply("two".into())
        }
    }

    let mut rig = Rig::new();
    rig.declare("auth", &[]);
    let orders = rig.declare("orders", &["auth"]);
    rig.judge(1, "auth", |delivery| match delivery.chunks() {
        Ok(_) => Answer::Decline("a middleware with chunks".into()),
        Err(_) => Answer::Pass,
    });
    rig.cluster.planes[2]
        .handlers
        .attach_embedded(&name("orders"), HandlerTags::default(), InChunks)
        .unwrap();
    quiet().await;
    let terms = Terms {
        credit: 4,
        questions: false,
    };
    let (_, mut heard) = rig.cluster.planes[0].router.converse(asked(orders, "x"), terms);
    let mut chunks = Vec::new();
    let end = loop {
        match heard.recv().await.expect("it ends") {
            Said::Chunk { payload, .. } => chunks.push(payload),
            Said::Question { .. } => panic!("nobody asks"),
            Said::End(outcome) => break outcome,
        }
    };
    assert_eq!(
        (reply(&end), &chunks[..]),
        ("two", &[Bytes::from_static(b"one")][..])
    );
}

/// A30: only requests have middleware.
#[tokio::test(start_paused = true)]
async fn middleware_is_declared_for_requests_only_and_never_for_itself() {
    let mut rig = Rig::new();
    let mut declare = |exchange: &str, pattern, middleware: Vec<ExchangeName>| {
        rig.cluster.apply(&Command::Declare {
            name: name(exchange),
            pattern,
            strategy: if pattern.has_strategy() {
                Strategy::RoundRobin
            } else {
                Strategy::Default
            },
            function: None,
            settings: Settings {
                middleware,
                ..Settings::default()
            },
            failover: Vec::new(),
            takeover: None,
        })
    };
    let refused = |applied| match applied {
        Applied::Refused(Refused::Settings(why)) => why,
        other => panic!("{other:?}"),
    };
    for pattern in [Pattern::PublishSubscribe, Pattern::Task] {
        assert_eq!(
            refused(declare("a", pattern, vec![name("auth")])),
            "middleware is for request-response only"
        );
    }
    let own = refused(declare("a", Pattern::RequestResponse, vec![name("a")]));
    assert!(own.contains("its own middleware"), "{own}");
    let many = (0..9).map(|n| name(&format!("m{n}"))).collect();
    assert!(refused(declare("a", Pattern::RequestResponse, many)).contains("8 at most"));
}
