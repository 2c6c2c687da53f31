//! The other ends of the sessions whose memory is measured: clients that connect and do nothing.

use squall_client::{Client, ConnectOptions};
use tokio::io::{AsyncReadExt as _, stdin};

use crate::bench::BenchError;

/// Connects so many clients, and keeps them until standard input ends.
///
/// # Errors
/// [`BenchError`] when one of them cannot connect.
pub async fn run(options: ConnectOptions, count: usize) -> Result<(), BenchError> {
    tokio::select! {
        biased;
        () = stdin_ended() => Ok(()),
        failed = connected(options, count) => failed,
    }
}

/// Ends only when a client cannot connect.
async fn connected(options: ConnectOptions, count: usize) -> Result<(), BenchError> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.push(Client::connect(options.clone()).await?);
    }
    std::future::pending().await
}

async fn stdin_ended() {
    let mut input = stdin();
    let mut ignored = [0; 256];
    while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
