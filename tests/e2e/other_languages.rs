//! Services in other languages, over the gRPC session.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::{Cluster, Lines, Process};

/// The Python to test with: `SQUALL_PYTHON`, else `python3`; none when it lacks grpcio.
fn python() -> Option<String> {
    let python = std::env::var("SQUALL_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_grpc = Command::new(&python)
        .args(["-c", "import grpc, grpc_tools"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    has_grpc.then_some(python)
}

#[test]
fn a_handler_in_python_joins_through_the_grpc_session() {
    let Some(python) = python() else {
        // Written past the test harness, which hides what passing tests print.
        let text = "SKIPPED a_handler_in_python_joins_through_the_grpc_session: needs Python with grpcio and \
                    grpcio-tools (pip install grpcio grpcio-tools; SQUALL_PYTHON names another python)\n";
        std::io::stderr()
            .write_all(text.as_bytes())
            .expect("write to stderr");
        return;
    };
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "shout", "--strategy", "consensus"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python/echo_handler.py");
    let mut handler = Process::spawn(
        Command::new(python)
            .arg(script)
            .args([&cluster.grpc(0), "shout", "2"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit()),
    );
    let lines = Lines::of(handler.0.stdout.take().expect("piped"));
    let pid = lines.find("its pid", |line| {
        line.strip_prefix("attached as ").map(ToOwned::to_owned)
    });
    assert!(pid.starts_with("<a."), "{pid}");
    lines.find("its leadership", |line| {
        (line == format!("$leader {pid}")).then_some(())
    });
    lines.find("its lease", |line| {
        (line == "leads, writes with token 1").then_some(())
    });
    assert_eq!(cluster.ok(&["request", "shout", "hello"]).trim_end(), "HELLO");
    assert_eq!(cluster.ok(&["request", "shout", "again"]).trim_end(), "AGAIN");
    assert!(
        handler.0.wait().expect("it ends").success(),
        "it answered both and ended by itself"
    );
}
