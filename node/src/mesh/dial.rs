//! The sending end of links: one task for each lane of each peer dials, has written what is queued, reads
//! acknowledgements, and dials again. What does not live here: the queue (`lane`), writing (`writer`), the handshake
//! (`greet`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use squall_kernel::frame::Kind;
use squall_kernel::handshake::{CONTROL_LANE, Purpose};
use squall_kernel::id::NodeId;
use squall_kernel::registry::Introduction;
use squall_kernel::spread::mix;
use tokio::net::tcp::ReadHalf;
use tokio::sync::watch;
use tokio::time::Instant as Time;

use super::greet::{Answered, GreetError, dial};
use super::lane::Lane;
use super::peers::{LinkState, Peer};
use super::stream::FrameReader;
use super::writer::Writer;
use super::{MeshEvent, Shared};
use crate::faults::Draw;

/// Starts the tasks that keep a peer linked: control on its own runtime.
pub(super) fn keep_linked(shared: &Arc<Shared>, peer: &Arc<Peer>) {
    for lane in &peer.lanes {
        let runtime = if lane.number == CONTROL_LANE {
            &shared.control
        } else {
            &shared.data
        };
        let link = Link {
            reached: None,
            draw: Draw::new(shared.seed() ^ mix(peer.introduction.load().id.0 ^ u64::from(lane.number))),
            shared: Arc::clone(shared),
            peer: Arc::clone(peer),
            number: lane.number,
        };
        runtime.spawn(link.run());
    }
}

struct Link {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    number: u8,
    draw: Draw,
    /// The run that was linked last, when it was reached at the address it calls its own.
    reached: Option<Introduction>,
}

/// What the wait between two connections knows.
struct Outage {
    /// When the frames waiting are given up; none when they were.
    give_up: Option<Time>,
    since: Time,
    backoff: Duration,
}

