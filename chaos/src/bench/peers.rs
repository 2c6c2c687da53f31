//! Squall beside other programs, in one run, in closed loops or, where a peer can, in open ones: requests (`asking`), publishes to very
//! many subscribers (`fanning`), tasks (`tasking`). Whatever Squall does stands beside the peers that have something like it, and they are
//! measured in turn, round by round; ratios are those within a round. What does not live here: Squall's own part of it (`req_resp`,
//! `fanout`, `tasks`), and how each peer is run, one file a peer.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::fanout::PATTERNS_DEFAULT;
use super::req_resp::tally::Tally;
use super::req_resp::{self, IN_FLIGHT, Where};
use super::{BenchError, Load, Machine, SCHEMA};

#[cfg(not(feature = "peers"))]
pub(super) mod absent;
mod asking;
pub(super) mod chain;
mod erlang;
mod fanning;
pub(super) mod keep;
#[cfg(feature = "peers")]
pub(super) mod nats;
#[cfg(any(feature = "peers", test))]
mod nats_counts;
#[cfg(feature = "peers")]
pub(super) mod nats_fan;
#[cfg(feature = "peers")]
pub(super) mod rabbitmq;
#[cfg(feature = "peers")]
mod rabbitmq_tasks;
mod report;
mod servers;
mod standing;
mod tasking;

#[cfg(not(feature = "peers"))]
pub(super) use {absent as nats, absent as nats_fan, absent as rabbitmq, absent as rabbitmq_tasks};

use asking::Asking;
use fanning::Fan;
pub use report::{Against, Row, heading};
use tasking::Tasking;

/// What to do about a build without the clients.
const NOT_BUILT: &str = "this program was built without the clients of NATS and RabbitMQ: build it with \
                         cargo build --release --features peers";

/// Why a peer is left out where loops are open.
const NO_OPEN_LOOP: &str = "it is measured in closed loops alone";

