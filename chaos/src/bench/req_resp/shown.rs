//! What the process table of the requester's node shows: that requester, exchange and handlers are processes with mailboxes, and
//! that what was asked went through these. Pure but for reading the table.

use std::collections::BTreeSet;

use squall_kernel::id::Pid;
use squall_node::data::DataPlane;
use squall_node::process::ProcessKind;

use super::HANDLERS;

/// Processes of a kind, and the messages they have taken out of their mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Kind {
    processes: usize,
    taken: u64,
}

/// What the table shows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shown {
    requesters: Kind,
    exchanges: Kind,
    handlers: Kind,
}

impl Shown {
    /// Of requesters only these.
    pub(super) fn of(plane: &DataPlane, requesters: &BTreeSet<Pid>) -> Self {
        let context = &plane.context;
        let now = context.clock.now();
        let mut shown = Self::default();
        context.processes.each(|process| {
            let kind = match process.kind() {
                ProcessKind::Requester if requesters.contains(&process.pid()) => &mut shown.requesters,
                ProcessKind::Exchange => &mut shown.exchanges,
                ProcessKind::Handler => &mut shown.handlers,
                _ => return,
            };
            kind.processes += 1;
            kind.taken += process.figures(now).dequeued;
        });
        shown
    }

    /// What is wrong about it, after so many of these requesters have asked so much since `before`; with `all` the exchange and its
    /// handlers are at this node, too.
    pub(super) fn wrong(self, before: Self, requesters: usize, asked: u64, all: bool) -> Option<String> {
        let Kind { processes, taken } = self.requesters;
        if processes != requesters || taken != asked {
            return Some(format!(
                "the process table shows {processes} requesters that took {taken} outcomes, not {requesters} and {asked}"
            ));
        }
        let there = [
            ("exchanges", self.exchanges, before.exchanges, 1),
            ("handlers", self.handlers, before.handlers, HANDLERS),
        ];
        let of_it = there.into_iter().filter(|_| all);
        let mut seen = of_it.map(|(kind, now, before, due)| {
            let taken = now.taken.saturating_sub(before.taken);
            (kind, now.processes, taken, due)
        });
        // A request may be handed over again, so more is not wrong.
        let odd = seen.find(|(_, processes, taken, due)| processes != due || *taken < asked);
        odd.map(|(kind, processes, taken, due)| {
            format!(
                "the process table shows {processes} {kind} that took {taken} requests, not {due} and {asked}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_is_there_and_every_request_went_through_its_mailbox() {
        let kind = |processes, taken| Kind { processes, taken };
        let before = Shown {
            exchanges: kind(1, 5),
            handlers: kind(5, 5),
            ..Shown::default()
        };
        let after = Shown {
            requesters: kind(10, 100),
            exchanges: kind(1, 105),
            handlers: kind(5, 105),
        };
        assert_eq!(after.wrong(before, 10, 100, true), None);
        assert!(
            after
                .wrong(before, 11, 100, true)
                .unwrap()
                .contains("10 requesters")
        );
        assert!(
            after
                .wrong(before, 10, 101, false)
                .unwrap()
                .contains("100 outcomes")
        );
        let elsewhere = Shown {
            exchanges: kind(0, 0),
            handlers: kind(0, 0),
            ..after
        };
        assert_eq!(elsewhere.wrong(before, 10, 100, false), None);
        let past = Shown {
            handlers: kind(5, 104),
            ..after
        };
        let said = past.wrong(before, 10, 100, true).unwrap();
        assert!(
            said.contains("5 handlers that took 99 requests, not 5 and 100"),
            "{said}"
        );
        let none = Shown {
            exchanges: kind(0, 5),
            ..after
        };
        assert!(none.wrong(before, 10, 100, true).unwrap().contains("0 exchanges"));
    }
}
