//! Dashboards, rules and alerts with a real Prometheus: whatever they ask of a cluster under load that was broken, they get.
//!
//! What does not live here: whether they ask for metrics that exist (`squall-dashboards`), and pictures, for which it takes Grafana.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use squall_dashboards::promql::{named_values, without_comparisons};
use squall_dashboards::{dashboards, plain};

use crate::rig::{Cluster, Lines, PATIENCE, Process, free_base, squall};

/// What the scrapes call the cluster.
const JOB: &str = "squall";
/// A little less than the lines' own patience, to say what is missing.
const WITHIN: Duration = PATIENCE.saturating_sub(Duration::from_secs(5));

/// True when these programs are there; else says that a test is skipped, past the test harness, which hides what passing tests print.
fn there_are(programs: &[&str], test: &str) -> bool {
    let lacks = |program: &&&str| {
        let mut command = Command::new(program);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        !command.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<&&str> = programs.iter().filter(lacks).collect();
    if !missing.is_empty() {
        let text = format!("SKIPPED {test}: needs {missing:?} on PATH (apt-get install prometheus)\n");
        std::io::stderr()
            .write_all(text.as_bytes())
            .expect("write to stderr");
    }
    missing.is_empty()
}

fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/prometheus")
}

#[test]
fn promtool_takes_the_configuration_and_every_alert_passes_its_test() {
    if !there_are(
        &["promtool"],
        "promtool_takes_the_configuration_and_every_alert_passes_its_test",
    ) {
        return;
    }
    let directory = configuration();
    let recording = "rules/recording.yml";
    for arguments in [
        &["check", "config", "prometheus.yml"][..],
        &["check", "rules", recording, "rules/alerts.yml"],
        &["test", "rules", "rules/tests.yml"],
    ] {
        let mut command = Command::new("promtool");
        let output = command.args(arguments).current_dir(&directory).output();
        let output = output.expect("promtool runs");
        assert!(
            output.status.success(),
            "promtool {arguments:?}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A Prometheus that scrapes a cluster every second, with the rules; ends with its holder.
struct Prometheus {
    at: String,
    _process: Process,
    _data: tempfile::TempDir,
    /// Nobody else reads what it says, and it must not wait for that.
    _said: Lines,
}

impl Prometheus {
    fn scraping(cluster: &Cluster, nodes: usize) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let file = data.path().join("prometheus.yml");
        let rules = configuration().join("rules");
        let mut text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{rules}/recording.yml', '{rules}/alerts.yml']\n\
             scrape_configs:\n- job_name: {JOB}\n  static_configs:\n",
            rules = rules.display()
        );
        for i in 0..nodes {
            let (target, name) = (cluster.grpc(i), Cluster::name(i));
            text += &format!("  - {{targets: ['{target}'], labels: {{instance: {name}}}}}\n");
        }
        std::fs::write(&file, text).expect("write the configuration");
        let at = format!("127.0.0.1:{}", free_base(1));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                data.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={at}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let said = Lines::of(process.0.stderr.take().expect("piped"));
        said.find("that it is ready", |line| {
            line.contains("Server is ready").then_some(())
        });
        Self {
            at,
            _process: process,
            _data: data,
            _said: said,
        }
    }

    /// What it answers to a path below its API.
    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.at).expect("it listens");
        // 1.0: the answer comes as it is, and not in chunks.
        let request = format!("GET /api/v1/{path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.at);
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is text");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let mut json: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(json["status"], "success", "{path}: {body}");
        json["data"].take()
    }

    /// The values of the series that an expression has now.
    fn asked(&self, expr: &str) -> Vec<f64> {
        let data = self.get(&format!("query?query={}", encoded(expr)));
        let result = data["result"].as_array().expect("series");
        let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
        result
            .iter()
            .map(|series| value(series).expect("a number"))
            .collect()
    }

    /// Every rule it has, of one type, with name and expression.
    fn rules(&self, of: &str) -> Vec<(String, String)> {
        let data = self.get(&format!("rules?type={of}"));
        let groups = data["groups"].as_array().expect("groups");
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().expect("rules"));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        rules
            .map(|rule| {
                assert_ne!(rule["health"], "err", "{rule}");
                (text(&rule["name"]), text(&rule["query"]))
            })
            .collect()
    }

    fn fires(&self, alert: &str) -> bool {
        let data = self.get("alerts");
        let mut alerts = data["alerts"].as_array().expect("alerts").iter();
        alerts.any(|it| it["labels"]["alertname"] == alert && it["state"] == "firing")
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The demo's load, on exchanges that exist; it says once a second how it fares, and that is when it is time to look again.
fn load(cluster: &Cluster) -> (Process, Lines) {
    let mut command = squall();
    command
        .args(["load-client", "--handlers", "orders=1", "--handlers", "users=2"])
        .args(["--requests", "orders=20", "--requests", "users=40"])
        .env("SQUALL_CONNECT", cluster.connect())
        .env("SQUALL_COOKIE_FILE", cluster.cookie())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = Process::spawn(&mut command);
    let lines = Lines::of(process.0.stdout.take().expect("piped"));
    (process, lines)
}

/// Looks with each line until nothing is left of what was missing; says what is.
fn until_nothing_is_missing(ticks: &Lines, what: &str, mut look: impl FnMut() -> Vec<String>) {
    let deadline = Instant::now() + WITHIN;
    ticks.find(what, |_| {
        let missing = look();
        assert!(
            missing.is_empty() || Instant::now() < deadline,
            "{what}: {missing:#?}"
        );
        missing.is_empty().then_some(())
    });
}

/// Everything that is asked by panels, marks and rules, with where; comparisons are taken off of what is to be empty while all is well.
fn questions(prometheus: &Prometheus) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for asked in dashboards().iter().flat_map(|dashboard| dashboard.asked()) {
        let expr = plain(&asked.expr, JOB);
        let expr = if asked.place.contains("marks:") {
            without_comparisons(&expr).expect("PromQL")
        } else {
            expr
        };
        all.push((asked.place, expr));
    }
    all.extend(prometheus.rules("record"));
    for (name, expr) in prometheus.rules("alert") {
        all.push((name, without_comparisons(&expr).expect("PromQL")));
    }
    all
}

