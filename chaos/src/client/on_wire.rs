//! Faults on links as the nodes' chaos services are asked for them.

use squall_kernel::fault::{LinkFault, Shape};
use squall_proto::v1;
use squall_proto::v1::set_fault_request::Fault;

/// The fault, on the way to that peer.
pub(crate) fn on_wire(to: &str, what: LinkFault) -> Fault {
    let to = to.to_owned();
    match what {
        LinkFault::Delay(latency) => Fault::Delay(v1::DelayFault {
            to,
            delay_us: latency.time.0,
            jitter_us: latency.jitter.0,
            shape: shape(latency.shape).into(),
        }),
        LinkFault::Loss(share) => Fault::Loss(v1::LossFault {
            to,
            share_ppm: share.0,
        }),
        LinkFault::Duplicate(share) => Fault::Duplicate(v1::DuplicateFault {
            to,
            share_ppm: share.0,
        }),
        LinkFault::Reorder { share, by } => Fault::Reorder(v1::ReorderFault {
            to,
            share_ppm: share.0,
            by_us: by.0,
        }),
        LinkFault::Corrupt(share) => Fault::Corrupt(v1::CorruptFault {
            to,
            share_ppm: share.0,
        }),
        LinkFault::Rate(bytes_per_s) => Fault::Rate(v1::RateFault { to, bytes_per_s }),
        LinkFault::Cut => Fault::Cut(v1::CutFault { to }),
        LinkFault::Clog(stall) => Fault::Clog(v1::ClogFault {
            to,
            stall_us: stall.0,
        }),
        LinkFault::Reset(every) => Fault::Reset(v1::ResetFault {
            to,
            every_us: every.0,
        }),
        LinkFault::Slice(bytes) => Fault::Slice(v1::SliceFault { to, bytes }),
        LinkFault::Limit(bytes) => Fault::Limit(v1::LimitFault { to, bytes }),
        LinkFault::SlowClose(by) => Fault::SlowClose(v1::SlowCloseFault { to, by_us: by.0 }),
    }
}

fn shape(shape: Shape) -> v1::Shape {
    match shape {
        Shape::Uniform => v1::Shape::Uniform,
        Shape::Normal => v1::Shape::Normal,
        Shape::Exponential => v1::Shape::Exponential,
    }
}
