//! The views only draw: what is sorted, filtered, timed or changed is so in `update`, before. And what is prepared or decided
//! knows nothing of views.

use std::fs;
use std::path::{Path, PathBuf};

/// Sorting, filtering, a clock, and changing the model.
const NOT_IN_VIEWS: [&str; 12] = [
    ".sort",
    "BTree",
    "BinaryHeap",
    "select_nth",
    ".filter(",
    ".filter_map(",
    ".retain(",
    ".dedup",
    "Instant",
    "SystemTime",
    "mut Model",
    "mut model",
];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn all(under: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.join(format!("{under}.rs"))];
    sources(&root.join(under), &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source");
        // Tests may do as they like.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        (path, code)
    };
    files
        .into_iter()
        .filter(|path| !path.to_string_lossy().ends_with("_test.rs"))
        .map(read)
        .collect()
}

fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn views_only_draw() {
    for (path, text) in all("view") {
        for (number, line) in code(&text) {
            for word in NOT_IN_VIEWS {
                assert!(!line.contains(word), "{}:{number}: {line}", path.display());
            }
        }
    }
}

#[test]
fn what_is_prepared_knows_nothing_of_views() {
    for part in ["prepare", "update", "model", "layout", "table", "keymap"] {
        for (path, text) in all(part) {
            for (number, line) in code(&text) {
                let drawn = line.contains("crate::view") || line.contains("super::view");
                assert!(!drawn, "{}:{number}: {line}", path.display());
            }
        }
    }
}
