//! Responses in chunks and questions asked back, between real nodes and the command line.

use std::io::{BufRead as _, BufReader};
use std::process::{ExitStatus, Stdio};

use crate::rig::{Cluster, Lines, Process, wait_for_exit};

/// Prints numbered lines of 64 KiB without end, and notes each in a file before.
const FIREHOSE: &str = "i=0; while :; do i=$((i+1)); echo $i >> \"$0\"; printf '%d %065000d\\n' $i 0; done";

/// Lines that may lie between the program and a requester that takes one chunk and reads nothing: two pipes, each with what
/// is about to be written to it, a chunk under way, one taken, and what their readers hold.
const BETWEEN: usize = 12;

fn number(line: &str) -> usize {
    let number = line.split(' ').next().expect("a first word");
    number.parse().expect("a number")
}

fn ended(mut process: Process) -> ExitStatus {
    wait_for_exit(process.id());
    process.0.wait().expect("it ended")
}

#[test]
fn a_slow_requester_is_not_outrun_and_a_killed_node_interrupts_the_stream() {
    // A106, B4, I5
    let mut cluster = Cluster::start(3);
    let declare = [
        "exchange",
        "declare",
        "reports",
        "--strategy",
        "round-robin",
        "--failover",
        "a",
    ];
    cluster.ok(&declare);
    let progress = cluster.dir.path().join("progress");
    let path = progress.to_str().expect("a path in UTF-8");
    let reply = [
        "reply",
        "reports",
        "--chunks",
        "--cmd-timeout",
        "10m",
        "--cmd",
        "sh",
        "-c",
        FIREHOSE,
        path,
    ];
    let mut handler = cluster.client_of(&[2], &reply);
    let mut handler = Process::spawn(handler.stdout(Stdio::null()).stderr(Stdio::piped()));
    let told = Lines::of(handler.0.stderr.take().expect("piped"));
    told.find("$leader", |line| line.contains("$leader").then_some(()));

    let request = [
        "request",
        "reports",
        "x",
        "--chunks",
        "--credit",
        "1",
        "--timeout",
        "10m",
    ];
    let mut requester = cluster.client_of(&[0], &request);
    let mut requester = Process::spawn(requester.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let errors = Lines::of(requester.0.stderr.take().expect("piped"));
    let mut output = BufReader::new(requester.0.stdout.take().expect("piped"));
    for expected in 1..=3 {
        let mut line = String::new();
        output.read_line(&mut line).expect("a chunk");
        assert_eq!((number(&line), line.len()), (expected, 65_003));
        let made = std::fs::read_to_string(&progress)
            .expect("the file")
            .lines()
            .count();
        assert!(made <= expected + BETWEEN, "{made} lines made, {expected} read");
    }
    let (_echo, _lines) = {
        cluster.ok(&["exchange", "declare", "others", "--strategy", "round-robin"]);
        cluster.echo("others")
    };
    let other = cluster.ok(&["request", "others", "not held up"]);
    assert_eq!(other, "not held up");
    let made = std::fs::read_to_string(&progress)
        .expect("the file")
        .lines()
        .count();
    assert!(made <= 3 + BETWEEN, "{made} lines made, 3 read");

    let rest = Lines::of(output);
    let mut next = 4;
    rest.find("more chunks", |line| {
        assert_eq!(number(line), next, "in order");
        next += 1;
        (next == 30).then_some(())
    });
    cluster.kill(2);
    errors.find("the outcome", |line| line.contains("interrupted").then_some(()));
    assert_eq!(ended(requester).code(), Some(8));
}

#[test]
fn lines_come_as_chunks_and_in_one_piece() {
    let cluster = Cluster::start(2);
    cluster.ok(&["exchange", "declare", "lines", "--strategy", "round-robin"]);
    let reply = [
        "reply",
        "lines",
        "--chunks",
        "--cmd",
        "printf",
        "one\\n\\nthree\\n",
    ];
    let mut handler = cluster.client_of(&[1], &reply);
    let mut handler = Process::spawn(handler.stdout(Stdio::null()).stderr(Stdio::piped()));
    let told = Lines::of(handler.0.stderr.take().expect("piped"));
    told.find("$leader", |line| line.contains("$leader").then_some(()));
    let through_a = |args: &[&str]| cluster.succeeds(&mut cluster.client_of(&[0], args));
    assert_eq!(through_a(&["request", "lines", "x"]), "one\n\nthree\n");
    assert_eq!(
        through_a(&["request", "lines", "x", "--chunks"]),
        "one\n\nthree\n"
    );
    let json = through_a(&["request", "lines", "x", "--chunks", "--json"]);
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert_eq!(lines.len(), 4, "{json}");
    assert_eq!(
        (&lines[1]["chunk"], &lines[1]["payload"]),
        (&2.into(), &"\n".into())
    );
    assert_eq!(
        (&lines[3]["outcome"], &lines[3]["chunks"]),
        (&"reply".into(), &3.into())
    );
}

#[test]
fn a_handler_asks_back_and_who_does_not_answer_is_declined() {
    // A107
    let cluster = Cluster::start(2);
    cluster.ok(&["exchange", "declare", "reports", "--strategy", "round-robin"]);
    let mut handler = cluster.client_of(&[1], &["reply", "reports", "--echo", "--ask", "which year?"]);
    let mut handler = Process::spawn(handler.stdout(Stdio::null()).stderr(Stdio::piped()));
    let told = Lines::of(handler.0.stderr.take().expect("piped"));
    told.find("$leader", |line| line.contains("$leader").then_some(()));
    let answer = [
        "request",
        "reports",
        "x",
        "--answer",
        "sh",
        "-c",
        "echo \"2026 for $(cat)\"",
    ];
    let reply = cluster.succeeds(&mut cluster.client_of(&[0], &answer));
    assert_eq!(reply, "2026 for which year?\n");
    let chunked = ["request", "reports", "x", "--chunks", "--answer", "echo", "2027"];
    assert_eq!(cluster.succeeds(&mut cluster.client_of(&[0], &chunked)), "2027\n");
    for (args, words) in [
        (&["request", "reports", "x"][..], "takes no questions"),
        (
            &[
                "request",
                "reports",
                "x",
                "--answer",
                "sh",
                "-c",
                "echo busy >&2; exit 1",
            ],
            "busy",
        ),
    ] {
        let output = cluster.client_of(&[0], args).output().expect("runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{error}");
        assert!(error.contains(words), "{error}");
    }
}
