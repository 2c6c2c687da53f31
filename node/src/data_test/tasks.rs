//! Tasks across nodes: what was acknowledged survives the loss of one node, and is completed once (A3, A110, B3, I9).

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use squall_kernel::fence::Pass;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{ExchangeId, NodeName, Pid};
use squall_kernel::message::{self, SettleWord, Settlement, Submitted, Terms};
use squall_kernel::reason::{DeadReason, DetachReason, LeaseEnd};
use squall_kernel::registry::{Command, Outcome as Applied, Pattern, Settings, Strategy};
use squall_kernel::tasks::{Copies, LeaseNo, Retry, SettleResult};
use squall_kernel::time::Span;

use super::cluster::{Cluster, Log, name, node, quiet, reply};
use crate::handlers::{Attachment, HandlerSink, HandlerTags, Told};
use crate::process::{ProcessKind, Push};
use crate::router::{Outcome, Request};

/// What a worker was given, and what it was told.
#[derive(Default)]
struct Seen {
    tasks: Vec<Frame>,
    words: Vec<SettleWord>,
}

#[derive(Default)]
struct Hands(Mutex<Seen>);

impl HandlerSink for Hands {
    fn deliver(
        &self,
        _pass: Pass,
        _handler: &Arc<Attachment>,
        frame: Box<Frame>,
    ) -> Result<(), Push<Box<Frame>>> {
        assert_eq!(frame.kind, Kind::Task);
        self.0.lock().unwrap().tasks.push(*frame);
        Ok(())
    }

    fn settled(&self, _handler: &Arc<Attachment>, frame: Frame) {
        let word = message::parse(&frame.payload).unwrap();
        self.0.lock().unwrap().words.push(word);
    }

    fn system(&self, _handler: &Arc<Attachment>, _told: &Arc<Told>) -> bool {
        true
    }

    fn leads(&self, _handler: &Arc<Attachment>) {}

    fn detached(&self, _handler: &Arc<Attachment>, _reason: DetachReason) {}
}

/// A worker at a node, and the hands of its test.
pub(super) struct Worker {
    at: usize,
    hands: Arc<Hands>,
    attachment: Arc<Attachment>,
}

impl Worker {
    pub(super) fn attach(cluster: &Cluster, at: usize, credit: u32) -> Self {
        let plane = &cluster.planes[at];
        let hands = Arc::new(Hands::default());
        let now = plane.context.clock.now();
        let process = plane
            .context
            .processes
            .enter(ProcessKind::Handler, "mails", 8, now);
        let tags = HandlerTags {
            works: true,
            ..HandlerTags::default()
        };
        let sink: Arc<dyn HandlerSink> = Arc::<Hands>::clone(&hands);
        let attachment = plane.handlers.attach(&name("mails"), tags, credit, process, sink);
        Self {
            at,
            hands,
            attachment: attachment.unwrap(),
        }
    }

    /// Payload, attempt and lease of each task it was given.
    pub(super) fn given(&self) -> Vec<(String, u32, LeaseNo)> {
        let seen = self.hands.0.lock().unwrap();
        let one = |frame: &Frame| {
            let payload = String::from_utf8(frame.payload.to_vec()).unwrap();
            (payload, frame.index, LeaseNo(frame.signature))
        };
        seen.tasks.iter().map(one).collect()
    }

    fn words(&self) -> Vec<SettleWord> {
        std::mem::take(&mut self.hands.0.lock().unwrap().words)
    }

    /// Says something about the `n`th task it was given, and gives what it is told.
    pub(super) async fn say(&self, cluster: &Cluster, n: usize, word: Settlement) -> Vec<SettleWord> {
        let task = self.hands.0.lock().unwrap().tasks[n].clone();
        let frame = Frame {
            message: task.message,
            signature: task.signature,
            payload: message::control(&word).payload,
            ..Frame::new(Kind::Settle)
        };
        let refused = cluster.planes[self.at].handlers.settle(&self.attachment, frame);
        assert_eq!(refused, None);
        quiet().await;
        self.words()
    }

    pub(super) fn pid(&self) -> Pid {
        self.attachment.pid()
    }
}

pub(super) fn told(result: SettleResult) -> Vec<SettleWord> {
    vec![SettleWord::Result(result)]
}

fn back(retry: Retry) -> Settlement {
    Settlement::GiveBack {
        said: "cannot".into(),
        retry,
    }
}

