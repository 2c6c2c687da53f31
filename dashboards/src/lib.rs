//! Grafana's dashboards as a definition ([`dashboards`]) from which the files in `grafana/` are made, and checks of everything
//! that asks for metrics against the nodes' catalogue ([`promql`]).
//!
//! What does not live here: rules and alerts, which Prometheus reads as they are (`prometheus/rules`), and the catalogue
//! (`squall_node::metrics`).

mod boards;
mod grafana;
mod model;
pub mod promql;

pub use boards::dashboards;
pub use model::{Asked, Dashboard, Limit, Panel, Query, Row, Show, Unit};

/// An expression as Prometheus takes it, outside Grafana: of one cluster, of all exchanges and nodes, with windows for somebody
/// who scrapes every second.
#[must_use]
pub fn plain(expr: &str, cluster: &str) -> String {
    expr.replace("$cluster", cluster)
        .replace("$exchange", ".+")
        .replace("$node", ".+")
        .replace("$__rate_interval", "10s")
        .replace("$__range", "10m")
}
