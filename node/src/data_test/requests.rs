//! Requests: strategies, ends, retries, failover, fences.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use squall_client::handler::NoticeKind;
use squall_kernel::frame::{Status, Tags};
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::limits::MAILBOX_BOUND;
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::registry::Strategy;
use squall_kernel::time::Span;
use tokio::sync::oneshot;

use super::cluster::{Cluster, Log, asked, none, quiet, reply, told};
use crate::process::ProcessFigures;
use crate::router::{ReplyTo, Request};

/// A2, A20, A105: the service is the same on each node, the strategy alone spreads requests.
#[tokio::test(start_paused = true)]
async fn round_robin_serves_handlers_on_all_nodes_in_turn() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    for (n, who) in ["on-a", "on-b", "on-c"].into_iter().enumerate() {
        cluster.attach(n, "orders", log.handler(who));
    }
    quiet().await;
    for n in 0..9 {
        let outcome = cluster.request(n % 3, exchange, "hello").await;
        assert!(reply(&outcome).starts_with("on-") && !outcome.more);
    }
    assert_eq!(["on-a", "on-b", "on-c"].map(|who| log.count(who)), [3, 3, 3]);
    let stats = cluster.planes[1].router.stats();
    assert_eq!(
        (stats[0].requests, stats[0].replies, stats[0].in_flight),
        (3, 3, 0)
    );
    assert_eq!(cluster.planes[0].exchanges.owned()[0].handlers, 3);
}

/// A36: handlers are added while requests come, and have their turn from then on; no request is lost over it.
#[tokio::test(start_paused = true)]
async fn a_service_grows_by_handlers_that_attach_while_requests_come() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let names = ["on-a", "on-b", "on-c"];
    for (n, who) in names.into_iter().enumerate() {
        cluster.attach(n, "orders", log.handler(who));
        // Asked at once, whether or not the newcomer has been heard of.
        assert!(n == 0 || reply(&cluster.request(0, exchange, "meanwhile").await).starts_with("on-"));
        quiet().await;
        let before = names.map(|who| log.count(who));
        for _ in 0..6 {
            reply(&cluster.request(n, exchange, "hello").await);
        }
        let share = 6 / (n + 1);
        let after = names.map(|who| log.count(who));
        for (m, (before, after)) in before.into_iter().zip(after).enumerate() {
            assert_eq!(
                after - before,
                if m <= n { share } else { 0 },
                "handler {m} of {n}"
            );
        }
    }
}

/// A26, A27, A28.
#[tokio::test(start_paused = true)]
async fn a_service_tag_chooses_the_group_and_tags_come_back() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach_tagged(0, "orders", "eu", log.handler("eu"));
    cluster.attach_tagged(1, "orders", "us", log.handler("us"));
    quiet().await;
    for _ in 0..3 {
        let tags = Tags {
            service: "us".into(),
            request: "r1".into(),
            ..Tags::default()
        };
        let outcome = cluster.planes[0]
            .router
            .request(Request {
                tags,
                ..asked(exchange, "x")
            })
            .await;
        assert_eq!((reply(&outcome), &outcome.request_tag[..]), ("us", &b"r1"[..]));
    }
    let tags = Tags {
        service: "asia".into(),
        ..Tags::default()
    };
    let outcome = cluster.planes[0]
        .router
        .request(Request {
            tags,
            ..asked(exchange, "x")
        })
        .await;
    assert_eq!(outcome.status, none(NoReply::NoResponders));
}

/// A21.
#[tokio::test(start_paused = true)]
async fn consensus_asks_the_leader_alone_and_the_next_one_after_it() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("ledger", Strategy::Consensus);
    let first = cluster.attach(1, "ledger", log.handler("first"));
    cluster.appoint().await;
    cluster.attach(2, "ledger", log.handler("second"));
    cluster.appoint().await;
    told().await;
    for n in 0..3 {
        assert_eq!(reply(&cluster.request(n, exchange, "x").await), "first");
    }
    let leads = |who: &str| {
        log.notices(who).iter().rev().find_map(|n| match &n.what {
            NoticeKind::Leader { you, servers, .. } => Some((*you, servers.len())),
            _ => None,
        })
    };
    assert_eq!(
        (leads("first"), leads("second")),
        (Some((true, 1)), Some((false, 2)))
    );
    assert!(
        log.notices("first")
            .iter()
            .any(|n| matches!(n.what, NoticeKind::SlaveUp(_)))
    );

    assert!(
        cluster.planes[1]
            .handlers
            .detach(first.serial, DetachReason::Asked)
    );
    cluster.appoint().await;
    assert_eq!(reply(&cluster.request(0, exchange, "x").await), "second");
    assert_eq!(leads("second"), Some((true, 1)));
    assert!(
        log.notices("second")
            .iter()
            .any(|n| matches!(n.what, NoticeKind::SlaveDown { .. }))
    );
}

