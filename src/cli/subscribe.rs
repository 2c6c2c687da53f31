//! `squall subscribe`: prints what is published.

use std::io::{Write as _, stderr, stdout};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use squall_client::{Event, SubscribeOptions, Subscription};
use squall_kernel::id::ExchangeName;

use super::connect::ConnectArgs;
use super::signals;
use super::values;

/// Longest wait for the first connection: a node that is there answers sooner.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Prints publishes, one a line: key, a tab, payload.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SubscribeArgs {
    /// Exchange
    exchange: ExchangeName,
    /// Keys, or patterns of keys: `*` stands for one segment between dots, `#` for any number of them
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Connection tag: comes back with every publish, in the JSON
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    connection_tag: String,
    /// End after so many publishes [default: go on until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How long to look for a node that takes the subscription
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::some_time)]
    wait: Duration,
    /// Print each publish as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: SubscribeArgs, connect: ConnectArgs) -> Result<()> {
    let client = connect.client("squall subscribe", CONNECT_WITHIN).await?;
    let exchange = args.exchange.as_str();
    let options = SubscribeOptions {
        connection_tag: args.connection_tag.clone(),
        wait: args.wait,
        ..SubscribeOptions::default()
    };
    let subscribed = client.subscribe(exchange, args.patterns.clone(), options).await;
    let mut subscription = subscribed.with_context(|| format!("not subscribed to '{exchange}'"))?;
    // Standard output is for publishes alone.
    writeln!(stderr(), "subscribed to {exchange}: {}", args.patterns.join(" "))?;
    let printed = tokio::select! {
        printed = print(&args, &mut subscription) => printed,
        () = signals::ended() => Ok(()),
    };
    drop(subscription);
    client.close().await;
    printed
}

async fn print(args: &SubscribeArgs, subscription: &mut Subscription) -> Result<()> {
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut times = subscription.times_subscribed();
    while left > 0 {
        let Some(event) = subscription.next().await else {
            let why = subscription.ended().unwrap_or(squall_client::Ended::Closed);
            return Err(anyhow::Error::from(why).context(format!("'{}' ended", args.exchange)));
        };
        if subscription.times_subscribed() > times {
            times = subscription.times_subscribed();
            writeln!(
                stderr(),
                "subscribed again: what was published in between is missing"
            )?;
        }
        show(&event, args.json)?;
        left -= 1;
    }
    Ok(())
}

fn show(event: &Event, as_json: bool) -> Result<()> {
    let payload = String::from_utf8_lossy(&event.payload);
    let mut out = stdout().lock();
    if as_json {
        let tags: Vec<_> = event
            .connection_tags
            .iter()
            .map(|t| String::from_utf8_lossy(t))
            .collect();
        let id = String::from_utf8_lossy(&event.message_id);
        let line = json!({ "key": event.key, "payload": payload, "id": id, "connection_tags": tags });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{}\t{payload}", event.key)?;
    }
    out.flush()?;
    Ok(())
}
