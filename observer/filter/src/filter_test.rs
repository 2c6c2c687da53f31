//! Tests of the filter language.

use super::*;

const FIELDS: &[Field] = &[
    Field::new("node", Kind::Text),
    Field::new("kind", Kind::Text),
    Field::new("mailbox", Kind::Count),
    Field::new("rss", Kind::Bytes),
    Field::new("oldest", Kind::Micros),
    Field::new("cpu", Kind::Percent),
    Field::new("in flight", Kind::Count),
    Field::new("time (UTC)", Kind::Text),
];

/// The session process of node b1, with 250 messages, 64 MiB, the oldest 1.5 s old, 80 %, and nothing known of the rest.
struct Process;

impl Row for Process {
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool {
        ["b1", "Session", "<b1.7>", "two words"]
            .iter()
            .any(|text| look(text))
    }

    fn text(&self, field: usize) -> Option<Cow<'_, str>> {
        ["b1", "Session"].get(field).map(|text| (*text).into())
    }

    fn number(&self, field: usize) -> Option<f64> {
        match field {
            2 => Some(250.0),
            3 => Some(64.0 * 1024.0 * 1024.0),
            4 => Some(1_500_000.0),
            5 => Some(80.0),
            _ => None,
        }
    }
}

fn matches(filter: &str) -> bool {
    Filter::parse(filter, FIELDS)
        .unwrap_or_else(|error| panic!("{filter:?}: {error}"))
        .matches(&Process)
}

fn refused(filter: &str) -> String {
    Filter::parse(filter, FIELDS).expect_err(filter).to_string()
}

#[test]
fn a_bare_text_is_looked_for_in_all_texts() {
    let table = [
        ("", true),
        ("  ", true),
        ("sess", true),
        ("SESS", true),
        ("two words", true),
        ("two  words", false),
        ("zebra", false),
        ("! sess", false),
        ("!zebra", true),
        ("<b1.7>", true),
        ("\"two words\"", true),
    ];
    for (filter, expected) in table {
        assert_eq!(matches(filter), expected, "{filter:?}");
    }
}

#[test]
fn fields_are_compared_with_their_units() {
    let table = [
        ("mailbox > 100", true),
        ("mailbox>250", false),
        ("mailbox >= 250 and mailbox <= 0.25k", true),
        ("mailbox != 250", false),
        ("rss = 64MiB", true),
        ("rss > 1g", false),
        ("oldest > 1s", true),
        ("oldest < 2000ms", true),
        ("oldest >= 1_500_000us", true),
        ("cpu = 80%", true),
        ("cpu < 80", false),
        ("node = b*", true),
        ("NODE = B?", true),
        ("node = b", false),
        ("node != a*", true),
        ("kind ~ ess", true),
        ("in-flight > 3", false),
        ("not in-flight > 3", true),
        ("time ~ 12", false),
    ];
    for (filter, expected) in table {
        assert_eq!(matches(filter), expected, "{filter:?}");
    }
}

#[test]
fn or_binds_less_than_and_which_binds_less_than_not() {
    let table = [
        ("mailbox > 100 and node = b* and not kind = session", false),
        ("mailbox > 100 and node = b* and not kind = handler", true),
        ("zebra or mailbox > 1 and node = b1", true),
        ("(zebra or mailbox > 1) and node = c", false),
        ("zebra or sess and mailbox > 100", true),
        ("not (zebra or lion)", true),
        ("! zebra AND sess", true),
        ("not not sess", true),
    ];
    for (filter, expected) in table {
        assert_eq!(matches(filter), expected, "{filter:?}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_the_reason_and_the_place() {
    assert_eq!(refused("!"), FilterError::NothingToInvert.to_string());
    assert_eq!(
        refused("a\u{1b}b"),
        "the filter holds a control character at byte 1"
    );
    assert_eq!(refused("mailbox >"), "at byte 9: expected a value");
    assert_eq!(
        refused("mailbox > 3 and"),
        "at byte 15: expected a field, a text or '('"
    );
    assert_eq!(refused("(a or b"), "at byte 7: expected ')'");
    assert_eq!(refused("a )"), "at byte 2: expected 'and', 'or' or the end");
    assert_eq!(refused("name ~ \"x"), "at byte 9: expected a closing '\"'");
    assert_eq!(
        refused("mailboz > 3"),
        "there is no field 'mailboz' here; there are node, kind, mailbox, rss, oldest, cpu, in-flight, time"
    );
    assert_eq!(refused("node > 3"), "'node' is text: compare it with =, != or ~");
    assert_eq!(
        refused("oldest > 20"),
        "'oldest' is a time: compare it with one such as 250us, 20ms, 3s, 5m or 2h"
    );
    assert!(refused("mailbox > many").contains("is a number"));
    assert!(refused("rss ~ 3").contains("is a size"));
    let deep = format!("{}a", "(".repeat(DEPTH_MAX + 2));
    assert_eq!(refused(&deep), FilterError::TooDeep.to_string());
    let long = "x".repeat(FILTER_BYTES_MAX + 1);
    assert!(refused(&long).contains("257 bytes"));
    assert!(Filter::parse(&long[1..], FIELDS).is_ok());
}

#[test]
fn a_node_keeps_what_might_match_where_only_the_reader_knows_a_field() {
    let may = |filter: &str| {
        Filter::parse_in_part(filter, FIELDS)
            .expect("a filter")
            .may_match(&Process)
    };
    let table = [
        ("growth/s > 5", true),
        ("not growth/s > 5", true),
        ("growth/s > 5 and node = c", false),
        ("growth/s > 5 and node = b1", true),
        ("growth/s > 5 or node = c", true),
        ("not (growth/s > 5 or node = b1)", false),
    ];
    for (filter, expected) in table {
        assert_eq!(may(filter), expected, "{filter:?}");
    }
    assert!(refused("growth/s > 5").contains("no field 'growth/s'"));
}

#[test]
fn only_the_empty_filter_is_all() {
    assert!(Filter::default().is_all());
    assert!(!Filter::parse("a", &[]).expect("a filter").is_all());
}

#[test]
fn no_pattern_takes_long() {
    let text = "a".repeat(10_000);
    let pattern = format!("{}b", "*a".repeat(100));
    assert!(!like(&text, &pattern));
    assert!(like(&text, "*a*a*") && like("", "*") && !like("", "?") && like("abc", "a?c"));
}

proptest::proptest! {
    #[test]
    fn nothing_that_can_be_typed_breaks_it(text in "\\PC{0,80}") {
        if let Ok(filter) = Filter::parse(&text, FIELDS) {
            let (matches, may) = (filter.matches(&Process), filter.may_match(&Process));
            proptest::prop_assert_eq!(matches, may, "all fields are known");
        }
    }
}
