//! The ids under which faults are set: of what they do and to what, so that the same order again replaces a fault, and faults
//! do not pile up.
//!
//! What does not live here: setting them (`client`).

use squall_kernel::fault::{FAULT_ID_BYTES_MAX, FaultKind};
use squall_kernel::spread::mix;

/// The id of a fault that this node holds.
pub(super) fn id_of(node: &str, kind: &FaultKind) -> String {
    let id = match kind {
        FaultKind::Link { to, what } => format!("{}-{node}-{to}", what.word()),
        FaultKind::Clock(what) => format!("clock-{}-{node}", what.word()),
        FaultKind::Disk(what) => format!("disk-{}-{node}", what.word()),
        FaultKind::Burn { .. } => format!("burn-{node}"),
        FaultKind::Process { exchange, what } => format!("process-{}-{exchange}-{node}", what.word()),
        FaultKind::Message { of, what } => {
            let key = of.key.as_ref().map(|key| format!("-{}", key.as_str()));
            let key = key.unwrap_or_default();
            format!("message-{}-{}{key}-{node}", what.word(), of.exchange)
        }
    };
    fitting(id)
}

/// What is too long is cut, and told apart by a number made of all of it.
fn fitting(mut id: String) -> String {
    if id.len() <= FAULT_ID_BYTES_MAX {
        return id;
    }
    let sum = id.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte)));
    let tail = format!("-{sum:016x}");
    let room = FAULT_ID_BYTES_MAX - tail.len();
    let end = (0..=room).rev().find(|at| id.is_char_boundary(*at));
    id.truncate(end.unwrap_or(0));
    id + tail.as_str()
}

#[cfg(test)]
mod tests {
    use squall_kernel::fault::{ClockFault, ProcessFault};
    use squall_kernel::id::ExchangeName;

    use super::*;

    fn process(exchange: &str) -> FaultKind {
        FaultKind::Process {
            exchange: ExchangeName::new(exchange).unwrap(),
            what: ProcessFault::Suspend,
        }
    }

    #[test]
    fn an_id_says_what_and_where_and_fits() {
        let skew = |ppm| FaultKind::Clock(ClockFault::Skew { ppm });
        assert_eq!(id_of("a", &skew(5)), "clock-skew-a");
        assert_eq!(
            id_of("a", &skew(5)),
            id_of("a", &skew(7)),
            "it replaces the other"
        );
        assert_eq!(id_of("a", &process("orders")), "process-suspend-orders-a");
        let long = ["x", "y"].map(|end| id_of("a", &process(&("o".repeat(200) + end))));
        assert_eq!(long[0].len(), FAULT_ID_BYTES_MAX);
        assert_ne!(long[0], long[1]);
    }
}
