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

/// Says that a test was skipped, past the test harness, which hides what passing tests print.
fn skipped(test: &str) {
    let text = format!(
        "SKIPPED {test}: needs Python with grpcio and grpcio-tools (pip install grpcio grpcio-tools; SQUALL_PYTHON names \
         another python)\n"
    );
    std::io::stderr()
        .write_all(text.as_bytes())
        .expect("write to stderr");
}

/// One of the examples, with its arguments.
fn example(python: &str, script: &str, args: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/python")
        .join(script);
    let mut command = Command::new(python);
    command
        .arg(script)
        .args(args)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

/// A8, A21: `$leader` and its lease, in another language.
#[test]
fn a_handler_in_python_joins_through_the_grpc_session() {
    let Some(python) = python() else {
        return skipped("a_handler_in_python_joins_through_the_grpc_session");
    };
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "shout", "--strategy", "consensus"]);
    let args = [&cluster.grpc(0), "shout", "2"];
    let mut handler = Process::spawn(&mut example(&python, "echo_handler.py", &args));
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

/// A program of `client.py` that stays, and what it prints.
struct Stays {
    process: Process,
    printed: Lines,
    told: Lines,
}

impl Stays {
    fn start(python: &str, args: &[&str], ready: &str) -> Self {
        let mut process = Process::spawn(example(python, "client.py", args).stderr(Stdio::piped()));
        let told = Lines::of(process.0.stderr.take().expect("piped"));
        told.find(ready, |line| line.starts_with(ready).then_some(()));
        let printed = Lines::of(process.0.stdout.take().expect("piped"));
        Self {
            process,
            printed,
            told,
        }
    }
}

