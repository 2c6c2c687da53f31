//! Squall beside other programs, in one run: requester → exchange or queue → one of five handlers → requester, with four bytes of
//! payload, in closed loops or, where a peer can, in open ones. Each arrangement of Squall stands beside the peers that have something like it, and they are measured in
//! turn, round by round; ratios are those within a round. What does not live here: Squall's own arrangements (`req_resp`), and how
//! each peer is run, one file a peer. Fan-out stands beside that: there a row is of deliveries (`fanning`).

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::req_resp::place::Place;
use super::req_resp::tally::Tally;
use super::req_resp::{self, IN_FLIGHT, ReqRespOptions, Where};
use super::{BenchError, Load, Machine, SCHEMA, processor};

#[cfg(not(feature = "peers"))]
pub(super) mod absent;
pub(super) mod chain;
mod erlang;
mod fanning;
pub(super) mod keep;
#[cfg(feature = "peers")]
pub(super) mod nats;
#[cfg(feature = "peers")]
pub(super) mod nats_fan;
#[cfg(feature = "peers")]
pub(super) mod rabbitmq;
mod report;
mod servers;
mod standing;

#[cfg(not(feature = "peers"))]
pub(super) use {absent as nats, absent as nats_fan, absent as rabbitmq};

use fanning::Fan;
pub use report::{Against, Row, heading};
use standing::Standing;

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
    /// A RabbitMQ server with direct reply-to; requester and responders in processes of their own.
    Rabbitmq,
    /// No broker but the limit: bare TCP over three processes.
    Chain,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Erlang,
        Self::ErlangThree,
        Self::Nats,
        Self::NatsThree,
        Self::NatsFive,
        Self::Rabbitmq,
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
            Self::Rabbitmq => "rabbitmq",
            Self::Chain => "chain",
        }
    }

    /// The arrangement of Squall that it is compared with.
    #[must_use]
    pub const fn beside(self) -> Setting {
        match self {
            Self::Erlang => Setting::Requests(Where::Local),
            Self::Nats => Setting::Requests(Where::Clients),
            Self::ErlangThree | Self::NatsThree | Self::Chain => Setting::Requests(Where::ThreeNodes),
            Self::Rabbitmq => Setting::Requests(Where::Grpc),
            Self::NatsFive => Setting::Fanout,
        }
    }

    /// It can be asked in an open loop: its client is one of Rust, whose requests this program paces.
    #[must_use]
    pub const fn has_open_loop(self) -> bool {
        matches!(self, Self::Nats | Self::NatsThree | Self::Rabbitmq)
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
    /// delivery, and what is in flight is publishes: one of each publisher.
    Fanout,
}

