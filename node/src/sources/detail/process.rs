//! One process in detail.

use std::sync::Arc;

use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::time::Instant;
use squall_proto::v1;

use super::super::view;
use super::words::readable;
use crate::data::{DataContext, DataPlane};
use crate::introspect::limits::ENVELOPES_MAX;
use crate::process::{Bucket, Envelope, Process, ProcessKind, ProcessWatch, Sender, quantile};

/// The process of this node with that pid, as people read it, with or without angle brackets.
pub(super) fn named(data: &DataPlane, text: &str) -> Option<Arc<Process>> {
    let context = &data.context;
    let bare = text.strip_prefix('<').unwrap_or(text);
    let bare = bare.strip_suffix('>').unwrap_or(bare);
    let number = bare.strip_prefix(context.name.as_str())?.strip_prefix('.')?;
    let (boot, n) = match number.split_once(':') {
        Some((boot, n)) => (boot.parse().ok()?, n),
        None => (context.boot.0.min(1), number),
    };
    let pid = Pid::new(context.node, squall_kernel::id::Boot(boot), n.parse().ok()?);
    context.processes.get(pid.serial)
}

pub(super) fn detail(data: &DataPlane, process: &Process, watch: &ProcessWatch) -> v1::ProcessDetail {
    let context = &data.context;
    let now = context.clock.now();
    let figures = process.figures(now);
    let pid = context.pid_text(figures.pid);
    let inside = watch.look(ENVELOPES_MAX);
    let unseen = figures.depth().saturating_sub(inside.seen as u64);
    let head = inside.head.into_iter();
    v1::ProcessDetail {
        row: Some(view(&figures).row(pid)),
        attached_to: attached_to(data, process),
        head: head
            .map(|(put, envelope)| mail(context, now, put, &envelope))
            .collect(),
        head_unseen: if process.has_mailbox() { unseen } else { 0 },
        head_note: note(process).to_owned(),
        wait: Some(histogram(&inside.wait)),
        work: Some(histogram(&inside.work)),
    }
}

fn note(process: &Process) -> &'static str {
    match process.kind() {
        _ if process.has_mailbox() => "",
        ProcessKind::Handler => "what it was given is with its client, or in the line before it",
        ProcessKind::Subscriber => "its events wait by priority, in a queue that nobody looks into",
        _ => "it has no mailbox",
    }
}

fn attached_to(data: &DataPlane, process: &Process) -> Vec<String> {
    let name = process.name();
    match process.kind() {
        ProcessKind::Handler => data
            .handlers
            .attached_to(process.pid().serial)
            .into_iter()
            .collect(),
        ProcessKind::Exchange => vec![format!("exchange {name}, as its owner's process")],
        ProcessKind::Subscriptions => vec![format!("exchange {name}, for its subscribers at this node")],
        ProcessKind::Subscriber => vec![format!("exchange {name}, as a subscriber")],
        ProcessKind::Session | ProcessKind::Requester => Vec::new(),
    }
}

fn mail(context: &DataContext, now: Instant, put: Instant, envelope: &Envelope) -> v1::MailEnvelope {
    v1::MailEnvelope {
        kind: envelope.kind.to_owned(),
        exchange: envelope
            .exchange
            .map(|id| exchange_name(context, id))
            .unwrap_or_default(),
        key: readable(&envelope.key),
        bytes: envelope.bytes as u64,
        age_us: now.since(put).0,
        from: match envelope.from {
            Some(Sender::Process(pid)) => context.pid_text(pid),
            Some(Sender::Node(node)) => context.node_text(node),
            None => String::new(),
        },
    }
}

fn exchange_name(context: &DataContext, id: ExchangeId) -> String {
    let registry = context.registry();
    let record = registry.exchanges.get(&id);
    record.map_or_else(|| id.to_string(), |record| record.name.as_str().to_owned())
}

fn histogram(buckets: &[Bucket]) -> v1::LatencyHistogram {
    v1::LatencyHistogram {
        buckets: buckets
            .iter()
            .map(|bucket| v1::LatencyBucket {
                from_us: bucket.from.0,
                below_us: bucket.below.0,
                count: bucket.count,
            })
            .collect(),
        p50_us: quantile(buckets, 50).0,
        p99_us: quantile(buckets, 99).0,
        count: buckets.iter().map(|bucket| bucket.count).sum(),
    }
}
