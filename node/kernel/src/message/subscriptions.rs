//! What the tables of one exchange's subscriptions say to each other, on their way in a `PeerMessage`.
//!
//! What does not live here: what they do with it (the module `subscriptions` of this crate).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::dedup::DedupState;
use crate::id::{Epoch, Revision};
use crate::keys::KeyPattern;
use crate::reason::SubscribeRefusal;
use crate::subscriptions::{Interest, MovedInterest, Stamp};

/// What the tables of one exchange's subscriptions say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionNews {
    /// What the sender wants to get.
    Interest {
        /// Where this stands among its announcements.
        stamp: Stamp,
        /// What.
        interest: Interest,
    },
    /// Announcements up to that one are taken in, here and above.
    Confirmed {
        /// The latest.
        stamp: Stamp,
    },
    /// These patterns were not taken in.
    Refused {
        /// Why.
        reason: SubscribeRefusal,
        /// Patterns.
        patterns: Vec<KeyPattern>,
    },
    /// Tell me all that you want.
    Asked,
    /// From the owner: say `Gathered` once you know that revision, and whatever you want is known here, by whatever way.
    Gather {
        /// Revision of the registry in which somebody was lost.
        revision: Revision,
    },
    /// Answer to `Gather`.
    Gathered {
        /// The revision that was asked for.
        revision: Revision,
    },
    /// Answer to `Asked` of a node without a subscriber.
    Nothing,
    /// The announcer's epoch is over.
    Fenced {
        /// Highest epoch seen.
        seen: Epoch,
    },
    /// From the old owner to the next one, in parts: what it knew.
    Moved {
        /// The next owner's epoch.
        epoch: Epoch,
        /// Interest of nodes.
        interest: Vec<MovedInterest>,
        /// Ids of publishes.
        ids: DedupState,
        /// No further part follows, and the owner before had heard from all nodes: the next one need not ask them.
        last: bool,
    },
}
