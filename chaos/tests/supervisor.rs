//! The supervisor with real processes, a real guard and a real socket; the nodes only stand in for nodes.
#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong ends it")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use squall_chaos::layout::{LayoutError, free_base};
use squall_chaos::process::{ProcessRef, Send};
use squall_chaos::supervisor::{Event, RestartPolicy, StartError, Supervisor, SupervisorOptions};
use squall_proto::v1::supervisor_client::SupervisorClient;
use squall_proto::v1::{
    ActRequest, Action, Child, ChildState, HaltChildrenRequest, ListChildrenRequest, UnlockRequest,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Only a broken test waits this long.
const BROKEN: Duration = Duration::from_secs(30);

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_squall-stand-in").into()
}

/// A range of ports of its own for each test: they run at the same time.
fn options(dir: &Path, nodes: usize, preferred: u16) -> SupervisorOptions {
    let mut options = SupervisorOptions::new(program(), nodes, dir.to_owned());
    options.base_port = free_base(nodes, preferred).unwrap();
    options.chaos = true;
    options
}

async fn client(socket: &Path) -> SupervisorClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    SupervisorClient::new(endpoint.connect().await.unwrap())
}

fn act(node: &str, action: Action, ttl_ms: u64) -> ActRequest {
    ActRequest {
        node: node.into(),
        action: action.into(),
        ttl_ms,
        by: "test".into(),
        ..Default::default()
    }
}

async fn done(client: &mut SupervisorClient<Channel>, request: ActRequest) -> Result<Child, Status> {
    client
        .act(request)
        .await
        .map(|response| response.into_inner().child.unwrap())
}

async fn event(events: &mut broadcast::Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    let wait = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(BROKEN, wait).await.expect("the event never came")
}

/// The state letter of a process, from the system.
fn state(pid: u64) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap()
}

/// A signal takes effect on another processor a moment after it was sent.
async fn becomes(pid: u64, stopped: bool) {
    let wait = async {
        while (state(pid) == 'T') != stopped {
            tokio::task::yield_now().await;
        }
    };
    timeout(BROKEN, wait).await.expect("the signal had no effect");
}

async fn gone(process: &ProcessRef) {
    timeout(BROKEN, process.ended())
        .await
        .expect("the process goes on");
}

fn held(pid: u64) -> ProcessRef {
    ProcessRef::open(u32::try_from(pid).unwrap()).unwrap()
}

#[tokio::test]
async fn a_killed_node_returns_after_its_ttl_as_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let up = Supervisor::start(options(dir.path(), 2, 21_000)).await.unwrap();
    let mut events = up.events();
    let mut client = client(up.socket()).await;
    let before = up.children().await[0].clone();
    let process = held(before.os_pid);
    let killed = done(&mut client, act("a", Action::Kill, 50)).await.unwrap();
    assert_eq!(
        (killed.state(), killed.last_exit.as_str()),
        (ChildState::Dead, "killed by SIGKILL")
    );
    gone(&process).await;
    event(
        &mut events,
        |event| matches!(event, Event::Started { node, .. } if node.as_str() == "a"),
    )
    .await;
    let after = up.children().await[0].clone();
    assert_eq!((after.state(), after.starts), (ChildState::Running, 2));
    assert_ne!(after.os_pid, before.os_pid);
    up.end().await;
}

#[tokio::test]
async fn a_pause_stops_the_process_until_resume_or_its_ttl() {
    let dir = tempfile::tempdir().unwrap();
    let up = Supervisor::start(options(dir.path(), 1, 21_200)).await.unwrap();
    let mut events = up.events();
    let mut client = client(up.socket()).await;
    let paused = done(&mut client, act("a", Action::Pause, 60_000)).await.unwrap();
    assert_eq!(paused.state(), ChildState::Paused);
    becomes(paused.os_pid, true).await;
    assert!(paused.left_ms > 30_000);
    let resumed = done(&mut client, act("a", Action::Resume, 0)).await.unwrap();
    assert_eq!((resumed.state(), resumed.left_ms), (ChildState::Running, 0));
    becomes(resumed.os_pid, false).await;
    event(&mut events, |event| matches!(event, Event::Resumed { .. })).await;

    done(&mut client, act("a", Action::Pause, 30)).await.unwrap();
    event(&mut events, |event| matches!(event, Event::Resumed { .. })).await;
    becomes(resumed.os_pid, false).await;
    up.end().await;
}

