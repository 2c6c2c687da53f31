//! Stands in for the squall binary in the supervisor's tests: `guard` is the real guard; `node` waits for the end of
//! its stdin, as a node does. With `--stubborn` it neither sees that nor SIGTERM; with `--exit CODE` it ends at once.
//! `up DIR BASE-PORT NODES` supervises such nodes until it is killed.

use std::process::ExitCode;

use squall_chaos::supervisor::{Supervisor, SupervisorOptions};
use tokio::io::{AsyncReadExt, stdin};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("guard") => guard(&arguments[1..]).await,
        Some("up") => up(&arguments[1..]).await,
        Some("node") => node(&arguments).await,
        _ => ExitCode::from(2),
    }
}

async fn guard(arguments: &[String]) -> ExitCode {
    let temporary = match arguments {
        [flag, dir] if flag == "--temporary" => Some(std::path::Path::new(dir)),
        _ => None,
    };
    let ended = squall_chaos::guard::run(temporary).await;
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

async fn up(arguments: &[String]) -> ExitCode {
    let [dir, base, nodes] = arguments else {
        return ExitCode::from(2);
    };
    let program = std::env::current_exe().expect("a running program has a path");
    let nodes = nodes.parse().expect("a number of nodes");
    let mut options = SupervisorOptions::new(program, nodes, dir.into());
    options.base_port = base.parse().expect("a port");
    options.chaos = true;
    options.temporary = options.data_dir.file_name().is_some_and(|name| {
        name.to_string_lossy()
            .starts_with(squall_chaos::guard::TEMPORARY_PREFIX)
    });
    let _up = Supervisor::start(options).await.expect("the ports are free");
    println!("up");
    std::future::pending().await
}

async fn node(arguments: &[String]) -> ExitCode {
    println!("a node says where it is");
    if let Some(code) = arguments
        .iter()
        .skip_while(|argument| *argument != "--exit")
        .nth(1)
    {
        eprintln!("ends with {code}");
        return ExitCode::from(code.parse::<u8>().expect("a number below 256"));
    }
    if arguments.iter().any(|argument| argument == "--stubborn") {
        let _deaf = signal(SignalKind::terminate()).expect("a handler can be set");
        std::future::pending::<()>().await;
    }
    let mut sink = Vec::new();
    drop(stdin().read_to_end(&mut sink).await);
    ExitCode::SUCCESS
}
