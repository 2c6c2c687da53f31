//! Exchanges and processes in detail, for whoever watches one of them.
//!
//! What does not live here: what is kept while somebody does (`exchanges::watching`, `process`), and streams (`grpc::detail`).

mod exchange;
mod process;
mod words;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use squall_kernel::id::ExchangeName;

use crate::data::DataPlane;
use crate::exchanges::ExchangeWatch;
use crate::introspect::{Detail, Entity, Look, NoDetail};
use crate::process::ProcessWatch;
use crate::wire::count;

/// Begins to watch an entity.
pub(crate) fn of(data: &Arc<DataPlane>, entity: &Entity) -> Result<Box<dyn Detail>, NoDetail> {
    let counted = Counted::new(data);
    match entity {
        Entity::Exchange(name) => {
            let unknown = || NoDetail::Exchange(name.as_str().to_owned());
            let id = data.lookup(name).ok_or_else(unknown)?;
            Ok(Box::new(WatchedExchange {
                name: name.clone(),
                watch: ExchangeWatch::new(Arc::clone(data), id),
                counted,
            }))
        }
        Entity::Process(pid) => {
            let unknown = || NoDetail::Process(pid.escape_debug().to_string());
            let found = process::named(data, pid).ok_or_else(unknown)?;
            Ok(Box::new(WatchedProcess {
                pid: pid.clone(),
                watch: found.watch(),
                counted,
            }))
        }
    }
}

/// A place among the open detail streams, for the node's own row.
struct Counted(Arc<DataPlane>);

impl Counted {
    fn new(data: &Arc<DataPlane>) -> Self {
        count(&data.context.wire.tally.detail_watchers);
        Self(Arc::clone(data))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.context.wire.tally.detail_watchers.fetch_sub(1, Relaxed);
    }
}

struct WatchedExchange {
    name: ExchangeName,
    watch: ExchangeWatch,
    counted: Counted,
}

impl Detail for WatchedExchange {
    fn look(&mut self) -> Look {
        let seen = self.watch.look();
        match exchange::detail(&self.counted.0, &self.name, self.watch.exchange(), seen) {
            Some(detail) => Look::Exchange(Box::new(detail)),
            None => Look::Ended(format!("the exchange '{}' was deleted", self.name)),
        }
    }
}

struct WatchedProcess {
    pid: String,
    watch: ProcessWatch,
    counted: Counted,
}

impl Detail for WatchedProcess {
    fn look(&mut self) -> Look {
        match self.watch.process() {
            Some(found) => Look::Process(Box::new(process::detail(&self.counted.0, &found, &self.watch))),
            None => Look::Ended(format!("the process {} has ended", self.pid)),
        }
    }
}
