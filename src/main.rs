//! Squall's one binary. Everything it does lives in `cli` and in the crates of the workspace.

mod cli;

use std::process::ExitCode;

/// Messages are allocated by one thread and freed by another, all the time: there the system's allocator makes threads wait for each
/// other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
