//! How a direction between two nodes stands, from what both ends say: the sender knows its connection, and only the receiver knows
//! what arrives. Pure.
//!
//! What does not live here: round trips, what waits to be sent, and faults, which the sender alone knows.

use squall_proto::v1::{LinkRow, LinkState};

use super::{Cluster, LOST_MS, is_fresh};
use crate::units::Moment;

/// The receiver suspects the sender from here on, also where its own connection says something else: the detector's threshold.
const PHI_SUSPECT: f64 = 8.0;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// How it stands.
    pub state: LinkState,
    /// The receiver's suspicion of the sender, while the receiver is heard.
    pub phi: Option<f64>,
    /// Milliseconds since the receiver heard the sender, while the receiver is heard.
    pub heard_ms: Option<u64>,
}

/// How what `from` sends to `to` fares; none while neither is heard in time, or there is no link.
#[must_use]
pub fn way(cluster: &Cluster, from: &str, to: &str, now: Moment) -> Option<Way> {
    let report = |of: &str, on: &str| -> Option<&LinkRow> {
        let node = cluster.nodes.get(of).filter(|node| is_fresh(node, now))?;
        node.links.get(on)
    };
    let (sends, hears) = (report(from, to), report(to, from));
    let suspects = |row: &LinkRow| row.state() == LinkState::Suspect || row.phi >= PHI_SUSPECT;
    let arrives = match hears {
        Some(row) if suspects(row) && row.last_heard_ms > LOST_MS && sends.is_none() => LinkState::Down,
        Some(row) if suspects(row) => LinkState::Suspect,
        Some(_) | None => LinkState::Up,
    };
    let state = match sends.map(LinkRow::state) {
        // Nobody says whether it arrives: a receiver that stands still leaves the connection standing.
        Some(LinkState::Suspect) if hears.is_none() => LinkState::Suspect,
        // That it suspects the other end is of the other direction.
        Some(LinkState::Up | LinkState::Suspect) => arrives,
        Some(broken) => broken,
        None => hears.map(|_| arrives)?,
    };
    Some(Way {
        state,
        phi: hears.map(|row| row.phi),
        heard_ms: hears.map(|row| row.last_heard_ms),
    })
}

#[cfg(test)]
mod tests {
    use squall_proto::v1;
    use squall_proto::v1::row::Row;

    use super::*;
    use crate::feed::{RowsUpdate, Update};

    const NOW: Moment = Moment(10_000);

    fn said(
        cluster: &mut Cluster,
        at: Moment,
        node: &str,
        peer: &str,
        state: LinkState,
        phi: f64,
        heard: u64,
    ) {
        let own = v1::NodeRow {
            name: node.to_owned(),
            ..Default::default()
        };
        let link = LinkRow {
            peer: peer.to_owned(),
            state: state.into(),
            phi,
            last_heard_ms: heard,
            ..Default::default()
        };
        let rows = [Row::Node(own), Row::Link(link)].map(|row| v1::Row { row: Some(row) });
        let update = RowsUpdate {
            node: node.to_owned(),
            rows: rows.to_vec(),
            ..Default::default()
        };
        cluster.apply(at, Update::Rows(update));
    }

    fn state(cluster: &Cluster, from: &str, to: &str) -> Option<LinkState> {
        way(cluster, from, to, NOW).map(|way| way.state)
    }

    #[test]
    fn what_is_cut_in_one_direction_is_down_in_that_one_alone() {
        let mut cluster = Cluster::default();
        // What a sends does not arrive: b suspects a, and a hears b.
        said(&mut cluster, NOW, "a", "b", LinkState::Up, 0.1, 20);
        said(&mut cluster, NOW, "b", "a", LinkState::Suspect, 40.0, 2_000);
        assert_eq!(state(&cluster, "a", "b"), Some(LinkState::Suspect));
        assert_eq!(state(&cluster, "b", "a"), Some(LinkState::Up));
        let there = way(&cluster, "a", "b", NOW).expect("both are heard");
        assert_eq!((there.phi, there.heard_ms), (Some(40.0), Some(2_000)));
    }

    #[test]
    fn what_is_sent_to_a_receiver_that_nobody_hears_is_not_up() {
        let mut cluster = Cluster::default();
        said(&mut cluster, Moment(1_000), "b", "a", LinkState::Up, 0.1, 20);
        said(&mut cluster, NOW, "a", "b", LinkState::Suspect, 40.0, 9_000);
        assert_eq!(state(&cluster, "a", "b"), Some(LinkState::Suspect));
    }

    #[test]
    fn a_broken_connection_is_the_senders_and_a_silent_sender_is_down() {
        let mut cluster = Cluster::default();
        said(&mut cluster, Moment(1_000), "b", "a", LinkState::Up, 0.1, 20);
        said(&mut cluster, NOW, "a", "b", LinkState::Refused, 40.0, 9_000);
        assert_eq!(state(&cluster, "a", "b"), Some(LinkState::Refused));
        assert_eq!(state(&cluster, "b", "a"), Some(LinkState::Down));
        said(&mut cluster, NOW, "a", "b", LinkState::Up, 9.0, 900);
        assert_eq!(state(&cluster, "b", "a"), Some(LinkState::Suspect));
        assert_eq!(state(&cluster, "a", "c"), None);
        assert_eq!(way(&cluster, "a", "b", Moment(60_000)), None, "nobody is heard");
    }
}