/// A program that does the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Processes of one Erlang node.
    Erlang,
    /// Requester, exchange and handlers in three Erlang nodes.
    ErlangThree,
    /// A NATS server with a queue group; requester and responders in processes of their own.
    Nats,
    /// The same with a cluster of three, requester and responders at different servers.
    NatsThree,
    /// A NATS cluster of five, with subscribers at each and publishers at one.
    NatsFive,
    /// The same, the subscribers with patterns that have wildcards.
    NatsWildcards,
    /// A RabbitMQ server with direct reply-to; requester and responders in processes of their own.
    Rabbitmq,
    /// A RabbitMQ server with a queue of tasks: confirms for the one who submits, acknowledgements from workers.
    RabbitmqTasks,
    /// No broker but the limit: bare TCP over three processes.
    Chain,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Erlang,
        Self::ErlangThree,
        Self::Nats,
        Self::NatsThree,
        Self::NatsFive,
        Self::NatsWildcards,
        Self::Rabbitmq,
        Self::RabbitmqTasks,
        Self::Chain,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erlang => "erlang",
            Self::ErlangThree => "erlang_three",
            Self::Nats => "nats",
            Self::NatsThree => "nats_three",
            Self::NatsFive => "nats_five",
            Self::NatsWildcards => "nats_wildcards",
            Self::Rabbitmq => "rabbitmq",
            Self::RabbitmqTasks => "rabbitmq_tasks",
            Self::Chain => "chain",
        }
    }

    /// What of Squall it is compared with.
    #[must_use]
    pub const fn beside(self) -> Setting {
        match self {
            Self::Erlang => Setting::Requests(Where::Local),
            Self::Nats => Setting::Requests(Where::Clients),
            Self::ErlangThree | Self::NatsThree | Self::Chain => Setting::Requests(Where::ThreeNodes),
            Self::Rabbitmq => Setting::Requests(Where::Grpc),
            Self::NatsFive => Setting::Fanout,
            Self::NatsWildcards => Setting::Wildcards,
            Self::RabbitmqTasks => Setting::Tasks,
        }
    }

    /// It can be asked in an open loop: its client is one of Rust, whose requests or tasks this program paces.
    #[must_use]
    pub const fn has_open_loop(self) -> bool {
        matches!(
            self,
            Self::Nats | Self::NatsThree | Self::Rabbitmq | Self::RabbitmqTasks
        )
    }

    /// Rate of Squall to its rate, with so many requests in flight, or publishers: no less than this; none where nothing was set.
    #[must_use]
    pub const fn goal(self, load: Load) -> Option<f64> {
        let Load::Closed(in_flight) = load else {
            return None;
        };
        match (self, in_flight) {
            (Self::Erlang, 1) => Some(1.25),
            (Self::Erlang, 100) => Some(1.5),
            (Self::Nats, 1000) => Some(2.0),
            (Self::Chain, 1) => Some(0.9),
            (Self::ErlangThree, 1) | (Self::Rabbitmq, _) => Some(1.0),
            (Self::NatsThree, 100 | 1000) => Some(4.0),
            (Self::NatsFive, _) => Some(5.0),
            (Self::ErlangThree, 100 | 1000) => Some(6.0),
            _ => None,
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Requests and replies, in that arrangement of Squall. Rates are requests per second.
    Requests(Where),
    /// Publishes to very many subscribers on five nodes. Rates are deliveries per second, latencies from a publish to its last
    /// delivery, at the peer to the word of that which has come back to the publisher, and what is in flight is publishes: one of each
    /// publisher.
    Fanout,
    /// The same, each publish for some of the subscribers, who want it by patterns with wildcards.
    Wildcards,
    /// Tasks, from a submit to the settlement, one copy of each kept.
    Tasks,
}

impl Setting {
    /// All of them, in the order in which they are measured.
    const ALL: [Self; 8] = [
        Self::Requests(Where::Local),
        Self::Requests(Where::Remote),
        Self::Requests(Where::ThreeNodes),
        Self::Requests(Where::Clients),
        Self::Requests(Where::Grpc),
        Self::Fanout,
        Self::Wildcards,
        Self::Tasks,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests(place) => place.as_str(),
            Self::Fanout => "fanout",
            Self::Wildcards => "wildcards",
            Self::Tasks => "tasks",
        }
    }

    /// What is counted by load.
    const fn things(self) -> &'static str {
        match self {
            Self::Requests(_) => "requests",
            Self::Fanout | Self::Wildcards => "publishes",
            Self::Tasks => "tasks",
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct PeersOptions {
    /// The squall program.
    pub program: PathBuf,
    /// Peers; what of Squall none of them is compared with is not measured.
    pub peers: Vec<Peer>,
    /// Loads of requests and tasks, in this order, all closed or all open. With open ones the peers that have no open loop are missing.
    pub loads: Vec<Load>,
    /// Subscribers of the fan-out over five nodes, at least as many.
    pub subscribers: usize,
    /// Different patterns of the subscribers with wildcards.
    pub patterns: usize,
    /// Publishers of the fan-out at the same time, in this order.
    pub publishers: Vec<usize>,
    /// How often each is measured.
    pub rounds: usize,
    /// How long each measurement takes, after a fifth of that as a warm-up.
    pub measured: Duration,
}

impl PeersOptions {
    /// Every peer and load, five rounds of two seconds.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            peers: Peer::ALL.to_vec(),
            loads: IN_FLIGHT.map(Load::Closed).to_vec(),
            subscribers: 50_000,
            patterns: PATTERNS_DEFAULT,
            publishers: fanning::PUBLISHERS.to_vec(),
            rounds: 5,
            measured: Duration::from_secs(2),
        }
    }

    fn is_open(&self) -> bool {
        self.loads.iter().any(|load| matches!(load, Load::Open(_)))
    }
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is compared.
    pub place: Setting,
    /// The load: what is in flight are requests, publishes or tasks.
    pub load: Load,
    /// Round, from 0.
    pub round: usize,
    /// Who was measured; none for Squall.
    pub peer: Option<Peer>,
    /// Requests answered, deliveries, or tasks settled, per second.
    pub rate: f64,
    /// Half of them took no longer, in microseconds, as all latencies.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time of all processes that took part for each request, delivery or task, in microseconds; none where the system does
    /// not tell.
    pub cpu_us: Option<f64>,
}

/// A peer that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which.
    pub peer: Peer,
    /// Why.
    pub why: String,
}

/// All that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peers {
    /// Version of this form.
    pub version: u32,
    /// What it was measured on.
    pub machine: Machine,
    /// Rounds.
    pub rounds: usize,
    /// Length of each measurement, in seconds.
    pub seconds: f64,
    /// For each setting and load a row of Squall, and one of each peer.
    pub rows: Vec<Row>,
    /// Peers that were asked for and not measured.
    pub missing: Vec<Missing>,
}

