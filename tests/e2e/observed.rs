//! The observer without a terminal on a real cluster: the stopwatch of a failover (C6), checks and their exit codes, CSV,
//! and the configuration.

use std::fs;
use std::process::Command;

use crate::rig::{Cluster, squall};

/// Exit code and what was printed.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("squall runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn c6_a_failover_is_told_by_its_phases_up_to_the_first_good_reply() {
    let mut cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "consensus",
        "--failover",
        "b,c,a",
    ]);
    let (_first, _) = cluster.echo_through(&[0], "orders");
    let (_second, _) = cluster.echo_through(&[2], "orders");
    assert_eq!(cluster.ok(&["request", "orders", "one"]).trim_end(), "one");
    cluster.kill(Cluster::index("b"));
    let two = cluster.ok(&["request", "orders", "two", "--timeout", "20s"]);
    assert_eq!(two.trim_end(), "two");
    let failover = cluster.watch("timeline", |view| {
        let all = view["failovers"].as_array()?;
        all.iter().find(|f| f["answered"] == true).cloned()
    });
    assert_eq!(
        (&failover["exchange"], &failover["from"], &failover["to"]),
        (&"orders".into(), &"b".into(), &"c".into())
    );
    let phase = |name: &str| failover[name].as_u64();
    for known in ["lease_end_us", "assign_us", "first_good_reply_us"] {
        assert!(phase(known).is_some(), "{known}: {failover}");
    }
    let names = [
        "detect_us",
        "lease_end_us",
        "elect_us",
        "assign_us",
        "announce_us",
        "first_good_reply_us",
    ];
    let sum: u64 = names.iter().filter_map(|name| phase(name)).sum();
    assert_eq!(Some(sum), phase("total_us"), "{failover}");
}

#[test]
fn c8_questions_are_answered_by_exit_codes() {
    let mut cluster = Cluster::start(3);
    cluster.ok(&["exchange", "declare", "orders", "--strategy", "round-robin"]);
    cluster.watch("leaders", |view| {
        let mut rows = view["leaders"].as_array()?.iter();
        rows.any(|row| row["role"] == "owner").then_some(())
    });
    for question in ["quorum", "leaders", "faults"] {
        let (code, said, _) = run(&mut cluster.client(&["observe", "check", question]));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(&format!("{question} holds: ")), "{said}");
    }
    cluster.kill(1);
    cluster.kill(2);
    let (code, said, _) = run(&mut cluster.client_of(&[0], &["observe", "check", "quorum", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &told["verdict"]), (Some(1), &"broken".into()), "{said}");
    cluster.kill(0);
    let (code, said, _) =
        run(&mut cluster.client_of(&[0], &["observe", "check", "leaders", "--patience", "500ms"]));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.starts_with("leaders unknown: no node answered"), "{said}");
}

#[test]
fn a_view_is_printed_as_csv_and_its_columns_are_compared() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "orders", "--strategy", "round-robin"]);
    let csv = cluster.ok(&["observe", "--once", "--view", "exchanges", "--csv"]);
    let mut lines = csv.lines();
    assert!(
        lines
            .next()
            .is_some_and(|head| head.split(',').any(|name| name == "epoch")),
        "{csv}"
    );
    assert!(lines.next().is_some_and(|row| row.contains("orders")), "{csv}");
    let filtered = [
        "observe",
        "--once",
        "--view",
        "exchanges",
        "--csv",
        "--filter",
        "epoch > 900",
    ];
    assert_eq!(cluster.ok(&filtered), "");
    let (code, _, error) = run(&mut cluster.client(&["observe", "--once", "--filter", "rss > many"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("'rss' is a size"), "{error}");
}

#[test]
fn the_configuration_is_printed_and_what_makes_no_sense_in_it_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("observer.toml");
    let print =
        |file: &std::path::Path| run(squall().args(["observe", "--print-config", "--config"]).arg(file));
    let (code, _, error) = print(&file);
    assert_eq!(code, Some(2));
    assert!(error.contains("there is no such file"), "{error}");
    fs::write(&file, "theme = 'light'\n[keys]\nquit = 'Q'\n").expect("written");
    let (code, printed, _) = print(&file);
    assert_eq!(code, Some(0));
    assert!(
        printed.contains("theme = \"light\"") && printed.contains("quit = [\"Q\"]"),
        "{printed}"
    );
    fs::write(&file, "ascii = true\nquit = 'Q'\n").expect("written");
    let (code, _, error) = print(&file);
    assert_eq!(code, Some(2));
    assert!(error.contains("line 2"), "{error}");
    fs::write(&file, "[keys]\ndown = 'x'\n").expect("written");
    let (_, _, error) = print(&file);
    assert!(
        error.contains("the key x is bound to 'down' and to 'chaos-dialog'"),
        "{error}"
    );
}
