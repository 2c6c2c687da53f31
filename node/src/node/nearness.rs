//! Tells the data plane how far the other nodes are, by which it chooses proxies.
//!
//! What does not live here: measuring (`control`), and what is made of it (`pubsub`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::control::Opinion;
use crate::data::DataPlane;

/// How often proxies are chosen by how far they are: round trips are medians of seconds.
const EVERY: Duration = Duration::from_secs(2);

/// Tells the data plane now and then how far the other nodes are, until the node ends.
pub(super) async fn keep(mut opinion: watch::Receiver<Arc<Opinion>>, plane: Weak<DataPlane>) {
    while opinion.changed().await.is_ok() {
        let measured = {
            let opinion = opinion.borrow_and_update();
            let peers = opinion.peers.iter();
            peers
                .filter_map(|(id, peer)| Some((*id, peer.round_trip?.p50)))
                .collect()
        };
        let Some(plane) = plane.upgrade() else { return };
        plane.measured(measured);
        drop(plane);
        tokio::time::sleep(EVERY).await;
    }
}
