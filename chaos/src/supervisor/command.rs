//! What the actor is asked, and what it shows. What does not live here: answering (`actor`).

use squall_kernel::id::NodeName;
use squall_kernel::time::Span;
use tokio::sync::oneshot;

use super::order::{Order, OsPid, Refused};
use super::roster::{Child, Exit};

/// What the actor is asked.
#[derive(Debug)]
pub(super) enum Command {
    Act {
        order: Order,
        by: String,
        reply: oneshot::Sender<Result<Shown, Refused>>,
    },
    List {
        reply: oneshot::Sender<Vec<Shown>>,
    },
    Halt {
        by: String,
        reply: oneshot::Sender<Vec<NodeName>>,
    },
    Exited {
        node: NodeName,
        pid: OsPid,
        exit: Exit,
    },
    GuardEnded,
}

/// A child, and what is left until something happens to it.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) child: Child,
    pub(super) left: Span,
}
