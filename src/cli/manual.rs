//! `squall completions` and `squall man`, both made from the arguments themselves.

use std::io::{Write as _, stdout};

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::Usage;

/// Prints completions for a shell.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell
    shell: Shell,
}

/// Prints the manual page.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ManArgs {
    /// The page of this command, such as `exchange declare` [default: squall itself]
    command: Vec<String>,
}

pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "squall", &mut script);
    Ok(stdout().write_all(&script)?)
}

pub(crate) fn man(args: &ManArgs, mut command: Command) -> Result<()> {
    command.build();
    let mut chosen = &command;
    for word in &args.command {
        let found = chosen.find_subcommand(word);
        chosen = found.ok_or_else(|| {
            Usage(format!(
                "there is no command '{}'; `squall --help` lists them",
                args.command.join(" ")
            ))
        })?;
    }
    let name = chosen.get_display_name().unwrap_or("squall").to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(chosen.clone())
        .title(name)
        .render(&mut page)?;
    Ok(stdout().write_all(&page)?)
}
