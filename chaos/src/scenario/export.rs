//! What was done to a cluster, written as a scenario: it can be run again, on a cluster of its own or in simulation. What does not
//! live here: remembering what was done (`crate::judge`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use squall_kernel::fault::FaultKind;
use squall_kernel::id::ExchangeName;
use squall_proto::v1 as proto;

use crate::fault::{Fault, NodeDeed};

/// Faults that began so soon after each other were one order.
const TOGETHER: Duration = Duration::from_millis(100);
/// When the first of them is done.
const FIRST: Duration = Duration::from_secs(1);
/// What is seen of the cluster after the last of them.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// Requests a second: more say no more, and a simulation takes them one by one.
const RATE_MAX: u64 = 1_000;

/// An exchange of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worked {
    /// Name.
    pub name: String,
    /// Strategy; empty where it has none.
    pub strategy: String,
    /// Number in the registry.
    pub id: u32,
}

/// Why there is nothing to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NothingToExport {
    /// Nothing was done.
    #[error("no fault acted in that time: there is nothing to do again")]
    Calm,
    /// One that is not readable: another version's.
    #[error("the fault '{0}' is none that a scenario can say")]
    Unreadable(String),
}

/// What was done.
struct Done {
    at: Duration,
    lasted: Duration,
    fault: Fault,
    target: String,
}

/// The scenario of what was done in the last `since` to a cluster of these nodes and exchanges. Nodes are called a, b, c, … as in
/// every scenario, in the order of their names.
///
/// # Errors
/// [`NothingToExport`].
pub fn export(
    session: &proto::SessionResponse,
    nodes: &[String],
    exchanges: &[Worked],
    since: Option<Duration>,
) -> Result<String, NothingToExport> {
    let names = names(nodes);
    let end = Duration::from_millis(session.lasted_ms);
    let from = since.map_or(Duration::ZERO, |since| end.saturating_sub(since));
    let mut done = Vec::new();
    for fault in &session.faults {
        let at = Duration::from_millis(fault.at_ms);
        if at >= from {
            done.push(read(fault, at, &names)?);
        }
    }
    done.sort_by_key(|done| done.at);
    let Some(first) = done.first().map(|done| done.at) else {
        return Err(NothingToExport::Calm);
    };
    let steps = together(done);
    let lasts = steps
        .iter()
        .map(|done| done.at - first + done.lasted)
        .max()
        .unwrap_or_default();
    Ok(write(
        &steps,
        first,
        FIRST + lasts + AFTERWARDS,
        nodes.len(),
        &worked(session, exchanges, &steps, end),
    ))
}

fn names(nodes: &[String]) -> BTreeMap<&str, String> {
    let mut sorted: Vec<&str> = nodes.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let letters = ('a'..='z').map(String::from);
    sorted.into_iter().zip(letters).collect()
}

fn read(
    told: &proto::SessionFault,
    at: Duration,
    names: &BTreeMap<&str, String>,
) -> Result<Done, NothingToExport> {
    let unreadable = || NothingToExport::Unreadable(told.what.clone());
    let called = |node: &str| names.get(node).cloned().unwrap_or_else(|| node.to_owned());
    let parse = |text: &str| text.parse::<Fault>().map_err(|_| unreadable());
    // A process is named behind what was done to it, a peer behind what is done to bytes.
    let (fault, target) = if let Some(deed) = told.what.strip_suffix(&format!(" {}", told.node)) {
        (parse(deed)?, called(&told.node))
    } else if let Some((what, peer)) = told.what.rsplit_once(" to ") {
        (
            parse(what)?,
            format!("{} -> {}", called(&told.node), called(peer)),
        )
    } else {
        (parse(&told.what)?, called(&told.node))
    };
    Ok(Done {
        at,
        lasted: Duration::from_millis(told.lasted_ms.max(1)),
        // It is started again when it was: that it was to stay down is said by how long it did.
        fault: match fault {
            Fault::Node(NodeDeed::Kill { .. }) => Fault::Node(NodeDeed::Kill { stay_down: false }),
            Fault::Node(NodeDeed::Stop { .. }) => Fault::Node(NodeDeed::Stop { stay_down: false }),
            fault => fault,
        },
        target,
    })
}