impl Link {
    async fn run(mut self) {
        let (mut gone, mut stop) = (self.peer.gone.subscribe(), self.shared.stop.subscribe());
        tokio::select! {
            _ = gone.wait_for(|gone| *gone) => {}
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let times = self.shared.times;
        let mut outage = Outage {
            give_up: None,
            since: Time::now(),
            backoff: times.backoff_first,
        };
        loop {
            let (answered, anew) = self.until_connected(&mut outage).await;
            let why = self.carry(answered, anew).await;
            self.lane().broken(&why);
            self.tell(MeshEvent::Broken {
                node: Introduction::clone(&self.peer.introduction.load()),
                lane: self.number,
                why,
            })
            .await;
            let now = Time::now();
            outage = Outage {
                give_up: Some(now + times.grace),
                since: now,
                backoff: times.backoff_first,
            };
            self.pause(&mut outage).await;
        }
    }

    async fn until_connected(&mut self, outage: &mut Outage) -> (Answered, watch::Receiver<u64>) {
        loop {
            // From before the greeting on: what it said may be out of date when it ends.
            let anew = self.lane().anew.subscribe();
            match self.attempt(outage).await {
                Ok(answered) => return (answered, anew),
                Err(error) => {
                    self.proved_by(&error).await;
                    self.failed(&error, outage).await;
                }
            }
            self.forget_if_lost(outage);
            self.pause(outage).await;
        }
    }

    /// One dial, held back by a fault as its bytes would be. Gives the frames up meanwhile when their time is over.
    async fn attempt(&mut self, outage: &mut Outage) -> Result<Answered, GreetError> {
        let to = Arc::clone(&self.peer.introduction.load());
        let (shared, purpose) = (Arc::clone(&self.shared), Purpose::Link { lane: self.number });
        let mut draw = self.draw.clone();
        let attempt = async {
            shared.faults.pass(&to.name, &mut draw).await;
            dial(&shared, &to.mesh_addr, purpose, Some(to.id)).await
        };
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                result = &mut attempt => return result,
                () = sleep_until(outage.give_up) => self.give_up(outage),
            }
        }
    }

    /// Nobody listens any more where a run listened that was linked from here: the end of it, where that is trusted.
    async fn proved_by(&self, error: &GreetError) {
        let asked = self.shared.trust_refused && self.number == CONTROL_LANE;
        let (true, Some(run), GreetError::Connect { addr, source }) = (asked, &self.reached, error) else {
            return;
        };
        let latest = self.peer.introduction.load().incarnation == run.incarnation;
        let proved = source.kind() == io::ErrorKind::ConnectionRefused
            && *addr == run.mesh_addr
            && latest
            && self.peer.registered.load(Relaxed)
            && !self.peer.is_live();
        if proved {
            let why = format!("{addr} refuses connections");
            self.shared.watches.died(run, &why).await;
        }
    }

    async fn failed(&mut self, error: &GreetError, outage: &mut Outage) {
        let why = error.to_string();
        if let GreetError::Other(other) = error {
            self.shared.meet(other);
        }
        let GreetError::Refused { refusal, detail, by } = error else {
            self.lane().show(LinkState::Down, Some(&why));
            return;
        };
        outage.backoff = self.shared.times.backoff_cap;
        let known = self.lane().shown() == LinkState::Refused
            && self
                .lane()
                .why
                .load()
                .as_deref()
                .is_some_and(|before| *before == why);
        self.lane().show(LinkState::Refused, Some(&why));
        if self.number == CONTROL_LANE && !known {
            let to = self.peer.introduction.load_full();
            tracing::warn!(node = %to.name, addr = %to.mesh_addr, by = ?by, "link refused: {why}");
            self.shared.refused(*refusal, detail, to.name.to_string(), true);
        }
    }

    fn give_up(&self, outage: &mut Outage) {
        outage.give_up = None;
        self.shared
            .undeliverable(self.id(), self.number, self.lane().give_up());
    }

    /// A node that the registry never named, and that nobody hears, is forgotten in time.
    fn forget_if_lost(&self, outage: &Outage) {
        let lost = self.number == CONTROL_LANE
            && !self.peer.registered.load(Relaxed)
            && !self.peer.is_live()
            && outage.since.elapsed() >= self.shared.times.forget;
        if lost {
            self.shared.forget(self.id());
        }
    }

    /// Waits before the next dial, or until the peer shows that it is there.
    async fn pause(&mut self, outage: &mut Outage) {
        // Between half and the whole of it, so that nodes that lost each other together do not come back together.
        let half = outage.backoff / 2;
        let jitter =
            half.mul_f64(f64::from(u32::try_from(self.draw.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX));
        let end = Time::now() + half + jitter;
        outage.backoff = (outage.backoff * 2).min(self.shared.times.backoff_cap);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                () = self.peer.lanes[usize::from(self.number)].redial.notified() => {
                    outage.backoff = self.shared.times.backoff_first;
                    return;
                }
                () = sleep_until(outage.give_up) => self.give_up(outage),
            }
        }
    }

    /// Carries frames over a connection until it ends; returns why.
    async fn carry(&mut self, answered: Answered, mut anew: watch::Receiver<u64>) -> String {
        let Answered {
            wire,
            addr,
            node,
            process,
            cluster,
            initialized,
            accepted,
            named,
        } = answered;
        self.peer.introduction.store(Arc::new(node.clone()));
        if cluster.is_some() {
            self.peer.cluster.store(Arc::new(cluster));
        }
        let lost = self.lane().connected(node.incarnation, accepted.received);
        self.shared.undeliverable(node.id, self.number, lost);
        self.peer.hear(self.shared.faults.now());
        for member in &accepted.members {
            self.shared.meet(member);
        }
        let (name, lane) = (node.name.clone(), self.number);
        self.reached = is_own_address(&node, &addr).then(|| node.clone());
        if lane == CONTROL_LANE {
            self.shared.watches.watch(&node, process);
            // It has become one after the greeting was under way, and told only links that stood.
            if let Some(cluster) = self.shared.cluster().filter(|ours| named != Some(*ours)) {
                self.shared.say_cluster(&self.peer, cluster);
            }
        }
        self.tell(MeshEvent::Connected {
            node,
            lane,
            cluster,
            initialized,
        })
        .await;
        let (mut stream, buffer) = wire.into_parts();
        let (from, mut to) = stream.split();
        let acks = FrameReader::new(from, buffer, squall_kernel::frame::HEADER_BYTES);
        let mut writer = Writer::new(
            &self.shared,
            &self.peer.lanes[usize::from(lane)],
            &name,
            &mut self.draw,
        );
        let why = tokio::select! {
            error = writer.run(&mut to) => error.to_string(),
            why = read_acks(acks, &self.shared, &self.peer, lane) => why,
            _ = anew.changed() => "both sides must greet anew".into(),
        };
        self.shared.faults.close(&name, stream);
        why
    }

    fn lane(&self) -> &Lane {
        &self.peer.lanes[usize::from(self.number)]
    }

    fn id(&self) -> NodeId {
        self.peer.introduction.load().id
    }

    async fn tell(&self, event: MeshEvent) {
        // Nobody listens any more when the node ends.
        let _ended = self.shared.events.send(event).await;
    }
}

/// True when a node was reached at the one address that it calls its own. A name may lead to several places, and an
/// unspecified address leads back to this system.
fn is_own_address(node: &Introduction, dialled: &str) -> bool {
    let one = |addr: SocketAddr| !addr.ip().is_unspecified();
    node.mesh_addr == dialled && dialled.parse().is_ok_and(one)
}

async fn sleep_until(at: Option<Time>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn read_acks(mut acks: FrameReader<ReadHalf<'_>>, shared: &Shared, peer: &Peer, lane: u8) -> String {
    loop {
        match acks.next().await {
            Ok(None) => return "closed by the peer".into(),
            Err(error) => return error.to_string(),
            Ok(Some((_, frame))) if frame.kind == Kind::Ack => {
                peer.hear(shared.faults.now());
                if !peer.lanes[usize::from(lane)].ack(frame.message.0) {
                    return format!("frame {} was acknowledged but never sent", frame.message.0);
                }
            }
            Ok(Some(_)) => return "something else than an acknowledgement came back".into(),
        }
    }
}
