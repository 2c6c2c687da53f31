//! `squall trace`: which share of messages the nodes trace, read and changed while they run.
//!
//! What does not live here: where traces go, which nodes are told when they start.

use std::io::{Write as _, stdout};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use squall_client::{OperatorError, Traced};
use squall_proto::v1::TracingResponse;

use super::connect::ConnectArgs;
use super::exit::Worded;
use super::node::members::{exit_of, told};
use super::values::columns;

#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "Errors, and what a fault touches, are traced whatever the share is. A node that starts takes its share from \
                  --trace-ratio or OTEL_TRACES_SAMPLER_ARG again."
)]
pub(crate) struct TraceArgs {
    /// Share of messages that are traced from now on, at every node: 5%, 0.1%, 0%; left out, nothing changes
    #[arg(value_name = "SHARE", value_parser = share)]
    share: Option<f64>,
    /// As JSON: an object with the array `nodes`
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("'{text}' is not a share: write 5%, 0.1% or 0%");
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let percent: f64 = number
        .parse()
        .ok()
        .filter(|_| number.chars().all(digits))
        .ok_or_else(wrong)?;
    if percent > 100.0 {
        return Err("it is at most 100%".into());
    }
    Ok(percent / 100.0)
}

pub(crate) async fn run(args: TraceArgs, connect: ConnectArgs) -> Result<()> {
    let operator = connect.operator().await?;
    let nodes = operator.tracing(args.share).await.map_err(told)?;
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{:#}", document(&nodes))?;
    } else {
        write!(out, "{}", text(&nodes))?;
    }
    ended(&nodes)
}

/// Whoever did not do it is said once more, by the exit code.
fn ended(nodes: &Traced) -> Result<()> {
    let failed: Vec<&String> = nodes
        .iter()
        .filter(|(_, answer)| answer.is_err())
        .map(|(name, _)| name)
        .collect();
    let Some((_, Err(first))) = nodes.iter().find(|(_, answer)| answer.is_err()) else {
        return Ok(());
    };
    let all: Vec<&str> = failed.into_iter().map(String::as_str).collect();
    let words = format!("not so at {}: {first}", all.join(", "));
    Err(Worded::new(words, exit_of(first)).into())
}

fn text(nodes: &Traced) -> String {
    let head = ["NODE", "TRACED", "BEFORE", "EXPORTED", "DROPPED", "FAILED"].map(String::from);
    let row = |(name, answer): (&String, &Result<TracingResponse, OperatorError>)| match answer {
        Ok(it) => [
            name.clone(),
            percent(it.share),
            percent(it.before),
            it.exported.to_string(),
            it.dropped.to_string(),
            it.failed.to_string(),
        ],
        Err(_) => [name.as_str(), "-", "-", "-", "-", "-"].map(String::from),
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(nodes.iter().map(row)).collect();
    columns(&rows)
}

fn document(nodes: &Traced) -> Value {
    let node = |(name, answer): (&String, &Result<TracingResponse, OperatorError>)| match answer {
        Ok(it) => json!({
            "name": name,
            "share": it.share,
            "before": it.before,
            "exported": it.exported,
            "dropped": it.dropped,
            "failed": it.failed,
        }),
        Err(why) => json!({ "name": name, "why": why.to_string() }),
    };
    json!({ "nodes": nodes.iter().map(node).collect::<Vec<_>>() })
}

/// `1%`, `0.25%`: as many digits as it has, up to four.
fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_written_the_same_way() {
        for text in ["0%", "0.1%", "5%", "12.5%", "100%"] {
            assert_eq!(percent(share(text).unwrap()), text);
        }
        for wrong in ["5", "-1%", "1e1%", "inf%", "NaN%", "%", "", "101%", "1,5%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