/// Measures, and tells each measurement as soon as it is there. Dropping the future ends all processes it started.
///
/// # Errors
/// [`BenchError`], also when a request was not answered exactly once. A peer that is not there or does not start is none: it is
/// [`Missing`].
pub async fn run(options: &PeersOptions, mut tell: impl FnMut(&Step)) -> Result<Peers, BenchError> {
    fanning::check(options)?;
    let machine = Machine::here();
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for setting in Setting::ALL {
        let mut there = Vec::new();
        for peer in options.peers.iter().copied() {
            if peer.beside() == setting {
                match why_not(peer, options) {
                    Some(why) => missing.push(Missing { peer, why }),
                    None => there.push(peer),
                }
            }
        }
        let Some(&first) = there.first() else { continue };
        let steps = match setting {
            Setting::Requests(place) => {
                let ready = Asking::set(options, place, there, &mut missing).await?;
                compared(ready, options, &mut tell).await?
            }
            Setting::Fanout | Setting::Wildcards => {
                let ready = Fan::set(options, first, &mut missing).await?;
                compared(ready, options, &mut tell).await?
            }
            Setting::Tasks => {
                let ready = Tasking::set(&options.program, &mut missing).await?;
                compared(ready, options, &mut tell).await?
            }
        };
        rows.extend(report::rows(&steps));
    }
    Ok(Peers {
        version: SCHEMA,
        machine,
        rounds: options.rounds,
        seconds: options.measured.as_secs_f64(),
        rows,
        missing,
    })
}

/// Why a peer is not measured, as far as that is known before it is started.
fn why_not(peer: Peer, options: &PeersOptions) -> Option<String> {
    if options.is_open() && !peer.has_open_loop() {
        return Some(NO_OPEN_LOOP.to_owned());
    }
    match peer {
        Peer::Chain => None,
        Peer::Erlang | Peer::ErlangThree => erlang::missing(),
        Peer::Nats | Peer::NatsThree | Peer::NatsFive | Peer::NatsWildcards => {
            servers::nats_server().err().or_else(not_built)
        }
        Peer::Rabbitmq | Peer::RabbitmqTasks => servers::rabbitmq_server().err().or_else(not_built),
    }
}

fn not_built() -> Option<String> {
    (!cfg!(feature = "peers")).then(|| NOT_BUILT.to_owned())
}

/// Takes note of a peer that does not start.
fn begun<T>(peer: Peer, begun: Result<T, BenchError>, missing: &mut Vec<Missing>) -> Option<T> {
    let told = begun.map_err(|error| {
        let why = format!("it does not start: {error}");
        missing.push(Missing { peer, why });
    });
    told.ok()
}

/// Squall and peers, all of which stand: measured one at a time.
trait Compared {
    /// How many peers there are.
    fn peers(&self) -> usize;

    /// What they are measured with.
    fn loads(options: &PeersOptions) -> Vec<Load>;

    /// One measurement: of a peer, or of Squall when it is none's.
    async fn measure(
        &mut self,
        who: Option<usize>,
        at: (Load, usize),
        measured: Duration,
    ) -> Result<Step, BenchError>;

    /// Ends all that stands.
    async fn end(self);
}

/// All measurements of what stands, if anything does.
async fn compared(
    ready: Option<impl Compared>,
    options: &PeersOptions,
    tell: &mut impl FnMut(&Step),
) -> Result<Vec<Step>, BenchError> {
    let Some(mut ready) = ready else {
        return Ok(Vec::new());
    };
    let steps = rounds(&mut ready, options, tell).await;
    ready.end().await;
    steps
}

async fn rounds<C: Compared>(
    ready: &mut C,
    options: &PeersOptions,
    tell: &mut impl FnMut(&Step),
) -> Result<Vec<Step>, BenchError> {
    let mut steps = Vec::new();
    for round in 0..options.rounds {
        for load in C::loads(options) {
            for who in turn(round, ready.peers()) {
                let step = ready.measure(who, (load, round), options.measured).await?;
                tell(&step);
                steps.push(step);
            }
        }
    }
    Ok(steps)
}

/// Who is measured in a round: none stands for Squall. Each round begins with the next one, so that none is always the first.
fn turn(round: usize, peers: usize) -> Vec<Option<usize>> {
    let mut all: Vec<Option<usize>> = std::iter::once(None).chain((0..peers).map(Some)).collect();
    let first = round % all.len();
    all.rotate_left(first);
    all
}

/// Something was not as it must be.
fn wrong(place: Setting, load: Load, peer: Option<Peer>, what: &str) -> BenchError {
    let who = peer.map_or("squall", Peer::as_str);
    BenchError::Unsound(format!("{who} ({}), {}: {what}", place.as_str(), load.words()))
}

fn step(
    place: Setting,
    (load, round): (Load, usize),
    peer: Option<Peer>,
    tally: &Tally,
    measured: Duration,
) -> Result<Step, BenchError> {
    let figures = req_resp::figures(tally, measured, place.things());
    let figures = figures.map_err(|what| wrong(place, load, peer, &what))?;
    Ok(Step {
        place,
        load,
        round,
        peer,
        rate: figures.rate,
        p50_us: figures.p50_us,
        p99_us: figures.p99_us,
        p999_us: figures.p999_us,
        cpu_us: None,
    })
}

#[cfg(test)]
#[path = "peers/peers_test.rs"]
mod tests;
