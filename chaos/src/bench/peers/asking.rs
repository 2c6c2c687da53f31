//! Requests beside peers: requester → exchange or queue → one of five handlers → requester, with four bytes of payload. What does not
//! live here: Squall's own arrangements (`req_resp`), and what each peer is made of (`standing`).

use std::time::Duration;

use super::standing::Standing;
use super::{Compared, Missing, Peer, PeersOptions, Setting, Step, begun, step};
use crate::bench::req_resp::place::Place;
use crate::bench::req_resp::{ReqRespOptions, Where};
use crate::bench::{BenchError, Load, processor};

/// An arrangement of Squall and its peers.
pub(super) struct Asking {
    squall: Place,
    peers: Vec<(Peer, Standing)>,
}

impl Asking {
    /// None when there is no peer to compare with.
    pub(super) async fn set(
        options: &PeersOptions,
        place: Where,
        wanted: Vec<Peer>,
        missing: &mut Vec<Missing>,
    ) -> Result<Option<Self>, BenchError> {
        let mut peers = Vec::new();
        for peer in wanted {
            let standing = Standing::begin(peer, &options.program).await;
            peers.extend(begun(peer, standing, missing).map(|standing| (peer, standing)));
        }
        if peers.is_empty() {
            return Ok(None);
        }
        let squall = ReqRespOptions::new(options.program.clone(), options.measured);
        match Place::begin(place, &squall).await {
            Ok(squall) => Ok(Some(Self { squall, peers })),
            Err(error) => {
                end(peers).await;
                Err(error)
            }
        }
    }
}

async fn end(peers: Vec<(Peer, Standing)>) {
    for (_, standing) in peers {
        standing.end().await;
    }
}

impl Compared for Asking {
    fn peers(&self) -> usize {
        self.peers.len()
    }

    fn loads(options: &PeersOptions) -> Vec<Load> {
        options.loads.clone()
    }

    async fn measure(
        &mut self,
        who: Option<usize>,
        at: (Load, usize),
        measured: Duration,
    ) -> Result<Step, BenchError> {
        let times = (measured / 5, measured);
        let (peer, before, tally, after) = if let Some(n) = who {
            let (peer, standing) = &mut self.peers[n];
            let before = standing.processor();
            let tally = standing.ask(at.0, times).await?;
            (Some(*peer), before, tally, standing.processor())
        } else {
            let before = self.squall.processor();
            let tally = self.squall.ask(at.0, times).await?;
            (None, before, tally, self.squall.processor())
        };
        let cpu_us = processor::each_us(before, after, tally.asked);
        let place = Setting::Requests(self.squall.at());
        let step = step(place, at, peer, &tally, measured)?;
        Ok(Step { cpu_us, ..step })
    }

    async fn end(self) {
        self.squall.end().await;
        end(self.peers).await;
    }
}
