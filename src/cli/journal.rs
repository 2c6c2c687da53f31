//! `squall journal`: replays what a node recorded.

use std::fs::File;
use std::io::{BufReader, Write as _, stdout};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use squall_node::journal::{Replay, ReplayReport};

use super::exit::{Exit, Quiet, Usage};
use super::values::counted;

/// Works on journals, which `squall node --journal FILE` records.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum JournalCommand {
    /// Give the kernel the recorded inputs; it must answer with the recorded effects. Ends with 1 when it does not
    Replay {
        /// The journal
        file: PathBuf,
    },
}

pub(crate) fn run(args: JournalArgs) -> Result<()> {
    let JournalCommand::Replay { file } = args.command;
    let wrong = |why: &dyn std::fmt::Display| Usage(format!("journal {}: {why}", file.display()));
    let journal = File::open(&file).map_err(|error| wrong(&error))?;
    let report = Replay::default()
        .run(BufReader::new(journal))
        .map_err(|error| wrong(&error))?;
    if report.steps == 0 {
        return Err(wrong(&"nothing is recorded in it").into());
    }
    write!(stdout(), "{}", words(&report))?;
    if report.difference.is_some() {
        Err(Quiet(Exit::Failed).into())
    } else {
        Ok(())
    }
}

fn words(report: &ReplayReport) -> String {
    let ReplayReport {
        lines,
        machines,
        steps,
        broken,
        torn,
        difference,
    } = report;
    let mut text = format!(
        "{}, {}, {} with the recorded effects\n",
        counted(*lines, "line", "lines"),
        counted(*machines, "machine", "machines"),
        counted(*steps, "step", "steps")
    );
    if let Some(why) = broken {
        text += &format!("the recording ended early: {why}\n");
    }
    if *torn {
        text += "the last line is cut off\n";
    }
    if let Some(difference) = difference {
        let (line, machine) = (difference.line, &difference.machine);
        text += &format!("line {line}, {machine}: other effects than recorded\n");
        text += &format!(
            "  recorded {}\n  replayed {}\n",
            difference.recorded, difference.replayed
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use squall_node::journal::Difference;

    use super::*;

    #[test]
    fn a_difference_is_shown_with_both_sides() {
        let difference = Difference {
            line: 7,
            machine: "exchange 1@2".into(),
            recorded: "[Deliver]".into(),
            replayed: "[]".into(),
        };
        let report = ReplayReport {
            lines: 9,
            machines: 1,
            steps: 5,
            torn: true,
            difference: Some(difference),
            ..Default::default()
        };
        let expected = "9 lines, 1 machine, 5 steps with the recorded effects\nthe last line is cut off\n\
                        line 7, exchange 1@2: other effects than recorded\n  recorded [Deliver]\n  replayed []\n";
        assert_eq!(words(&report), expected);
    }
}
