//! What is to happen in a simulated cluster, and in which order: by its time, and of the same time as it was planned.
//!
//! What does not live here: what comes of it.

use std::cmp::Ordering;

use squall_kernel::id::Incarnation;
use squall_kernel::time::Instant;

use crate::sim::fault::Seat;
use crate::sim::host::Lane;
use crate::sim::links::Way;

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Wake(Seat, Instant),
    Arrive {
        way: Way,
        lane: Lane,
        connection: u64,
    },
    /// What a lane holds back is due.
    Go {
        way: Way,
        lane: Lane,
        connection: u64,
    },
    /// A fault breaks it about now.
    Flow {
        way: Way,
        connection: u64,
    },
    Broken {
        way: Way,
        connection: u64,
    },
    GiveUp {
        way: Way,
        connection: u64,
    },
    Dial(Way),
    Begin(usize),
    End(usize),
    /// A step of the scenario.
    Script(usize),
    Start(Seat),
    /// It has handed over everything, leaves, and comes again later.
    Leave(Seat),
    /// An operator kills it; it comes again later.
    Kill(Seat),
    /// The end of a node's run is seen on its machine.
    Died {
        seat: Seat,
        of: Seat,
        incarnation: Incarnation,
    },
    Request,
    Operation,
    Look,
    Holds,
    Heal,
    Settle,
}

pub(super) struct Scheduled {
    pub(super) at: Instant,
    pub(super) number: u64,
    pub(super) due: Due,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