#[tokio::test]
async fn halt_undoes_everything_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let up = Supervisor::start(options(dir.path(), 3, 21_400)).await.unwrap();
    let mut client = client(up.socket()).await;
    done(&mut client, act("a", Action::Pause, 0)).await.unwrap();
    let kill = ActRequest {
        stay_down: true,
        ..act("b", Action::Kill, 0)
    };
    assert_eq!(done(&mut client, kill).await.unwrap().left_ms, 0);
    let halted = client
        .halt_children(HaltChildrenRequest {
            by: "test".into(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(halted.nodes, ["a", "b"]);
    let children = client
        .list_children(ListChildrenRequest {})
        .await
        .unwrap()
        .into_inner()
        .children;
    assert!(
        children
            .iter()
            .all(|child| child.state() == ChildState::Running && child.left_ms == 0)
    );
    assert_eq!(
        children.iter().map(|child| child.starts).collect::<Vec<_>>(),
        [1, 2, 1]
    );
    let lock = HaltChildrenRequest {
        by: "test".into(),
        lock: true,
        reason: "enough".into(),
    };
    client.halt_children(lock).await.unwrap();
    let refused = done(&mut client, act("a", Action::Pause, 0)).await.unwrap_err();
    assert!(refused.message().contains("halted by test (enough)"), "{refused}");
    done(&mut client, act("a", Action::Restart, 0)).await.unwrap();
    let unlock = |reason: &str| UnlockRequest {
        by: "test".into(),
        reason: reason.into(),
    };
    client.unlock_children(unlock("")).await.unwrap_err();
    assert!(
        client
            .unlock_children(unlock("go on"))
            .await
            .unwrap()
            .into_inner()
            .was_locked
    );
    done(&mut client, act("a", Action::Pause, 0)).await.unwrap();
    up.end().await;
}

#[tokio::test]
async fn orders_are_refused_with_a_status_and_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let up = Supervisor::start(options(dir.path(), 1, 21_600)).await.unwrap();
    let mut client = client(up.socket()).await;
    let unknown = done(&mut client, act("z", Action::Kill, 0)).await.unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.message()),
        (Code::NotFound, "unknown node \"z\"; known are a")
    );
    let other = ActRequest {
        expect_os_pid: 1,
        ..act("a", Action::Kill, 0)
    };
    let other = done(&mut client, other).await.unwrap_err();
    assert_eq!(other.code(), Code::FailedPrecondition);
    let long = done(&mut client, act("a", Action::Pause, 3_600_001))
        .await
        .unwrap_err();
    assert_eq!(long.code(), Code::InvalidArgument);
    let nothing = done(&mut client, act("a", Action::Unspecified, 0))
        .await
        .unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    up.end().await;
}

#[tokio::test]
async fn without_chaos_the_list_works_and_actions_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = SupervisorOptions {
        chaos: false,
        ..options(dir.path(), 1, 21_700)
    };
    let up = Supervisor::start(options).await.unwrap();
    let mut client = client(up.socket()).await;
    let refused = done(&mut client, act("a", Action::Pause, 0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        client
            .list_children(ListChildrenRequest {})
            .await
            .unwrap()
            .into_inner()
            .children
            .len(),
        1
    );
    up.end().await;
}

