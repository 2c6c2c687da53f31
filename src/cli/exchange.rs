//! `squall exchange`: declare, list, delete.

use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use squall_client::Declaration;
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::registry::{Pattern, Strategy};
use squall_proto::v1::{ExchangeInfo, ListExchangesRequest};

use super::connect::ConnectArgs;
use super::exit::Unavailable;
use super::values;

/// Declares, lists and deletes exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ExchangeArgs {
    #[command(subcommand)]
    command: ExchangeCommand,
    /// How long to wait for the cluster
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = values::some_time)]
    timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum ExchangeCommand {
    /// Declare an exchange; with the same properties once more, nothing changes
    Declare(DeclareArgs),
    /// List the exchanges with their owners and leaders
    List {
        /// As JSON: an object with the array `exchanges`
        #[arg(long)]
        json: bool,
    },
    /// Delete an exchange; its handlers are detached
    Delete {
        /// Name of the exchange
        name: ExchangeName,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct DeclareArgs {
    /// Name: letters, digits, '.', '_' and '-', at most 255 bytes
    name: ExchangeName,
    /// How handlers are picked: all of them, in turn, or the leader only
    #[arg(long, value_parser = values::strategy())]
    strategy: Strategy,
    /// Nodes that should own it, in order of preference [default: the cluster chooses]
    #[arg(long, value_name = "NODE[,NODE…]", value_delimiter = ',')]
    failover: Vec<NodeName>,
}

pub(crate) async fn run(args: ExchangeArgs, connect: ConnectArgs) -> Result<()> {
    match args.command {
        ExchangeCommand::Declare(declare) => self::declare(declare, &connect, args.timeout).await,
        ExchangeCommand::List { json } => list(json, &connect, args.timeout).await,
        ExchangeCommand::Delete { name } => delete(&name, &connect, args.timeout).await,
    }
}

async fn declare(args: DeclareArgs, connect: &ConnectArgs, timeout: Duration) -> Result<()> {
    let DeclareArgs {
        name,
        strategy,
        failover,
    } = args;
    let client = connect.client("squall exchange", timeout).await?;
    let declaration = Declaration {
        name: name.clone(),
        pattern: Pattern::RequestResponse,
        strategy,
        failover,
        takeover: None,
    };
    let declared = client.declare(declaration, timeout).await;
    client.close().await;
    let declared = declared.with_context(|| format!("exchange '{name}' cannot be declared"))?;
    let (strategy, revision) = (strategy.as_str(), declared.revision);
    if declared.created {
        writeln!(
            stdout(),
            "exchange {name} declared, {strategy}, revision {revision}"
        )?;
    } else {
        writeln!(stdout(), "exchange {name} was declared already, {strategy}")?;
    }
    Ok(())
}

async fn delete(name: &ExchangeName, connect: &ConnectArgs, timeout: Duration) -> Result<()> {
    let client = connect.client("squall exchange", timeout).await?;
    let deleted = client.delete(name.as_str(), timeout).await;
    client.close().await;
    let revision = deleted.with_context(|| format!("exchange '{name}' cannot be deleted"))?;
    writeln!(stdout(), "exchange {name} deleted, revision {revision}")?;
    Ok(())
}

async fn list(as_json: bool, connect: &ConnectArgs, timeout: Duration) -> Result<()> {
    let mut admin = connect.admin("squall exchange", timeout).await?;
    let answer = tokio::time::timeout(timeout, admin.list_exchanges(ListExchangesRequest {})).await;
    let answer = answer.map_err(|_| Unavailable("the node did not answer in time".into()))?;
    let answer = answer
        .map_err(|status| Unavailable(status.message().into()))?
        .into_inner();
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{:#}", document(&answer.exchanges, answer.revision))?;
    } else {
        write!(out, "{}", table(&answer.exchanges))?;
    }
    Ok(())
}

fn document(exchanges: &[ExchangeInfo], revision: u64) -> Value {
    let some = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let exchange = |e: &ExchangeInfo| {
        json!({
            "name": e.name,
            "pattern": e.pattern,
            "strategy": e.strategy,
            "owner": some(&e.owner),
            "epoch": e.epoch,
            "failover": e.failover,
            "leader": some(&e.leader),
            "leader_epoch": e.leader_epoch,
        })
    };
    json!({ "exchanges": exchanges.iter().map(exchange).collect::<Vec<_>>(), "revision": revision })
}

fn table(exchanges: &[ExchangeInfo]) -> String {
    let dash = |text: &str| {
        if text.is_empty() {
            "-".into()
        } else {
            values::for_terminal(text)
        }
    };
    let head = ["NAME", "STRATEGY", "OWNER", "EPOCH", "LEADER", "FAILOVER"].map(String::from);
    let row = |e: &ExchangeInfo| {
        let failover = dash(&e.failover.join(","));
        [
            dash(&e.name),
            dash(&e.strategy),
            dash(&e.owner),
            e.epoch.to_string(),
            dash(&e.leader),
            failover,
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(exchanges.iter().map(row)).collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> ExchangeInfo {
        ExchangeInfo {
            name: "orders".into(),
            pattern: "request-response".into(),
            strategy: "consensus".into(),
            owner: "b".into(),
            epoch: 3,
            failover: vec!["b".into(), "c".into()],
            leader: String::new(),
            leader_epoch: 0,
        }
    }

    #[test]
    fn the_table_is_aligned_and_says_where_there_is_nothing() {
        let expected = "NAME    STRATEGY   OWNER  EPOCH  LEADER  FAILOVER\n\
                        orders  consensus  b      3      -       b,c\n";
        assert_eq!(table(&[orders()]), expected);
    }

    #[test]
    fn the_document_has_one_array_and_null_for_nobody() {
        let document = document(&[orders()], 9);
        assert_eq!(document["revision"], 9);
        assert_eq!(document["exchanges"][0]["owner"], "b");
        assert_eq!(document["exchanges"][0]["leader"], Value::Null);
    }
}
