//! Keeps a subscriber subscribed: on every new connection, to all that it has asked for.

use std::sync::{Arc, Mutex, PoisonError};

use squall_kernel::id::ExchangeName;
use squall_kernel::message::{ClientMessage, NodeMessage, control};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::{SubscribeOptions, Wanted};
use crate::ask::{self, CallFailed, call};
use crate::backoff::Backoff;
use crate::error::Ended;
use crate::limits::{REFUSED_RETRY, REFUSED_RETRY_LAST};
use crate::link::{Generation, Link};
use crate::state::{Outgoing, Shared};

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Standing {
    pub(super) times: u64,
    pub(super) ended: Option<Ended>,
}

/// More is wanted.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) wanted: Wanted,
    pub(super) answer: oneshot::Sender<Result<(), Ended>>,
}

pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) name: ExchangeName,
    pub(super) options: SubscribeOptions,
    pub(super) wanted: Arc<Mutex<Vec<Wanted>>>,
    pub(super) asked: mpsc::Receiver<Ask>,
    pub(super) ended: mpsc::Receiver<(Generation, Ended)>,
    pub(super) status: watch::Sender<Standing>,
}

impl Keeper {
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut generation = Generation::default();
        let why = tokio::select! {
            _ = &mut stopped => Ended::Closed,
            why = self.keep(&mut generation) => why,
        };
        let frame = control(&ClientMessage::Unsubscribe { subscriber: self.id });
        let told = self.shared.outbound.try_send(Outgoing::bound(generation, frame));
        if told.is_err() {
            tracing::debug!(subscriber = self.id, "no room to say that a subscriber is gone");
        }
        self.status.send_modify(|standing| standing.ended = Some(why));
    }

    async fn keep(&mut self, generation: &mut Generation) -> Ended {
        loop {
            if let Err(why) = self.subscribe(generation).await {
                return why;
            }
            self.status.send_modify(|standing| standing.times += 1);
            if let Err(why) = self.stay(*generation).await {
                return why;
            }
        }
    }

    /// Subscribes to all that is wanted, on the next connection that takes it. What is refused the first time is refused;
    /// later on the exchange may have been out of reach for a while.
    async fn subscribe(&self, generation: &mut Generation) -> Result<(), Ended> {
        let first = self.status.borrow().times == 0;
        let began = Instant::now();
        let mut backoff = Backoff::new(REFUSED_RETRY, REFUSED_RETRY_LAST);
        loop {
            let wait = if first {
                self.options.wait
            } else {
                self.options.wait * 1000
            };
            let peer = match ask::peer(&self.shared, began + wait).await {
                Ok(peer) => peer,
                Err(CallFailed::Closed) => return Err(Ended::Closed),
                Err(_) => return Err(Ended::Unreachable),
            };
            *generation = peer.generation;
            match self.subscribe_all().await {
                Ok(()) => return Ok(()),
                Err(Some(why @ Ended::Closed)) => return Err(why),
                Err(Some(why)) if first || began.elapsed() >= self.options.wait => return Err(why),
                Err(None) if first && began.elapsed() >= self.options.wait => return Err(Ended::Unreachable),
                Err(_) => sleep(backoff.take(rand::random())).await,
            }
        }
    }

    async fn subscribe_all(&self) -> Result<(), Option<Ended>> {
        let all = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for wanted in &all {
            self.subscribe_to(wanted).await?;
        }
        Ok(())
    }

    /// None where the connection broke before the answer.
    async fn subscribe_to(&self, wanted: &Wanted) -> Result<(), Option<Ended>> {
        let deadline = Instant::now() + self.options.wait;
        let message = |call| ClientMessage::Subscribe {
            call,
            subscriber: self.id,
            name: self.name.clone(),
            connection_tag: wanted.connection_tag.clone(),
            patterns: wanted.patterns.clone(),
            credit: self.options.credit,
        };
        match call(&self.shared, deadline, None, message).await {
            Ok(NodeMessage::Subscribed { .. }) => Ok(()),
            Ok(NodeMessage::Refused { reason, fault, .. }) => Err(Some(Ended::refused(reason, fault))),
            Ok(_) | Err(CallFailed::NotSent | CallFailed::NoAnswer) => Err(None),
            Err(CallFailed::Closed) => Err(Some(Ended::Closed)),
        }
    }

    /// Until the connection is gone, or the subscription ended there.
    async fn stay(&mut self, generation: Generation) -> Result<(), Ended> {
        let mut link = self.shared.link.subscribe();
        let gone = async {
            let up = |link: &Link| matches!(link, Link::Up(peer) if peer.generation == generation);
            let _gone = link.wait_for(|link| !up(link)).await;
        };
        tokio::pin!(gone);
        loop {
            let ask = tokio::select! {
                () = &mut gone => return Ok(()),
                ended = self.ended.recv() => match ended {
                    Some((of, why)) if of == generation => return Err(why),
                    Some(_) => None,
                    None => return Err(Ended::Closed),
                },
                ask = self.asked.recv() => match ask {
                    Some(ask) => Some(ask),
                    None => return Err(Ended::Closed),
                },
            };
            if let Some(Ask { wanted, answer }) = ask {
                let done = self.subscribe_to(&wanted).await;
                let _nobody_waits = answer.send(done.map_err(|why| why.unwrap_or(Ended::Unreachable)));
            }
        }
    }
}
