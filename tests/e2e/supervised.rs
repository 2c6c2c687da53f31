//! `squall reply` under supervision: a program that crashes fails its request, its handler begins anew, and leaves when it
//! crashes too often or is done.

use std::process::Stdio;

use crate::rig::{Cluster, Lines, Process, wait_for_exit};

const CRASHES: &str = r#"case "$(cat)" in crash) kill -KILL $$ ;; *) printf fine ;; esac"#;

fn request(cluster: &Cluster, payload: &str) -> (Option<i32>, String) {
    let output = cluster.run(&["request", "jobs", payload]);
    let told = if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    };
    let told = String::from_utf8_lossy(told).trim_end().to_owned();
    (output.status.code(), told)
}

fn code(mut process: Process) -> Option<i32> {
    wait_for_exit(process.id());
    process.0.wait().expect("it ended").code()
}

/// A signal fails the request and not the handler, which begins anew as often as it may; then it leaves with exit code 5. One
/// that is done leaves with 0.
#[test]
fn a_program_that_crashes_fails_its_request_and_leaves_after_too_many() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "jobs", "--strategy", "round-robin"]);
    let serve = ["reply", "jobs", "--restarts", "1", "--cmd", "sh", "-c", CRASHES];
    let (handler, lines) = cluster.attached(cluster.client(&serve));
    assert_eq!(request(&cluster, "work"), (Some(0), "fine".into()));
    for _ in 0..2 {
        let (ended, told) = request(&cluster, "crash");
        assert_eq!(ended, Some(8), "{told}");
        assert!(told.contains("sh was ended by signal: 9 (SIGKILL)"), "{told}");
        if request(&cluster, "work").0 != Some(0) {
            break;
        }
    }
    lines.find("that it goes", |line| {
        (line == "a handler has crashed too often and leaves").then_some(())
    });
    assert_eq!(code(handler), Some(5));
    assert_eq!(request(&cluster, "work").0, Some(3), "nobody is left");
    cluster.watch("timeline", |view| {
        view.to_string().contains("handler-exited").then_some(())
    });

    let serve = [
        "reply",
        "jobs",
        "--echo",
        "--restart",
        "transient",
        "--times",
        "1",
    ];
    let mut command = cluster.client(&serve);
    let mut once = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    let lines = Lines::of(once.0.stderr.take().expect("piped"));
    lines.find("$leader", |line| line.contains("$leader").then_some(()));
    assert_eq!(request(&cluster, "hello"), (Some(0), "hello".into()));
    assert_eq!(code(once), Some(0), "it has done what it was for");
}
