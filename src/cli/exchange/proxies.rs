//! `squall exchange proxy`: adds and removes proxies, and what `show` says of them.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};

use anyhow::Result;
use clap::{Args, ValueEnum};
use squall_client::operator::{Figures, PassedFigures};
use squall_kernel::id::{ExchangeName, NodeName};
use squall_proto::v1::ExchangeInfo;

use super::super::connect::ConnectArgs;
use super::told_of;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ProxyArgs {
    /// Name of the exchange
    name: ExchangeName,
    /// What is to be done
    action: Action,
    /// Node
    node: NodeName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// The node is a proxy from now on
    Add,
    /// It is none from now on
    Remove,
}

/// What a node passes on, and why it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passes {
    pub(super) node: String,
    /// None where the node does not answer.
    pub(super) figures: Option<PassedFigures>,
}

pub(super) async fn run(args: &ProxyArgs, connect: &ConnectArgs) -> Result<()> {
    let on = args.action == Action::Add;
    let operator = connect.operator().await?;
    let (name, node) = (&args.name, &args.node);
    let set = operator.set_proxy(name.as_str(), node.as_str(), on).await;
    let set = set.map_err(|error| told_of(name, error))?;
    let is = if on { "is a proxy" } else { "is no proxy" };
    let already = if set.changed { "" } else { " already" };
    writeln!(
        stdout(),
        "{node} {is} of {name}{already}, revision {}",
        set.revision
    )?;
    Ok(())
}

/// The owner and the proxies, by name, with what they pass on; nothing of an exchange without proxies.
pub(super) fn passed(exchange: &ExchangeInfo, figures: &BTreeMap<String, Figures>) -> Vec<Passes> {
    let of = |node: &String| Passes {
        node: node.clone(),
        figures: figures.get(node).map(|at_node| at_node.passed),
    };
    exchange.proxies.iter().map(of).collect()
}
