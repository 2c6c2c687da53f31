//! Every promise of messaging is cited by at least one test: in its doc comment, or as the beginning of its name
//! (`a34_one_publish_…`). What a promise says is in the project's checklist of features; what proves it, only its test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What messaging promises.
fn promised() -> BTreeSet<String> {
    let services = (1..=8).chain(19..=38).chain([43]).chain(105..=110);
    let services = services.map(|n| format!("A{n}"));
    let broker = [1, 2, 3, 4, 6, 9, 10].map(|n| format!("B{n}"));
    services.chain(broker).collect()
}

/// The ids in a text: `A31–A33` stands for three.
fn ids(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '–');
    let mut found = BTreeSet::new();
    for word in words {
        let (first, last) = word.split_once('–').unwrap_or((word, word));
        let (Some(first), Some(last)) = (id(first), id(last)) else {
            continue;
        };
        if first.0 == last.0 {
            found.extend((first.1..=last.1).map(|n| format!("{}{n}", first.0)));
        }
    }
    found
}

fn id(word: &str) -> Option<(char, u32)> {
    let kind = word.chars().next().filter(|kind| matches!(kind, 'A' | 'B'))?;
    Some((kind, word[1..].parse().ok()?))
}

/// What the tests of a file cite.
fn cited(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut doc, mut is_test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            doc += words;
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test) {
                found.extend(ids(&doc));
                found.extend(of_name(name));
            }
            (doc, is_test) = (String::new(), false);
        }
    }
    found
}

/// `a5_a6_the_controller…` cites two.
fn of_name(name: &str) -> BTreeSet<String> {
    let parts = name.split('_').map(str::to_uppercase);
    parts
        .map_while(|part| id(&part).map(|(kind, n)| format!("{kind}{n}")))
        .collect()
}

fn of_directory(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        if entry.file_type().expect("a kind").is_dir() {
            of_directory(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.extend(cited(&fs::read_to_string(&path).expect("a source file")));
        }
    }
}

#[test]
fn each_promise_of_messaging_is_cited_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for part in ["src", "tests", "node", "chaos", "observer", "examples"] {
        of_directory(&root.join(part), &mut found);
    }
    let promised = promised();
    let missing: Vec<_> = promised.difference(&found).collect();
    assert!(missing.is_empty(), "no test cites {missing:?}");
}

#[test]
fn ids_are_read_from_comments_and_names_of_tests_alone() {
    let text = "/// A31–A33, B4 (I9).\n#[test]\nfn a5_a6_it_holds_a7() {}\n/// A8.\nfn helper() {}\n";
    let expected = ["A31", "A32", "A33", "A5", "A6", "B4"].map(String::from);
    assert_eq!(cited(text), BTreeSet::from(expected));
}
