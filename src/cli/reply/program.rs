//! A program that answers requests, or questions: payload in, output out, both bounded.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use squall_client::{Answer, Delivery};
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::PAYLOAD_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, Command};
use tokio::time::timeout;

use crate::cli::exit::Usage;

/// Of standard error only the first line is used.
const STDERR_BYTES_MAX: u64 = 4096;

/// A program and its arguments.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Program {
    pub(super) name: String,
    args: Vec<String>,
    pub(super) within: Duration,
}

/// A signal ended the program: it did not choose to fail, and nobody knows how far it had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Crashed(pub(in crate::cli) String);

/// What a run of the program printed.
struct Output {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Program {
    /// Checks that there is such a program.
    pub(in crate::cli) fn new(flag: &str, words: &[String], within: Duration) -> Result<Self> {
        let (name, args) = words
            .split_first()
            .ok_or_else(|| Usage(format!("{flag} needs a program")))?;
        if !exists(name) {
            return Err(Usage(format!("program '{name}' is not there; check {flag} and PATH")).into());
        }
        Ok(Self {
            name: name.clone(),
            args: args.to_vec(),
            within,
        })
    }

    /// Runs the program on a delivery, of which the requester has told something more.
    pub(super) async fn answer(&self, delivery: &Delivery, told: Option<&Bytes>) -> Result<Answer, Crashed> {
        let command = self.command(delivery, told);
        Ok(match self.answered(command, &delivery.payload).await? {
            Answer::Reply(printed) if delivery.ahead_of.is_none() => Answer::Reply(printed),
            Answer::Reply(printed) if printed.is_empty() => Answer::Pass,
            Answer::Reply(printed) => Answer::Rewrite(printed),
            other => other,
        })
    }

    /// Runs the program on a question that a handler of the exchange asks back.
    pub(in crate::cli) async fn answer_question(&self, exchange: &ExchangeName, question: &[u8]) -> Answer {
        let mut command = self.plain();
        command.env("SQUALL_EXCHANGE", exchange.as_str());
        let answered = self.answered(command, question).await;
        answered.unwrap_or_else(|Crashed(words)| Answer::Decline(words))
    }

    async fn answered(&self, command: Command, payload: &[u8]) -> Result<Answer, Crashed> {
        match timeout(self.within, run(command, payload)).await {
            Ok(Ok(output)) => self.judged(output),
            Ok(Err(error)) => Ok(Answer::Decline(format!("{}: {error}", self.name))),
            Err(_) => Ok(self.too_late()),
        }
    }

    pub(super) fn too_late(&self) -> Answer {
        Answer::Decline(format!("{} did not end within {:?}", self.name, self.within))
    }

    fn judged(&self, output: Output) -> Result<Answer, Crashed> {
        if output.stdout.len() > PAYLOAD_BYTES_MAX {
            return Ok(Answer::Decline(format!(
                "{} printed more than {PAYLOAD_BYTES_MAX} bytes",
                self.name
            )));
        }
        if output.status.success() {
            return Ok(Answer::Reply(Bytes::from(output.stdout)));
        }
        self.failed(&output.stderr, output.status)
    }

    pub(super) fn failed(&self, stderr: &[u8], status: ExitStatus) -> Result<Answer, Crashed> {
        let text = String::from_utf8_lossy(stderr);
        let said = text.lines().map(str::trim).find(|line| !line.is_empty());
        if status.signal().is_some() {
            let said = said.map_or_else(String::new, |line| format!(": {line}"));
            return Err(Crashed(format!("{} was ended by {status}{said}", self.name)));
        }
        Ok(match said {
            Some(line) => Answer::Decline(line.into()),
            None => Answer::Decline(format!("{} failed: {status}", self.name)),
        })
    }

    pub(super) fn command(&self, delivery: &Delivery, told: Option<&Bytes>) -> Command {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).replace('\0', "");
        let mut command = self.plain();
        command
            .env("SQUALL_EXCHANGE", delivery.exchange.as_str())
            .env("SQUALL_KEY", text(&delivery.key))
            .env("SQUALL_REQUEST_TAG", text(&delivery.request_tag))
            .env("SQUALL_CONNECTION_TAG", text(&delivery.connection_tag))
            .env("SQUALL_EPOCH", delivery.epoch.to_string())
            .env("SQUALL_LEADER_EPOCH", delivery.leader_epoch.to_string());
        if let Some(exchange) = &delivery.ahead_of {
            command.env("SQUALL_AHEAD_OF", exchange.as_str());
        }
        if let Some(told) = told {
            command.env("SQUALL_ANSWER", text(told));
        }
        command
    }

    fn plain(&self) -> Command {
        let mut command = Command::new(&self.name);
        command
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

async fn run(mut command: Command, payload: &[u8]) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let feed = feed(child.stdin.take(), payload);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let output = async {
        let bytes = read(stdout, PAYLOAD_BYTES_MAX as u64 + 1, Rest::Left).await?;
        if bytes.len() > PAYLOAD_BYTES_MAX {
            child.start_kill()?;
        }
        Ok(bytes)
    };
    let ((), stdout, stderr): ((), io::Result<Vec<u8>>, _) = tokio::join!(feed, output, words(stderr));
    let status = child.wait().await?;
    Ok(Output {
        status,
        stdout: stdout?,
        stderr: stderr?,
    })
}

/// Writes a program's input and closes it. A program need not read it.
pub(super) async fn feed(stdin: Option<ChildStdin>, payload: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _unread = stdin.write_all(payload).await;
    }
}

