//! Servers that do not end with their standard input: started by a process of this program that does, and that ends them. What does
//! not live here: what they serve.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::bench::role::Role;
use crate::bench::{BenchError, io_error};

/// Runs a program in a process group of its own until it ends, which is an error, or `ended` comes; then all of the group is killed:
/// whatever it has on the disk is thrown away.
///
/// # Errors
/// It cannot be started, or has ended by itself.
pub(in crate::bench) async fn run(
    command: &[OsString],
    ended: impl Future<Output = ()>,
) -> Result<(), BenchError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(BenchError::Unsound("no program to keep".into()));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(io_error("a server"))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let by_itself = tokio::select! {
        biased;
        () = ended => false,
        _ = child.wait() => true,
    };
    if let Some(group) = group {
        // Fails only when nothing of it is left.
        let _gone = kill_process_group(group, Signal::KILL);
    }
    if by_itself {
        let what = format!("{} has ended", program.to_string_lossy());
        return Err(BenchError::Unsound(what));
    }
    child.wait().await.map(drop).map_err(io_error("a server"))
}

/// Starts a server by way of such a process. Dropped, it ends.
pub(super) fn start(
    program: &Path,
    server: &Path,
    arguments: impl IntoIterator<Item = OsString>,
    variables: &[(&str, OsString)],
) -> Result<Child, BenchError> {
    let command = std::iter::once(server.as_os_str().to_owned())
        .chain(arguments)
        .collect();
    let spawned = Command::new(program)
        .args(Role::Keep { command }.arguments())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        // Killed, it could end nothing. It ends with its standard input, which is dropped with it.
        .kill_on_drop(false)
        .spawn();
    spawned.map_err(io_error("a server"))
}

/// Where a program is: in one of these places, or on the search path.
pub(super) fn find(name: &str, places: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    in_one_of(
        name,
        places
            .iter()
            .map(PathBuf::from)
            .chain(std::env::split_paths(&path)),
    )
}

fn in_one_of(name: impl AsRef<OsStr>, places: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let mut found = places.map(|place| place.join(name.as_ref()));
    found.find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(Into::into).collect()
    }

    #[tokio::test]
    async fn a_server_is_ended_with_all_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!(
            "sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait",
            note.display()
        );
        let started = async {
            while !note.exists() {
                tokio::task::yield_now().await;
            }
        };
        run(&words(&["sh", "-c", &script]), started).await.unwrap();
        let pid: i32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // Whoever inherits it may not have waited for it yet.
        let gone = || stat().map_or(true, |stat| stat.rsplit(')').next().unwrap().starts_with(" Z"));
        while !gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_that_ends_by_itself_or_is_not_there_is_an_error() {
        let error = run(&words(&["true"]), pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "true has ended");
        assert!(run(&words(&["/nowhere/server"]), pending()).await.is_err());
        assert!(run(&[], ready(())).await.is_err());
    }

    #[test]
    fn a_program_is_found_in_the_first_place_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("server"), "").unwrap();
        let places = || ["/nowhere".into(), dir.path().to_owned()].into_iter();
        assert_eq!(in_one_of("server", places()), Some(dir.path().join("server")));
        assert_eq!(in_one_of("other", places()), None);
    }
}
