//! A request whose reply is wanted of every handler that it goes to.

use std::io::{Write as _, stderr, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};
use squall_client::{Client, Reply, RequestError};

use super::summary::{outcome_word, reason};
use super::{RequestArgs, explained, print};
use crate::cli::exit::{Quiet, of_request, one_line};
use crate::cli::signals;

pub(super) async fn run(client: &Client, args: &RequestArgs, payload: Bytes) -> Result<()> {
    let began = Instant::now();
    let asked = client.request_many(args.exchange.as_str(), payload, args.options());
    let mut told = Told::default();
    match asked.await {
        Ok(mut replies) => {
            let ended = signals::ended();
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    next = replies.next() => match next {
                        Some(outcome) => told.take(client, args, outcome)?,
                        None => break,
                    },
                    // It was sent, and nobody waits for the answers any more.
                    () = &mut ended => {
                        told.take(client, args, Err(RequestError::Interrupted))?;
                        break;
                    }
                }
            }
        }
        Err(error) => told.take(client, args, Err(error))?,
    }
    if args.json {
        writeln!(stdout(), "{:#}", told.document(began.elapsed()))?;
    }
    told.end(args)
}

/// What came so far.
#[derive(Debug, Default)]
struct Told {
    replies: Vec<Value>,
    others: Vec<RequestError>,
}

impl Told {
    fn take(
        &mut self,
        client: &Client,
        args: &RequestArgs,
        outcome: Result<Reply, RequestError>,
    ) -> Result<()> {
        match outcome {
            Ok(reply) => {
                let from = pid(client, &reply);
                if !args.json {
                    let line = [from.as_bytes(), b"\t", &reply.payload, b"\n"].concat();
                    print(&line)?;
                }
                self.replies.push(json!({
                    "handler": from,
                    "payload": String::from_utf8_lossy(&reply.payload),
                    "payload_bytes": reply.payload.len(),
                }));
            }
            Err(error) => self.others.push(error),
        }
        Ok(())
    }

    /// Nothing but one failure is told as the end of any request, several one by one. The first one gives the code.
    fn end(mut self, args: &RequestArgs) -> Result<()> {
        let Some(first) = self.others.first() else {
            return Ok(());
        };
        let exit = of_request(first);
        if args.json {
            return Err(Quiet(exit).into());
        }
        if self.replies.is_empty() && self.others.len() == 1 {
            return Err(explained(self.others.remove(0), &args.exchange));
        }
        for other in &self.others {
            writeln!(stderr(), "squall: one handler: {}", one_line(&other.to_string()))?;
        }
        Err(Quiet(exit).into())
    }

    fn document(&self, took: Duration) -> Value {
        let other = |error: &RequestError| json!({ "outcome": outcome_word(error), "reason": reason(error) });
        json!({
            "outcome": self.others.first().map_or("reply", outcome_word),
            "replies": self.replies,
            "others": self.others.iter().map(other).collect::<Vec<_>>(),
            "took_ms": took.as_secs_f64() * 1000.0,
        })
    }
}

/// The handler's pid as people read it.
fn pid(client: &Client, reply: &Reply) -> String {
    let members = client.members();
    let node = members.iter().find(|member| member.id == reply.from.node);
    node.map_or_else(
        || reply.from.to_string(),
        |node| reply.from.text(node.name.as_str()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_outcome_and_each_is_told_with_its_reason_alone() {
        let told = Told {
            replies: Vec::new(),
            others: vec![RequestError::Declined("no".into()), RequestError::Rejected],
        };
        let others = [
            json!({ "outcome": "declined", "reason": "no" }),
            json!({ "outcome": "rejected", "reason": "overloaded" }),
        ];
        let expected = json!({ "outcome": "declined", "replies": [], "others": others, "took_ms": 1.0 });
        assert_eq!(told.document(Duration::from_millis(1)), expected);
    }
}
