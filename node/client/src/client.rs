//! The client: what services hold, and what they ask of it. What does not live here: the connection (`connection`), handlers
//! (`attachment`), and declaring exchanges (`commands`).

mod commands;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use squall_kernel::id::ExchangeName;
use squall_kernel::message::Submitted;
use squall_kernel::registry::Introduction;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use self::commands::Declared;
use crate::ask::Ask;
use crate::attachment::{self, Attachment};
use crate::connection::{self, Queue};
use crate::error::{AttachError, ConnectError, Invalid, RequestError};
use crate::handler::Handler;
use crate::limits;
use crate::link::Link;
use crate::options::{AttachOptions, ConnectOptions, RequestOptions};
use crate::publish::{self, PublishError, PublishOptions, PublishReceipt};
use crate::replies::{Replies, Reply};
use crate::state::{Outgoing, Shared};
use crate::subscription::{self, SubscribeError, SubscribeOptions, Subscription};
use crate::tasks::{self, SubmitOptions, WorkOptions, Worker};

/// A connection to a cluster that mends itself. Clones share it; it is closed when the last clone, attachment and open
/// request is gone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    closed: watch::Sender<bool>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.send_replace(true);
    }
}

impl Client {
    /// Connects to the first address that answers. From then on the connection is replaced by itself when it breaks.
    ///
    /// # Errors
    /// [`ConnectError`] when nobody answers within [`ConnectOptions::connect_within`], or at once when a node refuses
    /// the cookie or the protocol version.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        if options.addrs.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        if options.addrs.len() > limits::ADDRESSES_MAX {
            return Err(ConnectError::TooManyAddresses(options.addrs.len()));
        }
        let within = options.connect_within;
        let client = Self::start(options);
        let mut link = client.inner.shared.link.subscribe();
        let decided = link.wait_for(|link| match link {
            Link::Up(_) | Link::Closed => true,
            Link::Down(why) => matches!(why, Some(ConnectError::Refused { .. })),
        });
        // Late: the latest reason is as good as it gets.
        let _late = timeout(within, decided).await;
        match &*client.inner.shared.link.borrow() {
            Link::Up(_) => {}
            Link::Down(Some(why)) => return Err(why.clone()),
            Link::Down(None) | Link::Closed => return Err(ConnectError::Unreachable(Vec::new())),
        }
        Ok(client)
    }

    fn start(options: ConnectOptions) -> Self {
        let (outbound, receiver) = mpsc::channel(limits::OUTBOUND_QUEUE);
        let shared = Arc::new(Shared::new(options, outbound));
        let closed = watch::Sender::new(false);
        let keeper = tokio::spawn(connection::keep(
            Arc::clone(&shared),
            Queue::new(receiver),
            closed.subscribe(),
        ));
        Self {
            inner: Arc::new(Inner {
                shared,
                closed,
                keeper: Mutex::new(Some(keeper)),
            }),
        }
    }

    /// Sends a request and waits for its outcome. Under `default` the first reply counts; see
    /// [`Client::request_many`] for all of them.
    ///
    /// A request that no node can have seen is sent again after a reconnect, until its deadline.
    ///
    /// # Errors
    /// [`RequestError`]: every request ends in exactly one of its outcomes, or with a reply.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut scene = scene::Scene::with("orders", "request-response", "round-robin").await;
    /// # let client = scene.client.clone();
    /// # scene.answer("orders", "in the oven").await;
    /// use squall_client::{RequestError, RequestOptions};
    ///
    /// match client.request("orders", "one pizza", RequestOptions::default()).await {
    ///     Ok(reply) => assert_eq!(reply.payload, "in the oven"),
    ///     Err(RequestError::Interrupted) => println!("ordered, or not: ask before you order again"),
    ///     Err(other) => return Err(other.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request(
        &self,
        exchange: &str,
        payload: impl Into<Bytes>,
        options: RequestOptions,
    ) -> Result<Reply, RequestError> {
        Ask::new(exchange, payload.into(), options)?
            .one(&self.inner.shared)
            .await
    }

    /// Sends a request and gives the replies of all handlers as they come, each with its number and how many there are.
    ///
    /// # Errors
    /// [`RequestError`] when it cannot be sent; outcomes come through [`Replies::next`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut scene = scene::Scene::with("stock", "request-response", "default").await;
    /// # let client = scene.client.clone();
    /// # scene.answer("stock", "none").await;
    /// # scene.answer("stock", "a basket").await;
    /// let mut replies = client.request_many("stock", "apples?", Default::default()).await?;
    /// let mut said = Vec::new();
    /// while let Some(reply) = replies.next().await {
    ///     let reply = reply?;
    ///     println!("{} of {}: {:?}", reply.index, reply.count, reply.payload);
    ///     said.push(reply.payload);
    /// }
    /// said.sort();
    /// assert_eq!(said, ["a basket", "none"]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request_many(
        &self,
        exchange: &str,
        payload: impl Into<Bytes>,
        options: RequestOptions,
    ) -> Result<Replies, RequestError> {
        Ask::new(exchange, payload.into(), options)?
            .many(&self.inner.shared)
            .await
    }

    /// Publishes to all subscribers of a key (A29, A108), or, where the exchange's pattern is inverted publish-subscribe,
    /// to one handler (A109). What the confirm means is chosen with [`PublishOptions::confirm`].
    ///
    /// # Errors
    /// [`PublishError`]; with [`Confirm::None`](crate::Confirm::None) only what is known before it is sent.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scene = scene::Scene::with("news", "publish-subscribe", "default").await;
    /// # let client = scene.client.clone();
    /// # let _subscribed = client.subscribe("news", ["weather.*"], Default::default()).await?;
    /// use squall_client::{Confirm, PublishOptions};
    ///
    /// let options = PublishOptions { confirm: Confirm::Received, ..PublishOptions::default() };
    /// let receipt = client.publish("news", "weather.north", "rain", options).await?;
    /// assert_eq!(receipt.nodes, 1, "nodes with subscribers, all of which have it");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(
        &self,
        exchange: &str,
        key: &str,
        payload: impl Into<Bytes>,
        options: PublishOptions,
    ) -> Result<PublishReceipt, PublishError> {
        publish::publish(&self.inner.shared, exchange, key, payload.into(), options).await
    }

    /// Subscribes to keys, or patterns of keys: `*` stands for one segment between dots, `#` for any number of them. Waits
    /// until everything published from then on comes.
    ///
    /// # Errors
    /// [`SubscribeError`] when a pattern is none, or the node refuses.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scene = scene::Scene::with("news", "publish-subscribe", "default").await;
    /// # let client = scene.client.clone();
    /// let mut news = client.subscribe("news", ["weather.#", "sport.*"], Default::default()).await?;
    /// client.publish("news", "weather.north.coast", "rain", Default::default()).await?;
    /// let event = news.next().await.expect("as long as the client stands");
    /// assert_eq!((event.key.as_str(), &event.payload[..]), ("weather.north.coast", &b"rain"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribe<P: Into<String>>(
        &self,
        exchange: &str,
        patterns: impl IntoIterator<Item = P>,
        options: SubscribeOptions,
    ) -> Result<Subscription, SubscribeError> {
        let patterns = patterns.into_iter().map(Into::into).collect();
        subscription::subscribe(self.clone(), exchange, patterns, options).await
    }

    /// Attaches a handler and waits until it stands. It is attached again by itself after a reconnect, and detached
    /// when the [`Attachment`] is dropped.
    ///
    /// # Errors
    /// [`AttachError`] when the exchange is unknown or unavailable for longer than [`AttachOptions::wait`].
    ///
    /// ```
    /// use squall_client::{Answer, AttachOptions, Client, Delivery, Handler, Notice};
    ///
    /// struct Echo;
    ///
    /// impl Handler for Echo {
    ///     async fn handle(&mut self, delivery: Delivery) -> Answer {
    ///         Answer::Reply(delivery.payload)
    ///     }
    ///
    ///     fn notice(&mut self, notice: Notice) {
    ///         println!("{:?}", notice.what);
    ///     }
    /// }
    ///
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scene = scene::Scene::with("users", "request-response", "round-robin").await;
    /// # let client = scene.client.clone();
    /// let attachment = client.attach("users", AttachOptions::default(), Echo).await?;
    /// let reply = client.request("users", "hello", Default::default()).await?;
    /// assert_eq!(reply.payload, "hello");
    /// // … until the service ends:
    /// attachment.detach().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn attach(
        &self,
        exchange: &str,
        options: AttachOptions,
        handler: impl Handler,
    ) -> Result<Attachment, AttachError> {
        let name = ExchangeName::new(exchange).map_err(Invalid::Name)?;
        attachment::attach(self.clone(), name, options, handler).await
    }

    /// Submits a task to the queue of an exchange, and waits until it is kept: at two nodes, or at one where there is only
    /// one ([`Submitted::copies`](squall_kernel::message::Submitted)). From then on it is carried out at least once, and
    /// completed once, or ends as a dead letter.
    ///
    /// Nobody knows whether a submit that was interrupted has arrived: it is sent again, under the same
    /// [`SubmitOptions::message_id`], until its timeout.
    ///
    /// # Errors
    /// [`RequestError`], as of a request.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scene = scene::Scene::with("mails", "task", "default").await;
    /// # let client = scene.client.clone();
    /// use squall_client::SubmitOptions;
    ///
    /// let kept = client.submit("mails", "welcome 7", SubmitOptions::default()).await?;
    /// // "two copies" where the cluster has another node.
    /// assert_eq!(kept.copies.as_str(), "single copy");
    /// println!("task {}", kept.task);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn submit(
        &self,
        exchange: &str,
        payload: impl Into<Bytes>,
        options: SubmitOptions,
    ) -> Result<Submitted, RequestError> {
        tasks::submit(&self.inner.shared, exchange, payload.into(), options).await
    }

    /// Works on the tasks of an exchange, until the [`Attachment`] is dropped. What the worker returns decides about the
    /// task; it may also say so itself, and ask for more time.
    ///
    /// # Errors
    /// [`AttachError`], as of a handler; also when the exchange has no tasks.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scene = scene::Scene::with("mails", "task", "default").await;
    /// # let client = scene.client.clone();
    /// use squall_client::{Done, SubmitOptions, Task, WorkOptions};
    ///
    /// let (sent, mut outbox) = tokio::sync::mpsc::channel(8);
    /// let send = move |task: Task| {
    ///     let sent = sent.clone();
    ///     async move {
    ///         if task.payload().is_empty() {
    ///             return Done::give_up("there is nothing to send");
    ///         }
    ///         println!("attempt {} of {}", task.attempt(), task.attempts());
    ///         sent.send(task.payload().clone()).await.ok();
    ///         Done::Confirm
    ///     }
    /// };
    /// let work = client.work("mails", WorkOptions::default(), send).await?;
    /// client.submit("mails", "welcome 7", SubmitOptions::default()).await?;
    /// assert_eq!(outbox.recv().await.as_deref(), Some(&b"welcome 7"[..]));
    /// // … until the service ends; what is in hand is finished:
    /// work.detach().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn work(
        &self,
        exchange: &str,
        options: WorkOptions,
        worker: impl Worker,
    ) -> Result<Attachment, AttachError> {
        let name = ExchangeName::new(exchange).map_err(Invalid::Name)?;
        tasks::work(self.clone(), name, options, worker).await
    }

    /// The node that the client is connected to now.
    #[must_use]
    pub fn node(&self) -> Option<Introduction> {
        let link = self.inner.shared.link.borrow();
        link.peer().map(|peer| peer.node.clone())
    }

    /// Waits until the client is connected, and tells to which node; `None` when it is closed first.
    pub async fn connected(&self) -> Option<Introduction> {
        let mut link = self.inner.shared.link.subscribe();
        let link = link.wait_for(|link| !matches!(link, Link::Down(_))).await.ok()?;
        link.peer().map(|peer| peer.node.clone())
    }

    /// The members of the cluster as far as the client has learned them.
    #[must_use]
    pub fn members(&self) -> Vec<Introduction> {
        self.inner.shared.members()
    }

    /// Writes what is queued, for a second at most, and closes the connection. What is still open ends.
    pub async fn close(self) {
        self.flush().await;
        self.inner.closed.send_replace(true);
        let keeper = self
            .inner
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(keeper) = keeper {
            // It ended by itself or by a panic, which the panic hook has told of.
            let _ended = keeper.await;
        }
    }

    /// Waits until what is queued was written, for a second at most.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flush = async {
            if self
                .inner
                .shared
                .outbound
                .send(Outgoing::Flush(done))
                .await
                .is_ok()
            {
                let _closed = written.await;
            }
        };
        if timeout(limits::FLUSH_WITHIN, flush).await.is_err() {
            tracing::debug!("what is queued could not be written");
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }
}
