//! `squall chaos verdicts`: what the invariants say of a cluster that runs.

use std::io::{Write as _, stdout};

use anyhow::Result;
use clap::Args;
use squall_chaos::client::ChaosClient;
use squall_proto::v1::{InvariantVerdict, VerdictState, VerdictsResponse};

use super::super::exit::{Exit, Quiet, one_line};
use super::explained;

/// Say what the invariants say of the cluster since it was started
///
/// The cluster must have been started by `squall up --judge` or `squall demo`. Exit code 0: all that could be judged holds;
/// 1: something is broken, and the two events are shown that cannot both be; 4: nothing is judged any more.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct VerdictsArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &ChaosClient, args: &VerdictsArgs) -> Result<()> {
    let said = client.verdicts().await.map_err(explained)?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&as_json(&said))?)
    } else {
        as_text(&said)
    };
    write!(stdout(), "{text}")?;
    let broken = |one: &InvariantVerdict| one.state() == VerdictState::Broken;
    if said.invariants.iter().any(broken) {
        Err(Quiet(Exit::Failed).into())
    } else if !said.failed.is_empty() {
        Err(Quiet(Exit::UNKNOWN).into())
    } else {
        Ok(())
    }
}

fn word(state: VerdictState) -> &'static str {
    match state {
        VerdictState::Holds => "holds",
        VerdictState::Broken => "BROKEN",
        VerdictState::Unknown | VerdictState::Unspecified => "unknown",
    }
}

fn as_text(said: &VerdictsResponse) -> String {
    let mut text = String::new();
    for one in &said.invariants {
        text += &format!("{:<4} {:<8} {}\n", one.id, word(one.state()), one.claim);
        for line in [&one.text, &one.first, &one.second] {
            if !line.is_empty() {
                text += &format!("              {}\n", one_line(line));
            }
        }
    }
    let (had, never): (Vec<_>, Vec<_>) = said.seen.iter().partition(|seen| seen.count > 0);
    text += &format!("{} events were judged; what happened:\n", said.events);
    for seen in had {
        text += &format!("{:>12}  {}\n", seen.count, seen.what);
    }
    let never: Vec<&str> = never.iter().map(|seen| seen.what.as_str()).collect();
    if !never.is_empty() {
        text += &format!("never, and so not tested: {}\n", never.join("; "));
    }
    if !said.failed.is_empty() {
        text += &format!("nothing is judged any more: {}\n", one_line(&said.failed));
    }
    text
}

fn as_json(said: &VerdictsResponse) -> serde_json::Value {
    let invariants: Vec<_> = said
        .invariants
        .iter()
        .map(|one| {
            serde_json::json!({
                "id": one.id,
                "claim": one.claim,
                "verdict": word(one.state()).to_lowercase(),
                "text": one.text,
                "first": one.first,
                "second": one.second,
            })
        })
        .collect();
    let seen: Vec<_> = said
        .seen
        .iter()
        .map(|seen| serde_json::json!({ "what": seen.what, "count": seen.count }))
        .collect();
    serde_json::json!({
        "schema": 1,
        "invariants": invariants,
        "seen": seen,
        "events": said.events,
        "failed": said.failed,
    })
}
