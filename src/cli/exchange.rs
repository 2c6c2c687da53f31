//! `squall exchange`: declare, list, show, move, bind, delete.

mod binding;
mod document;
mod flow;
mod moving;
mod proxies;
mod settings;
mod strangers;
mod table;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use squall_client::operator::{Figures, MailboxFigures};
use squall_client::{Declaration, OperatorError};
use squall_kernel::id::{ExchangeName, FunctionName, NodeName};
use squall_kernel::limits::SCRIPT_BYTES_MAX;
use squall_kernel::order::WhenFull;
use squall_kernel::registry::{Pattern, Refused, RoutingFunction, Settings, Strategy, Takeover};
use squall_kernel::time::Span;
use squall_node::script::{self, ScriptError};

use super::connect::ConnectArgs;
use super::exit::{Exit, Usage, Worded};
use super::node::members::told;
use super::values;

/// Declares, lists, moves and deletes exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ExchangeArgs {
    #[command(subcommand)]
    command: ExchangeCommand,
    /// How long to wait for the cluster
    #[arg(long, global = true, display_order = 900, value_name = "DURATION", default_value = "5s", value_parser = values::some_time)]
    timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum ExchangeCommand {
    /// Declare an exchange; with the same properties once more, nothing changes
    Declare(DeclareArgs),
    /// List the exchanges with their owners and leaders
    List {
        /// As JSON: an object with the array `exchanges`
        #[arg(long)]
        json: bool,
    },
    /// Show one exchange in full
    Show {
        /// Name of the exchange
        name: ExchangeName,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Move an exchange to another node, and prove that no request was lost or doubled; exit code 0 only then
    Move(moving::MoveArgs),
    /// Make a node a proxy of a publish-subscribe exchange, or take that from it: nodes near it then get publishes through it
    Proxy(proxies::ProxyArgs),
    /// Bind a sticky key to a handler: its requests go there, also after the owner is killed, until the handler detaches
    Bind(binding::BindArgs),
    /// Take a sticky key back: the next request with it is bound as if it were new
    Unbind(binding::UnbindArgs),
    /// List which handler has which signature of a sticky exchange, and show that of a key
    Bindings(binding::ListArgs),
    /// Delete an exchange; its handlers are detached
    Delete {
        /// Name of the exchange
        name: ExchangeName,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct DeclareArgs {
    /// Name: letters, digits, '.', '_' and '-', at most 255 bytes
    name: ExchangeName,
    /// How handlers are picked: all of them, in turn, the leader only, in turn with a leader, the same for the same key,
    /// the same for the same signature that a function gives, or whom a function picks
    #[arg(long, value_parser = values::strategy(), required_unless_present = "pattern")]
    #[arg(required_if_eq_any([("pattern", "request-response"), ("pattern", "inverted-publish-subscribe")]))]
    strategy: Option<Strategy>,
    /// How messages flow through it; `publish-subscribe` and `task` (a queue of
    /// tasks for workers) have no strategy [default: request-response]
    #[arg(long, value_parser = values::pattern())]
    pattern: Option<Pattern>,
    /// Messages that wait for one handler or subscriber at most [default: 4096], or with `task` how many tasks may be open
    /// [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    mailbox: Option<u32>,
    /// What a full mailbox, or queue of tasks, does with one more: turn it away, drop the oldest of the lowest priority (a
    /// task becomes a dead letter), or hold it back [default: reject]
    #[arg(long, value_name = "POLICY", value_parser = values::when_full())]
    when_full: Option<WhenFull>,
    /// How long a publish is good for that names no time itself (`publish-subscribe`, `inverted-publish-subscribe`), or the
    /// deadline of a task that names none (`task`); not with `request-response` [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
    ttl: Option<Duration>,
    /// How long the ids are remembered that publishers or submitters give: what comes again with the same one meanwhile is
    /// not taken twice; not with `request-response` [default: publishes not at all, tasks 300s]
    #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
    dedup: Option<Duration>,
    /// Script by which it routes (`fun`, `sticky-fun`); `-` reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "function")]
    script: Option<PathBuf>,
    /// Function by which it routes, that nodes are started with (`fun`, `sticky-fun`)
    #[arg(long, value_name = "NAME")]
    function: Option<FunctionName>,
    /// Nodes that should own it, in order of preference [default: the cluster chooses]
    #[arg(long, value_name = "NODE[,NODE…]", value_delimiter = ',')]
    failover: Vec<NodeName>,
    /// What happens when a preferred node is back: the exchange moves back by itself once the node has been well for a
    /// while, or when it is moved without naming a node, or never [default: auto]
    #[arg(long, value_parser = values::takeover())]
    takeover: Option<Takeover>,
    /// Exchanges whose handlers see each request before this one's do, in order, and let it through, change it, send it
    /// elsewhere or decline it; at most 8
    #[arg(long, value_name = "NAME[,NAME…]", value_delimiter = ',')]
    middleware: Vec<ExchangeName>,
    /// Exchange whose leader is asked before anybody subscribes: an exchange with the strategy `consensus`
    #[arg(long, value_name = "NAME")]
    controller: Option<ExchangeName>,
    // Last: its heading stays for what comes behind.
    #[command(flatten)]
    tasks: tasks::TaskSettings,
}

pub(crate) async fn run(args: ExchangeArgs, connect: ConnectArgs) -> Result<()> {
    match args.command {
        ExchangeCommand::Declare(declare) => self::declare(declare, &connect, args.timeout).await,
        ExchangeCommand::List { json } => list(json, &connect).await,
        ExchangeCommand::Show { name, json } => show(&name, json, &connect).await,
        ExchangeCommand::Move(moved) => moving::run(&moved, &connect, args.timeout).await,
        ExchangeCommand::Proxy(proxy) => proxies::run(&proxy, &connect).await,
        ExchangeCommand::Bind(bind) => binding::bind(&bind, &connect).await,
        ExchangeCommand::Unbind(unbind) => binding::unbind(&unbind, &connect).await,
        ExchangeCommand::Bindings(list) => binding::list(&list, &connect).await,
        ExchangeCommand::Delete { name } => delete(&name, &connect, args.timeout).await,
    }
}

async fn declare(args: DeclareArgs, connect: &ConnectArgs, timeout: Duration) -> Result<()> {
    args.fit()?;
    let settings = args.settings();
    let DeclareArgs {
        name,
        strategy,
        pattern,
        script,
        function,
        failover,
        takeover,
        ..
    } = args;
    let pattern = pattern.unwrap_or_default();
    // Where nothing picks handlers, all exchanges have the same strategy, so that declaring again changes nothing.
    let strategy = strategy.unwrap_or(Strategy::Default);
    let function = match script {
        Some(file) => Some(script_of(&file)?),
        None => function.map(RoutingFunction::Registered),
    };
    let client = connect.client("squall exchange", timeout).await?;
    strangers::warn_of(&client, &failover)?;
    let declaration = Declaration {
        name: name.clone(),
        pattern,
        strategy,
        function,
        settings,
        failover,
        takeover,
    };
    let declared = client.declare(declaration, timeout).await;
    client.close().await;
    let declared = declared.with_context(|| format!("exchange '{name}' cannot be declared"))?;
    let revision = declared.revision;
    let strategy = if pattern.has_strategy() {
        strategy.as_str()
    } else {
        pattern.as_str()
    };
    if declared.created {
        writeln!(
            stdout(),
            "exchange {name} declared, {strategy}, revision {revision}"
        )?;
    } else {
        writeln!(stdout(), "exchange {name} was declared already, {strategy}")?;
    }
    Ok(())
}

impl DeclareArgs {
    /// A pattern that picks no handlers has no use for what says how: the registry would only speak of a strategy that
    /// nobody named.
    fn fit(&self) -> Result<(), Usage> {
        let pattern = self.pattern.unwrap_or_default();
        if pattern.has_strategy() {
            return Ok(());
        }
        let strategy = self
            .strategy
            .map(|strategy| format!("--strategy {}", strategy.as_str()));
        let script = self.script.as_ref().map(|_| "--script".to_owned());
        let function = self.function.as_ref().map(|_| "--function".to_owned());
        match strategy.or(script).or(function) {
            None => Ok(()),
            Some(said) => Err(Usage(format!(
                "{said} has no meaning with --pattern {}: leave it out",
                pattern.as_str()
            ))),
        }
    }

    fn settings(&self) -> Settings {
        let span = |time: Duration| Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        let mut settings = Settings {
            mailbox: self.mailbox,
            when_full: self.when_full.unwrap_or_default(),
            ttl: self.ttl.map(span),
            dedup: self.dedup.map(span),
            controller: self.controller.clone(),
            middleware: self.middleware.clone(),
            ..Settings::default()
        };
        self.tasks.fill(&mut settings);
        settings
    }
}

/// How far the length of something that is no script is counted: a gigabyte is long enough to be refused.
const COUNTED_MAX: u64 = 1024 * 1024 * 1024;

/// A script, checked before anything is dialled: the cluster would refuse it too, but later.
fn script_of(file: &Path) -> Result<RoutingFunction> {
    let shown = file.display();
    let read = if file == Path::new("-") {
        read_script(stdin().lock())
    } else {
        File::open(file).and_then(read_script)
    };
    let source = read
        .map_err(|error| Usage(format!("the script {shown} cannot be read: {error}")))?
        .map_err(|error| Usage(format!("{shown}: {error}")))?;
    script::check(&source).map_err(|error| Usage(format!("{shown}: {error}")))?;
    Ok(RoutingFunction::script(&source))
}

/// A script that is too long is not kept, only counted.
fn read_script(mut from: impl Read) -> io::Result<Result<String, ScriptError>> {
    let mut source = Vec::new();
    from.by_ref()
        .take(SCRIPT_BYTES_MAX as u64)
        .read_to_end(&mut source)?;
    let more = io::copy(&mut from.take(COUNTED_MAX), &mut io::sink())?;
    if more > 0 {
        let len = source
            .len()
            .saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
        return Ok(Err(ScriptError::TooLong { len }));
    }
    let text = String::from_utf8(source).map_err(|error| io::Error::other(error.utf8_error()))?;
    Ok(Ok(text))
}

async fn delete(name: &ExchangeName, connect: &ConnectArgs, timeout: Duration) -> Result<()> {
    let client = connect.client("squall exchange", timeout).await?;
    let deleted = client.delete(name.as_str(), timeout).await;
    client.close().await;
    let revision = deleted.with_context(|| format!("exchange '{name}' cannot be deleted"))?;
    writeln!(stdout(), "exchange {name} deleted, revision {revision}")?;
    Ok(())
}

async fn list(as_json: bool, connect: &ConnectArgs) -> Result<()> {
    let answer = connect.operator().await?.exchanges().await.map_err(told)?;
    let mut out = stdout().lock();
    if as_json {
        writeln!(
            out,
            "{:#}",
            document::document(&answer.exchanges, answer.revision)
        )?;
    } else {
        write!(out, "{}", table::text(&answer.exchanges))?;
    }
    Ok(())
}

async fn show(name: &ExchangeName, as_json: bool, connect: &ConnectArgs) -> Result<()> {
    let operator = connect.operator().await?;
    let answer = operator.exchanges().await.map_err(told)?;
    let found = answer.exchanges.iter().find(|e| e.name == name.as_str());
    let exchange = found.ok_or_else(|| Worded::new(unknown(name), Exit::Unavailable))?;
    let figures = operator
        .figures(name.as_str(), &BTreeSet::new())
        .await
        .unwrap_or_default();
    let figures: BTreeMap<String, Figures> = figures
        .into_iter()
        .filter_map(|(node, at_node)| Some((node, at_node.ok()?)))
        .collect();
    let owned = figures.values().find_map(|at_node| at_node.owned);
    let passed = proxies::passed(exchange, &figures);
    let mailboxes: MailboxFigures = figures.values().map(|at_node| at_node.mailboxes).sum();
    let mut flow = flow::Flow::of(exchange, &figures);
    if let flow::Flow::Tasks(queue) = &mut flow {
        // One task is asked for, and only what comes with it is wanted.
        let page = operator.tasks(name.as_str(), false, 0, 1).await;
        *queue = page.ok().and_then(|page| page.figures);
    }
    let mut out = stdout().lock();
    if as_json {
        let mut document = document::object_in_full(exchange, owned, &passed, mailboxes);
        flow.tell(&mut document);
        writeln!(out, "{document:#}")?;
    } else {
        write!(
            out,
            "{}",
            table::full(exchange, owned, &passed, mailboxes, flow.rows())
        )?;
    }
    Ok(())
}

/// What an operator is told of that exchange: one that is not there ends a command as it does everywhere.
pub(crate) fn told_of(name: &ExchangeName, error: OperatorError) -> anyhow::Error {
    match error {
        OperatorError::Refused(words) if words == unknown(name) => {
            Worded::new(words, Exit::Unavailable).into()
        }
        other => told(other),
    }
}

/// A node's words for an exchange that is not there.
fn unknown(name: &ExchangeName) -> String {
    Refused::UnknownExchange(name.as_str().into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_has_no_use_for_is_refused_in_its_name() {
        let said = |line: &str| {
            use clap::{Args as _, FromArgMatches as _};
            let command = DeclareArgs::augment_args(clap::Command::new("declare"));
            let matches = command
                .try_get_matches_from(["declare", "e"].into_iter().chain(line.split(' ')))
                .unwrap();
            let fit = DeclareArgs::from_arg_matches(&matches).unwrap().fit();
            fit.map_err(|error| error.to_string())
        };
        for flag in ["--function x", "--script x", "--strategy default"] {
            for pattern in ["publish-subscribe", "task"] {
                let flag_word = flag.trim_end_matches(" x");
                let words = format!("{flag_word} has no meaning with --pattern {pattern}: leave it out");
                assert_eq!(said(&format!("{flag} --pattern {pattern}")), Err(words));
            }
        }
        assert_eq!(said("--strategy fun --function x"), Ok(()));
        assert_eq!(said("--pattern task"), Ok(()));
    }

    #[test]
    fn a_script_that_is_too_long_is_told_its_own_size() {
        let said = |len: usize| read_script(io::repeat(b' ').take(len as u64)).unwrap();
        assert_eq!(said(20_000), Err(ScriptError::TooLong { len: 20_000 }));
        assert_eq!(said(SCRIPT_BYTES_MAX), Ok(" ".repeat(SCRIPT_BYTES_MAX)));
        assert!(read_script([0xff].as_slice()).is_err());
    }
}
