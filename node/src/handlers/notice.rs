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

    /// It is the whole picture, and has in it what all of these tell.
    fn has_in_it(&self, news: &[Arc<Self>]) -> bool {
        let at = |message: &SystemMessage| (message.epoch, message.counter);
        let older = |told: &Arc<Self>| at(told.message()) <= at(&self.message);
        matches!(self.message.what, System::Leader { .. }) && news.iter().all(older)
    }

    /// How many it says serve.
    fn serving(&self) -> usize {
        match &self.message.what {
            System::Leader { servers, .. } => servers.len(),
            System::SlaveUp(_) | System::SlaveDown { .. } => 0,
        }
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

/// What of these, which are for all handlers of an exchange, each gets whose sink shares what it is told, and each whose sink writes it
/// for itself. Where the whole picture comes in front of what has changed, it is enough for the one, at the cost of a pointer; for the
/// other it is as long as there are handlers, and what has changed is enough where that is less: whoever missed something is behind
/// and asks anew, and newcomers have the picture.
pub(super) fn shared_and_written(told: &[Arc<Told>]) -> (&[Arc<Told>], &[Arc<Told>]) {
    match told.split_first() {
        Some((picture, news)) if !news.is_empty() && picture.has_in_it(news) => {
            let picture_alone = std::slice::from_ref(picture);
            let less = if 2 * news.len() <= picture.serving() {
                news
            } else {
                picture_alone
            };
            (picture_alone, less)
        }
        _ => (told, told),
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

#[cfg(test)]
mod tests {
    use squall_kernel::id::{Boot, Counter, Epoch, ExchangeId, LeaderEpoch, NodeId};
    use squall_kernel::message::{Server, Servers};

    use super::*;

    fn told(counter: u64, what: System) -> Arc<Told> {
        Arc::new(Told::new(SystemMessage {
            exchange: ExchangeId(1),
            epoch: Epoch(1),
            counter: Counter(counter),
            what,
        }))
    }

    fn server(n: u32) -> Server {
        Server {
            pid: Pid::new(NodeId(1), Boot(1), n),
            service_tag: String::new(),
        }
    }

    fn picture(counter: u64, serving: u32) -> Arc<Told> {
        let what = System::Leader {
            leader: None,
            leader_epoch: LeaderEpoch(0),
            servers: (1..=serving).map(server).collect::<Servers>(),
        };
        told(counter, what)
    }

    fn news(counters: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = Arc<Told>> {
        counters.map(|counter| told(counter, System::SlaveUp(server(7))))
    }

    /// The counters of what one gets that shares, and of what one gets that writes.
    fn each(all: &[Arc<Told>]) -> (Vec<u64>, Vec<u64>) {
        let counters = |told: &[Arc<Told>]| told.iter().map(|told| told.message().counter.0).collect();
        let (shared, written) = shared_and_written(all);
        (counters(shared), counters(written))
    }

    #[test]
    fn behind_the_whole_picture_what_changed_is_for_those_to_whom_it_is_less() {
        let few: Vec<_> = [picture(9, 10)].into_iter().chain(news(5..=9)).collect();
        assert_eq!(each(&few), (vec![9], vec![5, 6, 7, 8, 9]));
        let many: Vec<_> = [picture(9, 10)].into_iter().chain(news(4..=9)).collect();
        assert_eq!(each(&many), (vec![9], vec![9]));
    }

    #[test]
    fn all_get_what_the_picture_has_not_in_it_and_what_comes_without_one() {
        let leads_last: Vec<_> = news(1..=2).chain([picture(3, 10)]).collect();
        assert_eq!(each(&leads_last), (vec![1, 2, 3], vec![1, 2, 3]));
        let newer: Vec<_> = [picture(3, 10)].into_iter().chain(news(3..=4)).collect();
        assert_eq!(each(&newer), (vec![3, 3, 4], vec![3, 3, 4]));
        assert_eq!(each(&[picture(3, 10)]), (vec![3], vec![3]));
        assert_eq!(each(&[]), (vec![], vec![]));
    }
}
