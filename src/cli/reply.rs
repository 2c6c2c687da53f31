//! `squall reply`: handlers that echo, or answer with a program's output.

mod lease;
pub(super) mod program;
mod restart;
mod talk;

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Result;
use clap::{ArgGroup, Args};
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use squall_client::{
    Answer, AttachOptions, Attachment, Client, Delivery, Ended, Handler, LeadershipChange, Notice,
    NoticeKind, ServerInfo,
};
use squall_kernel::id::ExchangeName;
use squall_kernel::reason::DetachReason;

use self::program::{Crashed, Program};
use self::restart::{RestartArgs, Turns};
use super::connect::ConnectArgs;
use super::exit::{Worded, one_line};
use super::signals;
use super::values;

/// Longest wait for the first connection: long enough for a cluster that is just starting.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long handlers may still answer what they have taken when the program is asked to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The program and its arguments take every word that follows them.
const USAGE: &str = "squall reply [OPTIONS] <EXCHANGE> <--echo|--pass|--redirect <NAME>|--decline <REASON>>
       squall reply [OPTIONS] <EXCHANGE> --cmd <PROGRAM> [ARGS]...";

/// Attaches handlers to an exchange and answers requests until it is ended.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(override_usage = USAGE)]
#[command(group(ArgGroup::new("answer").required(true).args(["echo", "cmd", "pass", "redirect", "decline"])))]
pub(crate) struct ReplyArgs {
    /// Exchange
    exchange: ExchangeName,
    /// Answer with the request's payload
    #[arg(long)]
    echo: bool,
    /// Answer with what this program prints; must come last: all that follow are the program's arguments, each a word of
    /// its own. The payload is its standard input; when it fails, the request is declined with the first line of its
    /// standard error; when a signal ends it, the request has failed. SQUALL_EXCHANGE, SQUALL_KEY, SQUALL_REQUEST_TAG,
    /// SQUALL_CONNECTION_TAG, SQUALL_EPOCH and SQUALL_LEADER_EPOCH are set. Of a request to another exchange, in front of
    /// which this one stands, SQUALL_AHEAD_OF names that one: what the program prints takes the payload's place, and when
    /// it prints nothing the request goes on as it is
    #[arg(long, value_name = "PROGRAM [ARGS]", num_args = 1.., allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// Let every request through to the exchange in front of which this one stands, and tell of it on standard error
    #[arg(long)]
    pass: bool,
    /// Send every request on to this exchange
    #[arg(long, value_name = "NAME")]
    redirect: Option<ExchangeName>,
    /// Decline every request for this reason
    #[arg(long, value_name = "REASON")]
    decline: Option<String>,
    /// Send every line of the answer as a chunk of its own, to requesters that take chunks
    #[arg(long)]
    chunks: bool,
    /// Ask the requester this before answering. A program finds the answer in SQUALL_ANSWER; with --echo the answer takes
    /// the payload's place. A requester that does not answer is declined
    #[arg(long, value_name = "TEXT")]
    ask: Option<String>,
    /// How long the program may run before it is killed and the request declined
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::some_time)]
    cmd_timeout: Duration,
    /// Service tag: the group these handlers belong to
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    service_tag: String,
    /// Connection tag: comes back with every delivery
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    connection_tag: String,
    /// Handlers to attach; each answers one request at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Tell of each lease of a leader: its epoch, from when, until when, in seconds of the system's monotonic clock
    #[arg(long)]
    leases: bool,
    /// How long to wait for an exchange that is unknown or unavailable
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::some_time)]
    wait: Duration,
    #[command(flatten)]
    restart: RestartArgs,
}

pub(crate) async fn run(args: ReplyArgs, connect: ConnectArgs) -> Result<()> {
    let how = args.how()?;
    let serving = async {
        let client = connect.client("squall reply", CONNECT_WITHIN).await?;
        let attachments = attach_all(&client, &args, &how).await?;
        Ok::<_, anyhow::Error>((client, attachments))
    };
    let (client, mut attachments) = tokio::select! {
        serving = serving => serving?,
        () = signals::ended() => return Ok(()),
    };
    let over = tokio::select! {
        over = all_ended(&mut attachments) => over,
        () = signals::ended() => None,
    };
    let detached = join_all(attachments.into_iter().map(Attachment::detach));
    // A handler that is still busy is left to its connection's end.
    let _busy = tokio::time::timeout(FAREWELL, detached).await;
    client.close().await;
    over.map_or(Ok(()), |why| Err(explained(why, &args.exchange)))
}

