//! The demo's load: what one client process does. It attaches handlers, sends requests at a steady rate whatever the
//! answers do (open loop, bounded in flight), and prints its counts as one JSON line a second. It ends with its stdin.
//!
//! What does not live here: starting such processes and adding up their lines (`pool`).

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use squall_client::{
    Answer, AttachError, AttachOptions, Attachment, Client, ConnectError, ConnectOptions, Delivery, Handler,
    RequestOptions,
};
use squall_kernel::id::ExchangeName;
use tokio::io::{AsyncReadExt, stdin};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};

mod counts;
pub(crate) mod open_loop;
mod pool;

pub use counts::{Counts, Outcomes, Totals};
pub use pool::{Pool, PoolOptions};

use counts::Counters;

/// Requests one process has open for one exchange: a second of the demo's rate. Beyond it they are held back, and
/// counted as such.
const IN_FLIGHT_MAX: usize = 256;
/// Requests are sent in small groups, this often: the finest step that costs next to nothing.
const PACE: Duration = Duration::from_millis(10);
/// A request that takes longer has failed for whoever waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two lines of counts.
const REPORT: Duration = Duration::from_secs(1);
/// A handler waits this long for its exchange to be available again: a demo outlives any failure one provokes in it.
const ATTACH_WAIT: Duration = Duration::from_secs(3600);

/// Some of an exchange: `users=5`, five handlers or five requests a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Exchange.
    pub exchange: ExchangeName,
    /// How many.
    pub count: u32,
}

/// The text is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected EXCHANGE=NUMBER, for example users=5")]
pub struct NotAShare;

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let (name, count) = text.split_once('=').ok_or(NotAShare)?;
        let exchange = ExchangeName::new(name).map_err(|_| NotAShare)?;
        Ok(Self {
            exchange,
            count: count.parse().map_err(|_| NotAShare)?,
        })
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.exchange, self.count)
    }
}

/// What a load process does.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Addresses of nodes (mesh), in order of preference.
    pub connect: Vec<String>,
    /// The cluster's cookie.
    pub cookie: Option<Vec<u8>>,
    /// Handlers to attach.
    pub handlers: Vec<Share>,
    /// Requests a second to send.
    pub requests: Vec<Share>,
}

/// Why a load process ended before its stdin did.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A handler could not be attached.
    #[error("handler on {exchange}: {source}")]
    Attach {
        /// Exchange.
        exchange: ExchangeName,
        /// Why.
        source: AttachError,
    },
    /// Nobody reads the counts.
    #[error("counts cannot be written: {0}")]
    Write(#[from] io::Error),
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

/// Puts load on a cluster until stdin ends.
///
/// # Errors
/// [`LoadError`].
pub async fn run(options: LoadOptions) -> Result<(), LoadError> {
    let connect = ConnectOptions {
        cookie: options.cookie.clone(),
        name: "demo".into(),
        connect_within: Duration::from_secs(30),
        ..ConnectOptions::new(options.connect.clone())
    };
    let work = async {
        let client = Client::connect(connect).await?;
        let attachments = attach_all(&client, &options.handlers).await?;
        let requests: Vec<Arc<Counters>> = options
            .requests
            .iter()
            .map(|share| request_at(&client, share))
            .collect();
        report(&attachments, &requests).await
    };
    tokio::select! {
        biased;
        () = stdin_ended() => Ok(()),
        outcome = work => outcome,
    }
}

async fn attach_all(client: &Client, shares: &[Share]) -> Result<Vec<Attachment>, LoadError> {
    let mut attachments = Vec::new();
    for share in shares {
        for _ in 0..share.count {
            let options = AttachOptions {
                wait: ATTACH_WAIT,
                ..AttachOptions::default()
            };
            let attached = client.attach(share.exchange.as_str(), options, Echo).await;
            let failed = |source| LoadError::Attach {
                exchange: share.exchange.clone(),
                source,
            };
            attachments.push(attached.map_err(failed)?);
        }
    }
    Ok(attachments)
}

/// Starts the requests of one exchange; they go on until the process ends.
fn request_at(client: &Client, share: &Share) -> Arc<Counters> {
    let counters = Arc::new(Counters::new(share.exchange.clone()));
    tokio::spawn(pace(client.clone(), share.clone(), Arc::clone(&counters)));
    counters
}

async fn pace(client: Client, share: Share, counters: Arc<Counters>) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut ticks = interval(PACE);
    // After a stall the load goes on at its rate; it does not make up for what was not asked.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut owed = 0.0;
    let mut last = Instant::now();
    loop {
        let now = ticks.tick().await;
        owed += f64::from(share.count) * now.duration_since(last).min(10 * PACE).as_secs_f64();
        last = now;
        while owed >= 1.0 {
            owed -= 1.0;
            match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => {
                    let (client, counters) = (client.clone(), Arc::clone(&counters));
                    tokio::spawn(async move {
                        ask(&client, &counters).await;
                        drop(slot);
                    });
                }
                Err(_) => counters.held_back(),
            }
        }
    }
}

async fn ask(client: &Client, counters: &Counters) {
    let options = RequestOptions {
        timeout: REQUEST_TIMEOUT,
        ..RequestOptions::default()
    };
    let number = counters.sent();
    let outcome = client
        .request(counters.exchange().as_str(), format!("request {number}"), options)
        .await;
    counters.ended(outcome.as_ref().err());
}

async fn report(attachments: &[Attachment], requests: &[Arc<Counters>]) -> Result<(), LoadError> {
    let mut ticks = interval(REPORT);
    loop {
        ticks.tick().await;
        let handled = attachments
            .iter()
            .map(|attachment| attachment.counts().replied)
            .sum();
        let counts = Counts {
            handled,
            exchanges: requests.iter().map(|counters| counters.read()).collect(),
        };
        let line = serde_json::to_string(&counts).expect("counts are plain data");
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
    }
}

async fn stdin_ended() {
    let mut input = stdin();
    let mut ignored = [0; 256];
    while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_an_exchange_and_a_number() {
        let share: Share = "users=5".parse().unwrap();
        assert_eq!(
            (share.exchange.as_str(), share.count, share.to_string().as_str()),
            ("users", 5, "users=5")
        );
        for text in ["users", "users=", "users=-1", "=5", "a b=5"] {
            assert_eq!(text.parse::<Share>(), Err(NotAShare), "{text:?}");
        }
    }
}
