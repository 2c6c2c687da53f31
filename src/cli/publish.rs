//! `squall publish`: one publish, and what its confirm says.

use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use squall_client::{Confirm, PublishOptions};
use squall_kernel::frame::Priority;
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::PAYLOAD_BYTES_MAX;

use super::connect::ConnectArgs;
use super::values;

/// Longest wait for the first connection: a node that is there answers sooner.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Whose ids those of `--id` are when nothing else is said. All commands have the same, so that an id is known again by the
/// next one.
const PUBLISHER: &str = "cli";

/// Publishes to the subscribers of a key.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct PublishArgs {
    /// Exchange
    exchange: ExchangeName,
    /// Routing key: segments with dots between them, such as weather.north
    key: String,
    /// Payload; `-` reads it from standard input
    #[arg(default_value = "", hide_default_value = true)]
    payload: String,
    /// What is to be confirmed: nothing, that the owner took it, or that every node with a subscriber has it
    #[arg(long, value_name = "WHAT", default_value = "accepted", value_parser = values::confirm())]
    confirm: Confirm,
    /// How long it is good for [default: as long as its exchange says]
    #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
    ttl: Option<Duration>,
    /// How urgent it is, from 0 to 9
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Own id of it: within the window of the exchange (`exchange declare --dedup`) a second one with the same id of the
    /// same publisher is not published again
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// Whose id that is: publishers of different names may use the same ids
    #[arg(long, value_name = "NAME", default_value = PUBLISHER, requires = "id", value_parser = NonEmptyStringValueParser::new())]
    publisher: String,
    /// Time until the confirm is given up
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::some_time)]
    timeout: Duration,
}

impl PublishArgs {
    /// Without an id there is nothing to be known again by, and each command stands for itself.
    fn publisher(&self) -> Bytes {
        if self.id.is_empty() {
            Bytes::new()
        } else {
            Bytes::from(self.publisher.clone())
        }
    }

    fn options(&self) -> PublishOptions {
        PublishOptions {
            confirm: self.confirm,
            ttl: self.ttl,
            priority: Priority::new(self.priority).expect("clap lets 0 to 9 through"),
            message_id: Bytes::from(self.id.clone()),
            publisher: self.publisher(),
            timeout: self.timeout,
            ..PublishOptions::default()
        }
    }
}

/// The payload, before anything is dialled.
pub(crate) fn payload(args: &PublishArgs) -> Result<Bytes> {
    super::payload::payload(&args.payload, PAYLOAD_BYTES_MAX)
}

pub(crate) async fn run(args: PublishArgs, payload: Bytes, connect: ConnectArgs) -> Result<()> {
    let client = connect.client("squall publish", CONNECT_WITHIN).await?;
    let exchange = args.exchange.as_str();
    let published = client.publish(exchange, &args.key, payload, args.options()).await;
    client.close().await;
    let receipt = published.with_context(|| format!("not published to '{exchange}'"))?;
    let mut out = stdout();
    match args.confirm {
        _ if receipt.duplicate => writeln!(out, "known already: it was published before under this id")?,
        Confirm::None => writeln!(out, "sent")?,
        Confirm::Accepted => writeln!(out, "accepted")?,
        Confirm::Received if receipt.nodes == 0 => writeln!(out, "nobody subscribes to {}", args.key)?,
        Confirm::Received => writeln!(
            out,
            "received by {}",
            values::counted(receipt.nodes, "node", "nodes")
        )?,
    }
    Ok(())
}
