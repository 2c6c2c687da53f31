//! Squall's one binary. Everything it does lives in `cli` and in the crates of the workspace.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
