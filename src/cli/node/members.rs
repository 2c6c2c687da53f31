//! `squall node list|drain|remove|promote|demote|rule`: what an operator asks of the members of a running cluster. What
//! does not live here: the answers (the admin service), and the one offline way back (`recover`).

mod quorum;
mod table;

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use squall_client::{Operator, OperatorError};
use squall_kernel::id::NodeName;
use squall_proto::v1::{ListNodesResponse, Member, MembersChanged, NodeDuty, NodeState};
use tokio::time::{Instant, sleep};

use super::super::connect::ConnectArgs;
use super::super::exit::{Exit, Quiet, Worded};
use super::super::{signals, values};

/// Between two looks at a node that hands over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum MemberCommand {
    /// List the members: state, role, exchanges owned, and who is quorum-critical
    List {
        /// As JSON: an object with the array `nodes`
        #[arg(long)]
        json: bool,
    },
    /// Have a node hand over what it owns, leave the voters and end
    Drain(DrainArgs),
    /// Forget a node that is down: its vote, its name, its place in failover
    Remove {
        /// Name of the node
        node: NodeName,
    },
    /// Give a node the vote
    Promote {
        /// Name of the node
        node: NodeName,
    },
    /// Take a node's vote; it keeps its copy of the registry
    Demote {
        /// Name of the node
        node: NodeName,
    },
    /// Say when a voter that is down is replaced by another node
    Rule {
        /// After how long: 10m, or never
        #[arg(long, value_name = "DURATION|never", value_parser = rule)]
        replace_after: Rule,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct DrainArgs {
    /// Name of the node
    node: NodeName,
    /// Do it even when the registry stops without the node
    #[arg(long)]
    yes: bool,
    /// It stays a member and a voter, but owns nothing until it is started again
    #[arg(long)]
    stay: bool,
    /// How long to wait for its end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::some_time)]
    wait: Duration,
}

/// When a voter that is down is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Never,
    After(Duration),
}

fn rule(text: &str) -> Result<Rule, String> {
    if text == "never" {
        return Ok(Rule::Never);
    }
    let after = values::some_time(text).map_err(|error| format!("{error}, or never"))?;
    if after < Duration::from_millis(1) {
        return Err("at least 1ms, or never".into());
    }
    Ok(Rule::After(after))
}

pub(super) async fn run(command: MemberCommand, connect: &ConnectArgs) -> Result<()> {
    let operator = connect.operator().await?;
    match command {
        MemberCommand::List { json } => list(&operator, json).await,
        MemberCommand::Drain(args) => drain(&operator, &args).await,
        MemberCommand::Remove { node } => {
            let changed = operator.remove(node.as_str()).await.map_err(told)?;
            say(&format!("node {node} is forgotten{}", voters(&changed)))?;
            quorum::warn(&operator, Some(&changed)).await
        }
        MemberCommand::Promote { node } => {
            let changed = operator.promote(node.as_str()).await.map_err(told)?;
            say(&format!(
                "node {node} {}{}",
                done(&changed, "votes"),
                voters(&changed)
            ))
        }
        MemberCommand::Demote { node } => {
            let changed = operator.demote(node.as_str()).await.map_err(told)?;
            say(&format!(
                "node {node} {}{}",
                done(&changed, "is no voter"),
                voters(&changed)
            ))?;
            quorum::warn(&operator, Some(&changed)).await
        }
        MemberCommand::Rule { replace_after } => set_rule(&operator, replace_after).await,
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{line}")?)
}

fn done(changed: &MembersChanged, what: &str) -> String {
    if changed.changed {
        format!("{what} now")
    } else {
        format!("{what} already")
    }
}

fn voters(changed: &MembersChanged) -> String {
    if changed.voters.is_empty() {
        return String::new();
    }
    format!("; voters {}", changed.voters.join(", "))
}

/// One line with the reason, and the documented exit code.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub(crate) fn told(error: OperatorError) -> anyhow::Error {
    Worded::new(error.to_string(), exit_of(&error)).into()
}

pub(crate) const fn exit_of(error: &OperatorError) -> Exit {
    match error {
        OperatorError::Refused(_) => Exit::Declined,
        OperatorError::Invalid(_) => Exit::Usage,
        OperatorError::Unavailable(_) => Exit::Unavailable,
        OperatorError::Unknown(_) => Exit::Interrupted,
    }
}

async fn list(operator: &Operator, as_json: bool) -> Result<()> {
    let answer = operator.nodes().await.map_err(told)?;
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{:#}", table::document(&answer))?;
    } else {
        write!(out, "{}", table::text(&answer))?;
    }
    Ok(())
}

async fn set_rule(operator: &Operator, rule: Rule) -> Result<()> {
    let after = match rule {
        Rule::Never => None,
        Rule::After(after) => Some(after),
    };
    let set = operator.voter_rule(after).await.map_err(told)?;
    let what = after.map_or_else(
        || "is never replaced by itself".to_owned(),
        |after| format!("is replaced after {after:?}"),
    );
    let already = if set.changed { "" } else { " (it was so already)" };
    say(&format!("a voter that is down {what}{already}"))
}