fn python_says(python: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = example(python, "client.py", args);
    let output = command.stderr(Stdio::piped()).output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A1, A29, A105, A108, B1, B2: one Python process answers requests and publishes at the same time; others request,
/// publish and subscribe, on two nodes, beside the clients in Rust.
#[test]
fn clients_in_python_serve_request_publish_and_subscribe() {
    let Some(python) = python() else {
        return skipped("clients_in_python_serve_request_publish_and_subscribe");
    };
    let cluster = Cluster::start(2);
    let (a, b) = (cluster.grpc(0), cluster.grpc(1));
    cluster.ok(&["exchange", "declare", "greet", "--strategy", "round-robin"]);
    cluster.ok(&["exchange", "declare", "news", "--pattern", "publish-subscribe"]);
    let nobody = python_says(&python, &[&a, "request", "greet", "hello"]);
    assert_eq!((nobody.0, nobody.2.as_str()), (Some(3), "no responders"));
    let args = [&b, "subscribe", "news", "weather.#", "said", "--count", "3"];
    let mut subscriber = Stays::start(&python, &args, "subscribed as <b.");
    let args = [&a, "serve", "greet", "--publish", "news", "said"];
    let mut server = Stays::start(&python, &args, "attached as <a.");

    let reply = python_says(&python, &[&b, "request", "greet", "hello"]);
    assert_eq!(reply, (Some(0), "HELLO".into(), String::new()));
    let event = |wanted: &'static str| move |line: &str| (line == wanted).then_some(());
    subscriber
        .printed
        .find("what the server published", event("said\thello"));
    let publish = [
        &a,
        "publish",
        "news",
        "weather.north",
        "rain",
        "--confirm",
        "received",
    ];
    assert_eq!(
        python_says(&python, &publish),
        (Some(0), "received by 1 node".into(), String::new())
    );
    subscriber
        .printed
        .find("what Python published", event("weather.north\train"));
    cluster.ok(&["publish", "news", "weather.south", "sun"]);
    subscriber
        .printed
        .find("what Rust published", event("weather.south\tsun"));
    assert!(subscriber.process.0.wait().expect("it ends").success());
    wrong(&python, &a);
    cluster.ok(&["exchange", "delete", "greet"]);
    server
        .told
        .find("why it is detached", event("detached: exchange deleted"));
    assert_eq!(server.process.0.wait().expect("it ends").code(), Some(5));
}

/// A3, A110: tasks are submitted and carried out in Python, beside the command line. One that fails is given back and comes
/// again; one whose lease would end is extended as long as its program runs.
#[test]
fn clients_in_python_submit_tasks_and_work_on_them() {
    let Some(python) = python() else {
        return skipped("clients_in_python_submit_tasks_and_work_on_them");
    };
    let cluster = Cluster::start(2);
    let (a, b) = (cluster.grpc(0), cluster.grpc(1));
    cluster.ok(&[
        "exchange",
        "declare",
        "mails",
        "--pattern",
        "task",
        "--lease",
        "4s",
    ]);
    let submit = [
        &a,
        "submit",
        "mails",
        "first",
        "--id",
        "1",
        "--timeout-ms",
        "60000",
    ];
    let kept = python_says(&python, &submit);
    assert_eq!(kept.0, Some(0), "{kept:?}");
    let task = kept
        .1
        .strip_suffix(": two copies")
        .expect("kept twice")
        .to_owned();
    let again = python_says(&python, &submit);
    assert_eq!(again.1, format!("{task}: two copies, submitted before"));
    cluster.ok(&["task", "submit", "mails", "slow", "--timeout", "60s"]);

    let script =
        r#"read payload; test "$SQUALL_ATTEMPT" -gt 1 || exit 9; test "$payload" = first || sleep 5"#;
    let args = [&b, "work", "mails", "--count", "2", "--retry", "at-once"];
    let command = ["--command", "sh", "-c", script];
    let mut worker = Stays::start(&python, &[&args[..], &command].concat(), "works as <b.");
    let failed = format!("{task}: given back");
    worker
        .told
        .find("what failed", |line| (line == failed).then_some(()));
    let mut completed = Vec::new();
    worker.printed.find("both tasks", |line| {
        completed.extend(line.split_once('\t').map(|(_, payload)| payload.to_owned()));
        (completed.len() == 2).then_some(())
    });
    completed.sort_unstable();
    assert_eq!(completed, ["first", "slow"]);
    assert!(worker.process.0.wait().expect("it ends").success());
    let nowhere = python_says(&python, &[&a, "submit", "nothing", "x"]);
    assert_eq!(nowhere.0, Some(5), "{nowhere:?}");
    let wrong = python_says(&python, &[&a, "submit", "mails", "x", "--priority", "10"]);
    assert_eq!(
        (wrong.0, wrong.2.as_str()),
        (Some(6), "declined: priorities go from 0 to 9, not to 10")
    );
    cluster.ok(&["exchange", "declare", "orders", "--strategy", "round-robin"]);
    let misplaced = python_says(&python, &[&a, "work", "orders"]);
    assert_eq!(misplaced.0, Some(6), "{misplaced:?}");
}

/// Each wrong thing is refused to whoever asks for it, with a code and the reason.
fn wrong(python: &str, node: &str) {
    let huge = "k".repeat(256);
    let table: [(&[&str], i32, &str); 7] = [
        (&["subscribe", "news", "a..b"], 6, "refused: "),
        (&["publish", "news", "a.*", "x"], 6, "declined: "),
        (
            &["publish", "news", &huge, "x"],
            6,
            "declined: a tag has at most 255 bytes",
        ),
        (&["request", "nothing", "x"], 5, "unavailable: "),
        (
            &["subscribe", "nothing", "a"],
            5,
            "unavailable: there is no exchange 'nothing'",
        ),
        (
            &["serve", "nothing"],
            5,
            "refused: there is no exchange 'nothing'",
        ),
        (
            &["serve", "news"],
            6,
            "refused: the exchange 'news' is publish-subscribe",
        ),
    ];
    for (args, code, words) in table {
        let args: Vec<&str> = std::iter::once(node).chain(args.iter().copied()).collect();
        let (ended, _, told) = python_says(python, &args);
        assert_eq!(ended, Some(code), "{args:?}: {told}");
        assert!(told.starts_with(words), "{args:?}: {told}");
    }
    let away = python_says(python, &["127.0.0.1:1", "request", "greet", "x"]);
    assert_eq!(away.0, Some(5), "{away:?}");
}
