//! A subscription controller at the command line: it lets some subscribe, and refuses others, who are told why.

use std::process::Stdio;

use crate::rig::{Cluster, Lines, Process};

/// The pattern is the last field.
const GATE: &str = r#"
case "$(cat)" in
    *private*) printf 'refuse\tthat is private' ;;
    *) printf accept ;;
esac
"#;

/// What became of a subscription that must not stand.
fn refused(cluster: &Cluster, pattern: &str) -> String {
    let output = cluster
        .client_of(&[1], &["subscribe", "news", pattern])
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{told}");
    told
}

/// A5, A6.
#[test]
fn a_controller_refuses_some_subscribers_and_others_have_what_they_ask_for() {
    let cluster = Cluster::start(2);
    cluster.ok(&["exchange", "declare", "gate", "--strategy", "consensus"]);
    let news = ["exchange", "declare", "news", "--pattern", "publish-subscribe"];
    cluster.ok(&[&news[..], &["--controller", "gate"]].concat());
    let unasked = refused(&cluster, "weather.#");
    assert!(
        unasked.contains("refused by the controller 'gate'"),
        "nobody is there to say so: {unasked}"
    );

    let (_gate, notices) =
        cluster.attached(cluster.client_of(&[0], &["reply", "gate", "--cmd", "sh", "-c", GATE]));
    // Told again once it is appointed; the first notice may have been that one.
    drop(notices);
    let told = refused(&cluster, "private.mail");
    assert!(
        told.contains("'private.mail': refused by the controller 'gate': that is private"),
        "{told}"
    );
    let mut subscribe = cluster.client_of(&[1], &["subscribe", "news", "weather.#"]);
    let mut reader = Process::spawn(subscribe.stdout(Stdio::piped()).stderr(Stdio::piped()));
    Lines::of(reader.0.stderr.take().expect("piped")).find("subscribed", |line| {
        line.contains("subscribed to news").then_some(())
    });
    for key in ["private.mail", "weather.north"] {
        cluster.ok(&["publish", "news", key, "rain", "--confirm", "received"]);
    }
    let first =
        Lines::of(reader.0.stdout.take().expect("piped")).find("an event", |line| Some(line.to_owned()));
    assert_eq!(first, "weather.north\train");

    // The node of the refused ones has counted them.
    let counted = cluster.watch("overview", |view| {
        let nodes = view["nodes"].as_array()?;
        let b = nodes.iter().find(|node| node["name"] == "b")?;
        b["refusals"]["refused by a controller"].as_u64()
    });
    assert_eq!(counted, 2);
}