/// A19.
#[tokio::test(start_paused = true)]
async fn default_gives_each_handlers_answer_and_says_which_is_the_last() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("poll", Strategy::Default);
    for (n, who) in ["on-a", "on-b", "on-c"].into_iter().enumerate() {
        cluster.attach(n, "poll", log.handler(who));
    }
    quiet().await;
    let mut outcomes = cluster.planes[1].router.request_all(asked(exchange, "x"));
    let mut seen = Vec::new();
    while let Some(outcome) = outcomes.recv().await {
        assert_eq!(outcome.count, 3);
        seen.push((reply(&outcome).to_owned(), outcome.index, outcome.more));
    }
    assert_eq!(seen.iter().filter(|(_, _, more)| !more).count(), 1);
    assert!(!seen.last().unwrap().2);
    seen.sort_unstable();
    assert_eq!(
        seen.iter().map(|(who, ..)| who.as_str()).collect::<Vec<_>>(),
        ["on-a", "on-b", "on-c"]
    );
    assert_eq!(cluster.planes[1].router.open(), 0);
}

/// How requests that entered at a node ended: replied, declined, refused, timed out, interrupted, and all of them.
fn ends(cluster: &Cluster, n: usize) -> ([u64; 5], u64) {
    let stats = cluster.planes[n].router.stats()[0];
    let ends = [
        stats.replies,
        stats.declined,
        stats.refused,
        stats.timeouts,
        stats.interrupted,
    ];
    (ends, stats.ended)
}

#[tokio::test(start_paused = true)]
async fn a_request_to_many_handlers_is_counted_once() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("poll", Strategy::Default);
    for (n, who) in ["on-a", "on-b", "on-c"].into_iter().enumerate() {
        cluster.attach(n, "poll", log.handler(who));
    }
    quiet().await;
    for (payload, counted) in [("x", [1, 0, 0, 0, 0]), ("decline", [1, 1, 0, 0, 0])] {
        let mut outcomes = cluster.planes[1].router.request_all(asked(exchange, payload));
        let mut told = 0;
        while outcomes.recv().await.is_some() {
            told += 1;
        }
        assert_eq!(told, 3);
        assert_eq!(ends(&cluster, 1), (counted, counted.iter().sum()));
    }
    // Whoever takes one answer is told of one, and that is counted.
    reply(&cluster.request(1, exchange, "x").await);
    assert_eq!(ends(&cluster, 1), ([2, 1, 0, 0, 0], 3));
}

#[tokio::test(start_paused = true)]
async fn default_ends_when_the_last_handler_died() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("poll", Strategy::Default);
    cluster.attach(0, "poll", log.handler("on-a"));
    quiet().await;
    cluster.attach(2, "poll", log.handler("on-c"));
    quiet().await;
    cluster.swallow(2);
    let mut outcomes = cluster.planes[1].router.request_all(asked(exchange, "x"));
    let first = outcomes.recv().await.unwrap();
    assert!(reply(&first) == "on-a" && first.more);
    cluster.kill(2);
    cluster.declare_lost(2);
    let last = outcomes.recv().await.unwrap();
    assert_eq!(
        (last.status, last.index, last.more),
        (none(NoReply::Interrupted), 2, false)
    );
    // One handler replied, and what became of the other copy nobody knows.
    assert_eq!(ends(&cluster, 1), ([0, 0, 0, 0, 1], 1));
}

