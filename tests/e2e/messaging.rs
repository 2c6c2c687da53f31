//! What the command line promises of messaging as a whole: tags, ids, words, exit codes.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::rig::{Cluster, Lines, Process};

fn refused(cluster: &Cluster, args: &[&str]) -> (Option<i32>, String) {
    let output = cluster.run(args);
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A26, A28: what a program is told of the request and of its own attachment.
#[test]
fn a26_a_program_that_answers_is_told_its_connection_tag_and_the_request_tag() {
    let cluster = Cluster::start(2);
    cluster.ok(&["exchange", "declare", "desk", "--strategy", "round-robin"]);
    let print = "printf '%s, %s, %s' \"$SQUALL_CONNECTION_TAG\" \"$SQUALL_REQUEST_TAG\" \"$SQUALL_KEY\"";
    let reply = [
        "reply",
        "desk",
        "--connection-tag",
        "CT9",
        "--cmd",
        "sh",
        "-c",
        print,
    ];
    let (_handler, _) = cluster.attached(cluster.client_of(&[1], &reply));
    let asked = cluster.ok(&["request", "desk", "x", "--tag", "R7", "--key", "K3"]);
    assert_eq!(asked, "CT9, R7, K3");
}

/// A26, A108: the same of a subscriber.
#[test]
fn a26_a_subscriber_is_told_its_connection_tag_with_every_publish() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "news", "--pattern", "publish-subscribe"]);
    let subscribe = ["subscribe", "news", "k", "--json", "--connection-tag", "CT4"];
    let mut command = cluster.client(&subscribe);
    let mut subscriber = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let told = Lines::of(subscriber.0.stderr.take().expect("piped"));
    told.find("subscribed", |line| {
        line.contains("subscribed to news").then_some(())
    });
    cluster.ok(&["publish", "news", "k", "x", "--id", "7"]);
    let printed = Lines::of(subscriber.0.stdout.take().expect("piped"));
    let event = printed.find("a publish", |line| serde_json::from_str::<Value>(line).ok());
    assert_eq!(event["connection_tags"], json!(["CT4"]));
    assert_eq!((&event["key"], &event["id"]), (&json!("k"), &json!("7")));
}

/// A109, B2, B10: ids are known again by the next command, and each confirm says what there is.
#[test]
fn publishes_with_an_id_are_delivered_once_and_confirms_say_who_has_them() {
    let cluster = Cluster::start(2);
    let declare =
        |name, more: &[&str]| cluster.ok(&[&["exchange", "declare", name, "--pattern"], more].concat());
    declare("news", &["publish-subscribe", "--dedup", "60s"]);
    declare(
        "inbox",
        &["inverted-publish-subscribe", "--strategy", "round-robin"],
    );

    let mut command = cluster.client_of(&[1], &["subscribe", "news", "k", "--count", "3"]);
    let mut subscriber = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let told = Lines::of(subscriber.0.stderr.take().expect("piped"));
    told.find("subscribed", |line| {
        line.contains("subscribed to news").then_some(())
    });
    let printed = Lines::of(subscriber.0.stdout.take().expect("piped"));
    let known = "known already: it was published before under this id\n";
    let table: [(&[&str], &str); 5] = [
        (&["1", "--id", "SAME"], "accepted\n"),
        (&["2", "--id", "SAME"], known),
        (&["3", "--id", "SAME"], known),
        (&["4", "--id", "SAME", "--publisher", "other"], "accepted\n"),
        (&["5"], "accepted\n"),
    ];
    for (args, confirmed) in table {
        let said = cluster.ok(&[&["publish", "news", "k"], args].concat());
        assert_eq!(said, confirmed, "{args:?}");
    }
    let got: Vec<String> = (0..3)
        .map(|_| printed.find("a publish", |line| Some(line.to_owned())))
        .collect();
    assert_eq!(got, ["k\t1", "k\t4", "k\t5"]);

    let received = ["publish", "inbox", "k", "x", "--confirm", "received"];
    let nobody = refused(&cluster, &received);
    assert_eq!(nobody.0, Some(3), "{nobody:?}");
    let (_handler, _) = cluster.echo_through(&[1], "inbox");
    assert_eq!(cluster.ok(&received), "received by 1 node\n");
}

