//! Makes figures that come from outside fit for arithmetic: none is so large that a sum over all nodes, or the same time in a
//! finer unit, would leave its type. What does not live here: texts (`clean`), and what tells two things apart, such as
//! incarnations.

use squall_proto::v1;
use squall_proto::v1::row::Row;

/// The largest figure taken in: 2⁵³, up to which programs that read JSON keep whole numbers apart. No counter gets there.
pub(super) const FIGURE_MAX: u64 = 1 << 53;

/// A figure, cut to what is taken in.
pub(super) fn fit(figure: u64) -> u64 {
    figure.min(FIGURE_MAX)
}

fn cut<const N: usize>(figures: [&mut u64; N]) {
    for figure in figures {
        *figure = fit(*figure);
    }
}

pub(super) fn row(row: &mut Row) {
    match row {
        Row::Node(n) => node(n),
        Row::Link(l) => link(l),
        Row::Exchange(e) => exchange(e),
        Row::Leader(l) => cut([&mut l.epoch, &mut l.leader_epoch, &mut l.lease_left_ms]),
        Row::Process(p) => process(p),
        Row::Fault(f) => cut([&mut f.left_ms, &mut f.touched]),
    }
}

fn node(n: &mut v1::NodeRow) {
    cut([
        &mut n.term,
        &mut n.revision,
        &mut n.rss_bytes,
        &mut n.fds,
        &mut n.processes,
        &mut n.messages_in,
        &mut n.messages_out,
        &mut n.uptime_ms,
        &mut n.lease_left_ms,
        &mut n.timer_late_ms,
        &mut n.dropped,
        &mut n.decisions_explained,
        &mut n.detail_watchers,
        &mut n.heartbeat_us,
    ]);
    n.refusals.iter_mut().for_each(|r| cut([&mut r.count]));
    n.members.iter_mut().for_each(|m| cut([&mut m.exchanges]));
    if !n.cpu_percent.is_finite() {
        n.cpu_percent = 0.0;
    }
}

fn link(l: &mut v1::LinkRow) {
    cut([
        &mut l.rtt_p50_us,
        &mut l.rtt_p99_us,
        &mut l.queue_bytes,
        &mut l.last_heard_ms,
        &mut l.fault_left_ms,
        &mut l.frames_out,
        &mut l.bytes_out,
        &mut l.connects,
    ]);
    // What is no number is none, and a suspicion is never less than none.
    l.phi = l.phi.max(0.0);
}

fn exchange(e: &mut v1::ExchangeRow) {
    cut([
        &mut e.epoch,
        &mut e.handlers,
        &mut e.requests,
        &mut e.replies,
        &mut e.declined,
        &mut e.refused,
        &mut e.in_flight,
        &mut e.p50_us,
        &mut e.p99_us,
    ]);
}

pub(super) fn process(p: &mut v1::ProcessRow) {
    cut([
        &mut p.enqueued,
        &mut p.dequeued,
        &mut p.bound,
        &mut p.oldest_us,
        &mut p.busy_us,
        &mut p.sent,
        &mut p.restarts,
        &mut p.age_ms,
        &mut p.dropped,
    ]);
}

pub(super) fn event(e: &mut v1::Event) {
    cut([&mut e.unix_ms, &mut e.unix_us, &mut e.epoch]);
}

pub(super) fn exchange_detail(d: &mut v1::ExchangeDetail) {
    cut([
        &mut d.epoch,
        &mut d.held,
        &mut d.state_age_ms,
        &mut d.handlers_left_out,
        &mut d.bindings,
        &mut d.settling_ms,
        &mut d.decided,
    ]);
    let handlers = d.handlers.iter_mut();
    handlers.for_each(|h| cut([&mut h.given, &mut h.bindings]));
    d.groups
        .iter_mut()
        .for_each(|g| cut([&mut g.members, &mut g.place]));
    if let Some(l) = &mut d.leader {
        cut([&mut l.epoch, &mut l.lease_left_ms]);
    }
    let decisions = d.decisions.iter_mut();
    decisions.for_each(|d| cut([&mut d.unix_ms, &mut d.candidates_left_out]));
}

pub(super) fn process_detail(d: &mut v1::ProcessDetail) {
    if let Some(p) = &mut d.row {
        process(p);
    }
    cut([&mut d.head_unseen]);
    let head = d.head.iter_mut();
    head.for_each(|mail| cut([&mut mail.bytes, &mut mail.age_us]));
    for histogram in [&mut d.wait, &mut d.work].into_iter().flatten() {
        cut([&mut histogram.p50_us, &mut histogram.p99_us, &mut histogram.count]);
        let buckets = histogram.buckets.iter_mut();
        buckets.for_each(|b| cut([&mut b.from_us, &mut b.below_us, &mut b.count]));
    }
}
