//! The program as people see it: the demo and the observer in a terminal, the demo without one. A demo leaves nothing.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::pty::{Pty, Screen};
use crate::rig::{Lines, Process, end, free_base, squall, wait_for_exit};

const SIZE: (u16, u16) = (120, 40);
const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
const CTRL_C: &str = "\x03";
const LEAVE_ALTERNATE_SCREEN: &[u8] = b"\x1b[?1049l";
const SHOW_CURSOR: &[u8] = b"\x1b[?25h";

#[test]
fn a_node_killed_by_the_dialog_gives_its_exchange_to_another_and_requests_go_on() {
    let base = free_base(30);
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let mut demo = Pty::start(
        &["demo", "--profile", "slow", "--base-port", &base.to_string()],
        tmp.path(),
        SIZE,
    );
    demo.wait("three nodes and a leader", three_nodes_and_a_leader);
    let cluster = Footprint::of(demo.id(), base, tmp.path());

    demo.press("4");
    let (owner, epoch) = demo.wait("an owner of orders", |screen| {
        let selected = screen.0.lines().any(|line| line.starts_with("│▶ orders "));
        owner_of_orders(screen).filter(|_| selected)
    });
    demo.press("x");
    demo.sees(&[
        &format!("Chaos on node {owner}"),
        "[kill]",
        "1 exchange moves to another node",
    ]);
    demo.press(ENTER);
    demo.sees(&[&format!("Type {owner} and press Enter to kill")]);
    demo.press(&owner);
    demo.press(ENTER);
    demo.sees(&[&format!("✔ {owner} killed")]);
    demo.press(ESCAPE);
    let (next, epoch_after) = demo.wait("another owner of orders", |screen| {
        owner_of_orders(screen).filter(|(next, _)| *next != owner)
    });
    assert!(
        epoch_after > epoch,
        "{owner} under {epoch}, then {next} under {epoch_after}"
    );

    cluster.request("orders");
    demo.wait("replies to the demo's own load", |screen| {
        let told = screen
            .0
            .lines()
            .find_map(|line| line.strip_prefix("load: orders "))?;
        (told.split_once("/s")?.0.parse::<u64>().ok()? > 0).then_some(())
    });
    demo.press("3");
    demo.wait("requests to the new owner", |screen| {
        let rate = requests_per_s(screen, "orders", &next)?;
        (rate > 0.0).then_some(())
    });
    demo.press("q");
    let left = demo.left();
    assert_eq!(left.code, 0);
    assert!(
        !left.alternate_screen && !left.cursor_hidden && left.modes_restored,
        "the terminal is as before"
    );
    cluster.assert_gone();
}

#[test]
fn a_demo_without_a_terminal_tells_how_things_are_and_ends_on_ctrl_c() {
    let base = free_base(30);
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let mut command = squall();
    command
        .env("TMPDIR", tmp.path())
        .args(["demo", "--profile", "slow", "--base-port", &base.to_string()]);
    // A terminal sends Ctrl-C to the whole group.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let mut demo = Process::spawn(&mut command);
    let lines = Lines::of(demo.0.stdout.take().expect("piped"));
    lines.find("a line that tells of replies on both exchanges", |line| {
        let well = line.contains("nodes 3/3") && !line.contains("leader none");
        (well && replied(line, "orders")? > 0 && replied(line, "users")? > 0).then_some(())
    });
    let cluster = Footprint::of(demo.id(), base, tmp.path());
    let group = Pid::from_raw(demo.id().cast_signed()).expect("a process id");
    kill_process_group(group, Signal::INT).expect("the demo runs");
    wait_for_exit(demo.id());
    assert_eq!(demo.0.wait().expect("it ended").code(), Some(0));
    cluster.assert_gone();
}

