//! A request whose response comes in chunks, or whose handler asks back.

use std::io::{Write as _, stdout};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use serde_json::json;
use squall_client::{Answer, Chunk, Chunks, Client, RequestError};

use super::{RequestArgs, explained, print, tell};
use crate::cli::exit::{Quiet, of_request};
use crate::cli::reply::program::Program;
use crate::cli::request::summary::{outcome_word, reason};
use crate::cli::signals;

pub(super) async fn run(client: &Client, args: &RequestArgs, payload: Bytes) -> Result<()> {
    let began = Instant::now();
    let program = if args.answer.is_empty() {
        None
    } else {
        Some(Program::new("--answer", &args.answer, args.timeout)?)
    };
    if args.chunks {
        return in_chunks(client, args, payload, program, began).await;
    }
    let answered = client.request_answering(
        args.exchange.as_str(),
        payload,
        args.options(),
        answerer(args, program),
    );
    let outcome = tokio::select! {
        outcome = answered => outcome,
        () = signals::ended() => Err(RequestError::Interrupted),
    };
    tell(args, outcome, began)
}

fn answerer(
    args: &RequestArgs,
    program: Option<Program>,
) -> impl FnMut(Bytes) -> futures::future::BoxFuture<'static, Answer> + Send + use<> {
    let exchange = args.exchange.clone();
    move |question| {
        let (program, exchange) = (program.clone(), exchange.clone());
        Box::pin(async move {
            match program {
                Some(program) => program.answer_question(&exchange, &question).await,
                None => Answer::Decline("this requester answers no questions".into()),
            }
        })
    }
}

async fn in_chunks(
    client: &Client,
    args: &RequestArgs,
    payload: Bytes,
    program: Option<Program>,
    began: Instant,
) -> Result<()> {
    let (exchange, options) = (args.exchange.as_str(), args.options());
    let begun = if program.is_some() {
        let answerer = answerer(args, program);
        client
            .request_chunked_answering(exchange, payload, args.credit, options, answerer)
            .await
    } else {
        client
            .request_chunked(exchange, payload, args.credit, options)
            .await
    };
    let mut number = 0;
    let end = match begun {
        Err(error) => Err(error),
        Ok(mut chunks) => loop {
            match next(&mut chunks).await {
                Some(Ok(chunk)) => {
                    number = chunk.index;
                    print_one(args, &chunk)?;
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        },
    };
    if !args.json {
        return end.map_err(|error| explained(error, &args.exchange));
    }
    let outcome = end.as_ref().map_or_else(outcome_word, |()| "reply");
    let mut document = json!({
        "outcome": outcome,
        "chunks": number,
        "took_ms": began.elapsed().as_secs_f64() * 1000.0,
    });
    if let Err(error) = &end {
        document["reason"] = reason(error).into();
    }
    writeln!(stdout(), "{document}")?;
    end.map_err(|error| Quiet(of_request(&error)).into())
}

async fn next(chunks: &mut Chunks) -> Option<Result<Chunk, RequestError>> {
    tokio::select! {
        next = chunks.next() => next,
        () = signals::ended() => Some(Err(RequestError::Interrupted)),
    }
}

fn print_one(args: &RequestArgs, chunk: &Chunk) -> Result<()> {
    if args.json {
        let line = json!({
            "chunk": chunk.index,
            "payload": String::from_utf8_lossy(&chunk.payload),
            "payload_bytes": chunk.payload.len(),
        });
        writeln!(stdout(), "{line}")?;
        return Ok(());
    }
    print(&chunk.payload)
}
