//! Mailboxes are bounded by bytes, too: large messages fill one long before their number does (B9).

use std::sync::Arc;

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::Status;
use squall_kernel::id::ExchangeId;
use squall_kernel::limits::PAYLOAD_BYTES_MAX;
use squall_kernel::order::WhenFull;
use squall_kernel::publishing::Confirm;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Pattern, Settings};
use squall_kernel::time::Span;
use tokio::sync::Semaphore;

use super::cluster::{Cluster, asked, name, none, quiet};
use crate::handlers::{HandlerTags, MailboxStats};
use crate::limits::MAILBOX_BYTES_MAX;
use crate::pubsub::Subscription;
use crate::router::{Publish, Request};

/// So many of the largest fit into a mailbox.
const FIT: u8 = 8;
const _: () = assert!(MAILBOX_BYTES_MAX / PAYLOAD_BYTES_MAX == FIT as usize);

/// The largest payload, told by its bytes.
fn large(n: u8) -> Bytes {
    vec![n; PAYLOAD_BYTES_MAX].into()
}

fn news(exchange: ExchangeId, n: u8) -> Request {
    let head = Publish {
        confirm: Confirm::Received,
        ..Publish::default()
    };
    Request {
        timeout: Span::from_ms(60_000),
        ..Request::publish(exchange, Bytes::from_static(b"k"), large(n), head)
    }
}

fn read(subscription: &mut Subscription) -> Vec<u8> {
    std::iter::from_fn(|| subscription.try_next())
        .map(|event| event.published.payload[0])
        .collect()
}

fn first_to(last: u8) -> Vec<u8> {
    (1..=last).collect()
}

#[tokio::test(start_paused = true)]
async fn a_subscribers_mailbox_that_is_full_of_bytes_does_as_its_exchange_says() {
    for (when_full, told, kept, did) in [
        (
            WhenFull::Reject,
            none(NoReply::Rejected),
            first_to(FIT),
            (1, 0, 0),
        ),
        (
            WhenFull::DropOldest,
            Status::Reply,
            (2..=FIT + 1).collect(),
            (0, 1, 0),
        ),
        (WhenFull::Block, Status::Reply, first_to(FIT + 1), (0, 0, 1)),
    ] {
        let mut cluster = Cluster::new(1);
        let settings = Settings {
            when_full,
            ..Settings::default()
        };
        let exchange = cluster.declare_pattern("news", Pattern::PublishSubscribe, settings);
        let pubsub = &cluster.planes[0].pubsub;
        let mut slow = pubsub
            .subscribe_embedded(&name("news"), "tag", &["k"])
            .await
            .unwrap();
        let router = Arc::clone(&cluster.planes[0].router);
        for n in first_to(FIT) {
            assert_eq!(
                router.request(news(exchange, n)).await.status,
                Status::Reply,
                "{n}"
            );
        }
        let one_more = tokio::spawn(async move { router.request(news(exchange, FIT + 1)).await });
        quiet().await;
        assert_eq!(one_more.is_finished(), when_full != WhenFull::Block);
        let mut got = Vec::new();
        got.extend(slow.try_next().map(|event| event.published.payload[0]));
        assert_eq!(one_more.await.unwrap().status, told, "{when_full}");
        got.extend(read(&mut slow));
        assert_eq!(got, kept, "{when_full}");
        let MailboxStats {
            rejected,
            dropped,
            held,
            ..
        } = cluster.planes[0].handlers.deliveries(exchange).mailboxes;
        assert_eq!((rejected, dropped, held), did, "{when_full}");
    }
}

/// Answers one request for each permit it is given.
struct Gated(Arc<Semaphore>);

impl Handler for Gated {
    async fn handle(&mut self, _: Delivery) -> Answer {
        self.0.acquire().await.expect("never closed").forget();
        Answer::Reply(Bytes::new())
    }
}

/// With a mailbox of its own or without: one is being answered, eight wait.
#[tokio::test(start_paused = true)]
async fn a_handlers_mailbox_that_is_full_of_bytes_turns_requests_away() {
    for mailbox in [None, Some(1000)] {
        let mut cluster = Cluster::new(1);
        let settings = Settings {
            mailbox,
            ..Settings::default()
        };
        let exchange = cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
        let gate = Arc::new(Semaphore::new(0));
        let handler = Gated(Arc::clone(&gate));
        cluster.planes[0]
            .handlers
            .attach_embedded(&name("orders"), HandlerTags::default(), handler)
            .unwrap();
        quiet().await;
        let mut asking = Vec::new();
        for n in 0..=FIT + 1 {
            let router = Arc::clone(&cluster.planes[0].router);
            let request = Request {
                payload: large(n),
                timeout: Span::from_ms(60_000),
                ..asked(exchange, "")
            };
            asking.push(tokio::spawn(async move { router.request(request).await.status }));
            quiet().await;
        }
        gate.add_permits(usize::from(FIT) + 2);
        let mut told = Vec::new();
        for one in asking {
            told.push(one.await.unwrap());
        }
        let (last, first) = told.split_last().expect("ten");
        assert!(
            first.iter().all(|status| *status == Status::Reply),
            "{mailbox:?}: {first:?}"
        );
        assert_eq!(*last, none(NoReply::Rejected), "{mailbox:?}");
        assert_eq!(
            cluster.planes[0].handlers.deliveries(exchange).mailboxes.rejected,
            1
        );
    }
}
