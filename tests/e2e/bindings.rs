//! Sticky keys bound, shown, moved and taken back on the command line, over the owner's kill -9 (A23, A24).

use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::rig::{Cluster, Lines, PATIENCE, Process, owner_in};

/// A handler that answers with a word, through one node, and its pid.
fn handler(cluster: &Cluster, through: usize, tag: &str, word: &str) -> (Process, Lines, String) {
    let args = ["reply", "carts", "--service-tag", tag, "--cmd", "echo", word];
    let mut command = cluster.client_of(&[through], &args);
    let mut process = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    let lines = Lines::of(process.0.stderr.take().expect("piped"));
    let (mut pid, mut known) = (None, false);
    // In either order.
    lines.find("the pid and $leader", |line| {
        if let Some((_, named)) = line.split_once("attached to carts as ") {
            pid = named.split_whitespace().next().map(str::to_owned);
        }
        known |= line.contains("$leader");
        (pid.is_some() && known).then_some(())
    });
    (process, lines, pid.expect("found"))
}

fn who(cluster: &Cluster, key: &str, tag: &str) -> String {
    let args = [
        "request",
        "carts",
        "x",
        "--key",
        key,
        "--service-tag",
        tag,
        "--timeout",
        "30s",
    ];
    cluster.ok(&args).trim().to_owned()
}

/// On a busy machine an owner may be without its lease, move, or have just started, and a node may be late to answer: said
/// again, the same is done.
fn decided(cluster: &Cluster, args: &[&str]) -> (i32, String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = cluster.run(&[&["exchange"][..], args].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let elsewhere = said.contains("are at its owner");
        match output.status.code() {
            Some(5 | 8) if !said.contains("there is no exchange") => {}
            Some(code) if !elsewhere => return (code, said),
            _ => {}
        }
        assert!(Instant::now() < deadline, "{args:?}: {said}{}", cluster.logs());
    }
}

fn done(cluster: &Cluster, args: &[&str]) -> String {
    let (code, said) = decided(cluster, args);
    assert_eq!(code, 0, "{args:?}: {said}");
    said
}

fn listed(cluster: &Cluster, more: &[&str]) -> Value {
    let args = [&["bindings", "carts", "--json"][..], more].concat();
    serde_json::from_str(&done(cluster, &args)).expect("JSON")
}

/// A23.
#[test]
fn a_key_bound_by_hand_goes_where_it_was_bound_although_the_owner_is_killed() {
    let mut cluster = Cluster::start(3);
    let declare = ["exchange", "declare", "carts", "--strategy", "sticky"];
    cluster.ok(&[&declare[..], &["--failover", "a,b,c"]].concat());
    let (_one, _, first) = handler(&cluster, 1, "", "one");
    let (_two, _, second) = handler(&cluster, 2, "", "two");

    for key in ["k1", "k2", "k3"] {
        let said = done(&cluster, &["bind", "carts", key, &second]);
        assert!(
            said.contains(&format!("is bound to {second} at node c")),
            "{said}"
        );
    }
    let again = done(
        &cluster,
        &["bind", "carts", "k1", second.trim_matches(['<', '>'])],
    );
    assert!(again.contains("already"), "{again}");
    assert_eq!(
        ["k1", "k2", "k3"].map(|key| who(&cluster, key, "")),
        ["two", "two", "two"]
    );

    let page = listed(&cluster, &["--limit", "2"]);
    assert_eq!(
        (&page["more"], &page["total"]),
        (&true.into(), &3.into()),
        "{page}"
    );
    let last = page["bindings"][1]["signature"].as_str().expect("a signature");
    let rest = listed(&cluster, &["--after", last]);
    assert_eq!(rest["bindings"].as_array().map(Vec::len), Some(1), "{rest}");
    assert_eq!(rest["bindings"][0]["handler"], second.as_str(), "{rest}");

    let (code, refused) = decided(&cluster, &["bind", "carts", "k1", &first]);
    assert_eq!(code, 6, "{refused}");
    assert!(
        refused.contains(&format!("is bound to {second} at node c")),
        "{refused}"
    );
    let moved = done(&cluster, &["bind", "carts", "k1", &first, "--rebind"]);
    assert!(
        moved.contains(&format!("taken from {second}")) || moved.contains("already"),
        "{moved}"
    );
    assert_eq!(who(&cluster, "k1", ""), "one");
    let taken = done(&cluster, &["unbind", "carts", "k3"]);
    assert!(
        taken.contains("is bound anew") || taken.contains("nothing changed"),
        "{taken}"
    );

    // On a busy machine it may have gone elsewhere for a while; its handlers are at the other two.
    let (owner, epoch) = cluster.watch("exchanges", |view| {
        owner_in(view, "carts").filter(|(owner, _)| owner == "a")
    });
    cluster.kill(Cluster::index(&owner));
    cluster.watch("exchanges", |view| {
        owner_in(view, "carts").filter(|(_, now)| *now > epoch)
    });
    assert_eq!(["k1", "k2"].map(|key| who(&cluster, key, "")), ["one", "two"]);
    assert_eq!(
        listed(&cluster, &["--key", "k3"])["bindings"],
        Value::Array(Vec::new())
    );
    assert_eq!(
        listed(&cluster, &[])["total"],
        2,
        "the one that was taken back is not among them"
    );
    let seen = listed(&cluster, &["--handler", &second]);
    let signature = seen["bindings"][0]["signature"].as_str().expect("that of k2");
    done(
        &cluster,
        &["bind", "carts", signature, &first, "--signature", "--rebind"],
    );
    assert_eq!(who(&cluster, "k2", ""), "one");
}