#[tokio::test]
async fn the_end_leaves_no_process_even_of_paused_and_stubborn_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), 2, 21_800);
    options.extra_args = vec!["--stubborn".into()];
    let up = Supervisor::start(options).await.unwrap();
    let mut client = client(up.socket()).await;
    done(&mut client, act("b", Action::Pause, 0)).await.unwrap();
    let processes: Vec<ProcessRef> = up
        .children()
        .await
        .iter()
        .map(|child| held(child.os_pid))
        .collect();
    let socket = up.socket().to_owned();
    up.end().await;
    for process in &processes {
        gone(process).await;
    }
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_node_that_ends_by_itself_is_shown_with_its_last_words_and_started_by_policy() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), 1, 22_000);
    options.extra_args = vec!["--exit".into(), "5".into()];
    options.restart = RestartPolicy::Backoff;
    let up = Supervisor::start(options).await.unwrap();
    let mut events = up.events();
    let exited = event(&mut events, |event| matches!(event, Event::Exited { .. })).await;
    let Event::Exited { how, restart_in, .. } = exited else {
        unreachable!("waited for an exit")
    };
    assert_eq!(how, "exited with code 5: ends with 5");
    let log = fs::read_to_string(dir.path().join("a.log")).unwrap();
    assert_eq!(
        log, "ends with 5\n",
        "the log is what it logs, and nothing else that it says"
    );
    assert!(restart_in.is_some());
    event(&mut events, |event| matches!(event, Event::Started { .. })).await;
    up.end().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_and_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), 3, 22_200);
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], options.base_port + 11));
    let _taken = std::net::TcpListener::bind(addr).unwrap();
    match Supervisor::start(options).await {
        Err(StartError::Layout(LayoutError::InUse { node, addr: named })) => {
            assert_eq!((node.as_str(), named), ("b", addr));
        }
        other => panic!("{other:?}"),
    }
    assert!(!dir.path().join("a.log").exists());
}

#[tokio::test]
async fn a_missing_program_and_a_directory_in_use_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let missing = SupervisorOptions {
        program: "/nowhere/squall".into(),
        ..options(dir.path(), 1, 22_400)
    };
    assert!(matches!(
        Supervisor::start(missing).await,
        Err(StartError::Guard { .. })
    ));
    let up = Supervisor::start(options(dir.path(), 1, 22_400)).await.unwrap();
    let second = Supervisor::start(options(dir.path(), 1, 22_500)).await;
    assert!(matches!(second, Err(StartError::Locked(_))), "{second:?}");
    up.end().await;
}

#[tokio::test]
async fn cookie_and_socket_are_for_the_owner_alone_and_the_cookie_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let cookie = dir.path().join("cookie");
    let up = Supervisor::start(options(dir.path(), 1, 22_600)).await.unwrap();
    assert_eq!((mode(up.socket()), mode(&cookie)), (0o600, 0o600));
    up.end().await;
    let first = fs::read_to_string(&cookie).unwrap();
    Supervisor::start(options(dir.path(), 1, 22_600))
        .await
        .unwrap()
        .end()
        .await;
    assert_eq!(
        (fs::read_to_string(&cookie).unwrap(), first.trim().len()),
        (first.clone(), 64)
    );
}

/// Children of a process, the guard included.
fn children_of(pid: u32) -> Vec<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<u64>>()
        })
        .collect()
}

#[tokio::test]
async fn a_supervisor_killed_during_a_pause_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base(3, 22_800).unwrap();
    let mut supervisor = tokio::process::Command::new(program())
        .args([
            "up".as_ref(),
            dir.path().as_os_str(),
            base.to_string().as_ref(),
            "3".as_ref(),
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("up"));
    let mut client = client(&dir.path().join("supervisor.sock")).await;
    let paused = done(&mut client, act("b", Action::Pause, 0)).await.unwrap();
    becomes(paused.os_pid, true).await;
    let all = children_of(supervisor.id().unwrap());
    assert_eq!(all.len(), 4, "three nodes and the guard");
    let processes: Vec<ProcessRef> = all.into_iter().map(held).collect();
    held(u64::from(supervisor.id().unwrap()))
        .send(Send::Kill)
        .unwrap();
    for process in &processes {
        gone(process).await;
    }
    supervisor.wait().await.unwrap();
}
