//! What the registry holds: members, exchanges, leaders, and the words of patterns and strategies.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{RoutingFunction, Settings};
use crate::id::{
    Boot, Epoch, ExchangeId, ExchangeName, FunctionName, Incarnation, LeaderEpoch, NodeId, NodeName, Pid,
    Tenure, ZoneName,
};
use crate::reason::Lost;

/// How messages flow through an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Pattern {
    /// One request, one reply (several under `default`).
    #[default]
    RequestResponse,
    /// Published to all subscribers of a key (A108).
    PublishSubscribe,
    /// Many publish, the handlers of the exchange take each message in turn of its strategy (A109).
    InvertedPublishSubscribe,
    /// Tasks: leased to workers, confirmed or given back (A110).
    Task,
}

impl Pattern {
    /// All patterns, in order.
    pub const ALL: [Self; 4] = [
        Self::RequestResponse,
        Self::PublishSubscribe,
        Self::InvertedPublishSubscribe,
        Self::Task,
    ];

    /// The pattern's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestResponse => "request-response",
            Self::PublishSubscribe => "publish-subscribe",
            Self::InvertedPublishSubscribe => "inverted-publish-subscribe",
            Self::Task => "task",
        }
    }

    /// True where a strategy picks handlers. Elsewhere exchanges have [`Strategy::Default`], which then says nothing.
    #[must_use]
    pub const fn has_strategy(self) -> bool {
        matches!(self, Self::RequestResponse | Self::InvertedPublishSubscribe)
    }

    /// The pattern of a word; the empty word is request-response.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        if word.is_empty() {
            return Some(Self::RequestResponse);
        }
        Self::ALL.into_iter().find(|p| p.as_str() == word)
    }
}

/// How an exchange picks handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// To all handlers (A19).
    Default,
    /// Cyclic (A20).
    RoundRobin,
    /// To the leader only (A21).
    Consensus,
    /// One leads, requests go to all in turn (A22).
    ConsensusRoundRobin,
    /// Requests of one key to one handler, for as long as it is attached (A23).
    Sticky,
    /// Requests of one signature to one handler; the exchange's function gives the signature (A24).
    StickyFun,
    /// The exchange's function picks, redirects, declines or rewrites (A25).
    Fun,
}

impl Strategy {
    /// All strategies, in order.
    pub const ALL: [Self; 7] = [
        Self::Default,
        Self::RoundRobin,
        Self::Consensus,
        Self::ConsensusRoundRobin,
        Self::Sticky,
        Self::StickyFun,
        Self::Fun,
    ];

    /// The strategy's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::RoundRobin => "round-robin",
            Self::Consensus => "consensus",
            Self::ConsensusRoundRobin => "consensus-round-robin",
            Self::Sticky => "sticky",
            Self::StickyFun => "sticky-fun",
            Self::Fun => "fun",
        }
    }

    /// The strategy of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// True where one handler leads.
    #[must_use]
    pub const fn has_leader(self) -> bool {
        matches!(self, Self::Consensus | Self::ConsensusRoundRobin)
    }

    /// True where signatures are bound to handlers.
    #[must_use]
    pub const fn is_sticky(self) -> bool {
        matches!(self, Self::Sticky | Self::StickyFun)
    }

    /// True where the exchange has a function.
    #[must_use]
    pub const fn has_function(self) -> bool {
        matches!(self, Self::StickyFun | Self::Fun)
    }
}

/// Life of a node in the eyes of the registry. Suspicion is not here: it is each node's own opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeLife {
    /// May own exchanges.
    Up,
    /// Declared lost; owns nothing until it is up again.
    Down(Lost),
}

/// What a live node may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Duty {
    /// May own exchanges.
    #[default]
    Full,
    /// Lives, but its round trips to a majority do not fit a promise: owns nothing until they do.
    Weak,
    /// Hands over what it owns.
    Draining {
        /// It leaves the cluster's voters too and ends.
        leave: bool,
    },
}

impl Duty {
    /// True when it ends in the node's leaving.
    #[must_use]
    pub fn leaves(self) -> bool {
        self == Self::Draining { leave: true }
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Id, bound to the data directory.
    pub id: NodeId,
    /// Name; unique among members.
    pub name: NodeName,
    /// Latest run.
    pub incarnation: Incarnation,
    /// Which run of its data directory that is.
    pub boot: Boot,
    /// Address of the mesh.
    pub mesh_addr: String,
    /// Address of the gRPC services.
    pub grpc_addr: String,
    /// Period for which voters may promise it its exchanges.
    pub tenure: Tenure,
    /// Up or down.
    pub life: NodeLife,
    /// What it may be given while it is up.
    pub duty: Duty,
    /// Functions it was started with, sorted: exchanges that need another one do not live there.
    pub functions: Vec<FunctionName>,
    /// Its zone: nodes of one are near each other.
    pub zone: Option<ZoneName>,
}

impl NodeRecord {
    /// What it told of itself when it started.
    #[must_use]
    pub fn introduction(&self) -> Introduction {
        Introduction {
            id: self.id,
            name: self.name.clone(),
            incarnation: self.incarnation,
            boot: self.boot,
            mesh_addr: self.mesh_addr.clone(),
            grpc_addr: self.grpc_addr.clone(),
            functions: self.functions.clone(),
            zone: self.zone.clone(),
        }
    }

