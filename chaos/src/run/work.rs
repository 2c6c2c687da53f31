//! The work of a run: to each exchange a request at every intended moment, whatever became of those before, from every node in
//! turn. What does not live here: what comes of it (`meter`, `ledger`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use squall_client::Client;
use tokio::time::Instant;

use super::clients::{Clients, ask};
use super::meter::Meter;
use crate::load::open_loop::{ASKED_WITHIN, Asks, ENDED_WITHIN, OpenLoop};
use crate::scenario::{ExchangePlan, Scenario};

/// The work, until it is ended.
pub(super) struct Work {
    pub(super) meters: Vec<Arc<Meter>>,
    loops: Vec<OpenLoop>,
}

impl Work {
    /// Begins; times are counted from `zero`.
    pub(super) fn start(clients: &Clients, scenario: &Scenario, zero: Instant) -> Self {
        let (mut meters, mut loops) = (Vec::new(), Vec::new());
        for plan in &scenario.exchanges {
            let meter = Arc::new(Meter::new(plan.name.as_str(), scenario.lasts));
            let asker = Arc::new(Asker {
                clients: clients.requesters.clone(),
                plan: plan.clone(),
                meter: Arc::clone(&meter),
                numbered: AtomicU64::new(0),
                zero,
            });
            meters.push(meter);
            loops.push(OpenLoop::start(asker, plan.rate));
        }
        Self { meters, loops }
    }

    /// Asks no more, and waits until those under way have ended.
    pub(super) async fn end(&mut self) {
        self.loops.iter().for_each(OpenLoop::stop);
        for open in self.loops.drain(..) {
            open.end(ENDED_WITHIN).await;
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

impl Asks for Asker {
    /// Its number.
    type Question = u64;

    fn begin(&self, intended: Instant) -> u64 {
        self.meter.sent(intended - self.zero);
        self.numbered.fetch_add(1, Relaxed)
    }

    fn hold_back(&self, intended: Instant) {
        self.meter.held_back(intended - self.zero);
    }

    async fn ask(&self, intended: Instant, number: u64) {
        let count = self.clients.len() as u64;
        let client = &self.clients[usize::try_from(number % count).expect("fewer than nodes")];
        let outcome = ask(client, &self.plan, number, ASKED_WITHIN).await;
        let ended = Instant::now();
        let good = outcome.as_ref().map(|asked| asked.right);
        self.meter.ended(ended - self.zero, ended - intended, good);
    }
}
