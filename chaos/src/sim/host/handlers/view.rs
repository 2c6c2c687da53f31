//! What a handler makes of the system messages it hears.

use squall_kernel::message::System;

use crate::history::View as Seen;

/// Takes a message into what a handler knows of the others.
pub(super) fn heard(seen: &mut Seen, what: &System) {
    match what {
        System::Leader {
            leader,
            leader_epoch,
            servers,
        } => {
            seen.leader = leader.map(|pid| (pid, *leader_epoch));
            seen.servers = servers.pids().collect();
        }
        System::SlaveUp(server) => {
            if let Err(place) = seen.servers.binary_search(&server.pid) {
                seen.servers.insert(place, server.pid);
            }
        }
        System::SlaveDown { pid, .. } => {
            seen.servers.retain(|other| other != pid);
            seen.leader = seen.leader.filter(|(leader, _)| leader != pid);
        }
    }
}
