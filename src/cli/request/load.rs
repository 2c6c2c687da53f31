//! Many requests, so many at once.

use std::io::{Write as _, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use squall_client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::RequestArgs;
use super::summary::Summary;
use crate::cli::exit::{Exit, Quiet};
use crate::cli::signals;

pub(super) async fn run(client: &Client, args: &RequestArgs, payload: Bytes) -> Result<()> {
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let stop = watch::Sender::new(false);
    let mut workers = JoinSet::new();
    for _ in 0..u64::from(args.in_flight).min(args.count) {
        let worker = work(
            client.clone(),
            args.clone(),
            payload.clone(),
            Arc::clone(&next),
            stop.subscribe(),
        );
        workers.spawn(worker);
    }
    let mut summary = Summary::default();
    loop {
        tokio::select! {
            () = signals::ended(), if !*stop.borrow() => { stop.send_replace(true); }
            ended = workers.join_next() => match ended {
                Some(part) => summary.add(part?),
                None => break,
            },
        }
    }
    let took = began.elapsed();
    if args.json {
        writeln!(stdout(), "{:#}", summary.document(args.count, took))?;
    } else {
        write!(stdout(), "{}", summary.text(args.count, took))?;
    }
    match summary.exit() {
        Exit::Answered if summary.ended() < args.count => Err(Quiet(Exit::Interrupted).into()),
        Exit::Answered => Ok(()),
        other => Err(Quiet(other).into()),
    }
}

async fn work(
    client: Client,
    args: RequestArgs,
    payload: Bytes,
    next: Arc<AtomicU64>,
    mut stop: watch::Receiver<bool>,
) -> Summary {
    let mut summary = Summary::default();
    while next.fetch_add(1, Ordering::Relaxed) < args.count {
        let began = Instant::now();
        let outcome = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            outcome = client.request(args.exchange.as_str(), payload.clone(), args.options()) => outcome,
        };
        match outcome {
            Ok(_) => summary.reply(began.elapsed()),
            Err(error) => summary.other(&error),
        }
    }
    summary
}
