//! The work of a run: to each exchange a request at every intended moment, whatever became of those before, from every node in
//! turn. What does not live here: what comes of it (`meter`, `ledger`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use squall_client::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::clients::{Clients, ask};
use super::meter::Meter;
use crate::scenario::{ExchangePlan, Scenario};

/// Requests of one exchange that are open at a time.
const IN_FLIGHT_MAX: usize = 4096;
/// A request that takes longer has failed for whoever waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The work, until it is ended.
pub(super) struct Work {
    pub(super) meters: Vec<Arc<Meter>>,
    pacers: Vec<(JoinHandle<()>, Arc<Semaphore>)>,
}

impl Work {
    /// Begins; times are counted from `zero`.
    pub(super) fn start(clients: &Clients, scenario: &Scenario, zero: Instant) -> Self {
        let (mut meters, mut pacers) = (Vec::new(), Vec::new());
        for plan in &scenario.exchanges {
            let meter = Arc::new(Meter::new(plan.name.as_str(), scenario.lasts));
            let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
            let asker = Arc::new(Asker {
                clients: clients.requesters.clone(),
                plan: plan.clone(),
                meter: Arc::clone(&meter),
                numbered: AtomicU64::new(0),
                zero,
            });
            let pacer = tokio::spawn(pace(asker, Arc::clone(&slots)));
            meters.push(meter);
            pacers.push((pacer, slots));
        }
        Self { meters, pacers }
    }

    /// Asks no more, and waits until those under way have ended.
    pub(super) async fn end(&mut self) {
        for (pacer, _) in &self.pacers {
            pacer.abort();
        }
        let all = u32::try_from(IN_FLIGHT_MAX).expect("a small number");
        for (_, slots) in self.pacers.drain(..) {
            // Every request ends by its own timeout, a little later at most; one that does not is missing in the sum.
            drop(timeout(2 * REQUEST_TIMEOUT, slots.acquire_many(all)).await);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        for (pacer, _) in &self.pacers {
            pacer.abort();
        }
    }
}

struct Asker {
    clients: Vec<Client>,
    plan: ExchangePlan,
    meter: Arc<Meter>,
    numbered: AtomicU64,
    zero: Instant,
}

async fn pace(asker: Arc<Asker>, slots: Arc<Semaphore>) {
    let mut moments = interval(Duration::from_secs(1) / asker.plan.rate.max(1));
    // A late loop makes up for it: the moments stay those intended.
    moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let intended = moments.tick().await;
        asker.meter.sent(intended - asker.zero);
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => {
                let asker = Arc::clone(&asker);
                tokio::spawn(async move {
                    asker.ask(intended).await;
                    drop(slot);
                });
            }
            Err(_) => asker.meter.held_back(intended - asker.zero),
        }
    }
}

impl Asker {
    async fn ask(&self, intended: Instant) {
        let number = self.numbered.fetch_add(1, Relaxed);
        let count = self.clients.len() as u64;
        let client = &self.clients[usize::try_from(number % count).expect("fewer than nodes")];
        let outcome = ask(client, &self.plan, number, REQUEST_TIMEOUT).await;
        let ended = Instant::now();
        let good = outcome.as_ref().map(|asked| asked.right);
        self.meter.ended(ended - self.zero, ended - intended, good);
    }
}
