//! Starts one node: its command line, its log file, its hold on life. What does not live here: when that is done.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};

use super::SupervisorOptions;
use crate::client::KEY_FILE;
use crate::layout::Place;
#[cfg(target_os = "linux")]
use crate::limits::PIPE_BYTES;
use crate::limits::{LAST_WORDS_BYTES, LOG_BYTES_MAX};

/// Starts the node at `place`. Its stdin is a pipe whose end is the node's end.
pub(super) fn spawn(
    options: &SupervisorOptions,
    socket: &Path,
    place: &Place,
    all: &[Place],
    journal: Option<&Path>,
) -> io::Result<Child> {
    let log = open_log(&log_path(&options.data_dir, place))?;
    let mut arguments = arguments(options, socket, place, all);
    if let Some(journal) = journal {
        arguments.extend(["--journal".into(), journal.into()]);
    }
    Command::new(&options.program)
        .args(arguments)
        .stdin(Stdio::piped())
        // Where it is it tells whoever starts it by hand; its log is a document a line.
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        // Ctrl-C at the terminal is for the supervisor, which ends its nodes in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// The command line of a node, without the program.
pub(super) fn arguments(
    options: &SupervisorOptions,
    socket: &Path,
    place: &Place,
    all: &[Place],
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["node", "--name", place.name.as_str()].map(OsString::from).into();
    let mut option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        arguments.push(name.into());
        arguments.push(value.as_ref().into());
    };
    option("--listen", &place.mesh.to_string());
    option("--grpc", &place.grpc.to_string());
    option("--data-dir", &options.data_dir.join(place.name.as_str()));
    option("--cookie-file", &options.data_dir.join("cookie"));
    option("--supervisor", &socket);
    option("--profile", &options.profile.as_str());
    let number = all.iter().position(|other| other == place).unwrap_or_default();
    if let Some(zone) = options.zones.iter().cycle().nth(number) {
        option("--zone", &zone.as_str());
    }
    let others: Vec<String> = all
        .iter()
        .filter(|other| *other != place)
        .map(|other| other.mesh.to_string())
        .collect();
    if others.is_empty() {
        arguments.push("--bootstrap".into());
    } else {
        option("--join", &others.join(","));
        option("--expect", &all.len().to_string());
    }
    if let Some(url) = &options.otlp {
        arguments.extend(["--otlp".into(), url.into()]);
    }
    if options.chaos {
        arguments.push("--chaos".into());
        arguments.push("--chaos-key-file".into());
        arguments.push(options.data_dir.join(KEY_FILE).into());
    }
    arguments.push("--end-with-stdin".into());
    arguments.extend(options.extra_args.iter().map(OsString::from));
    arguments
}

/// The log file of a node.
pub(super) fn log_path(data_dir: &Path, place: &Place) -> PathBuf {
    data_dir.join(format!("{}.log", place.name))
}

/// The journal of one run of a node, from 1.
pub(super) fn journal_path(data_dir: &Path, place: &Place, run: u64) -> PathBuf {
    data_dir.join(format!("{}-{run}.journal", place.name))
}

/// What a run of a node tells its journal to, and where that is read.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

/// Makes the journal of a run, from 1, where one is kept or judged. It is open to be read before the node writes: one that is only
/// judged is a pipe where the system has pipes with a name, so that it takes no room, and nobody could write to it otherwise.
pub(super) fn journal(options: &SupervisorOptions, place: &Place, run: u64) -> io::Result<Option<Told>> {
    if !options.journals && !options.judge {
        return Ok(None);
    }
    let path = journal_path(&options.data_dir, place, run);
    let file = if options.journals {
        File::create(&path)?;
        File::open(&path)?
    } else {
        pipe(&path)?
    };
    Ok(Some(Told { path, file }))
}

/// The end of a new pipe at `path` that is read, and does not block.
#[cfg(target_os = "linux")]
fn pipe(path: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let end = open(path, flags, Mode::empty())?;
    // A judge that is late for a moment does not break the journal. A system that has less room gives less.
    let _bytes = rustix::pipe::fcntl_setpipe_size(&end, PIPE_BYTES);
    Ok(File::from(end))
}

/// Elsewhere it is a file, which goes when its run is over.
#[cfg(not(target_os = "linux"))]
fn pipe(path: &Path) -> io::Result<File> {
    File::create(path)?;
    File::open(path)
}

/// An exit in words, with the last line the node wrote when it was not a signal's doing.
pub(super) fn exit_in_words(status: ExitStatus, log: &Path) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "left in order".to_owned(),
        (Some(code), _) => match last_words(log) {
            Some(words) => format!("exited with code {code}: {words}"),
            None => format!("exited with code {code}"),
        },
        (None, Some(signal)) => format!("killed by {}", signal_name(signal)),
        (None, None) => "ended".to_owned(),
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".into(),
        2 => "SIGINT".into(),
        4 => "SIGILL".into(),
        6 => "SIGABRT".into(),
        7 => "SIGBUS".into(),
        9 => "SIGKILL".into(),
        11 => "SIGSEGV".into(),
        15 => "SIGTERM".into(),
        other => format!("signal {other}"),
    }
}

/// Appends to the log file, after setting a large one aside: two files of bounded size a node and start.
fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn last_words(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))
        .ok()?;
    let mut tail = Vec::new();
    file.take(LAST_WORDS_BYTES).read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::places;

    fn line(nodes: usize, change: impl FnOnce(&mut SupervisorOptions)) -> String {
        let mut options = SupervisorOptions::new(PathBuf::from("squall"), nodes, PathBuf::from("/d"));
        change(&mut options);
        let all = places(nodes, 7400).unwrap();
        let arguments = arguments(&options, Path::new("/d/supervisor.sock"), &all[0], &all);
        arguments
            .iter()
            .map(|a| a.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn nodes_of_a_cluster_expect_one_another() {
        assert_eq!(
            line(3, |options| options.chaos = true),
            "node --name a --listen 127.0.0.1:7400 --grpc 127.0.0.1:7401 --data-dir /d/a --cookie-file /d/cookie \
             --supervisor /d/supervisor.sock --profile lan --join 127.0.0.1:7410,127.0.0.1:7420 --expect 3 \
             --chaos --chaos-key-file /d/chaos-key --end-with-stdin"
        );
    }

    #[test]
    fn zones_are_given_in_turn() {
        let zones = ["x", "y"].map(|zone| squall_kernel::id::ZoneName::new(zone).unwrap());
        let line = line(3, |options| options.zones = zones.to_vec());
        assert!(line.contains("--profile lan --zone x --join"), "{line}");
    }

    #[test]
    fn a_single_node_founds_its_cluster() {
        let line = line(1, |options| options.otlp = Some("http://localhost:4317".into()));
        assert!(
            line.ends_with("--bootstrap --otlp http://localhost:4317 --end-with-stdin"),
            "{line}"
        );
    }

    #[test]
    fn an_exit_is_told_in_words() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), "starting\nerror: port 7400 is in use\n\n").unwrap();
        let words = |raw| exit_in_words(ExitStatus::from_raw(raw), log.path());
        assert_eq!(words(0), "left in order");
        assert_eq!(words(5 << 8), "exited with code 5: error: port 7400 is in use");
        assert_eq!(words(9), "killed by SIGKILL");
    }
}
