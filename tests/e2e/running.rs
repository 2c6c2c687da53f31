//! A cluster that is judged while it runs, as its users have it: what is said of it, scenarios on it, what was done to it as a
//! scenario; and faults that end although whoever made them is gone.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Lines, PATIENCE, Process, end, free_base, squall, watch};

/// A cluster of `squall up`.
struct Judged {
    base: String,
    dir: TempDir,
    _up: Process,
}

impl Judged {
    fn start(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let base = free_base(30).to_string();
        let mut up = squall();
        up.args(["up", "--chaos", "--profile", "slow", "--base-port", &base])
            .args(more)
            .arg("--data-dir")
            .arg(dir.path().join("nodes"));
        let quiet = up
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let cluster = Self {
            _up: Process::spawn(quiet),
            base,
            dir,
        };
        let mut look = cluster.command(&["observe", "--watch", "--view", "overview", "--json"]);
        watch(&mut look, "three nodes up and voting", |view| {
            let nodes = view["nodes"].as_array()?;
            let votes = |n: &&Value| n["state"] == "up" && (n["role"] == "voter" || n["role"] == "leader");
            (nodes.iter().filter(votes).count() == 3).then_some(())
        });
        cluster
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = squall();
        command
            .args(["--base-port", &self.base])
            .args(args)
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it runs")
    }

    fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8(output.stdout).expect("text");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {text}{why}");
        text
    }

    /// Asks until the answer holds that.
    fn comes(&self, args: &[&str], wanted: &str) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let said = self.says(args);
            if said.contains(wanted) {
                return;
            }
            assert!(Instant::now() < give_up, "no '{wanted}' from {args:?}: {said}");
        }
    }

    /// A scenario in a file of its own.
    fn scenario(&self, fault: &str, target: &str, ttl: &str) -> String {
        let text = format!(
            "lasts = \"1h\"\n[[exchange]]\nname = \"orders\"\nrate = 50\n\n[[step]]\nat = \"100ms\"\nfault = \"{fault}\"\n\
             target = \"{target}\"\nttl = \"{ttl}\"\n"
        );
        let path = self.dir.path().join("endless.toml");
        std::fs::write(&path, text).expect("room");
        path.to_str().expect("a plain path").to_owned()
    }

    /// A run of it that goes on and has done its step.
    fn going(&self, scenario: &str, report: &Path) -> (Process, Lines) {
        let mut command = self.command(&["chaos", "run", scenario, "--running", "--untimed", "--report"]);
        let mut process = Process::spawn(command.arg(report).stdout(Stdio::piped()));
        let lines = Lines::of(process.0.stdout.take().expect("piped"));
        // Such as `0.1 s  cut at a -> b: cut a -> b`.
        let done = |line: &str| line.contains(" at ") && line.contains(": ");
        lines.find("the step", |line| done(line).then_some(()));
        (process, lines)
    }

    fn exchanges(&self) -> String {
        let cookie = self.dir.path().join("nodes/cookie");
        let cookie = cookie.to_str().expect("a plain path");
        self.says(&["--cookie-file", cookie, "exchange", "list"])
    }
}

