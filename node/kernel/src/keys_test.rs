use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn pattern(text: &str) -> KeyPattern {
    KeyPattern::new(text).unwrap()
}

/// The definition, word by word.
pub(super) fn naive(pattern: &[&str], key: &[&str]) -> bool {
    match pattern.split_first() {
        None => key.is_empty(),
        Some((&"#", rest)) => (0..=key.len()).any(|taken| naive(rest, &key[taken..])),
        Some((first, rest)) => {
            !key.is_empty() && (*first == "*" || *first == key[0]) && naive(rest, &key[1..])
        }
    }
}

pub(super) fn any_key() -> impl Strategy<Value = String> {
    let segment = proptest::sample::select(std::vec!["a", "b", "c"]);
    proptest::collection::vec(segment, 1..7).prop_map(|segments| segments.join("."))
}

pub(super) fn any_pattern() -> impl Strategy<Value = String> {
    let segment = proptest::sample::select(std::vec!["a", "b", "c", "*", "*", "#", "#"]);
    proptest::collection::vec(segment, 1..7).prop_map(|segments| segments.join("."))
}

#[test]
fn what_is_wrong_with_a_key_and_where() {
    use KeyError::*;
    let what = What::Key;
    for (text, error) in [
        ("", Empty { what }),
        (".", EmptySegment { what, at: 0 }),
        ("a..b", EmptySegment { what, at: 2 }),
        ("ä.", EmptySegment { what, at: 3 }),
        ("a.*", Wildcard { found: '*', at: 2 }),
        ("a.b#", Wildcard { found: '#', at: 3 }),
        (
            "ä\n",
            Control {
                what,
                found: '\n',
                at: 2,
            },
        ),
        (
            "a\u{9b}31m",
            Control {
                what,
                found: '\u{9b}',
                at: 1,
            },
        ),
    ] {
        assert_eq!(Key::new(text), Err(error), "{text:?}");
    }
    assert_eq!(
        Key::take(Bytes::from_static(b"a.\xff")),
        Err(NotUtf8 { what, at: 2 })
    );
    for good in ["a", "news.eu", "naïve.Ключ.鍵", "a b.c-d_e/f"] {
        assert_eq!(key(good).as_str(), good);
    }
}

#[test]
fn what_is_wrong_with_a_pattern_and_where() {
    use KeyError::*;
    let what = What::Pattern;
    for (text, error) in [
        ("", Empty { what }),
        ("#..*", EmptySegment { what, at: 2 }),
        ("a.*b", PartialWildcard { found: '*', at: 2 }),
        ("a.b#", PartialWildcard { found: '#', at: 3 }),
        ("**", PartialWildcard { found: '*', at: 0 }),
        (
            "a.\u{7f}",
            Control {
                what,
                found: '\u{7f}',
                at: 2,
            },
        ),
    ] {
        assert_eq!(KeyPattern::new(text), Err(error), "{text:?}");
    }
    let wild = |n: usize| KeyPattern::new(&["*"].repeat(n).join("."));
    assert!(wild(16).is_ok());
    assert_eq!(wild(17), Err(TooManyWildcards { count: 17, max: 16 }));
    assert_eq!(
        wild(17).unwrap_err().to_string(),
        "a pattern has at most 16 wildcards, this one has 17"
    );
}

#[test]
fn a_megabyte_is_refused_by_its_length_alone() {
    let huge = std::vec![0xff; 1 << 20];
    let (len, max) = (1 << 20, 255);
    assert_eq!(
        Key::take(Bytes::from(huge.clone())),
        Err(KeyError::TooLong {
            what: What::Key,
            len,
            max
        })
    );
    let error = KeyPattern::take(&huge).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a pattern has at most 255 bytes, this one has 1048576"
    );
    let wire = postcard::to_allocvec(&"a".repeat(1 << 20)).unwrap();
    assert!(postcard::from_bytes::<Key>(&wire).is_err());
    assert!(Key::new(&"a".repeat(255)).is_ok() && Key::new(&"a".repeat(256)).is_err());
}

#[test]
fn patterns_that_mean_the_same_are_the_same() {
    for (given, kept) in [
        ("#.#", "#"),
        ("#.*", "*.#"),
        ("a.#.*.#.*.b.#", "a.*.*.#.b.#"),
        ("*.a.*", "*.a.*"),
        ("a.#", "a.#"),
        ("*.*.#.#", "*.*.#"),
    ] {
        assert_eq!(pattern(given).as_str(), kept);
    }
    assert!(pattern("a.b").is_exact() && !pattern("a.*").is_exact());
}

#[test]
fn examples_of_the_manual_match() {
    for (wanted, given, matches) in [
        ("news.*", "news.eu", true),
        ("news.*", "news", false),
        ("news.*", "news.eu.sport", false),
        ("news.#", "news", true),
        ("news.#", "news.eu.sport", true),
        ("#", "anything.at.all", true),
        ("#.error", "error", true),
        ("#.error", "node.a.error", true),
        ("*.#.error", "error", false),
        ("a.#.b.#.c", "a.x.b.c", true),
    ] {
        assert_eq!(pattern(wanted).matches(&key(given)), matches, "{wanted} {given}");
    }
}

#[test]
fn a_key_from_a_frame_shares_its_bytes_and_travels_as_text() {
    let frame = Bytes::from_static(b"....news.eu");
    let taken = Key::take(frame.slice(4..)).unwrap();
    assert_eq!(taken.as_bytes().as_ptr(), frame[4..].as_ptr());
    let wire = postcard::to_allocvec(&(&taken, pattern("#.*"))).unwrap();
    assert_eq!(postcard::from_bytes(&wire), Ok((taken, pattern("*.#"))));
    let bad = postcard::to_allocvec("a..b").unwrap();
    assert!(postcard::from_bytes::<KeyPattern>(&bad).is_err());
}

proptest! {
    #[test]
    fn a_pattern_matches_as_defined(wanted in any_pattern(), given in any_key()) {
        let (p, k): (Vec<_>, Vec<_>) = (wanted.split('.').collect(), given.split('.').collect());
        prop_assert_eq!(pattern(&wanted).matches(&key(&given)), naive(&p, &k));
    }

    #[test]
    fn what_is_kept_of_a_pattern_is_a_pattern_that_stays(wanted in any_pattern()) {
        let kept = pattern(&wanted);
        prop_assert_eq!(pattern(kept.as_str()), kept);
    }

    #[test]
    fn garbage_is_refused_or_kept_as_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(key) = Key::take(Bytes::from(bytes.clone())) {
            prop_assert_eq!(key.as_bytes(), &bytes[..]);
            prop_assert!(pattern(key.as_str()).matches(&key));
        }
        let _ = KeyPattern::take(&bytes);
    }

    #[test]
    fn the_short_way_is_the_long_way(text in "[a~ .*#\t]{1,8}") {
        let long = check_in_full(What::Key, text.as_bytes());
        prop_assert_eq!(is_plain(text.as_bytes()), long.is_ok());
        prop_assert_eq!(check(What::Key, text.as_bytes()), long);
    }
}
