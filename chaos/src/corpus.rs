//! The corpus: runs that once failed, one JSON file each in `chaos/corpus`, run again by a test for ever. An entry may
//! hold its plan, shrunk as it was found: a seed alone draws something else as soon as the drawing changes.
//!
//! What does not live here: running them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::invariant::Id;
use crate::limits::CORPUS_BYTES_MAX;
use crate::sim::Tier;
use crate::sim::plan::Plan;

/// A run that once failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it was drawn from.
    pub seed: u64,
    /// Where it failed.
    pub tier: Tier,
    /// What it broke.
    pub found: Id,
    /// By what mistake, in words: what was wrong then.
    pub by: String,
    /// The plan itself, where it is not simply what the seed draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// Why the corpus cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file or the directory.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Not an entry.
    #[error("{}:{line}: {why}", .path.display())]
    Garbled {
        /// Path.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// All entries of a directory with their files, by name. Files of other kinds are not looked at.
///
/// # Errors
/// [`CorpusError`] names the file, and the line where there is one.
pub fn load(dir: &Path) -> Result<Vec<(PathBuf, Entry)>, CorpusError> {
    let failed = |source| CorpusError::Io {
        path: dir.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for file in fs::read_dir(dir).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| read(&path).map(|entry| (path, entry)))
        .collect()
}

/// One entry.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path) -> Result<Entry, CorpusError> {
    let failed = |source| CorpusError::Io {
        path: path.to_owned(),
        source,
    };
    let garbled = |line: usize, why: String| CorpusError::Garbled {
        path: path.to_owned(),
        line: line.max(1),
        why,
    };
    if fs::metadata(path).map_err(failed)?.len() > CORPUS_BYTES_MAX {
        return Err(garbled(1, format!("longer than {CORPUS_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let entry: Entry =
        serde_json::from_str(&text).map_err(|error| garbled(error.line(), error.to_string()))?;
    if let Some(plan) = entry.plan.as_ref().filter(|plan| plan.seed != entry.seed) {
        let why = format!(
            "the plan is of seed {}, the entry of seed {}",
            plan.seed, entry.seed
        );
        return Err(garbled(1, why));
    }
    let refused = entry
        .plan
        .iter()
        .flat_map(|plan| plan.faults.iter())
        .find_map(|fault| {
            let refused = fault.what.check().err()?;
            Some(format!("fault {}: {refused}", fault.id))
        });
    refused.map_or(Ok(entry), |why| Err(garbled(1, why)))
}

impl Entry {
    /// Writes the entry into a directory under a name of its own, in place of an earlier one of the same tier, invariant
    /// and seed; gives the path.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<PathBuf, CorpusError> {
        let name = format!("{}-i{:02}-{}.json", self.tier, self.found.0, self.seed);
        let path = dir.join(name);
        let failed = |source| CorpusError::Io {
            path: path.clone(),
            source,
        };
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        text.push('\n');
        fs::write(&path, text).map_err(failed)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::plan::Wishes;

    fn entry(seed: u64) -> Entry {
        Entry {
            seed,
            tier: Tier::T1,
            found: Id(4),
            by: "a promise was counted from its arrival".into(),
            plan: None,
        }
    }

    #[test]
    fn what_is_written_is_read_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let with_plan = Entry {
            plan: Some(Plan::draw(7, &Wishes::default())),
            ..entry(7)
        };
        with_plan.write(dir.path()).expect("room");
        entry(12).write(dir.path()).expect("room");
        fs::write(dir.path().join("README.md"), "not an entry").expect("room");
        let read = load(dir.path()).expect("both are entries");
        let names: Vec<_> = read
            .iter()
            .filter_map(|(path, _)| path.file_name()?.to_str())
            .collect();
        assert_eq!(names, ["t1-i04-12.json", "t1-i04-7.json"]);
        assert_eq!((&read[0].1, &read[1].1), (&entry(12), &with_plan));
    }

    #[test]
    fn a_mistake_is_named_by_file_and_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.json");
        let error_for = |text: &str| {
            fs::write(&path, text).expect("room");
            load(dir.path()).expect_err("a mistake").to_string()
        };
        let error = error_for("{\n  \"seed\": 1,\n  \"tier\": \"T3\"\n}\n");
        assert!(error.contains("x.json:3: unknown variant `T3`"), "{error}");
        let error = error_for("{\n  \"seed\": 1,\n  \"sead\": 1\n}\n");
        assert!(error.contains("x.json:3: unknown field `sead`"), "{error}");
        let error = error_for("");
        assert!(error.contains("x.json:1: "), "{error}");
        let other = Entry {
            plan: Some(Plan::draw(7, &Wishes::default())),
            ..entry(8)
        };
        let error = error_for(&serde_json::to_string(&other).expect("an entry"));
        assert!(
            error.contains("the plan is of seed 7, the entry of seed 8"),
            "{error}"
        );
        let error = load(Path::new("/nowhere"))
            .expect_err("no such directory")
            .to_string();
        assert!(error.starts_with("/nowhere: "), "{error}");
    }
}
