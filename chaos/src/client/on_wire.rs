//! Faults as the nodes' chaos services are asked for them.

use squall_kernel::fault::{
    ClockFault, DiskFault, FaultKind, LinkFault, MessageFault, ProcessFault, Shape, Wanted,
};
use squall_kernel::time::Span;
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

/// A fault of any kind.
pub(crate) fn kind_on_wire(kind: &FaultKind) -> Fault {
    match kind {
        FaultKind::Link { to, what } => on_wire(to.as_str(), *what),
        FaultKind::Clock(what) => Fault::Clock(clock(*what)),
        FaultKind::Disk(what) => Fault::Disk(disk(*what)),
        FaultKind::Burn { threads } => Fault::Burn(v1::BurnFault {
            threads: u32::from(*threads),
        }),
        FaultKind::Process { exchange, what } => Fault::Process(process(exchange.as_str(), *what)),
        FaultKind::Message { of, what } => Fault::Message(message(of, *what)),
    }
}

fn clock(what: ClockFault) -> v1::ClockFault {
    use v1::clock_fault::What;
    let what = match what {
        ClockFault::Skew { ppm } => What::SkewPpm(ppm),
        ClockFault::Step { ms } => What::StepMs(ms),
    };
    v1::ClockFault { what: Some(what) }
}

fn disk(what: DiskFault) -> v1::DiskFault {
    let (kind, by) = match what {
        DiskFault::Slow { by } => (v1::DiskFaultKind::Slow, by),
        DiskFault::Full => (v1::DiskFaultKind::Full, Span::ZERO),
        DiskFault::Torn => (v1::DiskFaultKind::Torn, Span::ZERO),
        DiskFault::LostTail => (v1::DiskFaultKind::LostTail, Span::ZERO),
    };
    v1::DiskFault {
        kind: kind.into(),
        by_us: by.0,
    }
}

fn process(exchange: &str, what: ProcessFault) -> v1::ProcessFault {
    let (kind, by) = match what {
        ProcessFault::Kill => (v1::ProcessFaultKind::Kill, Span::ZERO),
        ProcessFault::Suspend => (v1::ProcessFaultKind::Suspend, Span::ZERO),
        ProcessFault::Slow { by } => (v1::ProcessFaultKind::Slow, by),
        ProcessFault::Panic => (v1::ProcessFaultKind::Panic, Span::ZERO),
        ProcessFault::Fill => (v1::ProcessFaultKind::Fill, Span::ZERO),
    };
    v1::ProcessFault {
        exchange: exchange.to_owned(),
        kind: kind.into(),
        by_us: by.0,
    }
}

fn message(of: &Wanted, what: MessageFault) -> v1::MessageFault {
    let (kind, by) = match what {
        MessageFault::Drop => (v1::MessageFaultKind::Drop, Span::ZERO),
        MessageFault::Delay { by } => (v1::MessageFaultKind::Delay, by),
        MessageFault::Duplicate => (v1::MessageFaultKind::Duplicate, Span::ZERO),
    };
    let key = of.key.as_ref();
    v1::MessageFault {
        exchange: of.exchange.as_str().to_owned(),
        key: key.map(|key| key.as_str().to_owned()).unwrap_or_default(),
        share_ppm: of.share.0,
        kind: kind.into(),
        by_us: by.0,
    }
}

fn shape(shape: Shape) -> v1::Shape {
    match shape {
        Shape::Uniform => v1::Shape::Uniform,
        Shape::Normal => v1::Shape::Normal,
        Shape::Exponential => v1::Shape::Exponential,
    }
}