/// `mails` is owned by the first node; the second one is its backup.
pub(super) fn declare(cluster: &mut Cluster, settings: Settings) -> ExchangeId {
    let listed = ["a", "b", "c"].into_iter().take(cluster.planes.len());
    let command = Command::Declare {
        name: name("mails"),
        pattern: Pattern::Task,
        strategy: Strategy::Default,
        function: None,
        settings,
        failover: listed.map(|n| NodeName::new(n).unwrap()).collect(),
        takeover: None,
    };
    assert_eq!(cluster.apply(&command), Applied::Done);
    cluster.registry.names[&name("mails")]
}

pub(super) async fn submit(
    cluster: &Cluster,
    at: usize,
    exchange: ExchangeId,
    payload: &'static str,
) -> Outcome {
    submit_as(cluster, at, exchange, payload, "").await
}

async fn submit_as(
    cluster: &Cluster,
    at: usize,
    exchange: ExchangeId,
    payload: &'static str,
    id: &'static str,
) -> Outcome {
    let request = submission(exchange, payload, id);
    cluster.planes[at].router.request(request).await
}

pub(super) fn submission(exchange: ExchangeId, payload: &'static str, id: &'static str) -> Request {
    let terms = Terms {
        unique: Bytes::from_static(id.as_bytes()),
        ..Terms::default()
    };
    Request {
        submit: true,
        tags: Tags {
            connection: terms.to_tag().unwrap(),
            ..Tags::default()
        },
        ..Request::new(exchange, Bytes::from_static(payload.as_bytes()))
    }
}

pub(super) fn kept(outcome: &Outcome) -> Submitted {
    assert_eq!(outcome.status, Status::Reply, "{}", outcome.reason());
    message::parse(&outcome.payload).unwrap()
}

/// A3, A110.
#[tokio::test(start_paused = true)]
async fn a_task_is_kept_at_two_nodes_given_to_one_worker_and_completed_once() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    let (one, two) = (Worker::attach(&cluster, 2, 1), Worker::attach(&cluster, 1, 1));
    quiet().await;
    let first = kept(&submit_as(&cluster, 2, exchange, "x", "id").await);
    assert_eq!((first.copies, first.duplicate), (Copies::Two, false));
    assert_eq!(cluster.planes[1].exchanges.copies(), [(exchange, 1)]);
    let again = kept(&submit_as(&cluster, 1, exchange, "x", "id").await);
    assert_eq!((again.task, again.duplicate), (first.task, true));
    quiet().await;
    let (holder, other) = if one.given().is_empty() {
        (two, one)
    } else {
        (one, two)
    };
    assert_eq!(holder.given().len(), 1);
    assert!(other.given().is_empty());
    assert_eq!(
        holder.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
    assert_eq!(
        holder.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::AlreadyConfirmed)
    );
    assert_eq!(cluster.planes[1].exchanges.copies(), [(exchange, 0)]);
}

