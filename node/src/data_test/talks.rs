//! Responses in chunks, and handlers that ask back: their pace, and how they end when something goes away.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use squall_client::TalkError;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, NodeName, Pid};
use squall_kernel::reason::{DetachReason, NoReply, TalkFault};
use squall_kernel::registry::{Command, Strategy};
use squall_kernel::talk::Terms;
use squall_kernel::time::Span;
use tokio::sync::mpsc;

use super::cluster::{Cluster, asked, name, none, quiet};
use crate::handlers::HandlerTags;
use crate::router::{Outcome, Request, Said, TalkId};

/// What became of the handler's sending.
#[derive(Clone, Default)]
pub(super) struct Ends(Arc<Mutex<Vec<Result<u32, TalkError>>>>);

impl Ends {
    pub(super) fn all(&self) -> Vec<Result<u32, TalkError>> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, end: Result<u32, TalkError>) {
        self.0.lock().unwrap().push(end);
    }
}

/// Sends as many chunks as the payload says, or asks back what it says.
pub(super) struct Streamer(pub(super) Ends);

impl Streamer {
    async fn stream(&self, delivery: &Delivery, chunks: u32) -> Result<u32, TalkError> {
        let mut sender = delivery.chunks()?;
        assert_eq!(delivery.chunks().unwrap_err(), TalkError::SenderTaken);
        for number in 1..=chunks {
            sender.send(format!("part {number}")).await?;
        }
        Ok(chunks)
    }
}

impl Handler for Streamer {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let text = String::from_utf8_lossy(&delivery.payload).into_owned();
        if let Ok(chunks) = text.parse() {
            let end = self.stream(&delivery, chunks).await;
            self.0.note(end.clone());
            return match end {
                Ok(_) => Answer::Reply(Bytes::new()),
                Err(error) => Answer::Decline(error.to_string()),
            };
        }
        match delivery.ask(text).await {
            Ok(told) => Answer::Reply(told),
            Err(error) => {
                self.0.note(Err(error.clone()));
                Answer::Decline(error.to_string())
            }
        }
    }
}

pub(super) const TALKS: Terms = Terms {
    credit: 2,
    questions: true,
};

pub(super) fn attach(cluster: &Cluster, n: usize, exchange: &str) -> (Pid, Ends) {
    let ends = Ends::default();
    let handlers = &cluster.planes[n].handlers;
    let pid = handlers
        .attach_embedded(&name(exchange), HandlerTags::default(), Streamer(ends.clone()))
        .unwrap();
    (pid, ends)
}

/// A requester at one node.
pub(super) struct Requester<'a> {
    cluster: &'a Cluster,
    n: usize,
    pub(super) id: TalkId,
    heard: mpsc::Receiver<Said>,
}

impl<'a> Requester<'a> {
    pub(super) fn ask(cluster: &'a Cluster, n: usize, request: Request) -> Self {
        let (id, heard) = cluster.planes[n].router.converse(request, TALKS);
        Self {
            cluster,
            n,
            id,
            heard,
        }
    }

    pub(super) fn take(&self, more: u32) {
        self.cluster.planes[self.n]
            .router
            .take_more(&self.id, more, 0)
            .unwrap();
    }

    /// What has come by now: chunks, and the end.
    pub(super) async fn by_now(&mut self) -> (u32, Option<Outcome>) {
        quiet().await;
        let (mut chunks, mut end) = (0, None);
        while let Ok(said) = self.heard.try_recv() {
            assert!(end.is_none(), "something after the end: {said:?}");
            match said {
                Said::Chunk { .. } => chunks += 1,
                Said::End(outcome) => end = Some(outcome),
                Said::Question { .. } => panic!("nothing was to be asked"),
            }
        }
        (chunks, end)
    }

    pub(super) async fn next(&mut self) -> Said {
        self.heard.recv().await.unwrap()
    }
}

fn started(strategy: Strategy) -> (Cluster, ExchangeId, Pid, Ends) {
    let mut cluster = Cluster::new(3);
    let exchange = cluster.declare("reports", strategy);
    let (pid, ends) = attach(&cluster, 2, "reports");
    (cluster, exchange, pid, ends)
}

