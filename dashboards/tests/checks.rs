//! Everything in `dashboards/` against the catalogue, against its own definition, and against each other.

#[path = "checks/boards.rs"]
mod boards;
#[path = "checks/rules.rs"]
mod rules;
#[path = "checks/stack.rs"]
mod stack;

use std::fs;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode as _, YamlOwned};

/// `dashboards/`.
fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = here().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The one document of a file.
fn yaml(path: &str) -> YamlOwned {
    let mut documents =
        YamlOwned::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn texts(list: &YamlOwned) -> Vec<&str> {
    let list = list.as_vec().expect("a list");
    list.iter().map(|one| one.as_str().expect("a text")).collect()
}

/// What stands in one kind of quotes.
fn quoted(text: &str, by: char) -> impl Iterator<Item = &str> {
    text.split(by).skip(1).step_by(2)
}
