//! The demo's ends: whatever happens to it, nothing of it is left. The demo itself is tested with the real program.
#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong ends it")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use squall_chaos::demo::{self, DemoError, DemoOptions};
use squall_chaos::guard::TEMPORARY_PREFIX;
use squall_chaos::layout::free_base;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

fn options(program: PathBuf, preferred: u16) -> DemoOptions {
    DemoOptions {
        base_port: free_base(3, preferred).unwrap(),
        ..DemoOptions::new(program)
    }
}

#[tokio::test]
async fn a_demo_that_is_stopped_before_it_is_ready_shows_nothing_and_leaves_nothing() {
    let options = options(env!("CARGO_BIN_EXE_squall-stand-in").into(), 24_000);
    let base = options.base_port;
    let shown = demo::run(options, std::future::ready(()), async |_| "shown")
        .await
        .unwrap();
    assert_eq!(shown, None);
    let places = squall_chaos::layout::places(3, base).unwrap();
    assert_eq!(squall_chaos::layout::check_free(&places), Ok(()));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let options = options("/nowhere/squall".into(), 24_200);
    let outcome = demo::run(options, std::future::pending(), async |_| ()).await;
    assert!(matches!(outcome, Err(DemoError::Start(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_node_that_dies_at_once_ends_the_demo_with_its_words() {
    let options = options("/bin/false".into(), 24_400);
    let outcome = demo::run(options, std::future::pending(), async |_| ()).await;
    assert!(
        matches!(&outcome, Err(DemoError::Died { how, .. }) if how == "exited with code 1"),
        "{outcome:?}"
    );
}

fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempdir()
        .unwrap()
}

fn stand_in(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_squall-stand-in"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn guard_of(dir: &Path) -> std::process::ExitStatus {
    let mut guard = stand_in(&["guard", "--temporary", dir.to_str().unwrap()]);
    drop(guard.stdin.take());
    guard.wait().await.unwrap()
}

#[tokio::test]
async fn the_guard_removes_a_temporary_directory_at_the_end_and_no_other() {
    let dir = temporary();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    std::fs::write(dir.path().join("a/log"), "text").unwrap();
    assert!(guard_of(dir.path()).await.success());
    assert!(!dir.path().exists());
    let other = tempfile::tempdir().unwrap();
    assert!(!guard_of(other.path()).await.success(), "refused");
    assert!(other.path().exists());
}

#[tokio::test]
async fn a_supervisor_that_is_killed_leaves_no_temporary_directory() {
    let dir = temporary();
    let base = free_base(2, 24_600).unwrap().to_string();
    let mut up = stand_in(&["up", dir.path().to_str().unwrap(), &base, "2"]);
    let mut said = BufReader::new(up.stdout.take().unwrap()).lines();
    assert_eq!(said.next_line().await.unwrap().as_deref(), Some("up"));
    assert!(dir.path().join("cookie").exists());
    up.kill().await.unwrap();
    // What it started has the same stderr, which ends with the last of them: the guard.
    let mut errors = String::new();
    up.stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .await
        .unwrap();
    assert!(!dir.path().exists(), "the directory is left: {errors}");
}
