//! `squall node recover`: asks before a survivor's data directory becomes a new cluster. What does not live here: how
//! that is done (`squall_node::meta::recover`).

use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use squall_kernel::id::NodeName;
use squall_node::meta::recover::{Prospect, RecoverError, Survivor};

use super::super::exit::Usage;
use super::super::values::counted;

/// Makes one survivor a cluster again, when the quorum is lost for good.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct RecoverArgs {
    /// Yes: give up all other nodes, and what they acknowledged that this one has not
    #[arg(long, required = true)]
    from_survivor: bool,
    /// Data directory of the survivor; no node may run on it
    #[arg(long = "data", alias = "data-dir", value_name = "DIR")]
    data_dir: PathBuf,
    /// The node's name, instead of typing it when asked
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

pub(super) fn run(args: &RecoverArgs) -> Result<()> {
    let survivor = Survivor::open(&args.data_dir).map_err(told)?;
    let prospect = survivor.prospect();
    let mut out = stdout();
    write!(out, "{}", describe(&prospect, args))?;
    let typed = match &args.confirm {
        Some(name) => name.clone(),
        None => ask(&prospect.name)?,
    };
    let done = survivor.recover(&typed).map_err(told)?;
    let (name, dir) = (&prospect.name, args.data_dir.display());
    writeln!(
        out,
        "recovered: cluster {} at revision {}; the registry as it was is kept in {}\n\
         next: start this node (squall node --name {name} --data-dir {dir} …), then every other node with its directory \
         kept aside, an empty one, and --join to this one",
        done.cluster,
        done.revision,
        done.backup.display(),
    )?;
    Ok(())
}

/// Read from standard input whether or not it is a terminal: a script may pipe the name in.
fn ask(name: &NodeName) -> Result<String> {
    let mut out = stdout();
    write!(out, "type the name of this node, {name}, to go on: ")?;
    out.flush()?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn describe(prospect: &Prospect, args: &RecoverArgs) -> String {
    let names: Vec<&str> = prospect.given_up.iter().map(NodeName::as_str).collect();
    let mut text = String::new();
    let lines = [
        format!(
            "survivor  node {} in {}, cluster {}",
            prospect.name,
            args.data_dir.display(),
            prospect.cluster
        ),
        format!(
            "kept      its log up to revision {} of term {} ({} known to be committed), {}, {} of them taken \
             over from other nodes",
            prospect.revision,
            prospect.term,
            prospect.committed,
            counted(prospect.exchanges, "exchange", "exchanges"),
            prospect.taken_over,
        ),
        format!(
            "given up  nodes {}, and every change they acknowledged that this log has not",
            names.join(", ")
        ),
        "after it  a new cluster with this node as the one voter; nodes of the old one are refused for ever".into(),
        "first     be sure that the other voters never come back, and compare all survivors: recover one only, the one \
         with the highest term, then the highest revision"
            .into(),
    ];
    for line in lines {
        let _infallible = writeln!(text, "{line}");
    }
    text
}

/// The directory is wrong, or what was typed: exit code 2. What is in it: 1.
fn told(error: RecoverError) -> anyhow::Error {
    match error {
        RecoverError::Disk(_) | RecoverError::Write { .. } | RecoverError::Refused(_) => anyhow!("{error}"),
        other => Usage(other.to_string()).into(),
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{ClusterId, Revision, Term};

    use super::*;

    #[test]
    fn what_is_kept_and_given_up_is_said_before() {
        let name = |text: &str| NodeName::new(text).unwrap();
        let prospect = Prospect {
            name: name("a"),
            cluster: ClusterId(7),
            revision: Revision(57),
            term: Term(3),
            committed: Revision(55),
            exchanges: 4,
            taken_over: 2,
            given_up: vec![name("b"), name("c")],
        };
        let args = RecoverArgs {
            from_survivor: true,
            data_dir: "d".into(),
            confirm: None,
        };
        let text = describe(&prospect, &args);
        for part in [
            "node a in d",
            "revision 57 of term 3 (55 known to be committed)",
            "4 exchanges, 2 of them",
            "nodes b, c,",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
