//! A leader is stopped, with its node, while another one is appointed: when it wakes up it believes nothing, and a late
//! write under its old token is refused.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::rig::{Cluster, Lines, Process, signal};

/// Several promises of the profile `slow`, in seconds.
const LONG: f64 = 3.0 * 0.9;

/// A lease as a handler told of it: seconds of the monotonic clock, which all processes share.
#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: u64,
    from: f64,
    until: f64,
}

fn lease(line: &str) -> Option<Lease> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["lease", epoch, "from", from, "until", until] = words[..] else {
        return None;
    };
    Some(Lease {
        epoch: epoch.parse().ok()?,
        from: from.parse().ok()?,
        until: until.parse().ok()?,
    })
}

fn handler(cluster: &Cluster, through: usize, answer: &[&str]) -> (Process, Lines) {
    let mut args = vec!["reply", "ledger", "--leases"];
    args.extend(answer);
    let mut process = Process::spawn(
        cluster
            .client(&args)
            .env("SQUALL_CONNECT", cluster.mesh(through))
            .current_dir(cluster.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let lines = Lines::of(process.0.stderr.take().expect("piped"));
    (process, lines)
}

/// A store outside the cluster: it takes a write unless it has seen a higher token. Prints the token, or tells of the
/// refusal.
const STORE: &str = r#"if [ "$SQUALL_LEADER_EPOCH" -lt "$(cat seen)" ]; then
    echo "refused $SQUALL_LEADER_EPOCH, has seen $(cat seen)" > told
    exit 1
fi
echo "$SQUALL_LEADER_EPOCH" | tee seen"#;

/// Its files: what it has seen, where it tells of refusals, and what a slow write waits for.
fn store(cluster: &Cluster) -> Lines {
    let dir = cluster.dir.path();
    std::fs::write(dir.join("seen"), "0").expect("write");
    let made = Command::new("mkfifo")
        .args(["go", "told"])
        .current_dir(dir)
        .status();
    assert!(made.expect("mkfifo runs").success());
    let told = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(dir.join("told"));
    Lines::of(told.expect("open"))
}

#[test]
fn a_leader_that_was_stopped_believes_nothing_when_it_wakes_up() {
    let cluster = Cluster::start(3);
    let declare = ["exchange", "declare", "ledger", "--strategy", "consensus"];
    cluster.ok(&[&declare[..], &["--failover", "a,b"]].concat());
    let refusals = store(&cluster);
    let slow = format!("cat go > /dev/null; {STORE}");
    let (first, told_first) = handler(&cluster, 2, &["--cmd", "sh", "-c", &slow]);
    let mut leases = vec![told_first.find("its lease", lease)];
    assert_eq!(leases[0].epoch, 1);
    let (_second, told_second) = handler(&cluster, 1, &["--cmd", "sh", "-c", STORE]);
    told_second.find("$leader", |line| line.contains("$leader").then_some(()));
    let mut request = cluster.client(&["request", "ledger", "x", "--timeout", "50s"]);
    request.env("SQUALL_CONNECT", cluster.mesh(0));
    let mut open = Process::spawn(request.stdout(Stdio::null()).stderr(Stdio::null()));
    // Opening it for writing waits until the leader's program reads: the request is with the leader.
    let go = std::fs::OpenOptions::new()
        .write(true)
        .open(cluster.dir.path().join("go"))
        .expect("open");
    signal(&first, Signal::STOP);
    let node = cluster.nodes[2].as_ref().expect("it runs");
    signal(node, Signal::STOP);
    let begin = told_second.find("the next leader's lease", lease);
    assert_eq!(begin.epoch, 2);
    leases.push(begin);
    told_second.find("several promises later", |line| {
        let later = lease(line)?;
        leases.push(later);
        (later.from > begin.from + LONG).then_some(())
    });
    let status = open.0.wait().expect("the request ends");
    assert_eq!(status.code(), Some(8), "interrupted: its leader's node was lost");
    assert_eq!(
        cluster.ok(&["request", "ledger", "y"]).trim_end(),
        "2",
        "the next leader writes"
    );
    drop(go);
    let refusal = refusals.find("the refusal", |line| Some(line.to_owned()));
    assert_eq!(
        refusal, "refused 1, has seen 2",
        "the late write of the one before"
    );
    signal(node, Signal::CONT);
    signal(&first, Signal::CONT);
    // What it was told before it was stopped is still to be read; then it hears who leads.
    told_first.find("the news that another one leads", |line| {
        leases.extend(lease(line));
        line.contains("leader-epoch 2").then_some(())
    });
    let last_of_first = leases.iter().filter(|l| l.epoch == 1).map(|l| l.until);
    let end = last_of_first.fold(0.0, f64::max);
    assert!(end <= begin.from, "leases overlap: {leases:#?}");
}
