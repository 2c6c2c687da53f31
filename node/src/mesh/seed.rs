//! Seeds: addresses without a name. Each is dialled until it answers, and again when nobody it led to is linked any
//! more. What does not live here: the peers they lead to (`peers`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use squall_kernel::handshake::Purpose;
use squall_kernel::id::NodeId;
use squall_kernel::reason::Refusal;

use super::Shared;
use super::greet::{GreetError, dial};

/// What became of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedStatus {
    /// Address.
    pub addr: String,
    /// The node that answered last.
    pub node: Option<NodeId>,
    /// Why nobody answered, in words; empty when somebody did, and before the first try.
    pub why: String,
}

/// A seed.
pub(super) struct Seed {
    addr: String,
    last: ArcSwap<(Option<NodeId>, String)>,
}

impl Seed {
    pub(super) fn new(addr: String) -> Self {
        Self {
            addr,
            last: ArcSwap::default(),
        }
    }

    pub(super) fn status(&self) -> SeedStatus {
        let (node, why) = &**self.last.load();
        SeedStatus {
            addr: self.addr.clone(),
            node: *node,
            why: why.clone(),
        }
    }

    /// Asks until the address turns out to be this node's own.
    async fn keep(&self, shared: &Arc<Shared>) {
        let mut backoff = shared.times.backoff_first;
        loop {
            match self.ask(shared).await {
                Ok(node) => {
                    self.last.store(Arc::new((Some(node), String::new())));
                    backoff = shared.times.backoff_first;
                    while shared.peer(node).is_some() {
                        tokio::time::sleep(shared.times.backoff_cap).await;
                    }
                }
                Err(GreetError::Refused {
                    refusal: Refusal::Myself,
                    ..
                }) => return,
                Err(error) => {
                    let refused = matches!(error, GreetError::Refused { .. });
                    self.failed(shared, &error);
                    tokio::time::sleep(if refused {
                        shared.times.backoff_cap
                    } else {
                        backoff
                    })
                    .await;
                    backoff = (backoff * 2).min(shared.times.backoff_cap);
                }
            }
        }
    }

    async fn ask(&self, shared: &Arc<Shared>) -> Result<NodeId, GreetError> {
        let answered = dial(shared, &self.addr, Purpose::Seed, None).await?;
        shared.meet(&answered.node);
        for member in &answered.accepted.members {
            shared.meet(member);
        }
        Ok(answered.node.id)
    }

    fn failed(&self, shared: &Shared, error: &GreetError) {
        let why = error.to_string();
        if self.last.load().1 == why {
            return;
        }
        tracing::warn!(addr = %self.addr, "seed: {why}");
        self.last.store(Arc::new((None, why)));
        if let GreetError::Refused { refusal, detail, .. } = error {
            shared.refused(*refusal, detail, self.addr.clone(), true);
        }
    }
}

/// True for a host, a colon and a port.
pub(super) fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Starts to ask all seeds.
pub(super) fn ask_all(shared: &Arc<Shared>) {
    for place in 0..shared.seeds.len() {
        let asked = Arc::clone(shared);
        shared.control.spawn(async move {
            let mut stop = asked.stop.subscribe();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                () = asked.seeds[place].keep(&asked) => {}
            }
        });
    }
}