    /// True while the registry holds it for alive.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.life == NodeLife::Up
    }

    /// The first of its runs that has not ended, as far as is told here. A later one than that told of may run already.
    #[must_use]
    pub fn first_run(&self) -> Boot {
        Boot(self.boot.0.saturating_add(u32::from(!self.is_up())))
    }

    /// True when it may be given exchanges.
    #[must_use]
    pub fn may_own(&self) -> bool {
        self.is_up() && self.duty == Duty::Full
    }

    /// True while it hands over what it owns.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(self.duty, Duty::Draining { .. })
    }

    /// True while it hands over everything, to end then.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.duty.leaves()
    }
}

/// What a node tells of itself when it joins or starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// Id.
    pub id: NodeId,
    /// Name.
    pub name: NodeName,
    /// This run.
    pub incarnation: Incarnation,
    /// Which run of its data directory that is.
    pub boot: Boot,
    /// Address of the mesh.
    pub mesh_addr: String,
    /// Address of the gRPC services.
    pub grpc_addr: String,
    /// Functions it was started with.
    pub functions: Vec<FunctionName>,
    /// The zone it was started in.
    pub zone: Option<ZoneName>,
}

/// The leader among an exchange's handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The handler.
    pub pid: Pid,
    /// Its epoch.
    pub epoch: LeaderEpoch,
}

/// What happens when a node that stands earlier in an exchange's failover list is back (A42).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Takeover {
    /// The exchange moves back by itself, once the node has been well for a while.
    #[default]
    Auto,
    /// It moves back when an operator says so (`squall exchange move NAME`, without a node).
    Manual,
    /// It stays where it is unless it is moved to a node by name.
    Never,
}

impl Takeover {
    /// All policies, in order.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Manual, Self::Never];

    /// The policy's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Never => "never",
        }
    }

    /// The policy of a word; the empty word is `auto`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        if word.is_empty() {
            return Some(Self::Auto);
        }
        Self::ALL.into_iter().find(|t| t.as_str() == word)
    }
}

/// A move under way: the owner no longer accepts, the next one has not opened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// The next owner.
    pub to: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its backup as the move began, unless that has ended a run since; none where it has no tasks, or no other node can.
    pub backup: Option<NodeId>,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRecord {
    /// Number on the wire.
    pub id: ExchangeId,
    /// Name.
    pub name: ExchangeName,
    /// Pattern.
    pub pattern: Pattern,
    /// Strategy; fixed for life (A7).
    pub strategy: Strategy,
    /// What it asks where a request goes; with `fun` and `sticky-fun` only, and always.
    pub function: Option<RoutingFunction>,
    /// Bounds, times and neighbours; fixed for life.
    pub settings: Settings,
    /// Preferred owners in order.
    pub failover: Vec<NodeName>,
    /// What happens when a preferred owner is back.
    pub takeover: Takeover,
    /// An operator moved it to where it is: no takeover until its owner is lost.
    pub held: bool,
    /// Owner now.
    pub owner: Option<NodeId>,
    /// Epoch of the ownership; before the first owner the highest that an exchange before had.
    pub epoch: Epoch,
    /// Epoch of its first owner: under a later one there may have been tasks before.
    pub first: Epoch,
    /// Who holds the second copy of its tasks; none where it has no tasks, or no other node can.
    pub backup: Option<NodeId>,
    /// Nodes that pass its publishes on to others, beside the owner (A31–A33). One that is down comes back as one.
    pub proxies: BTreeSet<NodeId>,
    /// A move under way.
    pub moving: Option<Moving>,
    /// Epoch under which the owner got it: since then nobody else has owned it.
    pub since: Epoch,
    /// The owner knows what the one before it knew: a move brought it along, or it is the one whose move was cancelled.
    pub kept: bool,
    /// Leader now.
    pub leader: Option<LeaderRecord>,
    /// Highest leader epoch given out, here or by an exchange that was deleted before this one was declared.
    pub leader_epoch: LeaderEpoch,
}

impl ExchangeRecord {
    /// True when the owner goes on with what it had under that earlier epoch: moves that were to take it away were cancelled, and
    /// nobody else has owned it in between.
    #[must_use]
    pub fn is_still_of(&self, epoch: Epoch) -> bool {
        self.kept && (self.since..self.epoch).contains(&epoch)
    }

    /// The strategy's word; empty where none picks handlers.
    #[must_use]
    pub const fn strategy_word(&self) -> &'static str {
        if self.pattern.has_strategy() {
            self.strategy.as_str()
        } else {
            ""
        }
    }
}
