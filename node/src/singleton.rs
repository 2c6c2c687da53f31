//! Exchanges of which one process decides: controllers (A5) and schedulers (A4) are leaders of such ones.

use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::registry::{Pattern, Registry, Strategy};

/// The exchange of that name, if there is one handler at most that answers.
pub(crate) fn answering(registry: &Registry, name: &ExchangeName) -> Result<ExchangeId, &'static str> {
    let record = registry.exchange(name).ok_or("there is no such exchange")?;
    if record.pattern == Pattern::RequestResponse && record.strategy == Strategy::Consensus {
        Ok(record.id)
    } else {
        Err("it is no request-response exchange with the strategy consensus")
    }
}
