//! Updates as messages, and back.

use squall_proto::v1;
use squall_proto::v1::recorded::What;

use crate::feed::{Link, RowsUpdate, Update};
use crate::units::Moment;

/// None for what is not recorded: what one page shows in detail, and only while it is open.
pub(crate) fn encode(at: Moment, update: Update) -> Option<v1::Recorded> {
    let what = match update {
        Update::Detail { .. } => return None,
        Update::Seed { addr, why } => What::Seed(v1::RecordedSeed {
            addr,
            silent: why.is_some(),
            why: why.unwrap_or_default(),
        }),
        Update::Connection { node, state } => What::Connection(match state {
            Link::Live => v1::RecordedConnection {
                node,
                live: true,
                ..Default::default()
            },
            Link::Down { why, refused } => v1::RecordedConnection {
                node,
                live: false,
                why,
                refused,
            },
        }),
        Update::Hello { node, hello } => What::Hello(v1::RecordedHello {
            node,
            hello: Some(hello),
        }),
        Update::Rows(rows) => What::Rows(v1::RecordedRows {
            node: rows.node,
            whole: rows.whole,
            rows: rows.rows,
            removed: rows.removed,
            taken_unix_ms: rows.taken_unix_ms,
            coalesced: rows.coalesced,
            rows_omitted: rows.rows_omitted,
            gaps: rows.gaps,
        }),
        Update::Events {
            node,
            incarnation,
            events,
            lost,
        } => What::Events(v1::RecordedEvents {
            node,
            incarnation,
            events,
            lost,
        }),
        Update::Refused { node, reason } => What::Refused(v1::RecordedRefusal { node, reason }),
    };
    Some(v1::Recorded {
        at_unix_ms: at.0,
        what: Some(what),
    })
}

/// None for what a newer recorder knows and this program does not.
pub(crate) fn decode(recorded: v1::Recorded) -> Option<(Moment, Update)> {
    let update = match recorded.what? {
        What::Seed(it) => Update::Seed {
            addr: it.addr,
            why: it.silent.then_some(it.why),
        },
        What::Connection(it) => Update::Connection {
            node: it.node,
            state: if it.live {
                Link::Live
            } else {
                Link::Down {
                    why: it.why,
                    refused: it.refused,
                }
            },
        },
        What::Hello(it) => Update::Hello {
            node: it.node,
            hello: it.hello?,
        },
        What::Rows(it) => Update::Rows(RowsUpdate {
            node: it.node,
            whole: it.whole,
            rows: it.rows,
            removed: it.removed,
            taken_unix_ms: it.taken_unix_ms,
            coalesced: it.coalesced,
            rows_omitted: it.rows_omitted,
            gaps: it.gaps,
        }),
        What::Events(it) => Update::Events {
            node: it.node,
            incarnation: it.incarnation,
            events: it.events,
            lost: it.lost,
        },
        What::Refused(it) => Update::Refused {
            node: it.node,
            reason: it.reason,
        },
    };
    Some((Moment(recorded.at_unix_ms), update))
}
