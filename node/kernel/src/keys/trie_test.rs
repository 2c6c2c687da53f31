use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::tests::{any_key, any_pattern, naive};
use super::*;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn pattern(text: &str) -> KeyPattern {
    KeyPattern::new(text).unwrap()
}

fn trie(patterns: &[&str]) -> KeyTrie<String> {
    let mut trie = KeyTrie::default();
    for text in patterns {
        trie.insert(&pattern(text), String::from(*text)).unwrap();
    }
    trie
}

fn found(trie: &KeyTrie<String>, walk: &mut Walk, given: &str) -> Vec<String> {
    let mut found = Vec::new();
    trie.matches(&key(given), walk, |value| found.push(value.clone()));
    found
}

#[test]
fn each_pattern_is_shown_once_however_many_ways_lead_to_it() {
    let trie = trie(&["#.a.#.a.#", "#.a.#", "*.*.a", "a.a.a", "#", "b.#"]);
    let walk = &mut Walk::default();
    let all = ["a.a.a", "#", "#.a.#", "#.a.#.a.#", "*.*.a"];
    assert_eq!(found(&trie, walk, "a.a.a"), all);
    assert_eq!(found(&trie, walk, "c"), ["#"]);
}

#[test]
fn a_pattern_has_one_value_and_its_canonical_twin_the_same() {
    let mut trie = trie(&["#.*"]);
    assert_eq!(trie.insert(&pattern("*.#"), "new".into()), Ok(Some("#.*".into())));
    assert_eq!(
        (trie.len(), trie.get(&pattern("#.*")).map(String::as_str)),
        (1, Some("new"))
    );
    assert_eq!(trie.remove(&pattern("*")), None);
    assert_eq!(trie.remove(&pattern("*.#")).as_deref(), Some("new"));
    assert!(trie.is_empty());
}

#[test]
fn what_goes_leaves_no_places_behind() {
    let mut trie = KeyTrie::default();
    for round in 0..3 {
        for n in 0..1000 {
            let text = format!("round{round}.*.n{n}.#.end");
            trie.insert(&pattern(&text), n).unwrap();
        }
        for n in 0..1000 {
            let text = format!("round{round}.*.n{n}.#.end");
            assert_eq!(trie.remove(&pattern(&text)), Some(n));
        }
        assert_eq!((trie.nodes.len() - trie.free.len(), trie.busy), (1, 0));
    }
    assert!(trie.nodes.len() <= 3 * 1000 + 3);
}

#[test]
fn places_are_bounded_and_a_refusal_changes_nothing() {
    let mut trie = KeyTrie::default();
    let long = |n: usize| pattern(&format!("{n}{}.#", ".x".repeat(120)));
    let mut n = 0;
    let refused = loop {
        match trie.insert(&long(n), n) {
            Ok(_) => n += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, TrieFull::Places { max: 500_000 });
    assert_eq!((n, trie.len(), trie.get(&long(n))), (4098, 4098, None));
    trie.insert(&pattern("plain"), 0).unwrap();
    assert_eq!(trie.insert(&long(7), 1), Ok(Some(7)));
}

#[test]
fn a_walk_that_has_counted_through_forgets_old_matches() {
    let trie = trie(&["a.#", "#.b"]);
    let walk = &mut Walk::default();
    assert_eq!(found(&trie, walk, "a.b").len(), 2);
    walk.match_number = u32::MAX;
    assert_eq!(found(&trie, walk, "a.b").len(), 2);
    assert_eq!(walk.match_number, 1);
}

/// Every choice of `*` and text, each with `#` and text behind: as many places as possible are reached by one key.
#[test]
fn hostile_patterns_meet_a_bound_before_they_cost_much() {
    let mut trie = KeyTrie::default();
    let hostile = |n: u32| {
        let choice = |bit: u32| if n >> bit & 1 == 1 { "*" } else { "a" };
        pattern(&format!(
            "{}.#.z",
            (0..15).map(choice).collect::<Vec<_>>().join(".")
        ))
    };
    let taken = (0..1 << 15)
        .take_while(|n| trie.insert(&hostile(*n), *n).is_ok())
        .count();
    assert_eq!(
        trie.insert(&hostile(u32::try_from(taken).unwrap()), 0),
        Err(TrieFull::Busy { max: 16_384 })
    );
    assert!(trie.busy > 16_000 && taken > 2_000, "{} {taken}", trie.busy);
    let walk = &mut Walk::default();
    let mut shown = 0;
    trie.matches(&key(&["a"; 128].join(".")), walk, |_| shown += 1);
    assert_eq!((shown, walk.staying.len()), (0, taken));
    trie.matches(&key(&format!("{}.z", ["a"; 127].join("."))), walk, |_| shown += 1);
    assert_eq!(shown, taken);
    for n in 0..100_000 {
        let many = pattern(&format!("*.eu.device-{n}.*"));
        trie.insert(&many, n).unwrap();
    }
}

#[test]
fn texts_of_any_length_are_ordered_as_bytes() {
    let long = "x".repeat(31);
    for text in ["", "x", &long[..30], &long] {
        assert_eq!(Text::new(text.as_bytes()).as_bytes(), text.as_bytes());
    }
    assert!(Text::new(long.as_bytes()) > Text::new(&long.as_bytes()[..30]));
    assert!(Text::new(b"y") > Text::new(long.as_bytes()));
}

#[derive(Debug, Clone)]
enum Change {
    Insert(String),
    Remove(usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => any_pattern().prop_map(Change::Insert),
        1 => any_key().prop_map(Change::Insert),
        2 => (0usize..40).prop_map(Change::Remove),
    ]
}

proptest! {
    #[test]
    fn a_trie_does_what_a_list_does(
        changes in proptest::collection::vec(any_change(), 0..60),
        keys in proptest::collection::vec(any_key(), 1..6),
    ) {
        let mut trie = KeyTrie::default();
        let mut model: BTreeMap<KeyPattern, usize> = BTreeMap::new();
        for (n, change) in changes.into_iter().enumerate() {
            match change {
                Change::Insert(text) => {
                    let pattern = pattern(&text);
                    prop_assert_eq!(trie.insert(&pattern, n), Ok(model.insert(pattern, n)));
                }
                Change::Remove(place) => {
                    if let Some(pattern) = model.keys().nth(place).cloned() {
                        prop_assert_eq!(trie.remove(&pattern), model.remove(&pattern));
                        prop_assert_eq!(trie.get(&pattern), None);
                    }
                }
            }
            prop_assert_eq!(trie.len(), model.len());
        }
        let mut again = KeyTrie::default();
        for (pattern, n) in model.iter().rev() {
            again.insert(pattern, *n).unwrap();
        }
        let (mut walk, mut other) = (Walk::default(), Walk::default());
        for given in keys {
            let (mut shown, mut same) = (Vec::new(), Vec::new());
            trie.matches(&key(&given), &mut walk, |n| shown.push(*n));
            again.matches(&key(&given), &mut other, |n| same.push(*n));
            prop_assert_eq!(&shown, &same, "the order depends on the patterns alone");
            shown.sort_unstable();
            let key: Vec<_> = given.split('.').collect();
            let wanted = |pattern: &KeyPattern| naive(&pattern.as_str().split('.').collect::<Vec<_>>(), &key);
            let mut expected: Vec<_> = model.iter().filter(|(p, _)| wanted(p)).map(|(_, n)| *n).collect();
            expected.sort_unstable();
            prop_assert_eq!(shown, expected);
        }
    }
}
