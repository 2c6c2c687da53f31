//! `squall exchange move`: moves an exchange, and proves by the counts of all nodes that nothing was lost or doubled.

use std::collections::BTreeSet;
use std::io::{Write as _, stderr, stdout};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use squall_client::operator::Answers;
use squall_client::{Certificate, Operator, OperatorError};
use squall_kernel::id::{ExchangeName, NodeName};
use squall_proto::v1::{ExchangeInfo, MoveExchangeResponse};
use tokio::time::{Instant, sleep};

use super::super::connect::ConnectArgs;
use super::super::exit::{Exit, Quiet, Worded};
use super::super::node::members::told;
use super::super::values;

/// Between two looks at the registry.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long requests that were open when the exchange opened again may take to end before the books are closed.
const SETTLE: Duration = Duration::from_millis(100);
/// Looks at the books until they balance: a request that is just between two counters does so at the next one.
const LOOKS_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct MoveArgs {
    /// Name of the exchange
    name: ExchangeName,
    /// Node that is to own it [default: the first of its failover list that can]
    node: Option<NodeName>,
    /// The certificate as JSON
    #[arg(long)]
    json: bool,
}

/// A move that has come to its end.
#[derive(Debug)]
struct Moved {
    begun: MoveExchangeResponse,
    took: Duration,
}

pub(super) async fn run(args: &MoveArgs, connect: &ConnectArgs, within: Duration) -> Result<()> {
    let operator = connect.operator().await?;
    let name = args.name.as_str();
    let before = operator.figures(name, &BTreeSet::new()).await.map_err(told)?;
    let started = Instant::now();
    let begun = operator
        .move_exchange(name, args.node.as_ref().map(NodeName::as_str))
        .await
        .map_err(|error| refused(&args.name, error))?;
    warn_of_silent(&before)?;
    let arrived = arrival(&operator, name, &begun, started + within).await;
    let took = started.elapsed();
    let certificate = close_books(&operator, name, &before).await?;
    let moved = Moved { begun, took };
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{:#}", document(name, &moved, &arrived, &certificate))?;
    } else {
        write!(out, "{}", text(name, &moved, &arrived, &certificate))?;
    }
    if arrived.is_ok() && certificate.is_clean() {
        Ok(())
    } else {
        Err(Quiet(Exit::Failed).into())
    }
}

/// The move goes on without them: whoever moves an exchange away from a sick node cannot wait for that.
fn warn_of_silent(before: &Answers) -> Result<()> {
    for (node, answer) in before {
        if let Err(why) = answer {
            let (node, why) = (values::for_terminal(node), values::for_terminal(&why.to_string()));
            writeln!(
                stderr(),
                "warning: node {node} gives no counts ({why}): they will be missing in the certificate"
            )?;
        }
    }
    Ok(())
}

/// A refused move is a failed one: exit code 1. What nobody could be asked, and what is not there, keeps its own code.
fn refused(name: &ExchangeName, error: OperatorError) -> anyhow::Error {
    match error {
        OperatorError::Refused(words) if words == super::unknown(name) => {
            Worded::new(format!("not moved: {words}"), Exit::Unavailable).into()
        }
        OperatorError::Refused(words) => Worded::new(format!("not moved: {words}"), Exit::Failed).into(),
        other => told(other),
    }
}