impl Setting {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests(place) => place.as_str(),
            Self::Fanout => "fanout",
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
    /// Peers; arrangements of Squall that none of them is compared with are not measured.
    pub peers: Vec<Peer>,
    /// Loads of requests, in this order, all closed or all open. With open ones the peers that have no open loop are missing.
    pub loads: Vec<Load>,
    /// Subscribers of the fan-out, at least one for each of five nodes.
    pub subscribers: usize,
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
    /// The load: what is in flight are requests, or publishers.
    pub load: Load,
    /// Round, from 0.
    pub round: usize,
    /// Who was measured; none for Squall.
    pub peer: Option<Peer>,
    /// Requests answered, or deliveries, per second.
    pub rate: f64,
    /// Half of them took no longer, in microseconds, as all latencies.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time of all processes that took part for each request or delivery, in microseconds; none where the system does not
    /// tell.
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
    /// For each arrangement and load a row of Squall, and one of each peer.
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
    let machine = Machine::here();
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for place in Where::ALL {
        let peers = options
            .peers
            .iter()
            .copied()
            .filter(|peer| peer.beside() == Setting::Requests(place));
        let Some(mut stage) = Stage::set(options, place, peers.collect(), &mut missing).await? else {
            continue;
        };
        let mut steps = Vec::new();
        let measured = stage.rounds(options, |step| {
            tell(&step);
            steps.push(step);
        });
        let measured = measured.await;
        stage.end().await;
        measured?;
        rows.extend(report::rows(&steps));
    }
    if options.peers.contains(&Peer::NatsFive) && options.is_open() {
        missing.push(Missing {
            peer: Peer::NatsFive,
            why: NO_OPEN_LOOP.into(),
        });
    } else if options.peers.contains(&Peer::NatsFive)
        && let Some(mut fan) = Fan::set(options, &mut missing).await?
    {
        let mut steps = Vec::new();
        let measured = fan.rounds(options, |step| {
            tell(&step);
            steps.push(step);
        });
        let measured = measured.await;
        fan.end().await;
        measured?;
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

/// An arrangement of Squall and its peers, all of which stand: measured one at a time.
struct Stage {
    squall: Place,
    peers: Vec<(Peer, Standing)>,
}

impl Stage {
    /// None when there is no peer to compare with.
    async fn set(
        options: &PeersOptions,
        place: Where,
        wanted: Vec<Peer>,
        missing: &mut Vec<Missing>,
    ) -> Result<Option<Self>, BenchError> {
        let mut peers = Vec::new();
        for peer in wanted {
            if options.is_open() && !peer.has_open_loop() {
                let why = NO_OPEN_LOOP.to_owned();
                missing.push(Missing { peer, why });
                continue;
            }
            match Standing::begin(peer, &options.program).await {
                Ok(standing) => peers.push((peer, standing)),
                Err(why) => missing.push(Missing { peer, why }),
            }
        }
        if peers.is_empty() {
            return Ok(None);
        }
        let squall = ReqRespOptions::new(options.program.clone(), options.measured);
        let squall = Place::begin(place, &squall).await?;
        Ok(Some(Self { squall, peers }))
    }

    async fn rounds(&mut self, options: &PeersOptions, mut tell: impl FnMut(Step)) -> Result<(), BenchError> {
        for round in 0..options.rounds {
            for &load in &options.loads {
                for who in turn(round, self.peers.len()) {
                    let step = self.measure(who, load, round, options.measured).await?;
                    tell(step);
                }
            }
        }
        Ok(())
    }

    async fn measure(
        &mut self,
        who: Option<usize>,
        load: Load,
        round: usize,
        measured: Duration,
    ) -> Result<Step, BenchError> {
        let times = (measured / 5, measured);
        let (peer, before, tally, after) = if let Some(at) = who {
            let (peer, standing) = &mut self.peers[at];
            let before = standing.processor();
            let tally = standing.ask(load, times).await?;
            (Some(*peer), before, tally, standing.processor())
        } else {
            let before = self.squall.processor();
            let tally = self.squall.ask(load, times).await?;
            (None, before, tally, self.squall.processor())
        };
        let cpu_us = processor::each_us(before, after, tally.asked);
        let place = Setting::Requests(self.squall.at());
        let step = step(place, (load, round), peer, &tally, measured)?;
        Ok(Step { cpu_us, ..step })
    }

    async fn end(self) {
        self.squall.end().await;
        for (_, standing) in self.peers {
            standing.end().await;
        }
    }
}

/// Who is measured in a round: none stands for Squall. Each round begins with the next one, so that none is always the first.
fn turn(round: usize, peers: usize) -> Vec<Option<usize>> {
    let mut all: Vec<Option<usize>> = std::iter::once(None).chain((0..peers).map(Some)).collect();
    let first = round % all.len();
    all.rotate_left(first);
    all
}

fn step(
    place: Setting,
    (load, round): (Load, usize),
    peer: Option<Peer>,
    tally: &Tally,
    measured: Duration,
) -> Result<Step, BenchError> {
    let figures = req_resp::figures(tally, measured).map_err(|what| {
        let who = peer.map_or("squall", Peer::as_str);
        BenchError::Unsound(format!("{who} ({}), {}: {what}", place.as_str(), load.words()))
    })?;
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