#[test]
fn a_scenario_on_a_running_cluster_is_judged_and_what_was_done_is_done_again_in_simulation() {
    let cluster = Judged::start(&["--judge"]);
    let report = cluster.dir.path().join("report");
    let said = cluster.says(&[
        "chaos",
        "run",
        "kill-owner",
        "--running",
        "--untimed",
        "--report",
        report.to_str().expect("a plain path"),
    ]);
    assert!(said.contains("kill at owner(chaos-orders): kill "), "{said}");
    assert!(said.contains("kill-owner: passed"), "{said}");
    assert!(!cluster.exchanges().contains("orders"), "nothing of it is left");

    let verdicts: Value =
        serde_json::from_str(&cluster.says(&["chaos", "verdicts", "--json"])).expect("verdicts as JSON");
    let of = |id: &str| {
        let all = verdicts["invariants"].as_array().expect("a list");
        let one = all.iter().find(|one| one["id"] == id).expect("each of them");
        one["verdict"].as_str().expect("a word").to_owned()
    };
    assert_eq!(
        (of("I4"), of("I5"), of("I15")),
        ("holds".into(), "holds".into(), "holds".into()),
        "{verdicts:#}"
    );
    assert_eq!(of("I7"), "unknown", "nothing was published");
    let killed = verdicts["seen"].as_array().expect("a list").iter().find(|seen| {
        seen["what"] == "an owner was killed with requests in flight"
            || seen["what"] == "a node started again"
    });
    assert!(
        killed.is_some_and(|seen| seen["count"].as_u64() > Some(0)),
        "{verdicts}"
    );

    let exported = cluster.says(&["chaos", "export"]);
    assert!(exported.contains("fault = \"kill\""), "{exported}");
    let file = cluster.dir.path().join("session.toml");
    std::fs::write(&file, exported).expect("room");
    let file = file.to_str().expect("a plain path");
    let again = || cluster.says(&["chaos", "sim", "--scenario", file, "--seed", "7", "--seeds", "1"]);
    let once = again();
    assert!(once.contains("passed"), "{once}");
    assert_eq!(once, again(), "the same seed is the same run");
}

#[test]
fn nobody_judges_a_cluster_that_was_not_asked_to_be_and_somebody_elses_halt_ends_a_run() {
    let cluster = Judged::start(&[]);
    let refused = cluster.run(&["chaos", "verdicts"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && why.contains("start it with --judge"),
        "{why}"
    );
    let report = cluster.dir.path().join("report");
    let scenario = cluster.scenario("delay 1ms", "a -> b", "10m");
    let (process, lines) = cluster.going(&scenario, &report);
    cluster.says(&["chaos", "halt", "--reason", "enough of it"]);
    lines.find("who halted it", |line| {
        line.contains("(enough of it)").then_some(())
    });
    let mut process = process;
    assert_eq!(process.0.wait().expect("it ended").code(), Some(3));
    let told = std::fs::read_to_string(report.join("report.json")).expect("a report");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["ended"], "halted");
    let verdict = told["judged"]["verdicts"][0][1].as_str().expect("text");
    assert!(verdict.starts_with("unknown: "), "{verdict}");
}

#[test]
fn a_fault_that_is_held_is_renewed_until_its_holder_is_gone() {
    let cluster = Judged::start(&["--judge"]);
    let mut command = cluster.command(&["chaos", "delay", "a", "b", "1ms", "--ttl", "2s", "--hold"]);
    let mut process = Process::spawn(command.stdout(Stdio::piped()));
    let lines = Lines::of(process.0.stdout.take().expect("piped"));
    lines.find("that it is held", |line| {
        line.contains("held until").then_some(())
    });
    let left = || {
        let list: Value = serde_json::from_str(&cluster.says(&["chaos", "list", "--json"])).expect("a list");
        list["faults"][0]["left_ms"].as_u64().expect("it acts")
    };
    let give_up = Instant::now() + PATIENCE;
    let mut before = left();
    loop {
        let now = left();
        if now > before {
            break;
        }
        before = now;
        assert!(Instant::now() < give_up, "it is not renewed");
    }
    end(process, Signal::KILL);
    cluster.comes(&["chaos", "list"], "nothing is active");
    let refused = cluster.run(&["chaos", "kill", "a", "--hold"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && why.contains("--stay-down"),
        "{why}"
    );
}

#[test]
fn faults_end_in_their_time_when_whoever_made_them_is_killed() {
    let cluster = Judged::start(&["--judge"]);
    for (fault, target) in [("cut", "a -> b"), ("pause", "c")] {
        let scenario = cluster.scenario(fault, target, "2s");
        let (process, _lines) = cluster.going(&scenario, &cluster.dir.path().join("report"));
        let active = cluster.says(&["chaos", "list"]);
        assert!(!active.contains("nothing is active"), "{fault}: {active}");
        end(process, Signal::KILL);
        cluster.comes(&["chaos", "list"], "nothing is active");
        // That it was over in time is for the invariant to say, a moment later; a broken one ends the command with an error.
        cluster.comes(&["chaos", "verdicts"], "I15  holds");
    }
}
