//! Figures of one exchange at this node, for whoever adds up over all nodes (a move's certificate).

use squall_kernel::id::ExchangeName;
use squall_kernel::registry::Introduction;
use squall_kernel::tasks::{Overflow, Scheduling};
use squall_proto::v1;

use crate::data::DataPlane;
use crate::handlers::MailboxStats;

/// None when there is no such exchange in this node's copy of the registry.
pub(super) fn of(
    me: &Introduction,
    data: &DataPlane,
    exchange: &ExchangeName,
) -> Option<v1::ExchangeFiguresResponse> {
    let id = data.lookup(exchange)?;
    let deliveries = data.handlers.deliveries(id);
    let here = data
        .exchanges
        .owned()
        .into_iter()
        .find(|owned| owned.exchange == id);
    let table = data.pubsub.figures(id).unwrap_or_default();
    let figures = v1::ExchangeFiguresResponse {
        node: me.name.as_str().to_owned(),
        incarnation: me.incarnation.0,
        accepted: deliveries.accepted,
        fenced: deliveries.fenced,
        mailboxes: Some(mailboxes(deliveries.mailboxes, here.map(|owned| owned.overflow))),
        owner: here.is_some(),
        handlers: here.map_or(0, |owned| owned.handlers),
        bindings: here.map_or(0, |owned| owned.bindings),
        functions_failed: here.map_or(0, |owned| owned.failed),
        scheduler: here.map(|owned| scheduler(owned.scheduling)),
        downstreams: table.downstreams,
        subscribers: table.subscribers,
        events_sent: table.sent,
        patterns: table.patterns,
        published: table.published,
        duplicates: table.duplicates + here.map_or(0, |owned| owned.duplicates),
        delivered: table.delivered,
        ..v1::ExchangeFiguresResponse::default()
    };
    let Some(stats) = data.router.settled_stats(id) else {
        return Some(figures);
    };
    Some(v1::ExchangeFiguresResponse {
        requests: stats.requests,
        ended: stats.ended,
        open: stats.open,
        replies: stats.replies,
        declined: stats.declined,
        refused: stats.refused,
        timeouts: stats.timeouts,
        interrupted: stats.interrupted,
        second_answers: stats.second,
        late_answers: stats.late,
        ..figures
    })
}

/// Mailboxes of handlers and subscribers, and the queue of tasks where it is here.
fn mailboxes(did: MailboxStats, queue: Option<Overflow>) -> v1::MailboxFigures {
    let queue = queue.unwrap_or_default();
    v1::MailboxFigures {
        rejected: did.rejected + queue.rejected,
        dropped: did.dropped + queue.dropped,
        expired: did.expired + queue.expired,
        held: did.held + queue.held,
    }
}

fn scheduler(said: Scheduling) -> v1::SchedulerFigures {
    v1::SchedulerFigures {
        asked: said.asked,
        followed: said.followed,
        left: said.left,
        waits: said.waits,
        unanswered: said.unanswered,
        unfit: said.unfit,
    }
}