#[tokio::test(start_paused = true)]
async fn acknowledged_tasks_leases_and_attempts_survive_the_loss_of_the_owner() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    let worker = Worker::attach(&cluster, 2, 2);
    quiet().await;
    for payload in ["first", "second", "third"] {
        assert_eq!(
            kept(&submit(&cluster, 2, exchange, payload).await).copies,
            Copies::Two
        );
    }
    quiet().await;
    let before = worker.given();
    assert_eq!(before.len(), 2, "its credit");
    cluster.kill(0);
    cluster.declare_lost(0);
    quiet().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(1)));
    assert_eq!(cluster.registry.exchanges[&exchange].backup, Some(node(2)));
    assert_eq!(worker.given(), before, "what is in hand is not given out again");
    assert_eq!(
        worker.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
    assert_eq!(worker.given()[2].0, "third");
    assert!(
        worker.given()[2].2 > before[1].2,
        "later leases are higher, whoever grants them"
    );
    assert_eq!(
        worker.say(&cluster, 1, back(Retry::AtOnce)).await,
        told(SettleResult::GivenBack)
    );
    assert_eq!(worker.given()[3].0, "second");
    assert_eq!(
        worker.given()[3].1,
        2,
        "the first attempt was at the owner before"
    );
    assert_eq!(cluster.planes[2].exchanges.copies(), [(exchange, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_completion_under_a_lease_that_is_over_is_refused() {
    let mut cluster = Cluster::new(3);
    let settings = Settings {
        lease: Some(Span::from_ms(500)),
        ..Settings::default()
    };
    let exchange = declare(&mut cluster, settings);
    let slow = Worker::attach(&cluster, 2, 1);
    quiet().await;
    kept(&submit(&cluster, 2, exchange, "x").await);
    quiet().await;
    assert_eq!(slow.given().len(), 1);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let seen = slow.given()[1].2;
    assert_eq!(slow.words(), [SettleWord::Ended(LeaseEnd::TimedOut)]);
    assert_eq!(
        slow.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::Fenced { seen })
    );
    let longer = Settlement::Extend {
        by: Span::from_ms(2000),
    };
    assert!(matches!(
        slow.say(&cluster, 1, longer).await[..],
        [SettleWord::Result(SettleResult::Extended { .. })]
    ));
    tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
    assert_eq!(
        slow.say(&cluster, 1, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_worker_had_goes_to_another_one() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    let lost = Worker::attach(&cluster, 2, 1);
    quiet().await;
    kept(&submit(&cluster, 0, exchange, "x").await);
    quiet().await;
    assert_eq!(lost.given().len(), 1);
    let other = Worker::attach(&cluster, 1, 1);
    cluster.kill(2);
    cluster.declare_lost(2);
    quiet().await;
    assert_eq!(other.given()[0].1, 2, "one more attempt");
    let serial = other.pid().serial;
    assert!(cluster.planes[1].handlers.detach(serial, DetachReason::Asked));
    let third = Worker::attach(&cluster, 0, 1);
    quiet().await;
    assert_eq!(third.given()[0].1, 3);
    assert_eq!(
        third.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
}

/// A110, B3.
#[tokio::test(start_paused = true)]
async fn a_task_that_is_tried_in_vain_is_a_dead_letter_elsewhere() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    cluster.declare("complaints", Strategy::RoundRobin);
    cluster.attach(2, "complaints", log.handler("clerk"));
    let settings = Settings {
        attempts: Some(2),
        dead_letter: Some(name("complaints")),
        ..Settings::default()
    };
    let exchange = declare(&mut cluster, settings);
    let worker = Worker::attach(&cluster, 2, 1);
    quiet().await;
    kept(&submit(&cluster, 2, exchange, "x").await);
    quiet().await;
    worker.say(&cluster, 0, back(Retry::AtOnce)).await;
    worker.say(&cluster, 1, back(Retry::AtOnce)).await;
    quiet().await;
    assert_eq!(worker.given().len(), 2);
    assert_eq!(log.payloads("clerk"), [Bytes::from_static(b"x")]);
    assert_eq!(
        worker.say(&cluster, 1, Settlement::Confirm).await,
        told(SettleResult::Dead(DeadReason::Attempts))
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_published_where_that_is_what_its_exchange_is_for() {
    let mut cluster = Cluster::new(2);
    cluster.declare_pattern("complaints", Pattern::PublishSubscribe, Settings::default());
    let pubsub = &cluster.planes[1].pubsub;
    let complaints = name("complaints");
    let clerk = pubsub.subscribe_embedded(&complaints, "", &["#"]).await;
    let mut clerk = clerk.unwrap();
    quiet().await;
    let settings = Settings {
        attempts: Some(1),
        dead_letter: Some(name("complaints")),
        ..Settings::default()
    };
    let exchange = declare(&mut cluster, settings);
    let worker = Worker::attach(&cluster, 1, 1);
    quiet().await;
    kept(&submit(&cluster, 1, exchange, "x").await);
    quiet().await;
    worker.say(&cluster, 0, back(Retry::AtOnce)).await;
    quiet().await;
    let letter = clerk.next().await.expect("the dead letter").published;
    assert_eq!(letter.payload, Bytes::from_static(b"x"));
    assert_eq!(letter.key, Bytes::from_static(b"mails"), "it had no key");
}

#[tokio::test(start_paused = true)]
async fn without_another_node_a_task_is_in_a_single_copy_until_there_is_one() {
    let mut cluster = Cluster::new(2);
    let exchange = declare(&mut cluster, Settings::default());
    quiet().await;
    cluster.kill(1);
    cluster.declare_lost(1);
    let alone = kept(&submit(&cluster, 0, exchange, "x").await);
    assert_eq!(alone.copies, Copies::Single);
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_is_lost_is_replaced_before_anything_more_is_acknowledged() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    kept(&submit(&cluster, 0, exchange, "x").await);
    cluster.kill(1);
    let open = {
        let router = Arc::clone(&cluster.planes[0].router);
        let request = Request {
            submit: true,
            ..Request::new(exchange, Bytes::from_static(b"y"))
        };
        tokio::spawn(async move { router.request(request).await })
    };
    quiet().await;
    assert!(!open.is_finished(), "only the owner has it");
    cluster.declare_lost(1);
    assert_eq!(kept(&open.await.unwrap()).copies, Copies::Two);
    assert_eq!(cluster.planes[2].exchanges.copies(), [(exchange, 2)]);
}

/// What is lost is in the timeline and in the figures, also where nobody is left who knows how much it was.
#[tokio::test(start_paused = true)]
async fn tasks_that_are_lost_with_both_nodes_are_told_in_the_timeline_and_counted() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    kept(&submit(&cluster, 0, exchange, "x").await);
    cluster.kill(0);
    cluster.kill(1);
    cluster.declare_lost(0);
    cluster.declare_lost(1);
    quiet().await;
    let events = cluster.events[2].read(0).events;
    let told: Vec<(&str, &str, u64)> = events
        .iter()
        .map(|event| (event.kind.as_str(), event.subject.as_str(), event.epoch))
        .collect();
    let epoch = cluster.registry.exchanges[&exchange].epoch.0;
    assert_eq!(told, [("tasks-lost", "mails", epoch)]);
    assert!(
        events[0].text.contains("nobody is left who knows how many"),
        "{}",
        events[0].text
    );
    let figures = cluster.planes[2]
        .exchanges
        .look_at_tasks(exchange, |queue| queue.view().figures);
    assert_eq!(figures.map(|told| (told.lost, told.lost_unknown)), Some((0, 1)));
}

#[tokio::test(start_paused = true)]
async fn tasks_and_requests_are_not_taken_for_each_other() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let orders = cluster.declare("orders", Strategy::RoundRobin);
    let tasks = declare(&mut cluster, Settings::default());
    cluster.attach(0, "orders", log.handler("one"));
    quiet().await;
    let refused = cluster.request(2, tasks, "x").await;
    assert_eq!(
        (refused.status, refused.reason().contains("takes tasks")),
        (Status::Declined, true)
    );
    let refused = submit(&cluster, 2, orders, "x").await;
    assert_eq!(
        (refused.status, refused.reason().contains("takes requests")),
        (Status::Declined, true)
    );
    assert_eq!(reply(&cluster.request(2, orders, "x").await), "one");
    let plane = &cluster.planes[2];
    let attached = plane
        .handlers
        .attach_embedded(&name("mails"), HandlerTags::default(), log.handler("two"));
    assert!(attached.unwrap_err().to_string().contains("work on it"));
}

#[tokio::test(start_paused = true)]
async fn the_largest_task_reaches_the_backup_and_a_larger_one_is_declined() {
    use squall_kernel::limits::TASK_PAYLOAD_BYTES_MAX;

    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    let of = |len| Request {
        submit: true,
        tags: Tags {
            key: Bytes::from(vec![b'k'; 255]),
            service: Bytes::from(vec![b's'; 255]),
            ..Tags::default()
        },
        ..Request::new(exchange, Bytes::from(vec![0; len]))
    };
    let largest = cluster.planes[2].router.request(of(TASK_PAYLOAD_BYTES_MAX)).await;
    assert_eq!(kept(&largest).copies, Copies::Two);
    let larger = cluster.planes[2]
        .router
        .request(of(TASK_PAYLOAD_BYTES_MAX + 1))
        .await;
    assert_eq!(larger.status, Status::Declined);
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_starts_anew_gets_a_whole_copy_again() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    kept(&submit(&cluster, 0, exchange, "x").await);
    cluster.cut(1);
    cluster.restart(1);
    cluster.heal();
    quiet().await;
    assert_eq!(cluster.registry.exchanges[&exchange].backup, Some(node(1)));
    assert_eq!(
        kept(&submit(&cluster, 0, exchange, "y").await).copies,
        Copies::Two
    );
    assert_eq!(cluster.planes[1].exchanges.copies(), [(exchange, 2)]);
}