/// B1.
#[tokio::test(start_paused = true)]
async fn without_handlers_the_answer_comes_at_once() {
    let mut cluster = Cluster::new(2);
    let exchange = cluster.declare("empty", Strategy::RoundRobin);
    let before = cluster.planes[1].context.clock.now();
    let outcome = cluster.request(1, exchange, "x").await;
    assert_eq!(outcome.status, none(NoReply::NoResponders));
    assert_eq!(
        cluster.planes[1].context.clock.now(),
        before,
        "no time has passed"
    );
    assert_eq!(
        cluster.request(1, ExchangeId(99), "x").await.status,
        none(NoReply::UnknownExchange)
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_without_answer_times_out_once_and_the_late_reply_is_dropped() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("slow", Strategy::RoundRobin);
    cluster.attach(0, "slow", log.handler("slow"));
    quiet().await;
    let before = cluster.planes[1].context.clock.now();
    let request = Request {
        timeout: Span::from_ms(300),
        ..asked(exchange, "late")
    };
    assert_eq!(
        cluster.planes[1].router.request(request).await.status,
        none(NoReply::Timeout)
    );
    let took = cluster.planes[1].context.clock.now().since(before);
    assert!((300..310).contains(&took.as_ms()), "{took}");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(cluster.planes[1].context.wire.tally.late_replies.load(Relaxed), 1);
    assert_eq!(cluster.planes[1].router.stats()[0].timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_decline_names_its_reason() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(0, "orders", log.handler("on-a"));
    quiet().await;
    let outcome = cluster.request(1, exchange, "decline").await;
    assert_eq!(
        (outcome.status, outcome.reason().as_str()),
        (Status::Declined, "on-a will not")
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_request_with_its_words_and_nothing_else() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let pid = cluster.attach(0, "orders", log.handler("on-a"));
    quiet().await;
    let outcome = cluster.request(1, exchange, "panic").await;
    assert_eq!(
        (outcome.status, outcome.reason().as_str()),
        (none(NoReply::Failed), "failed: as asked")
    );
    assert_eq!(reply(&cluster.request(1, exchange, "x").await), "on-a");
    assert_eq!(figures(&cluster, 0, pid).restarts, 1);
    for _ in 0..10 {
        assert_eq!(
            cluster.request(1, exchange, "panic").await.status,
            none(NoReply::Failed)
        );
    }
    quiet().await;
    assert_eq!(
        cluster.request(1, exchange, "x").await.status,
        none(NoReply::NoResponders),
        "detached"
    );
}

fn figures(cluster: &Cluster, n: usize, pid: Pid) -> ProcessFigures {
    let context = &cluster.planes[n].context;
    let mut found = None;
    context.processes.each(|p| {
        if p.pid() == pid {
            found = Some(p.figures(context.clock.now()));
        }
    });
    found.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_rejects_and_everything_in_it_is_still_answered() {
    let mut cluster = Cluster::new(1);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(0, "orders", log.handler("on-a"));
    quiet().await;
    let submit = || {
        let (reply_to, outcome) = oneshot::channel();
        cluster.planes[0]
            .router
            .submit(asked(exchange, "x"), ReplyTo::First(reply_to));
        outcome
    };
    // Nothing is taken out while this task does not wait.
    let fitting: Vec<_> = (0..MAILBOX_BOUND).map(|_| submit()).collect();
    assert_eq!(submit().try_recv().unwrap().status, none(NoReply::Rejected));
    for outcome in fitting {
        assert_eq!(reply(&outcome.await.unwrap()), "on-a");
    }
    assert_eq!(cluster.planes[0].router.stats()[0].refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_blocks_holds_up_only_itself() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let stuck = cluster.attach(0, "orders", log.handler("stuck"));
    quiet().await;
    let router = Arc::clone(&cluster.planes[1].router);
    let open = tokio::spawn(async move { router.request(asked(exchange, "never")).await });
    quiet().await;
    cluster.attach(1, "orders", log.handler("works"));
    quiet().await;
    let mut replies = 0;
    for _ in 0..4 {
        let request = Request {
            timeout: Span::from_ms(50),
            ..asked(exchange, "x")
        };
        let outcome = cluster.planes[1].router.request(request).await;
        replies += usize::from(outcome.status == Status::Reply);
    }
    assert_eq!((replies, log.count("works")), (2, 2));
    let figures = figures(&cluster, 0, stuck);
    assert_eq!(
        figures.depth(),
        3,
        "two requests, and the news of the other handler"
    );
    assert!(figures.oldest >= Span::from_ms(50), "{figures:?}");
    assert_eq!(open.await.unwrap().status, none(NoReply::Timeout));
}