/// Waits until the registry shows the new owner; an error says where the exchange is instead.
async fn arrival(
    operator: &Operator,
    name: &str,
    begun: &MoveExchangeResponse,
    deadline: Instant,
) -> Result<(), String> {
    loop {
        let latest = match operator.exchanges().await {
            Ok(list) => match judge(list.exchanges.iter().find(|e| e.name == name), begun) {
                Standing::Arrived => return Ok(()),
                Standing::Failed(why) => return Err(why),
                Standing::Under(way) => way,
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(format!("it has not come to its end in time: {latest}"));
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Arrived,
    Under(String),
    Failed(String),
}

fn judge(exchange: Option<&ExchangeInfo>, begun: &MoveExchangeResponse) -> Standing {
    let Some(now) = exchange else {
        return Standing::Failed("the exchange was deleted meanwhile".into());
    };
    if now.epoch < begun.epoch {
        return Standing::Under(format!("'{}' still hands over", now.owner));
    }
    if now.owner == begun.to && now.epoch == begun.epoch {
        return Standing::Arrived;
    }
    // Another epoch than the one that was promised: the move was cancelled, or one of the two was lost.
    Standing::Failed(format!(
        "the move ended otherwise: '{}' owns it under epoch {}",
        if now.owner.is_empty() {
            "nobody"
        } else {
            &now.owner
        },
        now.epoch
    ))
}

/// Figures after the move, once they agree with each other.
async fn close_books(operator: &Operator, name: &str, before: &Answers) -> Result<Certificate> {
    let mut certificate = Certificate::default();
    let mut silent = silent_in(before);
    for _ in 0..LOOKS_MAX {
        sleep(SETTLE).await;
        let after = operator.figures(name, &silent).await.map_err(told)?;
        certificate = Certificate::between(before, &after);
        // Its counts are missing whatever it says later: it holds up one look, not all of them.
        silent.extend(silent_in(&after));
        if certificate.balances() {
            break;
        }
    }
    Ok(certificate)
}

fn silent_in(answers: &Answers) -> BTreeSet<String> {
    let silent = answers.iter().filter(|(_, answer)| answer.is_err());
    silent.map(|(node, _)| node.clone()).collect()
}

fn verdict(arrived: &Result<(), String>, certificate: &Certificate) -> &'static str {
    if arrived.is_ok() {
        certificate.verdict().as_str()
    } else {
        "not moved"
    }
}

fn text(name: &str, moved: &Moved, arrived: &Result<(), String>, certificate: &Certificate) -> String {
    let (from, to) = (
        values::for_terminal(&moved.begun.from),
        values::for_terminal(&moved.begun.to),
    );
    let epoch = moved.begun.epoch;
    let head = match arrived {
        Ok(()) => format!(
            "{name} moved from {from} to {to}, epoch {epoch}, in {:.0?}\n",
            moved.took
        ),
        Err(why) => format!(
            "{name} did not move from {from} to {to}: {}\n",
            values::for_terminal(why)
        ),
    };
    let conclusion = match arrived {
        Ok(()) => certificate.conclusion(),
        Err(_) => format!(
            "lost {}, doubled {}: not moved",
            certificate.lost(),
            certificate.doubled()
        ),
    };
    format!("{head}{certificate}{conclusion}\n")
}

fn document(name: &str, moved: &Moved, arrived: &Result<(), String>, certificate: &Certificate) -> Value {
    let books = &certificate.books;
    json!({
        "exchange": name,
        "from": moved.begun.from,
        "to": moved.begun.to,
        "epoch": moved.begun.epoch,
        "took_ms": u64::try_from(moved.took.as_millis()).unwrap_or(u64::MAX),
        "verdict": verdict(arrived, certificate),
        "why": arrived.as_ref().err(),
        "lost": certificate.lost(),
        "doubled": certificate.doubled(),
        "open_before": certificate.open_before,
        "begun": books.begun,
        "ended": books.ended,
        "open": books.open,
        "outcomes": {
            "replied": books.replies,
            "declined": books.declined,
            "refused": books.refused,
            "timed_out": books.timeouts,
            "interrupted": books.interrupted,
        },
        "second_answers": books.second,
        "late_answers": books.late,
        "accepted": books.accepted,
        "fenced": books.fenced,
        "nodes": certificate.nodes,
        "doubts": certificate.doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> MoveExchangeResponse {
        MoveExchangeResponse {
            from: "a".into(),
            to: "b".into(),
            epoch: 4,
            revision: 9,
        }
    }

    fn at(owner: &str, epoch: u64) -> ExchangeInfo {
        ExchangeInfo {
            name: "orders".into(),
            owner: owner.into(),
            epoch,
            ..ExchangeInfo::default()
        }
    }

    #[test]
    fn a_move_has_arrived_under_the_epoch_that_was_promised_and_no_other() {
        assert_eq!(judge(Some(&at("b", 4)), &begun()), Standing::Arrived);
        assert!(matches!(judge(Some(&at("a", 3)), &begun()), Standing::Under(_)));
        for (owner, epoch) in [("a", 5), ("b", 5), ("c", 5), ("", 4)] {
            assert!(
                matches!(judge(Some(&at(owner, epoch)), &begun()), Standing::Failed(_)),
                "{owner} {epoch}"
            );
        }
        assert!(matches!(judge(None, &begun()), Standing::Failed(_)));
    }

    #[test]
    fn the_certificate_ends_with_the_verdict() {
        let mut certificate = Certificate {
            nodes: vec!["a".into(), "b".into()],
            open_before: 1,
            ..Certificate::default()
        };
        certificate.books.begun = 9;
        certificate.books.ended = 10;
        certificate.books.replies = 10;
        let moved = Moved {
            begun: begun(),
            took: Duration::from_millis(7),
        };
        let clean = text("orders", &moved, &Ok(()), &certificate);
        assert!(
            clean.starts_with("orders moved from a to b, epoch 4, in 7ms\n"),
            "{clean}"
        );
        assert!(clean.ends_with("lost 0, doubled 0: clean\n"), "{clean}");
        certificate.books.ended = 9;
        let lost = document("orders", &moved, &Ok(()), &certificate);
        assert_eq!(
            (&lost["lost"], &lost["verdict"]),
            (&json!(1), &json!("not clean"))
        );
        let failed = document("orders", &moved, &Err("x".into()), &certificate);
        assert_eq!(
            (&failed["why"], &failed["verdict"]),
            (&json!("x"), &json!("not moved"))
        );
    }
}
