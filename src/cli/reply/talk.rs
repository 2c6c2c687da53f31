//! Answers in chunks: a line is a chunk.

use std::io;

use bytes::Bytes;
use squall_client::{Answer, ChunkSender, Delivery};
use squall_kernel::limits::CHUNK_BYTES_MAX;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use super::program::{Crashed, Program, feed, words};

/// Answers with the lines of the payload.
pub(super) async fn echo(payload: &Bytes, mut sender: ChunkSender) -> Answer {
    match send_lines(Some(&payload[..]), &mut sender).await {
        Ok(()) => Answer::Reply(Bytes::new()),
        Err(error) => Answer::Decline(error.to_string()),
    }
}

impl Program {
    /// Runs the program on a delivery and sends each line that it prints as soon as the requester takes it; the program
    /// waits meanwhile.
    pub(super) async fn stream(
        &self,
        delivery: &Delivery,
        told: Option<&Bytes>,
        mut sender: ChunkSender,
    ) -> Result<Answer, Crashed> {
        match timeout(self.within, self.run_in_chunks(delivery, told, &mut sender)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Ok(Answer::Decline(format!("{}: {error}", self.name))),
            Err(_) => Ok(self.too_late()),
        }
    }

    async fn run_in_chunks(
        &self,
        delivery: &Delivery,
        told: Option<&Bytes>,
        sender: &mut ChunkSender,
    ) -> io::Result<Result<Answer, Crashed>> {
        let mut child = self.command(delivery, told).spawn()?;
        let feed = feed(child.stdin.take(), &delivery.payload);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let output = async {
            let sent = send_lines(stdout, sender).await;
            if sent.is_err() {
                // Nobody takes what else it would print.
                child.start_kill()?;
            }
            sent
        };
        let ((), sent, stderr) = tokio::join!(feed, output, words(stderr));
        let status = child.wait().await?;
        sent?;
        if status.success() {
            return Ok(Ok(Answer::Reply(Bytes::new())));
        }
        Ok(self.failed(&stderr?, status))
    }
}

/// Sends line by line, each with its end; one that is longer than a chunk goes in several.
async fn send_lines(source: Option<impl AsyncRead + Unpin>, sender: &mut ChunkSender) -> io::Result<()> {
    let Some(source) = source else { return Ok(()) };
    let mut lines = BufReader::new(source);
    loop {
        let mut line = Vec::new();
        let bound = CHUNK_BYTES_MAX as u64;
        if (&mut lines).take(bound).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        sender.send(line).await.map_err(io::Error::other)?;
    }
}
