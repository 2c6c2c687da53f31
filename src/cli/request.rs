//! `squall request`: one request, or many with a summary.

mod all;
mod load;
mod summary;
mod talk;

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use squall_client::{CHUNKS_DEFAULT, Client, Reply, RequestError, RequestOptions};
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::{CHUNK_CREDIT_MAX, PAYLOAD_BYTES_MAX};
use squall_kernel::reason::NoReply;

use self::summary::{outcome_word, reason};
use super::connect::ConnectArgs;
use super::exit::{Quiet, Worded, of_request};
use super::signals;
use super::values;

/// Longest wait for the first connection: a node that is there answers sooner.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// The program and its arguments take every word that follows them.
const USAGE: &str = "squall request [OPTIONS] <EXCHANGE> <PAYLOAD>
       squall request [OPTIONS] <EXCHANGE> <PAYLOAD> --answer <PROGRAM> [ARGS]...";

/// Sends a request and prints its reply.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(override_usage = USAGE)]
pub(crate) struct RequestArgs {
    /// Exchange
    exchange: ExchangeName,
    /// Payload; `-` reads it from standard input
    payload: String,
    /// Send it this many times; more than once prints a summary instead of the replies. The exit code is then 0 when all
    /// were answered, else that of the most frequent other outcome
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Requests under way at once
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    in_flight: u16,
    /// Time until a request ends as timed out
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::some_time)]
    timeout: Duration,
    /// Request tag: given to the handler, and back with the reply
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    tag: String,
    /// Service tag: only handlers of this group
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    service_tag: String,
    /// Key: under the strategy `sticky` all requests of one key go to one handler
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    key: String,
    /// Print the replies of all handlers that the request goes to, under the strategy `default`, each with the handler's
    /// pid and a tab in front. The exit code is 0 when all of them replied, else that of the first other outcome
    #[arg(long, conflicts_with_all = ["count", "in_flight", "chunks", "answer"])]
    all: bool,
    /// Print the outcome, or the summary, as JSON
    #[arg(long)]
    json: bool,
    /// Take the response in chunks and print each as it comes; what is not taken holds its handler up
    #[arg(long, conflicts_with_all = ["count", "in_flight"])]
    chunks: bool,
    /// Chunks under way at once
    #[arg(long, value_name = "N", default_value_t = CHUNKS_DEFAULT, requires = "chunks", value_parser = clap::value_parser!(u32).range(1..=i64::from(CHUNK_CREDIT_MAX)))]
    credit: u32,
    /// Answer what the handler asks back with what this program prints; must come last: all that follow are the program's
    /// arguments, each a word of its own. The question is its standard input; when it fails, the question is declined with
    /// the first line of its standard error
    #[arg(long, value_name = "PROGRAM [ARGS]", num_args = 1.., allow_hyphen_values = true, conflicts_with_all = ["count", "in_flight"])]
    answer: Vec<String>,
}

impl RequestArgs {
    fn options(&self) -> RequestOptions {
        RequestOptions {
            timeout: self.timeout,
            request_tag: Bytes::from(self.tag.clone()),
            service_tag: Bytes::from(self.service_tag.clone()),
            key: Bytes::from(self.key.clone()),
            ..RequestOptions::default()
        }
    }
}

/// The payload, before anything is dialled.
pub(crate) fn payload(args: &RequestArgs) -> Result<Bytes> {
    super::payload::payload(&args.payload, PAYLOAD_BYTES_MAX)
}

pub(crate) async fn run(args: RequestArgs, payload: Bytes, connect: ConnectArgs) -> Result<()> {
    let client = tokio::select! {
        client = connect.client("squall request", CONNECT_WITHIN) => client?,
        () = signals::ended() => return Err(RequestError::Unavailable(NoReply::Unreachable).into()),
    };
    let result = if args.chunks || !args.answer.is_empty() {
        talk::run(&client, &args, payload).await
    } else if args.all {
        all::run(&client, &args, payload).await
    } else if args.count > 1 {
        load::run(&client, &args, payload).await
    } else {
        one(&client, &args, payload).await
    };
    client.close().await;
    result
}

async fn one(client: &Client, args: &RequestArgs, payload: Bytes) -> Result<()> {
    let began = Instant::now();
    let outcome = tokio::select! {
        outcome = client.request(args.exchange.as_str(), payload, args.options()) => outcome,
        // It was sent, and nobody waits for the answer any more.
        () = signals::ended() => Err(RequestError::Interrupted),
    };
    tell(args, outcome, began)
}

/// Prints how a request ended.
fn tell(args: &RequestArgs, outcome: Result<Reply, RequestError>, began: Instant) -> Result<()> {
    if args.json {
        writeln!(stdout(), "{:#}", document(&outcome, began.elapsed()))?;
        return outcome
            .map(drop)
            .map_err(|error| Quiet(of_request(&error)).into());
    }
    let reply = outcome.map_err(|error| explained(error, &args.exchange))?;
    print(&reply.payload)
}

fn explained(error: RequestError, exchange: &ExchangeName) -> anyhow::Error {
    let hint = match &error {
        RequestError::Unavailable(NoReply::UnknownExchange) => {
            format!("exchange '{exchange}': there is none; declare it with `squall exchange declare`")
        }
        RequestError::NoResponders => {
            // The requester is not told whether it ended here, or where a function or a handler had sent it on to.
            format!(
                "exchange '{exchange}': no responders; attach a handler, such as `squall reply {exchange} --echo`, or, when \
                 this exchange sends requests on to another one, attach it to that one"
            )
        }
        other => format!("exchange '{exchange}': {other}"),
    };
    Worded::of(error, hint)
}

fn print(payload: &[u8]) -> Result<()> {
    let mut out = stdout().lock();
    if out.is_terminal() {
        let text = values::for_terminal(&String::from_utf8_lossy(payload));
        let end = if text.ends_with('\n') { "" } else { "\n" };
        write!(out, "{text}{end}")?;
    } else {
        out.write_all(payload)?;
    }
    out.flush().context("standard output")
}

fn document(outcome: &Result<Reply, RequestError>, took: Duration) -> Value {
    let ms = took.as_secs_f64() * 1000.0;
    match outcome {
        Ok(reply) => json!({
            "outcome": "reply",
            "payload": String::from_utf8_lossy(&reply.payload),
            "payload_bytes": reply.payload.len(),
            "request_tag": String::from_utf8_lossy(&reply.request_tag),
            "took_ms": ms,
        }),
        Err(error) => json!({ "outcome": outcome_word(error), "reason": reason(error), "took_ms": ms }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_nobody_answers_is_explained_for_exchanges_that_send_on_too() {
        let exchange = ExchangeName::new("rd").unwrap();
        let error = explained(RequestError::NoResponders, &exchange);
        let words = error.to_string();
        assert!(words.starts_with("exchange 'rd': no responders; "), "{words}");
        assert!(words.contains("sends requests on to another one"), "{words}");
    }

    #[test]
    fn the_document_of_an_outcome_says_it_once() {
        let said = document(
            &Err(RequestError::Declined("no".into())),
            Duration::from_millis(2),
        );
        assert_eq!(
            said,
            json!({ "outcome": "declined", "reason": "no", "took_ms": 2.0 })
        );
    }
}
