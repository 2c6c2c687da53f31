//! Scenarios as their users run them: on real nodes, in simulation, to their end and not.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Lines, Process, end, squall};

/// Quick, and free of times.
const QUICK: &str = r#"
[cluster]
profile = "slow"

[[exchange]]
name = "orders"
rate = 50

[[step]]
at = "1s"
fault = "FAULT"
target = "TARGET"
ttl = "1s"

[[expect]]
seen = ["SEEN"]
"#;

fn file(dir: &Path, fault: &str, target: &str, seen: &str) -> String {
    let text = QUICK
        .replace("FAULT", fault)
        .replace("TARGET", target)
        .replace("SEEN", seen);
    let path = dir.join("quick.toml");
    std::fs::write(&path, text).expect("room");
    path.to_str().expect("a plain path").to_owned()
}

/// Exit code, standard output and standard error of a run that leaves its report in that directory.
fn run(scenario: &str, report: &Path, more: &[&str]) -> (i32, String, String) {
    let report = report.to_str().expect("a plain path");
    let mut command = squall();
    command
        .args(["chaos", "run", scenario, "--untimed", "--report", report])
        .args(more);
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Verdicts by invariant, where there is one.
fn verdicts(judged: &Value) -> BTreeMap<String, String> {
    let pairs = judged.as_array().expect("verdicts").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = pairs.map(|pair| (text(&pair[0]), text(&pair[1])));
    all.filter(|(_, verdict)| !verdict.starts_with("unknown"))
        .collect()
}

#[test]
fn a_scenario_has_the_same_verdicts_on_real_nodes_and_in_both_kinds_of_simulation() {
    let dir = tempfile::tempdir().expect("a directory");
    let (code, out, err) = run("kill-owner", dir.path(), &["--profile", "slow", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let report: Value = serde_json::from_str(&out).expect("a report");
    let live = verdicts(&report["judged"]["verdicts"]);
    assert!(live.len() >= 10, "{live:?}");
    let page = std::fs::read_to_string(dir.path().join("report.html")).expect("a page");
    assert!(
        page.contains("passed: all that was expected came about"),
        "{page}"
    );

    let mut command = squall();
    command.args([
        "chaos",
        "sim",
        "--scenario",
        "kill-owner",
        "--tier",
        "both",
        "--seed",
        "1",
        "--seeds",
        "3",
        "--json",
    ]);
    let output = command.output().expect("it runs");
    let lines = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{lines}");
    for line in lines.lines() {
        let told: Value = serde_json::from_str(line).expect("a line of JSON");
        for (id, verdict) in verdicts(&told["verdicts"]) {
            assert_eq!(live.get(&id), Some(&verdict), "{id} in {}", told["tier"]);
        }
    }
}

#[test]
fn a_bad_file_is_told_with_line_and_column_and_an_unknown_one_with_those_there_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = file(dir.path(), "kil", "a", "a node left in order");
    let (code, _, err) = run(&path, dir.path(), &[]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("quick.toml:11:10: there is no fault 'kil'"), "{err}");
    let (code, _, err) = run("nonesuch", dir.path(), &[]);
    assert!(
        code == 2 && err.contains("there are kill-owner, kill-meta-leader"),
        "{err}"
    );
}

#[test]
fn what_did_not_happen_is_unknown_and_what_goes_too_far_is_halted() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = file(dir.path(), "delay 1ms", "a -> b", "a node was never so happy");
    let (code, _, err) = run(&path, dir.path(), &[]);
    assert!(
        code == 2 && err.contains("nothing of that name is looked for"),
        "{err}"
    );
    let path = file(dir.path(), "delay 1ms", "a -> b", "a task was completed");
    let (code, out, err) = run(&path, dir.path(), &[]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(
        out.contains("it happened that a task was completed: it did not"),
        "{out}"
    );
    let path = file(dir.path(), "kill", "a, b", "a node started again");
    let (code, out, err) = run(&path, dir.path(), &[]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(
        out.contains("not done: no majority of the voters would be left"),
        "{out}"
    );
}

#[test]
fn somebody_who_ends_a_run_gets_its_report_and_nothing_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = file(dir.path(), "pause", "owner(orders)", "a node left in order");
    let text = std::fs::read_to_string(&path)
        .expect("it is there")
        .replace("ttl = \"1s\"", "ttl = \"10m\"");
    std::fs::write(&path, text).expect("room");
    let report = dir.path().join("report");
    let mut command = squall();
    command
        .args(["chaos", "run", &path, "--untimed", "--report"])
        .arg(&report);
    let mut process = Process::spawn(command.stdout(Stdio::piped()));
    let lines = Lines::of(process.0.stdout.take().expect("piped"));
    lines.find("the step", |line| {
        line.contains("pause at owner(orders): pause").then_some(())
    });
    let status = end(process, Signal::INT);
    assert_eq!(status.code(), Some(3));
    lines.find("its report", |line| line.contains("report: ").then_some(()));
    let told = std::fs::read_to_string(report.join("report.json")).expect("a report");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["ended"], "halted");
}
