//! Publishes that go to one handler each.

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::Pid;
use squall_kernel::publishing::Confirm;

use super::super::recent::Recent;
use super::super::{Breach, Id};
use crate::history::Event;
use crate::limits::REQUESTS_REMEMBERED;

/// A publish for one handler.
#[derive(Debug)]
struct Followed {
    confirm: Confirm,
    /// Who has it.
    handed: Option<(Pid, Event)>,
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
    pub(super) fn begun(&mut self, publish: RequestKey, confirm: Confirm) {
        let handed = None;
        self.publishes.insert(publish, Followed { confirm, handed });
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

    pub(super) fn confirmed(&mut self, event: &Event, publish: RequestKey) -> Result<(), Breach> {
        let followed = self.publishes.get(&publish);
        let untrue =
            |followed: &&Followed| followed.confirm == Confirm::Received && followed.handed.is_none();
        match followed.filter(untrue) {
            None => Ok(()),
            Some(_) => {
                let text = format!("publish {publish} was confirmed as received, and no handler has it");
                Err(Breach::new(Id(7), None, event, text))
            }
        }
    }
}