/// One step of those that began and ended together.
fn together(done: Vec<Done>) -> Vec<Done> {
    let mut steps: Vec<Done> = Vec::new();
    for one in done {
        let near = |step: &&mut Done| {
            step.fault == one.fault
                && one.at - step.at <= TOGETHER
                && one.lasted.abs_diff(step.lasted) <= TOGETHER
                && (step.target.contains("->") == one.target.contains("->"))
        };
        match steps.iter_mut().rev().find(near) {
            Some(step) => {
                let between = if one.target.contains("->") { "; " } else { ", " };
                step.target = format!("{}{between}{}", step.target, one.target);
            }
            None => steps.push(one),
        }
    }
    steps
}

/// Name, strategy and requests a second of each exchange that was worked with, or that a fault names.
fn worked(
    session: &proto::SessionResponse,
    exchanges: &[Worked],
    steps: &[Done],
    end: Duration,
) -> Vec<(String, String, u64)> {
    let named = |name: &str| {
        let of = |step: &Done| exchange_of(&step.fault).is_some_and(|of| of.as_str() == name);
        steps.iter().any(of)
    };
    let mut worked = Vec::new();
    for exchange in exchanges {
        let begun = session.exchanges.iter().find(|begun| begun.id == exchange.id);
        let begun = begun.map_or(0, |begun| begun.begun);
        if begun > 0 || named(&exchange.name) {
            let rate = (begun * 1_000 / u64::try_from(end.as_millis()).unwrap_or(u64::MAX).max(1))
                .clamp(1, RATE_MAX);
            worked.push((exchange.name.clone(), exchange.strategy.clone(), rate));
        }
    }
    for name in steps.iter().filter_map(|step| exchange_of(&step.fault)) {
        if !worked.iter().any(|(known, _, _)| known == name.as_str()) {
            worked.push((name.to_string(), String::new(), 1));
        }
    }
    if worked.is_empty() {
        // Without work nothing would be seen of what the faults do.
        worked.push(("orders".to_owned(), String::new(), 100));
    }
    worked
}

fn exchange_of(fault: &Fault) -> Option<&ExchangeName> {
    match fault {
        Fault::Held(FaultKind::Process { exchange, .. }) => Some(exchange),
        Fault::Held(FaultKind::Message { of, .. }) => Some(&of.exchange),
        _ => None,
    }
}

fn write(
    steps: &[Done],
    first: Duration,
    lasts: Duration,
    nodes: usize,
    exchanges: &[(String, String, u64)],
) -> String {
    let mut text = format!(
        "name = \"session\"\nteaches = \"\"\"\nWhat was done to a cluster, to be done again.\n\"\"\"\nlasts = \"{}ms\"\n\n\
         [cluster]\nnodes = {nodes}\n",
        lasts.as_millis()
    );
    for (name, strategy, rate) in exchanges {
        let _ = write!(text, "\n[[exchange]]\nname = \"{name}\"\n");
        if !strategy.is_empty() {
            let _ = writeln!(text, "strategy = \"{strategy}\"");
        }
        let _ = writeln!(text, "rate = {rate}");
    }
    // What was done was done: nothing of it is beyond a limit.
    let links = nodes * nodes;
    let _ = write!(
        text,
        "\n[blast]\nnodes = {nodes}\nlinks = {links}\nexchanges = 10000\nkeep_quorum = false\n"
    );
    for step in steps {
        let _ = write!(
            text,
            "\n[[step]]\nat = \"{}ms\"\nfault = {}\ntarget = {}\nttl = \"{}ms\"\n",
            (FIRST + step.at - first).as_millis(),
            quoted(&step.fault.to_string()),
            quoted(&step.target),
            step.lasted.as_millis()
        );
    }
    text += "\n[[expect]]\nlost = 0\ndoubled = 0\n";
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
#[path = "export_test.rs"]
mod tests;
