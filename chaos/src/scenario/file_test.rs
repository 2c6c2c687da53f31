//! What a file says, and what is said of one that cannot be understood.

use squall_kernel::fault::LinkFault;

use super::super::library::SHIPPED;
use super::*;
use crate::fault::{Fault, NodeDeed};
use crate::scenario::Deed;

const SMALL: &str = r#"
name = "small"
teaches = """
Something.
"""

[cluster]
nodes = 5
profile = "slow"

[[exchange]]
name = "orders"
strategy = "consensus"
rate = 50

[steady]
good = "95%"
p99 = "1s"
during.good = "10%"

[blast]
nodes = 1

[[step]]
at = "3s"
fault = "cut"
target = "owner(orders) -> rest"
ttl = "2s"

[[step]]
at = "1s"
move = "orders"
target = "follower(orders)"

[[expect]]
class = "G1"
failed = "0%"
owner_changes = [1, 2]
seen = ["a stale effect was fenced"]
"#;

#[test]
fn a_file_says_all_of_it() {
    let scenario = read("dir/file.toml", SMALL).expect("a scenario");
    assert_eq!(
        (scenario.name.as_str(), scenario.teaches.as_str(), scenario.nodes),
        ("small", "Something.", 5)
    );
    assert_eq!(
        scenario.lasts,
        Duration::from_secs(7),
        "two seconds behind the last fault"
    );
    assert_eq!(scenario.exchanges[0].strategy, Strategy::Consensus);
    assert_eq!(scenario.steady.during, Some(Share::from_percent(10)));
    assert_eq!((scenario.budget.nodes, scenario.budget.keep_quorum), (1, true));
    let steps: Vec<String> = scenario.steps.iter().map(|step| step.deed.to_string()).collect();
    assert_eq!(
        steps,
        ["move orders to follower(orders)", "cut at owner(orders) -> rest"],
        "in order of time"
    );
    let Deed::Fault { fault, .. } = &scenario.steps[1].deed else {
        panic!("a fault")
    };
    assert_eq!(*fault, Fault::Link(LinkFault::Cut));
    let expect = &scenario.expects[0];
    assert_eq!(
        (expect.gap, expect.owner_changes, expect.seen.len()),
        (Some(Duration::from_millis(250)), Some((1, 2)), 1)
    );
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_was_expected() {
    let table = [
        ("at = \"3s\"", "at = \"3\"", (25, 6), "write 200ms"),
        (
            "fault = \"cut\"",
            "fault = \"cot\"",
            (26, 10),
            "there is no fault 'cot'",
        ),
        ("-> rest", "-> owner(orders", (27, 40), "expected ')'"),
        (
            "owner(orders) -> rest",
            "owner(users)",
            (27, 10),
            "the scenario has no exchange 'users'; it has orders",
        ),
        (
            "target = \"owner(orders) -> rest\"",
            "targt = \"a\"",
            (27, 1),
            "unknown field `targt`",
        ),
        ("nodes = 5", "nodes = 0", (8, 9), "1 to"),
        (
            "nodes = 5",
            "notes = 5",
            (8, 1),
            "unknown field `notes`, expected `nodes` or `profile`",
        ),
        (
            "profile = \"slow\"",
            "profile = \"fast\"",
            (9, 11),
            "expected \"lan\"",
        ),
        (
            "strategy = \"consensus\"",
            "strategy = \"fun\"",
            (13, 12),
            "expected one of default",
        ),
        ("rate = 50", "rate = 0", (14, 8), "expected 1 to 20000"),
        ("good = \"95%\"", "good = \"95\"", (17, 8), "write 5%"),
        ("move = \"orders\"", "", (30, 1), "either a fault or a move"),
        ("class = \"G1\"", "class = \"G9\"", (36, 9), "expected one of G0"),
        ("[1, 2]", "[2, 1]", (38, 17), "the least first"),
        (
            "a stale effect was fenced",
            "luck",
            (39, 9),
            "nothing of that name",
        ),
        (
            "name = \"small\"",
            "name = \"small",
            (2, 14),
            "invalid basic string",
        ),
        ("ttl = \"2s\"", "ttl = \"2h\"", (28, 7), "at most an hour"),
        (
            "name = \"small\"",
            "lasts = \"4s\"",
            (2, 9),
            "later than the scenario",
        ),
    ];
    for (good, bad, place, why) in table {
        let text = SMALL.replacen(good, bad, 1);
        let error = read("file.toml", &text).expect_err(bad);
        assert!(error.why.contains(why), "{bad}: {error}");
        assert_eq!((error.line, error.column), place, "{bad}: {error}");
    }
    let error = read("x.toml", "").expect_err("no work");
    assert!(
        error
            .to_string()
            .starts_with("x.toml:1:1: a scenario has work to do"),
        "{error}"
    );
}

#[test]
fn every_shipped_scenario_can_be_read_teaches_something_and_expects_something() {
    for shipped in SHIPPED {
        let scenario =
            read(&format!("{}.toml", shipped.name), shipped.text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(scenario.name, shipped.name);
        assert!(
            scenario.teaches.split_whitespace().count() > 25,
            "{}",
            shipped.name
        );
        assert!(
            !scenario.expects.is_empty() && !scenario.steps.is_empty(),
            "{}",
            shipped.name
        );
        let kept = scenario.steps.iter().all(|step| {
            !matches!(
                &step.deed,
                Deed::Fault {
                    fault: Fault::Node(NodeDeed::Kill { stay_down: true }),
                    ..
                }
            )
        });
        assert!(kept, "{}: what ships mends what it breaks", shipped.name);
    }
}
