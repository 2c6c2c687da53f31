//! A handler's place at an exchange: attached, attached again, detached. What does not live here: how it stays
//! attached (`keeper`), how deliveries reach it (`route`), how it is run (`worker`).

mod keeper;
mod route;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::limits::RESTARTS_MAX;
use squall_kernel::reason::DetachReason;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::keeper::Keeper;
pub(crate) use self::route::{Event, Place, Route, Taken, answer};
use self::worker::{Terms, Worker};
use crate::ask::check_tag;
use crate::client::Client;
use crate::error::{AttachError, Ended, Invalid};
use crate::handler::Handler;
use crate::leadership::Context;
use crate::limits::CREDIT_MAX;
use crate::options::AttachOptions;

/// An attached handler. Dropping it detaches the handler, which still answers what it has taken.
#[derive(Debug)]
pub struct Attachment {
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    standing: watch::Receiver<Standing>,
    counters: Arc<Counters>,
    context: Context,
    keeper: JoinHandle<()>,
    worker: JoinHandle<()>,
}

/// What a handler has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachmentCounts {
    /// Deliveries answered with a reply.
    pub replied: u64,
    /// Deliveries declined.
    pub declined: u64,
    /// Deliveries that came under an epoch that is over, and were refused.
    pub fenced: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Deliveries whose deadline, or connection, ended before their turn came.
    pub expired: u64,
    /// How often the handler was attached.
    pub attached: u64,
}

#[derive(Debug, Default)]
struct Counters {
    replied: AtomicU64,
    declined: AtomicU64,
    fenced: AtomicU64,
    panicked: AtomicU64,
    expired: AtomicU64,
    attached: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Waiting,
    Attached(Pid),
    Ended(Ended),
}

impl Attachment {
    /// The handler's pid as people read it; `None` while it is not attached.
    #[must_use]
    pub fn pid(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Attached(pid) => Some(self.client.shared().pid_text(*pid)),
            Standing::Waiting | Standing::Ended(_) => None,
        }
    }

    /// What the handler knows of its own standing.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// What the handler has done so far.
    #[must_use]
    pub fn counts(&self) -> AttachmentCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        AttachmentCounts {
            replied: of(&counters.replied),
            declined: of(&counters.declined),
            fenced: of(&counters.fenced),
            panicked: of(&counters.panicked),
            expired: of(&counters.expired),
            attached: of(&counters.attached),
        }
    }

    /// Waits until the attachment is over without being asked to, and tells why.
    pub async fn ended(&mut self) -> Ended {
        match self
            .standing
            .wait_for(|standing| matches!(standing, Standing::Ended(_)))
            .await
            .as_deref()
        {
            Ok(Standing::Ended(why)) => why.clone(),
            Ok(Standing::Waiting | Standing::Attached(_)) | Err(_) => Ended::Closed,
        }
    }

    /// Detaches the handler, lets it answer what it has taken, and waits for both.
    pub async fn detach(mut self) {
        self.stop = None;
        // Either has ended, or its panic was told of by the panic hook.
        let _ended = (&mut self.keeper).await;
        let _ended = (&mut self.worker).await;
        self.client.flush().await;
    }
}

pub(crate) async fn attach(
    client: Client,
    name: ExchangeName,
    options: AttachOptions,
    handler: impl Handler,
) -> Result<Attachment, AttachError> {
    let shared = Arc::clone(client.shared());
    let terms = Terms {
        name: name.clone(),
        connection_tag: Bytes::from(options.connection_tag.clone()),
        supervision: options.supervision,
    };
    let run = |events, counters, context: Context, give_up| {
        let changes = context.changes();
        let worker = Worker::new(shared, terms, handler, counters, changes, give_up);
        tokio::spawn(worker.run(events, context))
    };
    begin(client, name, options, false, run).await
}

/// Attaches a worker: its tasks come out of `run`'s receiver, as deliveries do.
pub(crate) async fn work(
    client: Client,
    name: ExchangeName,
    options: AttachOptions,
    run: impl FnOnce(mpsc::Receiver<Event>) -> JoinHandle<()>,
) -> Result<Attachment, AttachError> {
    begin(client, name, options, true, |events, _, _, _| run(events)).await
}

async fn begin(
    client: Client,
    name: ExchangeName,
    options: AttachOptions,
    works: bool,
    run: impl FnOnce(
        mpsc::Receiver<Event>,
        Arc<Counters>,
        Context,
        oneshot::Sender<DetachReason>,
    ) -> JoinHandle<()>,
) -> Result<Attachment, AttachError> {
    check(&options)?;
    let (route, receiver, lost) = Route::new(options.credit);
    let (stop, stopped) = oneshot::channel();
    let (give_up, given_up) = oneshot::channel();
    let counters = Arc::new(Counters::default());
    let shared = Arc::clone(client.shared());
    let context = route.grants().context();
    let status = watch::Sender::new(Standing::Waiting);
    let standing = status.subscribe();
    let keeper = Keeper {
        shared,
        name,
        options,
        route: Arc::new(route),
        lost,
        status,
        counters: Arc::clone(&counters),
        works,
    };
    let worker = run(receiver, Arc::clone(&counters), context.clone(), give_up);
    let mut attachment = Attachment {
        client,
        stop: Some(stop),
        standing,
        counters,
        context,
        keeper: tokio::spawn(keeper.run(stopped, given_up)),
        worker,
    };
    let decided = attachment
        .standing
        .wait_for(|standing| *standing != Standing::Waiting)
        .await;
    match decided.as_deref() {
        Ok(Standing::Attached(_)) => {}
        Ok(Standing::Ended(why)) => return Err(why.clone().into()),
        Ok(Standing::Waiting) | Err(_) => return Err(Ended::Closed.into()),
    }
    drop(decided);
    Ok(attachment)
}

fn check(options: &AttachOptions) -> Result<(), Invalid> {
    check_tag("service tag", options.service_tag.len())?;
    check_tag("connection tag", options.connection_tag.len())?;
    let restarts = options.supervision.restarts;
    if restarts > RESTARTS_MAX {
        return Err(Invalid::Restarts { restarts });
    }
    let credit = options.credit;
    if (1..=CREDIT_MAX).contains(&credit) {
        Ok(())
    } else {
        Err(Invalid::Credit { credit })
    }
}