/// Waits until no handler is left, or until one has ended that was not given up by itself; gives the end that is no success.
async fn all_ended(attachments: &mut [Attachment]) -> Option<Ended> {
    let mut failed = None;
    let mut ends: FuturesUnordered<_> = attachments.iter_mut().map(Attachment::ended).collect();
    while let Some(why) = ends.next().await {
        match why {
            Ended::Detached(DetachReason::Done) => say("a handler is done and leaves"),
            Ended::Detached(DetachReason::Panicked) => {
                say("a handler has crashed too often and leaves");
                failed = Some(why);
            }
            other => return Some(other),
        }
    }
    failed
}

async fn attach_all(client: &Client, args: &ReplyArgs, how: &How) -> Result<Vec<Attachment>> {
    let options = AttachOptions {
        service_tag: args.service_tag.clone(),
        connection_tag: args.connection_tag.clone(),
        wait: args.wait,
        supervision: args.restart.supervision(),
        ..AttachOptions::default()
    };
    let mut attachments = Vec::new();
    for number in 1..=args.count {
        let label = if args.count == 1 {
            String::new()
        } else {
            format!("[{number}] ")
        };
        let handler = Answerer {
            label: label.clone(),
            how: how.clone(),
            leases: args.leases,
            chunks: args.chunks,
            ask: args.ask.clone(),
            turns: args.restart.turns(),
        };
        let attached = client
            .attach(args.exchange.as_str(), options.clone(), handler)
            .await;
        let attachment = attached.map_err(|error| explained(error, &args.exchange))?;
        if let Some(pid) = attachment.pid() {
            say(&format!("{label}attached to {} as {pid}", args.exchange));
        }
        attachments.push(attachment);
    }
    Ok(attachments)
}

fn explained(error: impl Into<AttachEnd>, exchange: &ExchangeName) -> anyhow::Error {
    let AttachEnd(error) = error.into();
    let words = format!("exchange '{exchange}': {error:#}; `squall exchange list` shows what is declared");
    Worded::of(error, words)
}

/// An attachment's end, before or after it stood.
struct AttachEnd(anyhow::Error);

impl From<squall_client::AttachError> for AttachEnd {
    fn from(error: squall_client::AttachError) -> Self {
        Self(error.into())
    }
}

impl From<Ended> for AttachEnd {
    fn from(ended: Ended) -> Self {
        Self(ended.into())
    }
}

/// How requests are answered.
#[derive(Debug, Clone)]
enum How {
    Echo,
    Run(Program),
    /// All alike.
    Say(Answer),
}

impl ReplyArgs {
    fn how(&self) -> Result<How> {
        if self.echo {
            return Ok(How::Echo);
        }
        if self.pass {
            return Ok(How::Say(Answer::Pass));
        }
        let redirect = self.redirect.clone().map(Answer::Redirect);
        let said = redirect.or_else(|| self.decline.clone().map(Answer::Decline));
        match said {
            Some(answer) => Ok(How::Say(answer)),
            None => Ok(How::Run(Program::new("--cmd", &self.cmd, self.cmd_timeout)?)),
        }
    }
}

/// A handler that echoes, runs a program, or says always the same.
struct Answerer {
    label: String,
    how: How,
    leases: bool,
    chunks: bool,
    ask: Option<String>,
    turns: Turns,
}

impl Handler for Answerer {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        self.turns.take();
        match self.answer(delivery).await {
            Ok(answer) => answer,
            // What ends a handler in the library: its request fails with these words, and its policy decides. No bug of
            // this program, so nothing is reported as one.
            Err(Crashed(words)) => std::panic::resume_unwind(Box::new(words)),
        }
    }

    fn restarted(&mut self) {
        self.turns.begin_anew();
        say(&format!("{}begins anew", self.label));
    }

    fn is_done(&self) -> bool {
        self.turns.are_done()
    }

    fn notice(&mut self, notice: Notice) {
        say(&format!("{}{}", self.label, readable(&notice)));
    }

    fn leadership(&mut self, change: LeadershipChange) {
        if let Some(line) = self.leases.then(|| lease::readable(change)).flatten() {
            say(&format!("{}{line}", self.label));
        }
    }
}

