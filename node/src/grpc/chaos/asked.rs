//! Faults as they are asked for over gRPC, taken apart. What does not live here: whether what they are on is there, and
//! their bounds (the kernel's).

use squall_kernel::fault::{
    ClockFault, DiskFault, FaultKind, Latency, LinkFault, MessageFault, ProcessFault, Shape, Share, Wanted,
};
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::keys::KeyPattern;
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::clock_fault::What as Clock;
use squall_proto::v1::set_fault_request::Fault as Asked;

use crate::grpc::status::CallError;

/// The fault that is asked for.
pub(super) fn kind_of(asked: Option<&Asked>) -> Result<FaultKind, CallError> {
    let unknown = "no fault was given, or one that this node does not know";
    match asked.ok_or_else(|| invalid("fault", &unknown))? {
        Asked::Clock(clock) => Ok(FaultKind::Clock(clock_fault(*clock)?)),
        Asked::Disk(disk) => Ok(FaultKind::Disk(disk_fault(*disk)?)),
        Asked::Burn(burn) => Ok(FaultKind::Burn {
            // What is too much for the field is too much for the node, too.
            threads: u8::try_from(burn.threads).unwrap_or(u8::MAX),
        }),
        Asked::Process(process) => process_fault(process),
        Asked::Message(message) => message_fault(message),
        link => link_fault(link).ok_or_else(|| invalid("fault", &unknown))?,
    }
}

fn link_fault(asked: &Asked) -> Option<Result<FaultKind, CallError>> {
    let (to, what) = match asked {
        Asked::Delay(delay) => (&delay.to, LinkFault::Delay(latency(delay))),
        Asked::Loss(loss) => (&loss.to, LinkFault::Loss(Share(loss.share_ppm))),
        Asked::Duplicate(twice) => (&twice.to, LinkFault::Duplicate(Share(twice.share_ppm))),
        Asked::Reorder(late) => {
            let (share, by) = (Share(late.share_ppm), Span(late.by_us));
            (&late.to, LinkFault::Reorder { share, by })
        }
        Asked::Corrupt(changed) => (&changed.to, LinkFault::Corrupt(Share(changed.share_ppm))),
        Asked::Rate(rate) => (&rate.to, LinkFault::Rate(rate.bytes_per_s)),
        Asked::Cut(cut) => (&cut.to, LinkFault::Cut),
        Asked::Clog(clog) => (&clog.to, LinkFault::Clog(Span(clog.stall_us))),
        Asked::Reset(reset) => (&reset.to, LinkFault::Reset(Span(reset.every_us))),
        Asked::Slice(slice) => (&slice.to, LinkFault::Slice(slice.bytes)),
        Asked::Limit(limit) => (&limit.to, LinkFault::Limit(limit.bytes)),
        Asked::SlowClose(slow) => (&slow.to, LinkFault::SlowClose(Span(slow.by_us))),
        Asked::Clock(_) | Asked::Disk(_) | Asked::Burn(_) | Asked::Process(_) | Asked::Message(_) => {
            return None;
        }
    };
    let to = NodeName::new(to).map_err(|error| invalid("to", &error));
    Some(to.map(|to| FaultKind::link(to, what)))
}

fn latency(delay: &v1::DelayFault) -> Latency {
    let shape = match delay.shape() {
        v1::Shape::Unspecified | v1::Shape::Uniform => Shape::Uniform,
        v1::Shape::Normal => Shape::Normal,
        v1::Shape::Exponential => Shape::Exponential,
    };
    Latency {
        time: Span(delay.delay_us),
        jitter: Span(delay.jitter_us),
        shape,
    }
}

fn clock_fault(asked: v1::ClockFault) -> Result<ClockFault, CallError> {
    match asked.what {
        Some(Clock::SkewPpm(ppm)) => Ok(ClockFault::Skew { ppm }),
        Some(Clock::StepMs(ms)) => Ok(ClockFault::Step { ms }),
        None => Err(no_kind("what")),
    }
}

fn disk_fault(asked: v1::DiskFault) -> Result<DiskFault, CallError> {
    match asked.kind() {
        v1::DiskFaultKind::Slow => Ok(DiskFault::Slow {
            by: Span(asked.by_us),
        }),
        v1::DiskFaultKind::Full => Ok(DiskFault::Full),
        v1::DiskFaultKind::Torn => Ok(DiskFault::Torn),
        v1::DiskFaultKind::LostTail => Ok(DiskFault::LostTail),
        v1::DiskFaultKind::Unspecified => Err(no_kind("kind")),
    }
}

fn process_fault(asked: &v1::ProcessFault) -> Result<FaultKind, CallError> {
    let what = match asked.kind() {
        v1::ProcessFaultKind::Kill => ProcessFault::Kill,
        v1::ProcessFaultKind::Suspend => ProcessFault::Suspend,
        v1::ProcessFaultKind::Slow => ProcessFault::Slow {
            by: Span(asked.by_us),
        },
        v1::ProcessFaultKind::Panic => ProcessFault::Panic,
        v1::ProcessFaultKind::Fill => ProcessFault::Fill,
        v1::ProcessFaultKind::Unspecified => return Err(no_kind("kind")),
    };
    let exchange = exchange(&asked.exchange)?;
    Ok(FaultKind::Process { exchange, what })
}

fn message_fault(asked: &v1::MessageFault) -> Result<FaultKind, CallError> {
    let what = match asked.kind() {
        v1::MessageFaultKind::Drop => MessageFault::Drop,
        v1::MessageFaultKind::Delay => MessageFault::Delay {
            by: Span(asked.by_us),
        },
        v1::MessageFaultKind::Duplicate => MessageFault::Duplicate,
        v1::MessageFaultKind::Unspecified => return Err(no_kind("kind")),
    };
    let key = match asked.key.as_str() {
        "" => None,
        key => Some(KeyPattern::new(key).map_err(|error| invalid("key", &error))?),
    };
    let of = Wanted {
        exchange: exchange(&asked.exchange)?,
        key,
        share: Share(asked.share_ppm),
    };
    Ok(FaultKind::Message { of, what })
}

fn exchange(name: &str) -> Result<ExchangeName, CallError> {
    ExchangeName::new(name).map_err(|error| invalid("exchange", &error))
}

fn no_kind(field: &'static str) -> CallError {
    invalid(field, &"none was given, or one that this node does not know")
}

fn invalid(field: &'static str, why: &impl ToString) -> CallError {
    CallError::Invalid {
        field,
        reason: why.to_string(),
    }
}
