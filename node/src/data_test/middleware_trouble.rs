//! Requests through middleware while handlers come and go and the owner is lost, against what holds whatever happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::Status;
use squall_kernel::id::Pid;
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::registry::{Pattern, Settings};

use super::cluster::{Cluster, name, quiet};
use crate::handlers::HandlerTags;
use crate::router::Request;

const REQUESTS: u64 = 60;
const STATIONS: [&str; 3] = ["log", "auth", "orders"];

/// How often each station has handled each request.
type Handled = Arc<Mutex<BTreeMap<(&'static str, Bytes), usize>>>;

/// Passes what is for another exchange, answers what is for its own.
struct Station {
    who: &'static str,
    handled: Handled,
}

impl Handler for Station {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let handled = (self.who, delivery.payload.clone());
        *self.handled.lock().unwrap().entry(handled).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
        if delivery.ahead_of.is_some() {
            Answer::Pass
        } else {
            Answer::Reply(delivery.payload)
        }
    }
}

/// Numbers from a seed (Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Rig {
    cluster: Cluster,
    handled: Handled,
    /// Station, node, pid.
    attached: Vec<(&'static str, usize, Pid)>,
}

impl Rig {
    fn attach(&self, who: &'static str, at: usize) -> Pid {
        let station = Station {
            who,
            handled: Arc::clone(&self.handled),
        };
        let handlers = &self.cluster.planes[at].handlers;
        let attached = handlers.attach_embedded(&name(who), HandlerTags::default(), station);
        attached.unwrap()
    }

    /// Another handler takes the place of one that leaves.
    fn exchange_one(&mut self, place: usize) {
        let (who, at, pid) = self.attached[place];
        let handlers = &self.cluster.planes[at].handlers;
        handlers.detach(pid.serial, DetachReason::Asked);
        self.attached[place].2 = self.attach(who, at);
    }

    fn handled(&self, who: &'static str, payload: &Bytes) -> usize {
        let handled = self.handled.lock().unwrap();
        handled.get(&(who, payload.clone())).copied().unwrap_or(0)
    }
}

async fn trouble(seed: u64) -> usize {
    let mut random = Random(seed);
    let mut rig = Rig {
        cluster: Cluster::new(3),
        handled: Handled::default(),
        attached: Vec::new(),
    };
    for who in ["log", "auth"] {
        rig.cluster
            .declare_pattern(who, Pattern::RequestResponse, Settings::default());
    }
    let settings = Settings {
        middleware: vec![name("log"), name("auth")],
        ..Settings::default()
    };
    let orders = rig
        .cluster
        .declare_pattern("orders", Pattern::RequestResponse, settings);
    for who in STATIONS {
        for at in [1, 2] {
            let pid = rig.attach(who, at);
            rig.attached.push((who, at, pid));
        }
    }
    quiet().await;
    let killed = random.below(REQUESTS);
    let mut asking = Vec::new();
    for n in 0..REQUESTS + 6 {
        if n == killed {
            rig.cluster.kill(0);
        }
        if n == killed + 5 {
            rig.cluster.declare_lost(0);
        }
        if n < REQUESTS {
            let payload = Bytes::from(format!("request {n}"));
            let plane = Arc::clone(&rig.cluster.planes[2]);
            let request = Request::new(orders, payload.clone());
            let outcome = tokio::spawn(async move { plane.router.request(request).await });
            asking.push((payload, outcome));
        }
        match random.below(4) {
            0 => {
                let place = random.below(rig.attached.len() as u64);
                rig.exchange_one(usize::try_from(place).unwrap());
            }
            1 => tokio::time::sleep(Duration::from_millis(random.below(20))).await,
            _ => {}
        }
    }
    let mut replies = 0;
    for (payload, outcome) in asking {
        let outcome = outcome.await.unwrap();
        let times = STATIONS.map(|who| rig.handled(who, &payload));
        assert!(
            times.is_sorted_by(|a, b| a >= b),
            "seed {seed}: {times:?} in order"
        );
        assert!(times[0] <= 1, "seed {seed}: {times:?} once each");
        match outcome.status {
            Status::Reply => {
                assert_eq!(times, [1, 1, 1], "seed {seed}");
                replies += 1;
            }
            Status::None(NoReply::Interrupted | NoReply::Timeout) => {}
            other => assert_eq!(times[2], 0, "seed {seed}: {other:?} {}", outcome.reason()),
        }
    }
    assert_eq!(rig.cluster.planes[2].router.open(), 0, "seed {seed}");
    replies
}

/// A30, I5: whatever comes and goes, each request ends once; each station handles it once at most, and only after those
/// before it let it through.
#[tokio::test(start_paused = true)]
async fn under_trouble_each_request_ends_once_and_is_served_once_at_most() {
    let mut replies = 0;
    for seed in 1..=30 {
        replies += trouble(seed).await;
    }
    let all = 30 * usize::try_from(REQUESTS).unwrap();
    assert!(
        replies > all / 2,
        "most are served all the same: {replies} of {all}"
    );
}