/// A7, A110: what was declared is told in full, and what cannot be in words.
#[test]
fn settings_are_told_in_full_and_what_differs_in_words() {
    let cluster = Cluster::start(1);
    let mails = ["exchange", "declare", "mails", "--pattern", "task", "--ttl", "5s"];
    cluster.ok(&[&mails[..], &["--attempts", "2", "--ordered"]].concat());
    cluster.ok(&["exchange", "declare", "news", "--pattern", "publish-subscribe"]);
    cluster.ok(&["exchange", "declare", "desk", "--strategy", "consensus"]);
    // A node that has just founded its cluster is a member a little later, and owns them then.
    cluster.owner("news");

    let shown = cluster.ok(&["exchange", "show", "mails"]);
    for row in [
        "ttl 5s",
        "lease 30s (the default)",
        "attempts 2",
        "ordered one task of a key at a time",
    ] {
        let told = shown
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == row);
        assert!(told, "{row}: {shown}");
    }
    let shown: Value =
        serde_json::from_str(&cluster.ok(&["exchange", "show", "mails", "--json"])).expect("JSON");
    let settings = &shown["settings"];
    assert_eq!(
        (&settings["ttl_ms"], &settings["attempts"]),
        (&json!(5000), &json!(2))
    );
    assert_eq!(
        (&settings["lease_ms"], &shown["strategy"]),
        (&Value::Null, &Value::Null)
    );
    let list = cluster.ok(&["exchange", "list"]);
    let listed = |name: &str| -> Vec<String> {
        let line = list
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split_whitespace().take(3).map(Into::into).collect()
    };
    assert_eq!(listed("desk"), ["desk", "request-response", "consensus"]);
    assert_eq!(listed("news"), ["news", "publish-subscribe", "-"]);

    let table: [(&[&str], i32, &str); 4] = [
        (
            &mails,
            6,
            "with settings 'attempts 2, ordered yes', not 'attempts left out, ordered no'",
        ),
        (
            &[
                "exchange",
                "declare",
                "x",
                "--pattern",
                "task",
                "--strategy",
                "sticky",
            ],
            2,
            "--strategy sticky has no meaning with --pattern task",
        ),
        (
            &["exchange", "move", "news"],
            1,
            "it has no failover list; name one",
        ),
        (
            &["reply", "news", "--echo", "--wait", "100ms"],
            6,
            "it has publishes, not requests; subscribe to it",
        ),
    ];
    for (args, code, words) in table {
        let (exit, told) = refused(&cluster, args);
        assert_eq!(exit, Some(code), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}

/// A19: every reply, with who gave it.
#[test]
fn a19_all_replies_of_a_default_exchange_are_printed_with_their_handlers() {
    let cluster = Cluster::start(2);
    cluster.ok(&["exchange", "declare", "poll", "--strategy", "default"]);
    let nobody = refused(&cluster, &["request", "poll", "x", "--all"]);
    assert_eq!(nobody.0, Some(3), "{nobody:?}");
    let (_one, _) = cluster.echo_through(&[0], "poll");
    let (_two, _) = cluster.echo_through(&[1], "poll");
    cluster.watch("exchanges", |view| {
        let all = view["exchanges"].as_array()?;
        all.iter()
            .any(|e| e["name"] == "poll" && e["handlers"] == 2)
            .then_some(())
    });
    let printed = cluster.ok(&["request", "poll", "apples", "--all"]);
    let mut nodes: Vec<&str> = printed
        .lines()
        .map(|line| line.strip_suffix("\tapples").expect("a pid, a tab and the reply"))
        .filter_map(|pid| pid.strip_prefix('<')?.split('.').next())
        .collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["a", "b"], "{printed}");

    let (_third, _) = cluster.attached(cluster.client(&["reply", "poll", "--decline", "not today"]));
    let output = cluster.run(&["request", "poll", "pears", "--all", "--json"]);
    assert_eq!(output.status.code(), Some(6));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["replies"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["replies"][0]["payload"], "pears");
    assert_eq!(
        document["others"],
        json!([{ "outcome": "declined", "reason": "not today" }])
    );
}

/// What is the same ends the same, and is said once.
#[test]
fn an_exchange_that_is_not_there_and_a_bad_key_end_every_command_alike() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "news", "--pattern", "publish-subscribe"]);
    cluster.ok(&["exchange", "declare", "mails", "--pattern", "task"]);
    let unknown: [&[&str]; 11] = [
        &["publish", "nope", "k", "x"],
        &["request", "nope", "x"],
        &["request", "nope", "x", "--all"],
        &["subscribe", "nope", "k"],
        &["reply", "nope", "--echo", "--wait", "100ms"],
        &["task", "submit", "nope", "x"],
        &["task", "work", "nope", "--wait", "100ms", "--command", "true"],
        &["task", "list", "nope"],
        &["exchange", "show", "nope"],
        &["exchange", "delete", "nope"],
        &["exchange", "move", "nope"],
    ];
    for args in unknown {
        let (exit, told) = refused(&cluster, args);
        assert_eq!(exit, Some(5), "{args:?}: {told}");
        assert!(told.matches("unavailable").count() <= 1, "{args:?}: {told}");
        assert!(told.matches("there is no").count() <= 1, "{args:?}: {told}");
    }
    let table: [(&[&str], i32, &str); 4] = [
        (
            &["publish", "news", "", "x"],
            2,
            "a key needs at least one segment",
        ),
        (&["publish", "news", ".", "x"], 2, "a key has no empty segment"),
        (
            &["reply", "mails", "--echo"],
            6,
            "squall: exchange 'mails': the exchange 'mails' has tasks",
        ),
        (
            &["task", "work", "news", "--command", "true"],
            6,
            "squall: exchange 'news': the exchange 'news' has the pattern publish-subscribe",
        ),
    ];
    for (args, code, words) in table {
        let (exit, told) = refused(&cluster, args);
        assert_eq!(exit, Some(code), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}