async fn drain(operator: &Operator, args: &DrainArgs) -> Result<()> {
    let before = operator.nodes().await.map_err(told)?;
    let anyway = args.stay || confirmed(&before, args)?;
    let name = args.node.as_str();
    let begun = operator.drain(name, args.stay, anyway).await.map_err(told)?;
    let already = if begun.begun { "" } else { " already" };
    say(&format!("node {name} hands over{already}"))?;
    tokio::select! {
        done = follow(operator, args) => done?,
        () = signals::ended() => return Err(Quiet(Exit::Interrupted).into()),
    }
    quorum::warn(operator, None).await
}

/// Warns of a node without which the registry stops; goes on with leave only.
fn confirmed(before: &ListNodesResponse, args: &DrainArgs) -> Result<bool> {
    let name = args.node.as_str();
    let critical = before.members.iter().any(|m| m.name == name && m.quorum_critical);
    let alone = before.members.iter().filter(|m| votes(m)).count() <= 1;
    // The last voter is refused by the node that is asked, whatever was typed.
    if !critical || alone {
        return Ok(args.yes);
    }
    writeln!(
        stderr(),
        "warning: node {name} is quorum-critical: without it the voters that are up are no majority; owners act to the \
         end of their leases, and then nothing moves until another voter is back"
    )?;
    if args.yes {
        return Ok(true);
    }
    let refused = || {
        let words = format!("not drained: say --yes, or type the name of the node, {name}, when asked");
        anyhow::Error::from(Worded::new(words, Exit::Declined))
    };
    if !stdin().is_terminal() {
        return Err(refused());
    }
    write!(stderr(), "type the name of the node, {name}, to go on: ")?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    if line.trim() == name {
        Ok(true)
    } else {
        Err(refused())
    }
}

fn votes(member: &Member) -> bool {
    use squall_proto::v1::MetaRole::{Leader, Voter};
    matches!(member.role(), Leader | Voter)
}

/// Tells of the progress until the node owns nothing, and, unless it stays, has gone.
async fn follow(operator: &Operator, args: &DrainArgs) -> Result<()> {
    let deadline = Instant::now() + args.wait;
    let name = args.node.as_str();
    let mut latest = String::new();
    loop {
        // The node that is asked may be the one that ends: the next one is asked then.
        if let Ok(now) = operator.nodes().await {
            let (words, over) = progress(&now, name, args.stay);
            if words != latest {
                say(&words)?;
                latest = words;
            }
            if over {
                return Ok(());
            }
        }
        if Instant::now() >= deadline {
            return Err(anyhow!(
                "node {name} has not {} within {:?}; `squall node list` tells what it still has",
                if args.stay { "handed over" } else { "gone" },
                args.wait
            ));
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn progress(now: &ListNodesResponse, name: &str, stay: bool) -> (String, bool) {
    let Some(member) = now.members.iter().find(|m| m.name == name) else {
        return (format!("node {name} has gone"), true);
    };
    if member.state() == NodeState::Down {
        return (
            format!("node {name} has gone: {}", table::or_dash(&member.why)),
            true,
        );
    }
    let hands_over = matches!(member.duty(), NodeDuty::Draining | NodeDuty::Leaving);
    match member.exchanges {
        0 if stay && hands_over => (format!("node {name} owns nothing any more, and stays"), true),
        0 => (format!("node {name} owns nothing any more, and leaves"), false),
        n => {
            let left = values::counted(n, "exchange", "exchanges");
            (format!("node {name} has {left} left to hand over"), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(exchanges: u64, state: NodeState) -> ListNodesResponse {
        ListNodesResponse {
            members: vec![Member {
                name: "b".into(),
                state: state as i32,
                duty: NodeDuty::Leaving as i32,
                exchanges,
                why: "goodbye".into(),
                ..Member::default()
            }],
            ..ListNodesResponse::default()
        }
    }

    #[test]
    fn a_drain_is_over_when_the_node_has_gone_or_owns_nothing_and_stays() {
        let left = progress(&nodes(3, NodeState::Up), "b", false);
        assert_eq!(left, ("node b has 3 exchanges left to hand over".into(), false));
        assert!(!progress(&nodes(0, NodeState::Up), "b", false).1);
        assert!(progress(&nodes(0, NodeState::Up), "b", true).1);
        let gone = progress(&nodes(0, NodeState::Down), "b", false);
        assert_eq!(gone, ("node b has gone: goodbye".into(), true));
        assert!(
            progress(&nodes(0, NodeState::Up), "c", false).1,
            "removed meanwhile"
        );
    }

    #[test]
    fn a_rule_is_a_duration_or_never() {
        assert_eq!(rule("never"), Ok(Rule::Never));
        assert_eq!(rule("10m"), Ok(Rule::After(Duration::from_secs(600))));
        assert!(rule("soon").unwrap_err().contains("or never"));
        assert!(rule("0s").is_err() && rule("5us").is_err());
    }

    #[test]
    fn refusals_and_what_nobody_knows_have_their_exit_codes() {
        use super::super::super::exit::code;
        let table = [
            (OperatorError::Refused("r".into()), Exit::Declined),
            (OperatorError::Invalid("i".into()), Exit::Usage),
            (OperatorError::Unavailable("u".into()), Exit::Unavailable),
            (OperatorError::Unknown("?".into()), Exit::Interrupted),
        ];
        for (error, exit) in table {
            assert_eq!(code(&told(error)), exit);
        }
    }
}
