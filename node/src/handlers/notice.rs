//! System messages in the words of the `Handler` trait: pids and nodes by name.

use squall_client::handler::{Notice, NoticeKind, ServerInfo};
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::message::{Server, System, SystemMessage};

use crate::data::DataContext;

/// What a system message tells the handler `own`.
#[must_use]
pub fn notice_of(
    context: &DataContext,
    own: Pid,
    exchange: &ExchangeName,
    message: &SystemMessage,
) -> Notice {
    let what = match &message.what {
        System::Leader {
            leader,
            leader_epoch,
            servers,
        } => NoticeKind::Leader {
            leader: leader.map(|pid| context.pid_text(pid)),
            leader_epoch: *leader_epoch,
            you: *leader == Some(own),
            servers: servers.iter().map(|s| server(context, s)).collect(),
        },
        System::SlaveUp(up) => NoticeKind::SlaveUp(server(context, up)),
        System::SlaveDown { pid, reason } => NoticeKind::SlaveDown {
            pid: context.pid_text(*pid),
            reason: reason.as_str().to_owned(),
        },
    };
    Notice {
        exchange: exchange.clone(),
        epoch: message.epoch,
        counter: message.counter,
        what,
    }
}

fn server(context: &DataContext, server: &Server) -> ServerInfo {
    ServerInfo {
        pid: context.pid_text(server.pid),
        node: context.node_text(server.pid.node),
        service_tag: server.service_tag.clone(),
    }
}
