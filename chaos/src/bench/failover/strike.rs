//! Striking a node, and healing it again, by the shortest way: the supervisor of this process for processes, the chaos
//! services of the nodes for links. What does not live here: whom to strike, and what came of it (`trial`).

use std::time::Duration;

use futures::future::join_all;
use squall_kernel::fault::{Latency, LinkFault, Share};
use squall_kernel::time::Span;
use squall_proto::v1 as proto;
use squall_proto::v1::chaos_client::ChaosClient as Calls;

use super::class::{Class, Shape};
use crate::bench::BenchError;
use crate::client::{ChaosKey, keyed, on_wire, reach};
use crate::layout::Place;
use crate::supervisor::{Deed, Order, Supervisor};

const BY: &str = "bench";
/// Faults end by themselves after this time, should the benchmark not end them: longer than any lasts.
pub(super) const TTL: Duration = Duration::from_secs(90);
/// How slow links become.
const SLOW: Span = Span::from_ms(200);
/// What links lose.
const LOST: Share = Share::from_percent(5);

/// What is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// SIGTERM.
    Stop,
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
    /// Nothing gets through: from it, to it.
    Cut { from: bool, to: bool },
    /// All its links are slow, both ways.
    Slow,
    /// All its links lose a share, both ways.
    Lossy,
}

impl Strike {
    pub(super) fn of(class: Class, shape: Shape) -> Self {
        match (class, shape) {
            (Class::G0, _) => Self::Stop,
            (Class::G2, _) | (Class::G1o, Shape::Pause) => Self::Pause,
            (Class::G3, Shape::Outgoing) => Self::Cut {
                from: true,
                to: false,
            },
            (Class::G3, Shape::Incoming) => Self::Cut {
                from: false,
                to: true,
            },
            (Class::G3, _) => Self::Cut { from: true, to: true },
            (Class::G4, _) => Self::Slow,
            (Class::G4l, _) => Self::Lossy,
            (Class::G1 | Class::G1m | Class::G1o | Class::G5, _) => Self::Kill,
        }
    }

    /// What is done to the process, in a word; none where it is its links that are struck, of which the nodes tell
    /// themselves.
    pub(super) fn on_process(self) -> Option<&'static str> {
        match self {
            Self::Stop => Some("stop"),
            Self::Kill => Some("kill"),
            Self::Pause => Some("pause"),
            Self::Cut { .. } | Self::Slow | Self::Lossy => None,
        }
    }

    /// True when the process ends by it.
    pub(super) fn ends(self) -> bool {
        matches!(self, Self::Stop | Self::Kill)
    }
}

/// Who strikes.
pub(super) struct Hand<'s> {
    pub(super) supervisor: &'s Supervisor,
    pub(super) places: &'s [Place],
    pub(super) key: Option<ChaosKey>,
}

impl Hand<'_> {
    /// Returns when it is done, and when the process has ended if it ends by it.
    pub(super) async fn strike(&self, strike: Strike, target: &Place) -> Result<(), BenchError> {
        let faulty = |from: bool, to: bool, what: LinkFault| self.links(target, from, to, what);
        match strike {
            Strike::Stop => self.act(target, Deed::Stop { stay_down: true }).await,
            Strike::Kill => self.act(target, Deed::Kill { stay_down: true }).await,
            Strike::Pause => self.act(target, Deed::Pause).await,
            Strike::Cut { from, to } => faulty(from, to, LinkFault::Cut).await,
            Strike::Slow => faulty(true, true, LinkFault::Delay(Latency::constant(SLOW))).await,
            Strike::Lossy => faulty(true, true, LinkFault::Loss(LOST)).await,
        }
    }

    /// Undoes it.
    pub(super) async fn heal(&self, strike: Strike, target: &Place) -> Result<(), BenchError> {
        match strike {
            Strike::Stop | Strike::Kill => self.act(target, Deed::Restart).await,
            Strike::Pause => self.act(target, Deed::Resume).await,
            Strike::Cut { .. } | Strike::Slow | Strike::Lossy => {
                let halts = self.places.iter().map(|place| halt(place, self.key.as_ref()));
                join_all(halts).await.into_iter().collect()
            }
        }
    }

    pub(super) async fn act(&self, target: &Place, deed: Deed) -> Result<(), BenchError> {
        let order = Order {
            node: target.name.to_string(),
            deed,
            ttl: Span::from_ms(u64::try_from(TTL.as_millis()).expect("a minute and a half")),
            expect: None,
        };
        let acted = self.supervisor.act(order, BY).await;
        acted.map_err(|refused| BenchError::Unsound(format!("{} is not struck: {refused}", target.name)))
    }

    /// One fault for each link between the target and another node, all set at once.
    async fn links(&self, target: &Place, from: bool, to: bool, what: LinkFault) -> Result<(), BenchError> {
        let others = || self.places.iter().filter(|place| place.name != target.name);
        let outgoing = others().filter(|_| from).map(|other| (target, other));
        let incoming = others().filter(|_| to).map(|other| (other, target));
        let set = outgoing.chain(incoming).map(|(from, to)| async move {
            let request = proto::SetFaultRequest {
                id: format!("bench-{}-{}", from.name, to.name),
                ttl_ms: u64::try_from(TTL.as_millis()).expect("a minute and a half"),
                by: BY.into(),
                fault: Some(on_wire(to.name.as_str(), what)),
            };
            reach::set_fault(
                from.name.as_str(),
                &from.grpc.to_string(),
                request,
                self.key.as_ref(),
            )
            .await
        });
        for done in join_all(set).await {
            done?;
        }
        Ok(())
    }
}

async fn halt(place: &Place, key: Option<&ChaosKey>) -> Result<(), BenchError> {
    let failed = |why: String| BenchError::Unsound(format!("the faults of {} do not end: {why}", place.name));
    let channel = reach::node(&place.grpc.to_string()).await.map_err(failed)?;
    let halted = Calls::new(channel)
        .halt(keyed(
            proto::HaltRequest {
                by: BY.into(),
                ..Default::default()
            },
            key,
        ))
        .await;
    halted
        .map(drop)
        .map_err(|status| failed(status.message().to_owned()))
}