impl Answerer {
    async fn answer(&mut self, delivery: Delivery) -> Result<Answer, Crashed> {
        let told = match &self.ask {
            None => None,
            Some(question) => match delivery.ask(question.clone()).await {
                Ok(told) => Some(told),
                Err(error) => return Ok(Answer::Decline(format!("asked back '{question}': {error}"))),
            },
        };
        let sender = if self.chunks { delivery.chunks().ok() } else { None };
        match (&self.how, sender) {
            (How::Echo, None) => Ok(Answer::Reply(told.unwrap_or(delivery.payload))),
            (How::Echo, Some(sender)) => Ok(talk::echo(&told.unwrap_or(delivery.payload), sender).await),
            (How::Run(program), None) => program.answer(&delivery, told.as_ref()).await,
            (How::Run(program), Some(sender)) => program.stream(&delivery, told.as_ref(), sender).await,
            (How::Say(answer), _) => {
                say(&format!("{}{}", self.label, told_of(&delivery)));
                Ok(answer.clone())
            }
        }
    }
}

/// A request, for whoever watches it pass.
fn told_of(delivery: &Delivery) -> String {
    let to = delivery.ahead_of.as_ref().unwrap_or(&delivery.exchange);
    let text = |what: &str, bytes: &[u8]| match bytes {
        [] => String::new(),
        bytes => format!(" {what} {}", String::from_utf8_lossy(bytes)),
    };
    format!(
        "request to {to}: {}{}{}",
        values::counted(delivery.payload.len(), "byte", "bytes"),
        text("key", &delivery.key),
        text("tag", &delivery.request_tag)
    )
}

/// One line on standard error; with that closed there is nobody to tell.
fn say(line: &str) {
    let _nobody = writeln!(io::stderr(), "{}", one_line(line));
}

fn readable(notice: &Notice) -> String {
    let Notice {
        exchange,
        epoch,
        what,
        ..
    } = notice;
    match what {
        NoticeKind::Leader {
            leader,
            leader_epoch,
            you,
            servers,
        } => {
            let leader = leader.as_deref().unwrap_or("nobody");
            let you = if *you { " (this handler)" } else { "" };
            let servers = servers.iter().map(server).collect::<Vec<_>>().join(" ");
            format!(
                "$leader {exchange} {leader}{you} leader-epoch {leader_epoch} epoch {epoch} handlers {servers}"
            )
        }
        NoticeKind::SlaveUp(info) => format!("$slave_up {exchange} {} epoch {epoch}", server(info)),
        NoticeKind::SlaveDown { pid, reason } => {
            format!("$slave_down {exchange} {pid} epoch {epoch}: {reason}")
        }
    }
}

fn server(info: &ServerInfo) -> String {
    if info.service_tag.is_empty() {
        info.pid.clone()
    } else {
        format!("{}@{}", info.pid, info.service_tag)
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{Counter, Epoch, LeaderEpoch};

    use super::*;

    #[test]
    fn notices_are_readable() {
        let info = |pid: &str, tag: &str| ServerInfo {
            pid: pid.into(),
            node: "a".into(),
            service_tag: tag.into(),
        };
        let table = [
            (
                NoticeKind::Leader {
                    leader: Some("<a.5>".into()),
                    leader_epoch: LeaderEpoch(4),
                    you: true,
                    servers: vec![info("<a.5>", ""), info("<b.7>", "eu")].into(),
                },
                "$leader orders <a.5> (this handler) leader-epoch 4 epoch 2 handlers <a.5> <b.7>@eu",
            ),
            (
                NoticeKind::SlaveUp(info("<b.7>", "eu")),
                "$slave_up orders <b.7>@eu epoch 2",
            ),
            (
                NoticeKind::SlaveDown {
                    pid: "<b.7>".into(),
                    reason: "node lost".into(),
                },
                "$slave_down orders <b.7> epoch 2: node lost",
            ),
        ];
        for (what, expected) in table {
            let exchange = ExchangeName::new("orders").unwrap();
            let notice = Notice {
                exchange,
                epoch: Epoch(2),
                counter: Counter(1),
                what,
            };
            assert_eq!(readable(&notice), expected);
        }
    }
}