#[test]
fn the_observer_switches_freezes_fits_itself_in_and_leaves_the_terminal_as_it_was() {
    let base = free_base(30).to_string();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut up = squall();
    up.args([
        "up",
        "-n",
        "3",
        "--chaos",
        "--profile",
        "slow",
        "--base-port",
        &base,
        "--data-dir",
    ])
    .arg(dir.path());
    let up = Process::spawn(
        up.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let mut observer = Pty::start(&["observe", "--chaos", "--base-port", &base], dir.path(), SIZE);
    observer.wait("three nodes and a leader", three_nodes_and_a_leader);

    for (key, titles) in [
        ("2", &["─ Links ─", "─ Graph ─"][..]),
        ("3", &["─ Exchanges ─"]),
        ("4", &["─ Registry ─", "─ Opinions ─"]),
        ("5", &["─ Processes ─"]),
        ("6", &["─ Registry ─"]),
        ("7", &["─ Timeline ─"]),
        ("8", &["─ Traces ─", "There is no source of traces"]),
        ("9", &["─ Faults"]),
        ("1", &["─ Nodes ─", "─ Load ─", "─ Health ─"]),
    ] {
        observer.press(key);
        observer.sees(titles);
    }
    observer.press("?");
    observer.sees(&["─ Keys ─", "quit from anywhere"]);
    observer.press(ESCAPE);
    observer.wait("the view again", |screen| {
        (!screen.0.contains("─ Keys ─")).then_some(())
    });
    observer.press(" ");
    observer.sees(&["■ FROZEN"]);
    observer.press(" ");
    observer.sees(&["● LIVE"]);

    for (columns, rows) in [(60, 16), (40, 10), SIZE] {
        observer.resize(columns, rows);
        if columns == 40 {
            observer.sees(&["need 60x16, have 40x10"]);
        } else {
            observer.wait("the view in its new size", |screen| fills(screen, columns, rows));
        }
    }

    observer.press(CTRL_C);
    let left = observer.left();
    assert_eq!(left.code, 0);
    assert!(
        !left.alternate_screen && !left.cursor_hidden && left.modes_restored,
        "the terminal is as before"
    );
    for sequence in [LEAVE_ALTERNATE_SCREEN, SHOW_CURSOR] {
        assert!(
            left.raw.windows(sequence.len()).any(|part| part == sequence),
            "{sequence:?} was written"
        );
    }
    assert_eq!(end(up, Signal::INT).code(), Some(0));
}

fn three_nodes_and_a_leader(screen: &Screen<'_>) -> Option<()> {
    let head = screen.rows().next()?;
    let leader = head.iter().skip_while(|word| **word != "leader").nth(1)?;
    (head.contains(&"3/3") && ["a", "b", "c"].contains(leader)).then_some(())
}

/// Name and epoch of the one node that acts as owner, from the matrix of opinions' details.
fn owner_of_orders(screen: &Screen<'_>) -> Option<(String, u64)> {
    let rows = screen.rows().filter(|row| !row.contains(&"stale"));
    let mut owners = rows.filter_map(|row| match row[..] {
        ["orders", node, "●", "owner", epoch, ..] if epoch.parse::<u64>().is_ok() => {
            Some((node.to_owned(), epoch.parse().ok()?))
        }
        _ => None,
    });
    owners.next().filter(|_| owners.next().is_none())
}

/// The figure of an exchange's line, from the column of that name.
fn requests_per_s(screen: &Screen<'_>, exchange: &str, owner: &str) -> Option<f64> {
    let row = screen.rows().find(|row| row.first() == Some(&exchange))?;
    match row[..] {
        // name, strategy, owner, epoch, handlers, requests a second
        [_, _, "●", of, _, _, rate, ..] if of == owner => rate.parse().ok(),
        _ => None,
    }
}

/// Replies in the last second, from a status line.
fn replied(line: &str, exchange: &str) -> Option<u64> {
    let of = line
        .split("  | ")
        .find(|part| part.starts_with(&format!("{exchange}: ")))?;
    of.split(", ")
        .find_map(|part| part.strip_suffix("/s")?.parse().ok())
}

/// The frames reach the last column, the keys the last row.
fn fills(screen: &Screen<'_>, columns: u16, rows: u16) -> Option<()> {
    let frame = screen.0.lines().nth(2)?;
    let keys = screen.0.lines().nth(usize::from(rows) - 1)?;
    (frame.starts_with('╭') && frame.chars().count() == usize::from(columns) && keys.contains("x chaos"))
        .then_some(())
}

/// What a demo has on the machine while it runs.
struct Footprint<'a> {
    processes: HashMap<u32, String>,
    dir: PathBuf,
    base: u16,
    /// Where its directory was made.
    tmp: &'a Path,
}

