//! Schedulers of exchanges with tasks (A4): who is asked, what it may say, and that no task waits for it for ever.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::{Status, Tags};
use squall_kernel::id::ExchangeId;
use squall_kernel::message::Settlement;
use squall_kernel::registry::{Pattern, Settings, Strategy};
use squall_kernel::tasks::Scheduling;

use super::cluster::{Cluster, name, quiet};
use super::tasks::Worker;
use crate::handlers::HandlerTags;
use crate::router::Request;

/// Answers as its function says, from the candidates' pids.
#[derive(Clone)]
struct Chooser {
    asked: Arc<Mutex<Vec<(Bytes, String)>>>,
    says: fn(&[String], usize) -> Option<String>,
}

impl Chooser {
    fn new(says: fn(&[String], usize) -> Option<String>) -> Self {
        Self {
            asked: Arc::default(),
            says,
        }
    }

    fn asked(&self) -> Vec<(Bytes, String)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Handler for Chooser {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let text = String::from_utf8(delivery.payload.to_vec()).unwrap();
        let pids = text.lines().skip(1).filter_map(|line| line.split('\t').next());
        let pids: Vec<String> = pids.map(str::to_owned).collect();
        let times = {
            let mut asked = self.asked.lock().unwrap();
            asked.push((delivery.key.clone(), text.clone()));
            asked.len()
        };
        match (self.says)(&pids, times) {
            Some(answer) => Answer::Reply(answer.into()),
            None => std::future::pending().await,
        }
    }
}

struct Rig {
    cluster: Cluster,
    exchange: ExchangeId,
    workers: [Worker; 2],
}

impl Rig {
    /// `mails` asks `chooser`, which is a singleton over the second and the third node; a worker at each of these.
    async fn new(chooser: &Chooser, credit: u32) -> Self {
        let mut cluster = Cluster::new(3);
        cluster.declare("chooser", Strategy::Consensus);
        let exchange = mails(&mut cluster);
        for n in [1, 2] {
            let handlers = &cluster.planes[n].handlers;
            handlers
                .attach_embedded(&name("chooser"), HandlerTags::default(), chooser.clone())
                .unwrap();
        }
        cluster.appoint().await;
        let workers = [1, 2].map(|n| Worker::attach(&cluster, n, credit));
        quiet().await;
        Self {
            cluster,
            exchange,
            workers,
        }
    }

    async fn submit(&self, payload: &'static str) {
        let request = Request {
            submit: true,
            tags: Tags {
                key: Bytes::from_static(payload.as_bytes()),
                ..Tags::default()
            },
            ..Request::new(self.exchange, Bytes::from_static(payload.as_bytes()))
        };
        let outcome = self.cluster.planes[2].router.request(request).await;
        assert_eq!(outcome.status, Status::Reply, "{}", outcome.reason());
        quiet().await;
    }

    /// What each worker has been given.
    fn given(&self) -> [Vec<String>; 2] {
        let of = |worker: &Worker| worker.given().into_iter().map(|(payload, ..)| payload).collect();
        [of(&self.workers[0]), of(&self.workers[1])]
    }

    fn scheduling(&self, n: usize) -> Scheduling {
        let owned = self.cluster.planes[n].exchanges.owned();
        let mails = owned.into_iter().find(|owned| owned.exchange == self.exchange);
        mails.expect("owned there").scheduling
    }
}

fn mails(cluster: &mut Cluster) -> ExchangeId {
    let settings = Settings {
        scheduler: Some(name("chooser")),
        ..Settings::default()
    };
    cluster.declare_pattern("mails", Pattern::Task, settings)
}

fn last(pids: &[String], _times: usize) -> Option<String> {
    pids.iter().max().cloned()
}

/// A4: the one leader sees each task with the pool's free workers, and its word counts.
#[tokio::test(start_paused = true)]
async fn the_leader_of_another_exchange_chooses_each_tasks_worker() {
    let chooser = Chooser::new(last);
    let rig = Rig::new(&chooser, 4).await;
    for payload in ["one", "two", "three"] {
        rig.submit(payload).await;
    }
    let [first, second] = rig.given();
    assert_eq!(
        (first.len(), &second[..]),
        (0, &["one", "two", "three"].map(String::from)[..])
    );
    let asked = chooser.asked();
    assert_eq!(asked.len(), 3, "one of two handlers is asked, once each");
    let (key, text) = &asked[1];
    assert_eq!(&key[..], b"two");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("task\tmails\t"), "{text}");
    assert!(lines[0].ends_with("\t1\t5\t3\t"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[1].ends_with("\t0\t4") && lines[2].ends_with("\t1\t4"),
        "{text}"
    );
    assert_eq!((rig.scheduling(0).asked, rig.scheduling(0).followed), (3, 3));
}

