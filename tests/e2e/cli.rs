//! The command line against bad input: a clear message that names the thing, the documented exit code, a node that lives.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Output, Stdio};

use crate::rig::{Cluster, Lines, Process, squall};

fn code_and_error(output: &Output) -> (Option<i32>, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn flags_that_do_not_parse_exit_2_and_name_the_flag() {
    for args in [
        &["node", "--name", "a", "--listen", "nowhere"][..],
        &["request", "x", "y", "--timeout", "soon"],
        &["exchange", "declare", "x", "--strategy", "guess"],
        &["frobnicate"],
    ] {
        let output = squall().args(args).stdin(Stdio::null()).output().expect("runs");
        let (code, error) = code_and_error(&output);
        assert_eq!(code, Some(2), "{args:?}: {error}");
        let wrong = args.last().expect("arguments");
        assert!(error.contains(wrong), "{error} does not name {wrong}");
    }
}

#[test]
fn clients_tell_their_outcomes_by_exit_codes() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "users", "--strategy", "round-robin"]);
    let outcome = |args: &[&str]| code_and_error(&cluster.run(args));
    let (code, error) = outcome(&["request", "users", "x"]);
    assert_eq!(code, Some(3), "no responders: {error}");
    let (code, error) = outcome(&["request", "nobody", "x", "--timeout", "1s"]);
    assert_eq!(code, Some(5), "unknown exchange: {error}");
    assert!(error.contains("nobody"), "{error}");
    let mut decliner = Process::spawn(
        cluster
            .client(&[
                "reply",
                "users",
                "--cmd",
                "sh",
                "-c",
                "echo no thanks >&2; exit 1",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let lines = Lines::of(decliner.0.stderr.take().expect("piped"));
    lines.find("$leader", |line| line.contains("$leader").then_some(()));
    let (code, error) = outcome(&["request", "users", "x"]);
    assert_eq!(code, Some(6), "declined: {error}");
    assert!(error.contains("no thanks"), "{error}");
    drop(decliner);
    let sleeper = Process::spawn(
        cluster
            .client(&["reply", "users", "--cmd", "sh", "-c", "exec tail -f /dev/null"])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    cluster.watch("exchanges", |view| {
        view["exchanges"]
            .as_array()?
            .iter()
            .any(|e| e["handlers"].as_u64() == Some(1))
            .then_some(())
    });
    let (code, error) = outcome(&["request", "users", "x", "--timeout", "300ms"]);
    assert_eq!(code, Some(4), "timeout: {error}");
    drop(sleeper);
}

#[test]
fn without_a_cluster_a_client_is_unavailable_and_says_where_it_looked() {
    let output = squall()
        .args([
            "request",
            "users",
            "x",
            "--connect",
            "127.0.0.1:1",
            "--timeout",
            "1s",
        ])
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let (code, error) = code_and_error(&output);
    assert_eq!(code, Some(5), "{error}");
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

/// A7.
#[test]
fn declaring_with_another_strategy_is_refused_by_name() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "users", "--strategy", "round-robin"]);
    cluster.ok(&["exchange", "declare", "users", "--strategy", "round-robin"]);
    let (code, error) =
        code_and_error(&cluster.run(&["exchange", "declare", "users", "--strategy", "default"]));
    assert_eq!(code, Some(6), "{error}");
    assert!(
        error.contains("users") && error.contains("round-robin"),
        "{error}"
    );
    let (code, error) = code_and_error(&cluster.run(&["exchange", "delete", "ghosts"]));
    assert_eq!(code, Some(5), "{error}");
    assert!(error.contains("ghosts"), "{error}");
}

#[test]
fn a_port_in_use_a_locked_directory_and_an_open_address_are_named() {
    let cluster = Cluster::start(1);
    let node = |name: &str, listen: &str, dir: &str, extra: &[&str]| {
        let mut command = squall();
        command.args([
            "node",
            "--name",
            name,
            "--listen",
            listen,
            "--grpc",
            "127.0.0.1:0",
            "--bootstrap",
        ]);
        command
            .arg("--data-dir")
            .arg(cluster.dir.path().join(dir))
            .arg("--cookie-file")
            .arg(cluster.cookie());
        code_and_error(&command.args(extra).stdin(Stdio::null()).output().expect("runs"))
    };
    let taken = cluster.mesh(0);
    let (code, error) = node("x", &taken, "x", &[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains(&taken), "{error}");
    let (code, error) = node("y", "127.0.0.1:0", "a", &[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains(cluster.dir.path().join("a").to_str().expect("UTF-8")),
        "{error}"
    );
    let (code, error) = node("z", "0.0.0.0:0", "z", &[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("--insecure"), "{error}");
    let (code, error) = node("w", "127.0.0.1:0", "w", &["--trace-ratio", "0.5"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("name a collector by --otlp"), "{error}");
    cluster.ok(&["exchange", "list"]);
}

#[test]
fn garbage_on_any_port_closes_that_connection_and_nothing_else() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "users", "--strategy", "round-robin"]);
    let (_handler, _) = cluster.echo("users");
    let oversized: &[u8] = &[0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 1, 2, 3];
    let http2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    for address in [cluster.mesh(0), cluster.grpc(0)] {
        for garbage in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            oversized,
            http2,
            &[0; 4096],
            b"\x16\x03\x01",
        ] {
            let mut stream = TcpStream::connect(&address).expect("the node listens");
            stream.write_all(garbage).expect("write");
            let mut rest = Vec::new();
            // A reset is as good an end as any; what counts is that it ends.
            let _ = stream.read_to_end(&mut rest);
        }
    }
    assert_eq!(
        cluster.ok(&["request", "users", "still here"]).trim_end(),
        "still here"
    );
}

#[test]
fn a_data_directory_of_another_cluster_is_refused_by_both() {
    let one = Cluster::start(1);
    let mut other = Cluster::empty();
    other.start_node(1, &["--bootstrap"]);
    other.watch("overview", |view| {
        (!view["nodes"].as_array()?.is_empty()).then_some(())
    });
    other.ok(&["exchange", "declare", "bound", "--strategy", "default"]);
    other.kill(1);
    let seed = one.mesh(0);
    other.start_node(1, &["--join", &seed]);
    let refused = |cluster: &Cluster| {
        cluster.watch("timeline", |view| {
            let events = view["events"].as_array()?;
            events
                .iter()
                .find(|e| e["text"].as_str().is_some_and(|t| t.contains("other cluster")))
                .map(|_| ())
        });
    };
    refused(&one);
    refused(&other);
}

#[test]
fn a_wrong_cookie_is_refused_with_the_reason_on_both_sides() {
    let one = Cluster::start(1);
    let mut other = Cluster::empty();
    std::fs::write(other.cookie(), "another secret").expect("write");
    let seed = one.mesh(0);
    other.start_node(1, &["--join", &seed]);
    for cluster in [&one, &other] {
        cluster.watch("timeline", |view| {
            let events = view["events"].as_array()?;
            events
                .iter()
                .any(|e| e["text"].as_str().is_some_and(|t| t.contains("wrong cookie")))
                .then_some(())
        });
    }
}

#[test]
fn completions_and_the_manual_page_are_printed() {
    for args in [&["completions", "bash"][..], &["completions", "fish"], &["man"]] {
        let output = squall().args(args).output().expect("runs");
        assert!(output.status.success() && output.stdout.len() > 500, "{args:?}");
    }
}