impl<'a> Footprint<'a> {
    fn of(demo: u32, base: u16, tmp: &'a Path) -> Self {
        let processes = descendants(demo);
        let node = format!("127.0.0.1:{base}");
        let of_node = |line: &&String| line.contains(" node ") && line.contains(&node);
        let line = processes.values().find(of_node).expect("a node's process");
        let mut words = line.split(' ').skip_while(|word| *word != "--cookie-file");
        let cookie = Path::new(words.nth(1).expect("its cookie's file"));
        let dir = cookie.parent().expect("in a directory").to_owned();
        assert!(dir.is_dir() && dir.starts_with(tmp), "{}", dir.display());
        let count = |word: &str| processes.values().filter(|line| line.contains(word)).count();
        assert_eq!(
            (count(" node "), count(" load-client ")),
            (3, 4),
            "{processes:#?}"
        );
        Self {
            processes,
            dir,
            base,
            tmp,
        }
    }

    /// A request from outside, which must succeed.
    fn request(&self, exchange: &str) {
        let connect: Vec<_> = (0..3)
            .map(|i| format!("127.0.0.1:{}", self.base + 10 * i))
            .collect();
        let mut command = squall();
        command.args([
            "request",
            exchange,
            "still there?",
            "--timeout",
            "20s",
            "--connect",
            &connect.join(","),
        ]);
        let output = command
            .arg("--cookie-file")
            .arg(self.dir.join("cookie"))
            .output()
            .expect("the program runs");
        assert!(
            output.status.success(),
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "still there?");
    }

    fn assert_gone(&self) {
        let addresses = (0..3).map(|i| format!("127.0.0.1:{}", self.base + 10 * i));
        let marks: Vec<_> = addresses.chain([self.dir.display().to_string()]).collect();
        let left: Vec<_> = processes()
            .into_iter()
            .filter(|p| {
                self.processes.get(&p.id) == Some(&p.line) || marks.iter().any(|mark| p.line.contains(mark))
            })
            .map(|p| p.line)
            .collect();
        assert_eq!(left, Vec::<String>::new(), "processes are left");
        let left: Vec<_> = fs::read_dir(self.tmp)
            .expect("the test's directory")
            .flatten()
            .map(|f| f.path())
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "files are left");
    }
}

struct Running {
    id: u32,
    parent: u32,
    line: String,
}

/// Every process, except those that ended and wait to be reaped: these have no command line.
fn processes() -> Vec<Running> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let read = |id| {
        let line = fs::read(format!("/proc/{id}/cmdline"))
            .ok()
            .filter(|line| !line.is_empty())?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // After the name, which may contain anything: the state, then the parent.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some(Running {
            id,
            parent,
            line: String::from_utf8_lossy(&line)
                .trim_end_matches('\0')
                .replace('\0', " "),
        })
    };
    ids.filter_map(read).collect()
}

/// The process, its children and theirs, with their command lines.
fn descendants(root: u32) -> HashMap<u32, String> {
    let all = processes();
    let mut found = HashMap::new();
    let mut look = vec![root];
    while let Some(id) = look.pop() {
        found.extend(all.iter().filter(|p| p.id == id).map(|p| (p.id, p.line.clone())));
        look.extend(all.iter().filter(|p| p.parent == id).map(|p| p.id));
    }
    found
}
