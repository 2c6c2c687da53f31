//! `squall request`: one request, or many with a summary.

mod all;
mod load;
mod summary;
mod talk;

use std::io::{IsTerminal as _, Read as _, Write as _, stdin, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use squall_client::{CHUNKS_DEFAULT, Client, Reply, RequestError, RequestOptions};
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::{CHUNK_CREDIT_MAX, PAYLOAD_BYTES_MAX};
use squall_kernel::reason::NoReply;

use self::summary::outcome_word;
use super::connect::ConnectArgs;
use super::exit::{Quiet, Usage, Worded, of_request};
use super::signals;
use super::values;

/// Longest wait for the first connection: a node that is there answers sooner.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Sends a request and prints its reply.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
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
    /// Answer what the handler asks back with what this program prints; must come last. The question is its standard
    /// input; when it fails, the question is declined with the first line of its standard error
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

/// The payload, before anything is dialled: reading standard input may take its time.
pub(crate) fn payload(args: &RequestArgs) -> Result<Bytes> {
    if args.payload != "-" {
        return Ok(Bytes::from(args.payload.clone()));
    }
    let mut bytes = Vec::new();
    let read = stdin()
        .lock()
        .take(PAYLOAD_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| Usage(format!("standard input cannot be read: {error}")))?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(Usage(format!("standard input has more than {PAYLOAD_BYTES_MAX} bytes")).into());
    }
    Ok(bytes.into())
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
            format!(
                "exchange '{exchange}': no responders; attach a handler with `squall reply {exchange} --echo`"
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
        Err(error) => json!({ "outcome": outcome_word(error), "reason": error.to_string(), "took_ms": ms }),
    }
}