/// A81: none of it is in error, and none is empty, or without a number, once there was what it asks for.
#[test]
fn every_panel_rule_and_alert_gets_an_answer_from_a_cluster_under_load_that_was_broken() {
    let test = "every_panel_rule_and_alert_gets_an_answer_from_a_cluster_under_load_that_was_broken";
    if !there_are(&["prometheus"], test) {
        return;
    }
    let mut cluster = Cluster::start_with(3, &["--chaos"]);
    for (exchange, strategy) in [("orders", "consensus"), ("users", "round-robin")] {
        let declare = ["exchange", "declare", exchange, "--strategy", strategy];
        cluster.ok(&[&declare[..], &["--failover", "b,c,a"]].concat());
    }
    cluster.ok(&["exchange", "declare", "news", "--pattern", "publish-subscribe"]);
    cluster.ok(&["exchange", "declare", "mails", "--pattern", "task"]);
    cluster.ok(&["task", "submit", "mails", "nobody works on it"]);
    let (_load, ticks) = load(&cluster);
    let prometheus = Prometheus::scraping(&cluster, 3);

    let alerts = prometheus.rules("alert");
    assert!(alerts.len() > 20, "{alerts:?}");
    // What looks back over minutes may still see how the nodes started, on a machine that is busy.
    let of_now = |(_, expr): &&(String, String)| !expr.contains(['[', ':']);
    let of_now: Vec<&(String, String)> = alerts.iter().filter(of_now).collect();
    assert!(of_now.len() > 10, "{of_now:?}");
    until_nothing_is_missing(&ticks, "a cluster that is well", || {
        let answered = prometheus.asked("squall_request_outcomes_total{outcome=\"replied\"} > 0");
        if answered.len() < 2 || prometheus.asked("squall_exchange_owned == 1").len() < 4 {
            return vec!["answers of all exchanges".into()];
        }
        let holds = |(_, expr): &&&(String, String)| !prometheus.asked(expr).is_empty();
        let held = of_now.iter().filter(holds);
        held.map(|(name, expr)| format!("{name} holds: {expr}")).collect()
    });

    let refused = cluster.run(&["reply", "news", "--echo"]);
    assert!(!refused.status.success(), "no handlers of publish-subscribe");
    cluster.ok(&["chaos", "delay", "a", "c", "2ms", "--ttl", "10m"]);
    cluster.kill(1);
    cluster.watch("exchanges", |view| {
        crate::rig::owner_in(view, "orders").filter(|(owner, _)| owner == "c")
    });
    cluster.start_expecting(1, 3);
    cluster.wait_for_members(3);

    let mut left = questions(&prometheus);
    let panels: usize = dashboards().iter().map(|dashboard| dashboard.asked().len()).sum();
    assert!(left.len() > panels + alerts.len(), "{}", left.len());
    let mut values = BTreeSet::new();
    for (place, expr) in &left {
        let named = named_values(expr).unwrap_or_else(|problem| panic!("{place}: {problem}"));
        // What alerts carry is told by the alert that fires in the end.
        values.extend(named.into_iter().filter(|[metric, ..]| metric != "ALERTS"));
    }
    for [metric, label, value] in values {
        let expr = format!("{metric}{{{label}=\"{value}\"}}");
        left.push((format!("a value that is named: {label}"), expr));
    }
    until_nothing_is_missing(&ticks, "answers to everything that is asked", || {
        // Of a share, or a quantile, without anything to share there is no number.
        left.retain(|(_, expr)| prometheus.asked(expr).iter().all(|value| value.is_nan()));
        left.iter()
            .map(|(place, expr)| format!("{place}: {expr}"))
            .collect()
    });
    until_nothing_is_missing(&ticks, "an alert that fires", || {
        let fires = prometheus.fires("SquallFaultActive");
        Vec::from_iter((!fires).then(|| "SquallFaultActive".to_owned()))
    });
}
