//! The cluster's secret in files, and where a local cluster keeps its data. What does not live here: the proof.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::exit::Usage;

/// Name of the cookie's file in the data directory of `squall up`.
const COOKIE: &str = "cookie";
/// A secret is some tens of bytes; a larger file is none.
const COOKIE_BYTES_MAX: u64 = 4096;

/// Where `squall up` keeps its data unless it is told otherwise.
pub(crate) fn default_data_dir() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    data_dir_of(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"), uid)
}

/// Reads a secret: the file's bytes without white space at its end.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let wrong = |why: String| Usage(format!("cookie file {}: {why}", file.display()));
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|error| wrong(error.to_string()))?;
    opened
        .take(COOKIE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > COOKIE_BYTES_MAX {
        return Err(wrong(format!("more than {COOKIE_BYTES_MAX} bytes are no cookie")).into());
    }
    let cookie = bytes.trim_ascii_end();
    if cookie.is_empty() {
        return Err(wrong("it is empty; write a secret into it".into()).into());
    }
    Ok(cookie.to_vec())
}

/// The secret of the local cluster, if there is one. A file that is there must be readable.
pub(crate) fn of_local_cluster() -> Result<Option<Vec<u8>>> {
    let file = default_data_dir().join(COOKIE);
    match file.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read(&file).map(Some),
    }
}

/// A relative `XDG_STATE_HOME` is to be ignored (XDG Base Directory Specification).
fn data_dir_of(state_home: Option<OsString>, home: Option<OsString>, uid: u32) -> PathBuf {
    let absolute = |dir: OsString| Some(PathBuf::from(dir)).filter(|dir| dir.is_absolute());
    let state = state_home.and_then(absolute);
    let state = state.or_else(|| home.and_then(absolute).map(|home| home.join(".local/state")));
    state.map_or_else(
        || PathBuf::from(format!("/tmp/squall-{uid}")),
        |state| state.join("squall"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::{Exit, code};

    #[test]
    fn the_data_directory_follows_the_environment() {
        let dir = |state: Option<&str>, home: Option<&str>| {
            data_dir_of(state.map(Into::into), home.map(Into::into), 7)
        };
        assert_eq!(dir(Some("/s"), Some("/h")), Path::new("/s/squall"));
        assert_eq!(
            dir(Some("relative"), Some("/h")),
            Path::new("/h/.local/state/squall")
        );
        assert_eq!(dir(Some(""), None), Path::new("/tmp/squall-7"));
    }

    #[test]
    fn a_cookie_file_is_trimmed_and_must_hold_something() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cookie");
        std::fs::write(&file, "secret\r\n").unwrap();
        assert_eq!(read(&file).unwrap(), b"secret");
        for wrong in [String::from("\n"), "x".repeat(5000)] {
            std::fs::write(&file, wrong).unwrap();
            let error = read(&file).unwrap_err();
            assert!(error.to_string().contains("cookie file"), "{error}");
            assert_eq!(code(&error), Exit::Usage);
        }
        assert_eq!(code(&read(&dir.path().join("none")).unwrap_err()), Exit::Usage);
    }
}
