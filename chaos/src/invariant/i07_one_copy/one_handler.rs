//! Publishes that go to one handler each.
//!
//! Nothing is said of one whose handler's node may have been killed with the word that it has it still unwritten.

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{NodeId, Pid};
use squall_kernel::publishing::Confirm;

use super::super::recent::Recent;
use super::super::{Breach, Id};
use super::killed::Killed;
use crate::history::Event;
use crate::limits::REQUESTS_REMEMBERED;

/// A publish for one handler.
#[derive(Debug)]
struct Followed {
    confirm: Confirm,
    begun: u64,
    /// Which owner passed it on last, and to whose node; none since it is tried again, and where no owner told.
    routed: Option<(NodeId, NodeId)>,
    /// Who has it.
    handed: Option<(Pid, Event)>,
}

impl Followed {
    /// True when somebody may have it of whom nobody can tell any more.
    fn is_hidden(&self, killed: &Killed) -> bool {
        match self.routed {
            // An owner that was killed may have passed it on once more.
            Some((owner, to)) => [owner, to].iter().any(|node| killed.hides(*node, self.begun)),
            None => killed.hides_any(self.begun),
        }
    }
}

/// Those publishes, the latest of them.
#[derive(Debug)]
pub(super) struct OneHandler {
    publishes: Recent<RequestKey, Followed>,
}

impl Default for OneHandler {
    fn default() -> Self {
        Self {
            publishes: Recent::new(REQUESTS_REMEMBERED),
        }
    }
}

impl OneHandler {
    pub(super) fn begun(&mut self, publish: RequestKey, confirm: Confirm, begun: u64) {
        let followed = Followed {
            confirm,
            begun,
            routed: None,
            handed: None,
        };
        self.publishes.insert(publish, followed);
    }

    /// It is tried again: nobody has got it.
    pub(super) fn again(&mut self, publish: RequestKey) {
        if let Some(followed) = self.publishes.get_mut(&publish) {
            followed.routed = None;
        }
    }

    pub(super) fn routed(&mut self, publish: RequestKey, owner: NodeId, handler: Pid) {
        if let Some(followed) = self.publishes.get_mut(&publish) {
            followed.routed = Some((owner, handler.node));
        }
    }

    pub(super) fn handed(&mut self, event: &Event, publish: RequestKey, handler: Pid) -> Result<(), Breach> {
        let Some(followed) = self.publishes.get_mut(&publish) else {
            return Ok(());
        };
        if let Some((by, before)) = &followed.handed {
            let text = format!("publish {publish} is for one handler, and {by} and {handler} have it");
            return Err(Breach::new(Id(7), Some(before), event, text));
        }
        followed.handed = Some((handler, event.clone()));
        Ok(())
    }

    pub(super) fn confirmed(
        &mut self,
        event: &Event,
        publish: RequestKey,
        killed: &Killed,
    ) -> Result<(), Breach> {
        let followed = self.publishes.get(&publish);
        let untrue = |followed: &&Followed| {
            let nobody = followed.confirm == Confirm::Received && followed.handed.is_none();
            nobody && !followed.is_hidden(killed)
        };
        match followed.filter(untrue) {
            None => Ok(()),
            Some(_) => {
                let text = format!("publish {publish} was confirmed as received, and no handler has it");
                Err(Breach::new(Id(7), None, event, text))
            }
        }
    }
}
