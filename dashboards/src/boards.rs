//! The dashboards there are. What does not live here: what a dashboard is (`model`).

mod cluster;
mod exchange;
mod failover;
mod node;

use crate::model::{Dashboard, Panel, Row};

/// All of them, in the order of their links.
#[must_use]
pub fn dashboards() -> Vec<Dashboard> {
    vec![
        cluster::dashboard(),
        exchange::dashboard(),
        node::dashboard(),
        failover::dashboard(),
    ]
}

fn row<const N: usize>(title: &'static str, panels: [Panel; N]) -> Row {
    Row {
        title,
        panels: panels.into(),
    }
}
