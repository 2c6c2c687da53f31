//! A span for each deed on a node's process, from the deed to when it is undone: started again, or thawed. Exported by the
//! supervisor itself, for a process that is killed exports nothing.
//!
//! What does not live here: the deeds (`roster`, `actor`), and the losses that they point to (`squall_node::failover`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use squall_kernel::id::NodeName;
use squall_node::datadir::DataDir;
use squall_node::failover::loss_of;
use squall_node::telemetry::told::fresh;
use squall_node::telemetry::{Otlp, SpanSink, Telemetry, Told};
use tracing::warn;

use super::SupervisorOptions;
use super::order::{Deed, Order};
use crate::limits::TTL_DEFAULT;

/// Why a deed is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Time,
    Cleared,
    Halted,
    Replaced,
    WithSupervisor,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "by its time",
            Self::Cleared => "cleared",
            Self::Halted => "halted",
            Self::Replaced => "replaced",
            Self::WithSupervisor => "with the supervisor",
        }
    }
}

/// A deed that is not undone yet.
#[derive(Debug)]
struct Open {
    told: Told,
    /// A thaw undoes it; otherwise a start does.
    paused: bool,
    /// How it will have ended, when it is undone.
    how: End,
}

/// The deeds that are not undone yet: one a node.
#[derive(Debug)]
pub(super) struct Deeds {
    telemetry: Option<Telemetry>,
    sink: SpanSink,
    data_dir: PathBuf,
    open: BTreeMap<NodeName, Open>,
    count: u64,
}

impl Deeds {
    /// To the collector that the nodes send their traces to, as the environment and `--otlp` have it; to nobody where there is
    /// none.
    pub(super) fn of(options: &SupervisorOptions) -> Self {
        let telemetry = telemetry(options);
        Self {
            sink: telemetry.as_ref().map(Telemetry::sink).unwrap_or_default(),
            telemetry,
            data_dir: options.data_dir.clone(),
            open: BTreeMap::new(),
            count: 0,
        }
    }

    /// An order is about to be carried out.
    pub(super) fn ordered(&mut self, order: &Order, node: &NodeName, by: &str) {
        if !self.sink.is_on() {
            return;
        }
        if order.deed == Deed::Resume {
            if let Some(open) = self.open.get_mut(node) {
                open.how = End::Cleared;
            }
            return;
        }
        self.end(node, End::Replaced);
        let open = Open {
            told: self.told(order, node, by),
            paused: order.deed == Deed::Pause,
            how: End::Time,
        };
        self.open.insert(node.clone(), open);
    }

    /// All are about to be undone.
    pub(super) fn halted(&mut self) {
        for open in self.open.values_mut() {
            open.how = End::Halted;
        }
    }

    /// A process of the node was started.
    pub(super) fn started(&mut self, node: &NodeName) {
        if let Some(open) = self.open.get(node) {
            self.end(node, open.how);
        }
    }

    /// The node goes on, or its process has ended while it was paused.
    pub(super) fn thawed(&mut self, node: &NodeName) {
        if let Some(open) = self.open.get(node).filter(|open| open.paused) {
            self.end(node, open.how);
        }
    }

    /// The supervisor ends: what was not undone ends with it, and all that is queued is sent, within a bound.
    pub(super) async fn close(mut self) {
        for node in self.open.keys().cloned().collect::<Vec<_>>() {
            self.end(&node, End::WithSupervisor);
        }
        if let Some(telemetry) = self.telemetry {
            // A panic there costs spans and nothing else.
            let _sent = tokio::task::spawn_blocking(|| telemetry.shutdown()).await;
        }
    }

    fn told(&mut self, order: &Order, node: &NodeName, by: &str) -> Told {
        self.count += 1;
        let word = order.deed.word();
        let told = Told::root(fresh(), format!("fault {word} {node}"), SystemTime::now())
            .with("chaos.fault_id", format!("{word}-{node}-{}", self.count))
            .with("chaos.fault", word)
            .with("chaos.target", node.to_string())
            .with("chaos.by", by.to_owned());
        let told = match order.ttl.as_ms() {
            _ if !order.deed.lasts() => told,
            0 => told.with("chaos.ttl_ms", ms(TTL_DEFAULT.as_ms())),
            ttl => told.with("chaos.ttl_ms", ms(ttl)),
        };
        // Which run it is, and of which cluster, stands in the node's directory as long as that is not wiped.
        match DataDir::peek(&self.data_dir.join(node.as_str())) {
            Some((cluster, run, boot)) => told
                .with("squall.node", format!("{node}#{}", boot.0))
                .linked(loss_of(cluster, node, run)),
            None => told,
        }
    }

    fn end(&mut self, node: &NodeName, how: End) {
        if let Some(open) = self.open.remove(node) {
            let told = open.told.until(SystemTime::now());
            self.sink.tell(told.with("chaos.ended", how.as_str()));
        }
    }
}

fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A supervisor whose own deeds cannot be told of runs all the same.
fn telemetry(options: &SupervisorOptions) -> Option<Telemetry> {
    let otlp = Otlp::read(options.otlp.as_deref(), None, |name| std::env::var(name).ok());
    let otlp = match otlp {
        Ok(otlp) => otlp?,
        Err(error) => {
            warn!(%error, "deeds are not traced");
            return None;
        }
    };
    let otlp = Otlp {
        service_name: format!("{}-supervisor", otlp.service_name),
        ..otlp
    };
    match Telemetry::start_beside(&otlp) {
        Ok(telemetry) => Some(telemetry),
        Err(error) => {
            warn!(%error, "deeds are not traced");
            None
        }
    }
}