/// A106, B4.
#[tokio::test(start_paused = true)]
async fn chunks_come_in_order_at_the_requesters_pace() {
    // A106, B4: owner, requester and handler on three nodes.
    let (cluster, exchange, pid, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let through_owner = cluster.net.frames(1, 0) + cluster.net.frames(2, 0);
    let mut requester = Requester::ask(&cluster, 1, asked(exchange, "7"));
    assert_eq!(requester.by_now().await, (2, None));
    assert_eq!(requester.by_now().await, (0, None), "none beyond the credit");
    requester.take(1);
    assert_eq!(requester.by_now().await, (1, None));
    requester.take(10);
    let (chunks, end) = requester.by_now().await;
    let end = end.expect("the end");
    assert_eq!((chunks, end.status, end.handler), (4, Status::Reply, Some(pid)));
    assert_eq!(ends.all(), [Ok(7)]);
    let after = cluster.net.frames(1, 0) + cluster.net.frames(2, 0);
    assert_eq!(after - through_owner, 1, "the owner sees the request alone");
    assert_eq!(cluster.planes[2].context.talks.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn numbers_and_payloads_are_the_handlers() {
    let (cluster, exchange, pid, _) = started(Strategy::RoundRobin);
    quiet().await;
    let mut requester = Requester::ask(&cluster, 2, asked(exchange, "2"));
    for number in 1..=2 {
        let expected = Said::Chunk {
            index: number,
            count: 0,
            payload: Bytes::from(format!("part {number}")),
            handler: pid,
        };
        assert_eq!(requester.next().await, expected);
    }
    assert!(matches!(requester.next().await, Said::End(end) if end.status == Status::Reply));
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_holds_its_own_stream_until_its_deadline() {
    let (cluster, exchange, _, ends) = started(Strategy::RoundRobin);
    let (_, others) = attach(&cluster, 1, "reports");
    quiet().await;
    let mut idle = Requester::ask(&cluster, 0, asked(exchange, "100"));
    assert_eq!(idle.by_now().await, (2, None));
    let mut quick = Requester::ask(&cluster, 0, asked(exchange, "3"));
    quick.take(4);
    let (chunks, end) = quick.by_now().await;
    assert_eq!((chunks, end.map(|end| end.status)), (3, Some(Status::Reply)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (chunks, end) = idle.by_now().await;
    assert_eq!((chunks, end.unwrap().status), (0, none(NoReply::Timeout)));
    let all = [ends.all(), others.all()].concat();
    assert_eq!(all.len(), 2);
    assert!(all.contains(&Ok(3)));
    assert!(
        all.iter()
            .any(|end| matches!(end, Err(TalkError::Refused(TalkFault::Over) | TalkError::Timeout)))
    );
}

/// A107.
#[tokio::test(start_paused = true)]
async fn a_handler_asks_back_before_it_answers() {
    // A107
    let (cluster, exchange, pid, ends) = started(Strategy::Consensus);
    let mut cluster = cluster;
    cluster.appoint().await;
    let mut requester = Requester::ask(&cluster, 1, asked(exchange, "which year?"));
    let Said::Question {
        number,
        payload,
        handler,
    } = requester.next().await
    else {
        panic!("no question")
    };
    assert_eq!((number, &payload[..], handler), (1, &b"which year?"[..], pid));
    let router = &cluster.planes[1].router;
    router
        .tell(&requester.id, 1, Status::Reply, "2026".into())
        .unwrap();
    let late = router.tell(&requester.id, 1, Status::Reply, "2027".into());
    assert_eq!(late, Err(TalkFault::NoSuchQuestion), "once");
    let (_, end) = requester.by_now().await;
    assert_eq!(&end.unwrap().payload[..], b"2026");
    let mut declining = Requester::ask(&cluster, 1, asked(exchange, "why?"));
    let _question = declining.next().await;
    router
        .tell(&declining.id, 1, Status::Declined, "secret".into())
        .unwrap();
    assert_eq!(declining.by_now().await.1.unwrap().reason(), "declined: secret");
    assert_eq!(ends.all(), [Err(TalkError::Declined("secret".into()))]);
}

#[tokio::test(start_paused = true)]
async fn a_requester_without_answers_is_not_asked() {
    let (cluster, exchange, _, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let outcome = cluster.request(1, exchange, "who are you?").await;
    assert_eq!(outcome.reason(), TalkFault::NoQuestions.as_str());
    let plain = cluster.request(1, exchange, "3").await;
    assert_eq!(plain.reason(), TalkError::NotChunked.to_string());
    assert_eq!(
        ends.all(),
        [
            Err(TalkError::Refused(TalkFault::NoQuestions)),
            Err(TalkError::NotChunked)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_once_with_the_node_of_its_handler() {
    let (mut cluster, exchange, _, _) = started(Strategy::RoundRobin);
    quiet().await;
    let router = Arc::clone(&cluster.planes[1].router);
    let (_, mut heard) = router.converse(asked(exchange, "9"), TALKS);
    quiet().await;
    cluster.kill(2);
    cluster.declare_lost(2);
    quiet().await;
    let said: Vec<Said> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(matches!(&said[2], Said::End(end) if end.status == none(NoReply::Interrupted)));
    assert!(heard.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_handler_stops_when_the_node_of_its_requester_is_lost() {
    let (mut cluster, exchange, _, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let (_, _heard) = cluster.planes[1].router.converse(asked(exchange, "9"), TALKS);
    quiet().await;
    cluster.kill(1);
    cluster.declare_lost(1);
    quiet().await;
    assert_eq!(ends.all(), [Err(TalkError::Refused(TalkFault::Over))]);
    assert_eq!(cluster.planes[2].context.talks.count(), 0);
}

/// A37, A106.
#[tokio::test(start_paused = true)]
async fn a_stream_outlives_a_move_of_its_exchange_and_no_failover() {
    // A37: what is under way does not go through the owner.
    let (mut cluster, exchange, _, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let router = Arc::clone(&cluster.planes[1].router);
    let (id, mut heard) = router.converse(asked(exchange, "4"), TALKS);
    quiet().await;
    cluster.apply(&Command::Move {
        exchange: name("reports"),
        to: Some(NodeName::new("b").unwrap()),
        epoch: None,
    });
    let moving = cluster.registry.exchanges[&exchange].moving.expect("it moves");
    cluster.planes[0]
        .exchanges
        .hand_off(exchange, moving.to, moving.epoch);
    quiet().await;
    cluster.appoint().await;
    router.take_more(&id, 9, 0).unwrap();
    quiet().await;
    let said: Vec<Said> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
    assert_eq!(said.len(), 5, "{said:?}");
    assert!(matches!(&said[4], Said::End(end) if end.status == Status::Reply));
    assert_eq!(ends.all(), [Ok(4)]);

    let owner = cluster.registry.exchanges[&exchange].owner.unwrap();
    let owner = usize::try_from(owner.0).unwrap() - 1;
    let asker = (0..2).find(|n| *n != owner).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let router = Arc::clone(&cluster.planes[asker].router);
    let (_, mut heard) = router.converse(asked(exchange, "4"), TALKS);
    quiet().await;
    cluster.kill(owner);
    cluster.declare_lost(owner);
    quiet().await;
    let said: Vec<Said> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
    assert!(matches!(said.last(), Some(Said::End(end)) if end.status == none(NoReply::Interrupted)));
    assert_eq!(
        ends.all()[1],
        Err(TalkError::Refused(TalkFault::Over)),
        "it is told"
    );
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_got_lost_interrupts_the_response() {
    let (cluster, exchange, _, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let mut requester = Requester::ask(&cluster, 1, asked(exchange, "4"));
    assert_eq!(requester.by_now().await, (2, None));
    cluster.swallow(1);
    requester.take(1);
    quiet().await;
    cluster.heal();
    cluster.lose_track();
    let (chunks, end) = requester.by_now().await;
    assert_eq!((chunks, end.unwrap().status), (0, none(NoReply::Interrupted)));
    assert_eq!(ends.all(), [Err(TalkError::Refused(TalkFault::Over))]);
}

#[tokio::test(start_paused = true)]
async fn credit_that_got_lost_interrupts_the_response() {
    let (cluster, exchange, _, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let mut requester = Requester::ask(&cluster, 1, asked(exchange, "4"));
    assert_eq!(requester.by_now().await, (2, None));
    cluster.swallow(2);
    requester.take(1);
    cluster.heal();
    cluster.lose_track();
    let (chunks, end) = requester.by_now().await;
    assert_eq!((chunks, end.unwrap().status), (0, none(NoReply::Interrupted)));
    assert_eq!(ends.all(), [Err(TalkError::Refused(TalkFault::Over))]);
}

#[tokio::test(start_paused = true)]
async fn a_requester_gives_up_and_its_handler_stops() {
    let (cluster, exchange, pid, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let mut requester = Requester::ask(&cluster, 1, asked(exchange, "4"));
    assert_eq!(requester.by_now().await, (2, None));
    cluster.planes[1].router.give_up(&requester.id);
    let (_, end) = requester.by_now().await;
    assert_eq!(end.unwrap().status, none(NoReply::Interrupted));
    assert_eq!(ends.all(), [Err(TalkError::Refused(TalkFault::Over))]);
    let late = cluster.planes[1].context.wire.tally.late_replies.load(Relaxed);
    assert_eq!(late, 0, "a handler that was told answers nobody");
    assert!(cluster.planes[2].handlers.detach(pid.serial, DetachReason::Asked));
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_finishes_what_it_began() {
    let (cluster, exchange, pid, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let mut requester = Requester::ask(&cluster, 1, asked(exchange, "4"));
    assert_eq!(requester.by_now().await, (2, None));
    assert!(cluster.planes[2].handlers.detach(pid.serial, DetachReason::Asked));
    requester.take(5);
    let (chunks, end) = requester.by_now().await;
    assert_eq!((chunks, end.unwrap().status), (2, Status::Reply));
    assert_eq!(ends.all(), [Ok(4)]);
}

#[tokio::test(start_paused = true)]
async fn a_short_deadline_holds_for_a_question_too() {
    let (cluster, exchange, _, ends) = started(Strategy::RoundRobin);
    quiet().await;
    let request = Request {
        timeout: Span::from_ms(300),
        ..asked(exchange, "anybody?")
    };
    let mut requester = Requester::ask(&cluster, 1, request);
    assert!(matches!(requester.next().await, Said::Question { number: 1, .. }));
    assert!(matches!(requester.next().await, Said::End(end) if end.status == none(NoReply::Timeout)));
    quiet().await;
    assert_eq!(ends.all().len(), 1);
    let told = cluster.planes[1]
        .router
        .tell(&requester.id, 1, Status::Reply, "me".into());
    assert_eq!(told, Err(TalkFault::NoSuchQuestion), "too late");
}