/// The beginning of what a program says on its standard error.
pub(super) async fn words(stderr: Option<ChildStderr>) -> io::Result<Vec<u8>> {
    read(stderr, STDERR_BYTES_MAX, Rest::Drained).await
}

/// What becomes of output beyond the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Left,
    /// Read and forgotten, so that the program is not held up.
    Drained,
}

async fn read(source: Option<impl AsyncRead + Unpin>, max: u64, rest: Rest) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut source) = source {
        (&mut source).take(max).read_to_end(&mut bytes).await?;
        if rest == Rest::Drained {
            tokio::io::copy(&mut source, &mut tokio::io::sink()).await?;
        }
    }
    Ok(bytes)
}

fn exists(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use squall_client::Talk;
    use squall_kernel::exchange::RequestKey;
    use squall_kernel::frame::TraceContext;
    use squall_kernel::id::{Epoch, LeaderEpoch, MessageId, NodeId};

    use super::*;
    use crate::cli::exit::{Exit, code};

    async fn answer(script: &str, payload: &'static [u8], within: Duration) -> Answer {
        ahead(None, script, payload, within).await
    }

    async fn ahead(of: Option<&str>, script: &str, payload: &'static [u8], within: Duration) -> Answer {
        run_on(of, script, payload, within).await.unwrap()
    }

    async fn run_on(
        of: Option<&str>,
        script: &str,
        payload: &'static [u8],
        within: Duration,
    ) -> Result<Answer, Crashed> {
        let words = ["sh", "-c", script].map(String::from);
        let delivery = Delivery {
            exchange: ExchangeName::new("orders").unwrap(),
            payload: Bytes::from_static(payload),
            request_tag: Bytes::from_static(b"t1"),
            connection_tag: Bytes::new(),
            key: Bytes::new(),
            ahead_of: of.map(|name| ExchangeName::new(name).unwrap()),
            request: RequestKey {
                origin: NodeId(1),
                message: MessageId(1),
            },
            epoch: Epoch(2),
            leader_epoch: LeaderEpoch(3),
            trace: TraceContext::default(),
            talk: Talk::default(),
        };
        let program = Program::new("--cmd", &words, within).unwrap();
        program.answer(&delivery, None).await
    }

    #[tokio::test]
    async fn a_program_answers_declines_and_is_held_to_its_bounds() {
        let long = Duration::from_secs(60);
        let reply = |text: &'static str| Answer::Reply(Bytes::from_static(text.as_bytes()));
        let decline = |text: &str| Answer::Decline(text.into());
        assert_eq!(answer("tr a-z A-Z", b"hello", long).await, reply("HELLO"));
        let environment =
            "printf %s \"$SQUALL_EXCHANGE $SQUALL_REQUEST_TAG $SQUALL_EPOCH $SQUALL_LEADER_EPOCH\"";
        assert_eq!(answer(environment, b"", long).await, reply("orders t1 2 3"));
        assert_eq!(
            answer("echo; echo sold out >&2; echo more >&2; exit 1", b"x", long).await,
            decline("sold out")
        );
        assert_eq!(
            answer("exit 3", b"unread", long).await,
            decline("sh failed: exit status: 3")
        );
        assert_eq!(
            answer("yes", b"", long).await,
            decline(&format!("sh printed more than {PAYLOAD_BYTES_MAX} bytes"))
        );
        let short = Duration::from_millis(50);
        assert_eq!(
            answer("sleep 60", b"", short).await,
            decline("sh did not end within 50ms")
        );
    }

    #[tokio::test]
    async fn a_program_that_a_signal_ends_has_crashed() {
        let long = Duration::from_secs(60);
        let crashed = run_on(None, "echo out of paper >&2; kill -KILL $$", b"x", long).await;
        let words = "sh was ended by signal: 9 (SIGKILL): out of paper".to_owned();
        assert_eq!(crashed, Err(Crashed(words)));
        let question = ["sh", "-c", "kill -KILL $$"].map(String::from);
        let program = Program::new("--answer", &question, long).unwrap();
        let answer = program
            .answer_question(&ExchangeName::new("orders").unwrap(), b"?")
            .await;
        assert_eq!(
            answer,
            Answer::Decline("sh was ended by signal: 9 (SIGKILL)".into())
        );
    }

    /// A30: a program as middleware.
    #[tokio::test]
    async fn what_a_program_prints_takes_the_payloads_place_and_nothing_lets_it_be() {
        let long = Duration::from_secs(60);
        let of = Some("service");
        assert_eq!(
            ahead(of, "printf %s \"$SQUALL_AHEAD_OF\"", b"x", long).await,
            Answer::Rewrite(Bytes::from_static(b"service"))
        );
        assert_eq!(ahead(of, "cat >/dev/null", b"x", long).await, Answer::Pass);
        assert_eq!(
            ahead(of, "echo not you >&2; exit 1", b"x", long).await,
            Answer::Decline("not you".into())
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_told_at_once() {
        let error = Program::new("--cmd", &["no-such-program".into()], Duration::from_secs(1)).unwrap_err();
        assert_eq!(code(&error), Exit::Usage);
        assert!(error.to_string().contains("no-such-program"));
    }
}
