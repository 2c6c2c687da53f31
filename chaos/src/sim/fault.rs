//! Faults of a simulated cluster. Each ends by itself; what it leaves behind (a torn tail, an old view) stays.
//!
//! What does not live here: their kinds (`kind`), their words (`words`), what they are on links
//! (`on_links`), drawing them (`plan`) and carrying them out (`world`).

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_kernel::time::{Instant, Span};

mod kind;
mod on_links;
mod words;
mod written;

pub use written::OnLink;

pub use kind::FaultKind;

/// A node, by its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seat(pub u8);

impl Seat {
    /// As a place in a list.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Named as the plan names nodes: a, b, c …
impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'a' + self.0 % 26))
    }
}

/// A fault, when it begins, and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Unique in the plan, from 1.
    pub id: u64,
    /// When, in true time.
    pub at: Instant,
    /// How long.
    pub lasts: Span,
    /// What.
    pub what: SimFault,
}

impl PlannedFault {
    /// When it ends.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.at + self.lasts
    }
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}: {}", self.at, self.lasts, self.what)
    }
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SimFault {
    /// The node ends at once and loses what it had not synced; it starts again when the fault ends.
    Crash {
        /// Node.
        node: Seat,
    },
    /// The node leaves in order; it starts again when the fault ends.
    Stop {
        /// Node.
        node: Seat,
    },
    /// The node stands still; what arrives waits.
    Pause {
        /// Node.
        node: Seat,
    },
    /// The node's clock runs at another rate.
    ClockSkew {
        /// Node.
        node: Seat,
        /// Parts per million faster than true time; slower when negative.
        ppm: i32,
    },
    /// The node's calendar clock jumps, for good; timers do not read it, the number of the next run does.
    ClockStep {
        /// Node.
        node: Seat,
        /// Milliseconds ahead; back when negative.
        ms: i64,
    },
    /// Nothing passes one way; what is held back flows when it ends.
    Cut {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
    },
    /// Nothing passes between two nodes.
    CutBoth {
        /// One.
        a: Seat,
        /// The other.
        b: Seat,
    },
    /// Nothing passes between a node and all others.
    Isolate {
        /// Node.
        node: Seat,
    },
    /// A node is not heard, but hears; or is heard, but does not hear.
    OneWay {
        /// Node.
        node: Seat,
        /// True when it is not heard.
        mute: bool,
    },
    /// Nothing passes between these nodes and the rest.
    Split {
        /// One side.
        side: Vec<Seat>,
    },
    /// Two sides that do not reach each other; one node reaches both.
    Bridge {
        /// The node that reaches both.
        node: Seat,
        /// One side, without it.
        side: Vec<Seat>,
    },
    /// Everything one way takes longer.
    Delay {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// By so much,
        by: Span,
        /// and up to so much more.
        jitter: Span,
    },
    /// Everything from and to a node takes longer.
    Slow {
        /// Node.
        node: Seat,
        /// By so much each way.
        by: Span,
    },
    /// Packets are lost: what TCP makes of it is a pause of 200 ms, doubling, for all that follows.
    Loss {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// So many of a thousand.
        per_mille: u32,
    },
    /// Frames are sent twice. Their receiver catches it, and the link is made anew.
    Duplicate {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// So many of a thousand.
        per_mille: u32,
    },
    /// The link stalls again and again, then everything held comes at once.
    Clog {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// Length of one stall.
        stall: Span,
    },
    /// Some frames are overtaken: they come later, and what overtook them waits for them.
    Reorder {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// So many of a thousand,
        per_mille: u32,
        /// by so much.
        by: Span,
    },
    /// A bit is changed in some frames. Their receiver catches it, and the link is made anew.
    Corrupt {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// So many of a thousand.
        per_mille: u32,
    },
    /// A link carries so much and no more.
    Rate {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// In a second, on each lane.
        bytes_per_s: u64,
    },
    /// A link's connection is broken.
    Reset {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// Again after each such time; zero for once.
        every: Span,
    },
    /// A link's connection is broken whenever it has carried so much.
    Limit {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// On one lane.
        bytes: u64,
    },
    /// Any fault on a link, as scenarios write it.
    Written {
        /// From there.
        from: Seat,
        /// To there.
        to: Seat,
        /// Such as `delay 200ms ±50ms`.
        what: OnLink,
    },
    /// Syncs take longer.
    SlowDisk {
        /// Node.
        node: Seat,
        /// By so much.
        by: Span,
    },
    /// Nothing more can be written.
    FullDisk {
        /// Node.
        node: Seat,
    },
}

impl SimFault {
    /// The node on which it acts; for a link, the one that sends.
    #[must_use]
    pub fn seat(&self) -> Seat {
        match self {
            Self::Crash { node }
            | Self::Stop { node }
            | Self::Pause { node }
            | Self::ClockSkew { node, .. }
            | Self::ClockStep { node, .. }
            | Self::Isolate { node }
            | Self::OneWay { node, .. }
            | Self::Bridge { node, .. }
            | Self::Slow { node, .. }
            | Self::SlowDisk { node, .. }
            | Self::FullDisk { node } => *node,
            Self::Cut { from, .. }
            | Self::Delay { from, .. }
            | Self::Loss { from, .. }
            | Self::Duplicate { from, .. }
            | Self::Clog { from, .. }
            | Self::Reorder { from, .. }
            | Self::Corrupt { from, .. }
            | Self::Rate { from, .. }
            | Self::Reset { from, .. }
            | Self::Limit { from, .. }
            | Self::Written { from, .. } => *from,
            Self::CutBoth { a, .. } => *a,
            Self::Split { side } => side.first().copied().unwrap_or(Seat(0)),
        }
    }
}
