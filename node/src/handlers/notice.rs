//! System messages in the words of the `Handler` trait: pids and nodes by name.

use std::sync::{Arc, OnceLock};

use squall_client::handler::{Notice, NoticeKind, ServerInfo};
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::message::{System, SystemMessage};

use crate::data::DataContext;

/// A system message for handlers of this node. All of them share it: who serves is put in words once, for whoever asks first.
#[derive(Debug)]
pub struct Told {
    message: SystemMessage,
    servers: OnceLock<Arc<[ServerInfo]>>,
}

impl Told {
    /// Nothing of it in words yet.
    #[must_use]
    pub const fn new(message: SystemMessage) -> Self {
        Self {
            message,
            servers: OnceLock::new(),
        }
    }

    /// The message.
    #[must_use]
    pub const fn message(&self) -> &SystemMessage {
        &self.message
    }

    /// Those of whom it says that they serve, in words.
    fn servers(&self, context: &DataContext) -> Arc<[ServerInfo]> {
        let in_words = || match &self.message.what {
            System::Leader { servers, .. } => servers
                .iter()
                .map(|(pid, service_tag)| server(context, pid, service_tag))
                .collect(),
            System::SlaveUp(_) | System::SlaveDown { .. } => Arc::default(),
        };
        Arc::clone(self.servers.get_or_init(in_words))
    }
}

/// What a system message tells the handler `own`.
#[must_use]
pub fn notice_of(context: &DataContext, own: Pid, exchange: &ExchangeName, told: &Told) -> Notice {
    let message = told.message();
    let what = match &message.what {
        System::Leader {
            leader, leader_epoch, ..
        } => NoticeKind::Leader {
            leader: leader.map(|pid| context.pid_text(pid)),
            leader_epoch: *leader_epoch,
            you: *leader == Some(own),
            servers: told.servers(context),
        },
        System::SlaveUp(up) => NoticeKind::SlaveUp(server(context, up.pid, &up.service_tag)),
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

fn server(context: &DataContext, pid: Pid, service_tag: &str) -> ServerInfo {
    ServerInfo {
        pid: context.pid_text(pid),
        node: context.node_text(pid.node),
        service_tag: service_tag.to_owned(),
    }
}