/// A4: who is full is no candidate, and is asked about again when it has room.
#[tokio::test(start_paused = true)]
async fn only_workers_with_room_are_candidates() {
    let rig = Rig::new(&Chooser::new(last), 1).await;
    for payload in ["one", "two", "three"] {
        rig.submit(payload).await;
    }
    assert_eq!(rig.given(), [vec!["two".to_owned()], vec!["one".into()]]);
    rig.workers[0].say(&rig.cluster, 0, Settlement::Confirm).await;
    quiet().await;
    assert_eq!(rig.given()[0], ["two", "three"]);
}

/// A4: `any` leaves it to the owner, `wait` asks again later, and whatever else is said the owner decides.
#[tokio::test(start_paused = true)]
async fn what_a_scheduler_may_say_beside_a_name() {
    let says =
        |_: &[String], times: usize| Some(["any", "wait", "nonsense", "<x.99>"][(times - 1) % 4].to_owned());
    let rig = Rig::new(&Chooser::new(says), 4).await;
    let all = |rig: &Rig| rig.given().concat();
    rig.submit("one").await;
    assert_eq!(all(&rig).len(), 1);
    rig.submit("two").await;
    assert_eq!(all(&rig).len(), 1, "it waits");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(all(&rig).len(), 2);
    rig.submit("three").await;
    assert_eq!(all(&rig).len(), 3);
    let expected = Scheduling {
        asked: 4,
        left: 1,
        waits: 1,
        unanswered: 2,
        ..Scheduling::default()
    };
    assert_eq!(rig.scheduling(0), expected);
}

/// A4: without a scheduler, or without its answer, the queue goes on, and that is counted.
#[tokio::test(start_paused = true)]
async fn without_an_answer_in_time_the_owner_decides() {
    let rig = Rig::new(&Chooser::new(|_, _| None), 4).await;
    rig.submit("one").await;
    assert!(rig.given().concat().is_empty());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.given().concat(), ["one"]);
    assert_eq!(rig.scheduling(0).unanswered, 1);
    let mut cluster = Cluster::new(2);
    let exchange = mails(&mut cluster);
    let workers = [0, 1].map(|n| Worker::attach(&cluster, n, 1));
    quiet().await;
    let rig = Rig {
        cluster,
        exchange,
        workers,
    };
    let request = Request {
        submit: true,
        ..Request::new(exchange, Bytes::from_static(b"alone"))
    };
    rig.cluster.planes[0].router.request(request).await;
    quiet().await;
    assert_eq!(rig.given().concat(), ["alone"], "there is no such exchange");
    assert_eq!(rig.scheduling(0).unanswered, 1);
}

/// A4: the loss of the scheduler, and of the queue's owner, costs no task.
#[tokio::test(start_paused = true)]
async fn over_failovers_of_scheduler_and_owner_each_task_goes_out_once() {
    let chooser = Chooser::new(last);
    let mut rig = Rig::new(&chooser, 100).await;
    let leads = rig.cluster.registry.exchange(&name("chooser")).unwrap().leader;
    let leader = leads.expect("appointed").pid.node;
    assert_eq!(leader, super::cluster::node(1), "the first that attached");
    for payload in ["one", "two"] {
        rig.submit(payload).await;
    }
    // The second node had the leader; it is the queue's backup, too.
    rig.cluster.kill(1);
    let request = |payload: &'static str| Request {
        submit: true,
        ..Request::new(rig.exchange, Bytes::from_static(payload.as_bytes()))
    };
    let plane = Arc::clone(&rig.cluster.planes[2]);
    let late = tokio::spawn({
        let request = request("three");
        async move { plane.router.request(request).await }
    });
    quiet().await;
    rig.cluster.declare_lost(1);
    rig.cluster.appoint().await;
    assert_eq!(late.await.unwrap().status, Status::Reply);
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.submit("four").await;
    rig.cluster.kill(0);
    rig.cluster.declare_lost(0);
    rig.cluster.appoint().await;
    rig.submit("five").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    // Leases of the leader that was lost have run out by now.
    rig.cluster.appoint().await;
    let mut all = rig.given()[1].clone();
    all.sort();
    assert_eq!(all, ["five", "four", "one", "three", "two"]);
    let before = chooser.asked().len();
    rig.submit("six").await;
    assert_eq!(chooser.asked().len(), before + 1, "the next leader chooses");
}
