//! Founding: three nodes with empty directories become a cluster that answers; killed with data, they become one again.
//! What does not live here: strikes at a cluster that runs (`trial`).

use std::time::Duration;

use futures::future::join_all;
use squall_client::{AttachOptions, Client, ConnectOptions, Declaration, RequestOptions};
use squall_kernel::id::ExchangeName;
use squall_kernel::registry::Strategy;
use tokio::time::{Instant, sleep};

use super::class::{Class, Shape, Turn};
use super::ledger::{Echo, Ledger};
use super::phases::{Account, Phases};
use super::report::{Trial, millis};
use super::strike::Hand;
use super::{FailoverOptions, NODES, read_cookie, sight, supervised};
use crate::bench::{BenchError, Histogram, temporary};
use crate::layout::Place;
use crate::load::Outcomes;
use crate::supervisor::{Deed, Supervisor};

/// The exchange that is asked.
const EXCHANGE: &str = "first";
/// Exchanges beside it: the data.
const OTHERS: usize = 50;
const WITHIN: Duration = Duration::from_secs(60);
/// An attempt that is not answered by then is made again.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(2);

/// Founds a cluster, kills it and starts it again: one trial of each.
pub(super) async fn run(options: &FailoverOptions, turn: Turn) -> Result<[Trial; 2], BenchError> {
    let dir = temporary()?;
    let begun = Instant::now();
    let supervisor = Supervisor::start(supervised(options, dir.path(), false)?).await?;
    let outcome = both(&supervisor, dir.path(), turn, begun).await;
    supervisor.end().await;
    outcome
}

async fn both(
    supervisor: &Supervisor,
    dir: &std::path::Path,
    turn: Turn,
    begun: Instant,
) -> Result<[Trial; 2], BenchError> {
    let cookie = read_cookie(dir).await?;
    let places = supervisor.places();
    let founding = Shape::Founding;
    let first = answers(
        places,
        &cookie,
        begun,
        Turn {
            shape: founding,
            ..turn
        },
    )
    .await?;
    data(places, &cookie).await?;
    // Nobody's links are struck here.
    let hand = Hand {
        supervisor,
        places,
        key: None,
    };
    all(&hand, Deed::Kill { stay_down: true }).await?;
    let begun = Instant::now();
    all(&hand, Deed::Restart).await?;
    let restart = Shape::Restart;
    let again = answers(
        places,
        &cookie,
        begun,
        Turn {
            shape: restart,
            ..turn
        },
    )
    .await?;
    Ok([first, again])
}

async fn all(hand: &Hand<'_>, deed: Deed) -> Result<(), BenchError> {
    let acts = hand.places.iter().map(|place| hand.act(place, deed));
    join_all(acts).await.into_iter().collect()
}

/// Takes the time until the first good reply, and until every node sees all.
async fn answers(places: &[Place], cookie: &[u8], begun: Instant, turn: Turn) -> Result<Trial, BenchError> {
    let replied = async {
        let replied = tokio::time::timeout(WITHIN, reply(places, cookie)).await;
        let attempts = replied.map_err(|_| BenchError::Late {
            what: "a good reply from a new cluster".into(),
            seconds: WITHIN.as_secs(),
        })?;
        Ok::<_, BenchError>((begun.elapsed(), attempts?))
    };
    let whole = async {
        sight::whole(places, None).await?;
        Ok::<_, BenchError>(begun.elapsed())
    };
    let ((replied, outcomes), whole) = tokio::try_join!(replied, whole)?;
    let leader = sight::whole(places, None).await?.leader;
    let phases = Phases {
        reply_ms: Some(millis(replied)),
        elect_ms: Some(millis(whole)),
        ..Phases::default()
    };
    let account = Account {
        phases,
        ..Account::default()
    };
    Ok(Trial::of_start(
        turn,
        leader,
        &account,
        (replied, whole),
        outcomes,
    ))
}

/// Connects, declares, attaches and asks until there is a reply; failed attempts are counted and made again.
async fn reply(places: &[Place], cookie: &[u8]) -> Result<Outcomes, BenchError> {
    let client = connect(places, cookie).await?;
    // Before there is a cluster nothing can be declared; the time that passes is what is measured.
    while declare(&client, EXCHANGE).await.is_err() {
        sleep(AGAIN).await;
    }
    let ledger = std::sync::Arc::new(Ledger::default());
    let attach = AttachOptions {
        wait: WITHIN,
        ..AttachOptions::default()
    };
    let attachment = client.attach(EXCHANGE, attach, Echo::new(&ledger)).await?;
    let mut outcomes = Outcomes::default();
    loop {
        outcomes.sent += 1;
        let options = RequestOptions {
            timeout: ATTEMPT,
            ..RequestOptions::default()
        };
        let outcome = client.request(EXCHANGE, "first", options).await;
        super::open::count(&mut outcomes, &outcome);
        if outcome.is_ok() {
            break;
        }
        sleep(AGAIN).await;
    }
    // Leaving is no part of what is measured, but a client that does not leave keeps trying for its handler.
    tokio::spawn(async move {
        attachment.detach().await;
        client.close().await;
    });
    Ok(outcomes)
}

async fn data(places: &[Place], cookie: &[u8]) -> Result<(), BenchError> {
    let client = connect(places, cookie).await?;
    for number in 0..OTHERS {
        declare(&client, &format!("other-{number}")).await?;
    }
    client.close().await;
    Ok(())
}

async fn declare(client: &Client, exchange: &str) -> Result<(), BenchError> {
    let name = ExchangeName::new(exchange).expect("a word and a number are a name");
    let declaration = Declaration::new(name, Strategy::RoundRobin);
    client.declare(declaration, WITHIN).await?;
    Ok(())
}

async fn connect(places: &[Place], cookie: &[u8]) -> Result<Client, BenchError> {
    let addrs: Vec<String> = places.iter().map(|place| place.mesh.to_string()).collect();
    debug_assert_eq!(addrs.len(), NODES);
    let client = Client::connect(ConnectOptions {
        cookie: Some(cookie.to_vec()),
        name: "bench".into(),
        connect_within: WITHIN,
        ..ConnectOptions::new(addrs)
    });
    Ok(client.await?)
}

impl Trial {
    /// A cluster that came to be: the gap is the time until it answered.
    fn of_start(
        turn: Turn,
        leader: String,
        account: &Account,
        (replied, whole): (Duration, Duration),
        outcomes: Outcomes,
    ) -> Self {
        Self {
            number: turn.number,
            class: Class::G5,
            shape: turn.shape,
            node: String::new(),
            owner: String::new(),
            leader,
            failed_over: true,
            gap_ms: millis(replied),
            slowest_ms: 0.0,
            latency: None,
            took: Histogram::default(),
            cpu_us: None,
            return_gap_ms: 0.0,
            healed_ms: millis(whole),
            phases: account.phases,
            moves: 0,
            elections: 0,
            half_rate_ms: None,
            rate_kept_percent: None,
            lost: 0,
            doubled: 0,
            stale: 0,
            outcomes,
            beside: None,
            inside: None,
            events: Vec::new(),
        }
    }
}
