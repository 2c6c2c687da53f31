//! Tests of the checkers together.

use super::story::{granted, own};
use super::*;

#[test]
fn there_is_a_checker_for_each_invariant() {
    let numbers: Vec<u8> = all().iter().map(|check| check.id().0).collect();
    assert_eq!(numbers, Vec::from_iter(1..=15));
    assert!(all().iter().all(|check| !check.claim().is_empty()));
}

#[test]
fn an_empty_history_proves_nothing() {
    for (id, verdict) in check([]) {
        assert!(matches!(verdict, Verdict::Unknown(_)), "{id}: {verdict}");
    }
}

#[test]
fn one_that_is_broken_stays_so_and_the_others_go_on() {
    let mut watch = Watch::default();
    assert_eq!(watch.see(&granted(1, 1, 1, 1)), []);
    let broken = watch.see(&granted(2, 2, 1, 2));
    assert_eq!(broken.iter().map(|b| b.id).collect::<Vec<_>>(), [Id(1)]);
    assert_eq!(watch.see(&own(3, 3, 1)), [], "told once");
    let verdicts = watch.verdicts();
    assert_eq!(verdicts[0], (Id(1), Verdict::Fail(broken[0].clone())));
    assert_eq!(verdicts[1], (Id(2), Verdict::Ok));
    let story = [granted(1, 1, 1, 1), granted(2, 2, 1, 2)];
    assert_eq!(first_breach(&story), Some(broken[0].clone()));
    assert_eq!(check(&story)[0].1, Verdict::Fail(broken[0].clone()));
}
