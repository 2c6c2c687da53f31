//! What callers may choose.

use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::TraceContext;
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::registry::{Pattern, RoutingFunction, Settings, Strategy, Takeover};
use squall_kernel::supervision::Supervision;

use crate::limits;

/// How to reach a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Addresses of some of its nodes, `host:port`, tried in order. One is enough: the members are learned.
    pub addrs: Vec<String>,
    /// The cluster's cookie, proved by HMAC and never sent. Without one the empty cookie is used, which a node takes
    /// on loopback only.
    pub cookie: Option<Vec<u8>>,
    /// Name shown in the observer's list of processes.
    pub name: String,
    /// How long [`crate::Client::connect`] tries before it gives up. Later losses are mended without end.
    pub connect_within: Duration,
    /// How long one address may take to accept and to finish the handshake.
    pub dial_within: Duration,
    /// How often a quiet connection is asked for a sign of life.
    pub keepalive: Duration,
    /// A connection silent for this long is given up.
    pub silence: Duration,
}

impl ConnectOptions {
    /// The usual times, no cookie, the program's name.
    ///
    /// ```
    /// let options = squall_client::ConnectOptions::new(["127.0.0.1:7400"]);
    /// assert_eq!(options.addrs, ["127.0.0.1:7400"]);
    /// ```
    #[must_use]
    pub fn new<A: Into<String>>(addrs: impl IntoIterator<Item = A>) -> Self {
        Self {
            addrs: addrs.into_iter().map(Into::into).collect(),
            cookie: None,
            name: "client".into(),
            connect_within: Duration::from_secs(5),
            dial_within: Duration::from_secs(1),
            keepalive: Duration::from_secs(1),
            silence: Duration::from_secs(3),
        }
    }
}

/// A request's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOptions {
    /// Time until the request ends as timed out, at most one hour.
    pub timeout: Duration,
    /// Given to the handler, and back with the reply (A28). At most 255 bytes, as the other tag.
    pub request_tag: Bytes,
    /// Only handlers of this group (A27); empty means all.
    pub service_tag: Bytes,
    /// Key of the request: under the strategy `sticky` all requests of one key go to one handler, and functions of an
    /// exchange see it. At most 255 bytes.
    pub key: Bytes,
    /// Trace the request belongs to.
    pub trace: TraceContext,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            request_tag: Bytes::new(),
            service_tag: Bytes::new(),
            key: Bytes::new(),
            trace: TraceContext::default(),
        }
    }
}

/// A handler's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachOptions {
    /// Group of handlers (A27).
    pub service_tag: String,
    /// Given back with every delivery (A26).
    pub connection_tag: String,
    /// Deliveries taken at once, from 1 to [`limits::CREDIT_MAX`]: one runs, the others wait here.
    pub credit: u32,
    /// How long the node may refuse the attachment, because the exchange is unknown or unavailable, before it ends. The
    /// time without any connection does not count.
    pub wait: Duration,
    /// What becomes of it after a panic, and when it is done.
    pub supervision: Supervision,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            service_tag: String::new(),
            connection_tag: String::new(),
            credit: limits::CREDIT_DEFAULT,
            wait: Duration::from_secs(10),
            supervision: Supervision::default(),
        }
    }
}

/// An exchange to declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Name.
    pub name: ExchangeName,
    /// Pattern.
    pub pattern: Pattern,
    /// Strategy.
    pub strategy: Strategy,
    /// What it asks where a request goes; with the strategies `fun` and `sticky-fun` only, and always.
    pub function: Option<RoutingFunction>,
    /// Bounds, times and neighbours.
    pub settings: Settings,
    /// Preferred owners in order; empty lets the cluster choose.
    pub failover: Vec<NodeName>,
    /// What happens when a preferred owner is back; none for the default (`auto`), or for as it is declared already.
    pub takeover: Option<Takeover>,
}

impl Declaration {
    /// A request-response exchange that the cluster places.
    #[must_use]
    pub fn new(name: ExchangeName, strategy: Strategy) -> Self {
        Self {
            name,
            pattern: Pattern::RequestResponse,
            strategy,
            function: None,
            settings: Settings::default(),
            failover: Vec::new(),
            takeover: None,
        }
    }
}
