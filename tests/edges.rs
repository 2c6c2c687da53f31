//! The crates depend on each other only along the edges of ARCHITECTURE.md, and the kernel on nothing that could do IO.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// crate → what it may depend on, of this workspace.
const EDGES: [(&str, &[&str]); 10] = [
    ("squall-proto", &[]),
    ("squall-kernel", &[]),
    ("squall-filter", &[]),
    ("squall-client", &["squall-proto", "squall-kernel"]),
    (
        "squall-node",
        &["squall-proto", "squall-kernel", "squall-client", "squall-filter"],
    ),
    ("squall-observer", &["squall-proto", "squall-filter"]),
    (
        "squall-chaos",
        &[
            "squall-kernel",
            "squall-node",
            "squall-client",
            "squall-proto",
            "squall-observer",
        ],
    ),
    ("squall-dashboards", &["squall-node"]),
    ("squall-gateway", &["squall-client", "squall-kernel"]),
    (
        "squall",
        &[
            "squall-proto",
            "squall-kernel",
            "squall-client",
            "squall-node",
            "squall-filter",
            "squall-observer",
            "squall-chaos",
        ],
    ),
];

/// What the kernel may use at all: no clock, no randomness, no IO, no async.
const KERNEL_MAY_USE: [&str; 7] = [
    "bytes",
    "crc32c",
    "hmac",
    "postcard",
    "serde",
    "sha2",
    "thiserror",
];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |v: &Value| v.as_str().expect("a string").to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("dependencies").iter();
            let used = all
                .filter(|d| d["kind"] != "dev")
                .map(|d| text(&d["name"]))
                .collect();
            (text(&package["name"]), used)
        })
        .collect()
}

#[test]
fn crates_depend_on_each_other_only_along_the_drawn_edges() {
    let found = dependencies();
    let drawn: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    assert_eq!(
        found.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        drawn.keys().copied().collect::<BTreeSet<_>>(),
        "a crate came or went: draw its edges here and in ARCHITECTURE.md"
    );
    for (name, used) in &found {
        for other in used.iter().filter(|d| found.contains_key(*d)) {
            assert!(
                drawn[name.as_str()].contains(&other.as_str()),
                "{name} must not depend on {other}"
            );
        }
    }
}

#[test]
fn the_kernel_uses_nothing_that_could_do_io() {
    let used = &dependencies()["squall-kernel"];
    let allowed: BTreeSet<String> = KERNEL_MAY_USE.iter().map(ToString::to_string).collect();
    assert!(
        used.is_subset(&allowed),
        "{:?} is new in the kernel",
        used.difference(&allowed).collect::<Vec<_>>()
    );
}