/// A23, A24: the words and the exit codes.
#[test]
fn what_cannot_be_bound_is_refused_in_words() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "carts", "--strategy", "sticky"]);
    cluster.ok(&["exchange", "declare", "turns", "--strategy", "round-robin"]);
    cluster.ok(&["exchange", "declare", "mails", "--pattern", "task"]);
    let (_eu, _, eu) = handler(&cluster, 0, "eu", "eu");
    let long = "x".repeat(256);
    let table: [(&[&str], i32, &str); 11] = [
        (&["bind", "nope", "k", &eu], 5, "there is no exchange 'nope'"),
        (&["unbind", "nope", "k"], 5, "there is no exchange 'nope'"),
        (&["bindings", "nope"], 5, "there is no exchange 'nope'"),
        (&["bind", "turns", "k", &eu], 6, "it is round-robin, not sticky"),
        (&["bindings", "mails"], 6, "it is task, not sticky"),
        (
            &["bind", "carts", "k", "<z.9>"],
            6,
            "no handler <z.9> is attached to 'carts'",
        ),
        (
            &["bind", "carts", "k", &eu, "--service-tag", "us"],
            6,
            "not of the group",
        ),
        (&["bind", "carts", "", &eu], 2, "a key is needed"),
        (&["bind", "carts", &long, &eu], 2, "at most 255 bytes"),
        (
            &["unbind", "carts", "k", "--signature"],
            2,
            "16 hexadecimal digits",
        ),
        (&["bindings", "carts", "--limit", "1001"], 2, "1001"),
    ];
    for (args, code, words) in table {
        let (exit, said) = decided(&cluster, args);
        assert_eq!(exit, code, "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let nobody = done(&cluster, &["unbind", "carts", "k", "--service-tag", "eu"]);
    assert!(
        nobody.contains("key k of group eu of carts is not bound"),
        "{nobody}"
    );
    done(&cluster, &["bind", "carts", "k", &eu, "--service-tag", "eu"]);
    assert_eq!(who(&cluster, "k", "eu"), "eu");
    let table = done(&cluster, &["bindings", "carts"]);
    assert!(
        table.contains("carts: 1 binding") && table.contains(&eu),
        "{table}"
    );
    let json = done(
        &cluster,
        &["unbind", "carts", "k", "--service-tag", "eu", "--json"],
    );
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["changed"], &json["from"]),
        (&true.into(), &eu.as_str().into())
    );
}
