//! A request whose reply is wanted of every handler that it goes to.

use std::io::{Write as _, stderr, stdout};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};
use squall_client::{Client, Reply, RequestError};

use super::summary::outcome_word;
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
        writeln!(stdout(), "{:#}", told.document(began))?;
    }
    told.end(args)
}

/// What came so far.
#[derive(Debug, Default)]
struct Told {
    replies: Vec<Value>,
    others: Vec<Value>,
    failed: Option<RequestError>,
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
            Err(error) => {
                self.others
                    .push(json!({ "outcome": outcome_word(&error), "reason": error.to_string() }));
                self.failed.get_or_insert(error);
            }
        }
        Ok(())
    }

    /// Nothing but one failure is told as the end of any request, several one by one.
    fn end(self, args: &RequestArgs) -> Result<()> {
        let Some(error) = self.failed else { return Ok(()) };
        if args.json {
            return Err(Quiet(of_request(&error)).into());
        }
        if self.replies.is_empty() && self.others.len() == 1 {
            return Err(explained(error, &args.exchange));
        }
        for other in &self.others {
            let reason = other["reason"].as_str().unwrap_or_default();
            writeln!(stderr(), "squall: one handler: {}", one_line(reason))?;
        }
        Err(Quiet(of_request(&error)).into())
    }

    fn document(&self, began: Instant) -> Value {
        json!({
            "outcome": self.failed.as_ref().map_or("reply", outcome_word),
            "replies": self.replies,
            "others": self.others,
            "took_ms": began.elapsed().as_secs_f64() * 1000.0,
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
