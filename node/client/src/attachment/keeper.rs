//! Keeps a handler attached: on every new connection, after refusals, after losses.

use std::sync::Arc;

use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::message::{ClientMessage, NodeMessage};
use squall_kernel::reason::DetachReason;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::route::{Loss, Route};
use super::{Counters, Standing, count};
use crate::ask::{self, CallFailed, call};
use crate::backoff::Backoff;
use crate::error::Ended;
use crate::limits::{REFUSED_RETRY, REFUSED_RETRY_LAST};
use crate::link::{Generation, Link};
use crate::options::AttachOptions;
use crate::state::Shared;

/// Keeps a handler attached.
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) name: ExchangeName,
    pub(super) options: AttachOptions,
    pub(super) route: Arc<Route>,
    pub(super) lost: mpsc::Receiver<(Generation, Loss)>,
    pub(super) status: watch::Sender<Standing>,
    pub(super) counters: Arc<Counters>,
    /// It takes tasks, and not requests.
    pub(super) works: bool,
}

impl Keeper {
    /// Until it is `stopped`, or its worker has given the handler up.
    pub(super) async fn run(
        mut self,
        mut stopped: oneshot::Receiver<()>,
        mut given_up: oneshot::Receiver<DetachReason>,
    ) {
        let mut attached = None;
        let why = tokio::select! {
            _ = &mut stopped => Ended::Closed,
            // One whose sender is gone never gives up.
            Ok(reason) = &mut given_up => Ended::Detached(reason),
            why = self.keep(&mut attached) => why,
        };
        if self.works {
            // Its node gives what it has in hand to others as soon as it is gone.
            self.route.finish().await;
        }
        // Before the owner hears of it: it may appoint another one at once.
        self.route.grants().give_up();
        if let Some((generation, pid)) = attached {
            let reason = match why {
                Ended::Detached(reason) => reason,
                _ => DetachReason::Asked,
            };
            self.shared.detach(generation, pid.serial, reason);
        }
        self.status.send_replace(Standing::Ended(why));
    }

    async fn keep(&mut self, attached: &mut Option<(Generation, Pid)>) -> Ended {
        let mut until = Some(Instant::now() + self.options.wait);
        loop {
            let (generation, pid) = match self.attach(until.take()).await {
                Ok(place) => place,
                Err(why) => return why,
            };
            *attached = Some((generation, pid));
            count(&self.counters.attached);
            self.status.send_replace(Standing::Attached(pid));
            let loss = self.lost(generation).await;
            *attached = None;
            self.status.send_replace(Standing::Waiting);
            match loss {
                None => {}
                Some(Loss::NoticeDropped) => {
                    self.route.grants().give_up();
                    self.shared.detach(generation, pid.serial, DetachReason::Asked);
                }
                Some(Loss::Detached(
                    reason @ (DetachReason::Asked | DetachReason::Panicked | DetachReason::Done),
                )) => return Ended::Detached(reason),
                Some(Loss::Detached(_)) => {}
            }
        }
    }

    /// Attaches on the next connection that takes the handler. The first time, `until` bounds everything; later on only
    /// refusals count.
    async fn attach(&mut self, until: Option<Instant>) -> Result<(Generation, Pid), Ended> {
        let far = Instant::now() + self.options.wait * 1000;
        let mut refused: Option<Instant> = None;
        let mut backoff = Backoff::new(REFUSED_RETRY, REFUSED_RETRY_LAST);
        loop {
            let peer = match ask::peer(&self.shared, until.unwrap_or(far)).await {
                Ok(peer) => peer,
                Err(CallFailed::Closed) => return Err(Ended::Closed),
                Err(_) if until.is_none() => continue,
                Err(_) => return Err(Ended::Unreachable),
            };
            let deadline = Instant::now() + self.options.wait;
            let route = Some(Arc::clone(&self.route));
            match call(&self.shared, deadline, route, |call| self.message(call)).await {
                Ok(NodeMessage::Attached { handler, .. }) => return Ok((peer.generation, handler)),
                Ok(NodeMessage::Refused { reason, fault, .. }) => {
                    let why = Ended::refused(reason, fault);
                    if until.is_some() && matches!(why, Ended::Refused(_)) {
                        // It would be refused again.
                        return Err(why);
                    }
                    let since = refused.unwrap_or_else(Instant::now);
                    if since.elapsed() >= self.options.wait
                        || until.is_some_and(|until| Instant::now() >= until)
                    {
                        return Err(why);
                    }
                    refused = Some(since);
                    sleep(backoff.take(rand::random())).await;
                }
                Ok(_) | Err(CallFailed::NotSent | CallFailed::NoAnswer) => {}
                Err(CallFailed::Closed) => return Err(Ended::Closed),
            }
        }
    }

    fn message(&self, call: u64) -> ClientMessage {
        if self.works {
            return ClientMessage::Work {
                call,
                name: self.name.clone(),
                service_tag: self.options.service_tag.clone(),
                credit: self.options.credit,
            };
        }
        ClientMessage::Attach {
            call,
            name: self.name.clone(),
            service_tag: self.options.service_tag.clone(),
            connection_tag: self.options.connection_tag.clone(),
            credit: self.options.credit,
        }
    }

    /// Waits until the handler must be attached again; `None` when its connection is gone.
    async fn lost(&mut self, generation: Generation) -> Option<Loss> {
        let mut link = self.shared.link.subscribe();
        let gone = link.wait_for(|link| !matches!(link, Link::Up(peer) if peer.generation == generation));
        let lost = async {
            loop {
                match self.lost.recv().await {
                    Some((of, loss)) if of == generation => return Some(loss),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        tokio::select! {
            _ = gone => None,
            loss = lost => loss,
        }
    }
}
