//! Tables: text in, fault, target or complaint out; and whom targets mean.

use proptest::prelude::*;
use squall_kernel::fault::{Latency, Shape, Share};
use squall_kernel::time::Span;
use squall_observer::console::{Picture, PictureExchange, PictureNode};

use super::*;

fn read(text: &str) -> Result<Fault, Unreadable> {
    text.parse()
}

#[test]
fn every_example_can_be_read_and_is_written_as_it_was() {
    for form in FORMS {
        let fault = read(form.example).unwrap_or_else(|wrong| panic!("{}: {wrong}", form.example));
        assert_eq!((fault.word(), fault.aim()), (form.word, form.aim), "{form:?}");
        assert_eq!(read(&fault.to_string()).as_ref(), Ok(&fault), "{fault}");
    }
}

#[test]
fn amounts_are_read_in_all_their_spellings() {
    let latency = |jitter, shape| {
        Fault::Link(LinkFault::Delay(Latency {
            time: Span::from_ms(200),
            jitter: Span::from_ms(jitter),
            shape,
        }))
    };
    let table = [
        ("delay 200ms", latency(0, Shape::Uniform)),
        ("delay 0.2s +-50ms", latency(50, Shape::Uniform)),
        ("  delay 200ms ±50ms uniform ", latency(50, Shape::Uniform)),
        ("delay 200ms ± 50ms normal", latency(50, Shape::Normal)),
        ("delay 200ms +50ms", latency(50, Shape::Exponential)),
        ("delay 200ms +50ms exponential", latency(50, Shape::Exponential)),
        ("kill stay-down", Fault::Node(NodeDeed::Kill { stay_down: true })),
        ("reset", Fault::Link(LinkFault::Reset(Span::ZERO))),
    ];
    for (text, fault) in table {
        assert_eq!(read(text), Ok(fault), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_pointed_at_with_what_was_expected() {
    let table: [(&str, Range<usize>, &str); 16] = [
        ("", 0..0, "expected a fault"),
        ("kil", 0..3, "there is no fault 'kil'"),
        ("kill now", 5..8, "it is written 'kill [stay-down]'"),
        ("delay", 5..5, "expected an amount here"),
        ("delay 5", 6..7, "write 200ms"),
        ("delay 5ms ±1ms bell", 16..20, "'bell' is no shape"),
        ("loss 120%", 5..9, "at most 100%"),
        ("reorder 5% 20ms", 11..15, "expected 'by'"),
        ("profile 2g", 8..10, "there is no profile '2g'; there are lan"),
        ("rate 64kB", 5..9, "write 64kB/s"),
        ("clock fast", 6..10, "write +5000ppm"),
        ("delay 2m", 0..8, "at most"),
        ("burn 65", 0..7, "1 to 64 threads"),
        ("disk wet", 5..8, "it is written 'disk slow by TIME"),
        ("handlers of orders", 18..18, "expected what is done here"),
        ("message orders a..b 5% dropped", 15..19, "is no pattern"),
    ];
    for (text, at, why) in table {
        let wrong = read(text).expect_err(text);
        assert_eq!(wrong.at, at, "{text}: {wrong}");
        assert!(wrong.why.contains(why), "{text}: {wrong}");
    }
}

fn target(text: &str, aim: Aim) -> Result<Target, Unreadable> {
    Target::parse(text, aim)
}

#[test]
fn targets_that_cannot_be_read_say_why() {
    let table = [
        ("", Aim::Nodes, "expected a node or a role"),
        ("owner()", Aim::Nodes, "expected a name"),
        ("owner(orders", Aim::Nodes, "expected ')'"),
        ("boss(orders)", Aim::Nodes, "there is no role 'boss(…)'"),
        ("a -> b", Aim::Nodes, "expected nothing more, found '->'"),
        ("a - b", Aim::Links, "expected '->' or '<->'"),
        ("a ->", Aim::Links, "expected a node or a role"),
        ("isolate(a", Aim::Links, "expected ')'"),
        ("((((((((((a))))))))))", Aim::Nodes, "expected fewer parentheses"),
    ];
    for (text, aim, why) in table {
        let wrong = target(text, aim).expect_err(text);
        assert!(wrong.why.contains(why), "{text}: {wrong}");
        assert!(wrong.at.end <= text.len(), "{text}: {:?}", wrong.at);
    }
}

/// Nodes a to e, of which e is down and d does not vote; b owns orders, whose leader is at c, and has handlers at a and c.
fn picture() -> Picture {
    let node = |name: &str| PictureNode {
        name: name.into(),
        voter: name != "d",
        up: name != "e",
    };
    Picture {
        nodes: ["c", "a", "b", "d", "e"].map(node).into(),
        exchanges: vec![
            PictureExchange {
                name: "orders".into(),
                owner: Some("b".into()),
                leader: Some("c".into()),
                handlers: vec!["a".into(), "c".into()],
            },
            PictureExchange {
                name: "lost".into(),
                owner: None,
                leader: None,
                handlers: Vec::new(),
            },
        ],
        meta_leader: Some("a".into()),
    }
}

fn nodes(text: &str) -> Result<String, String> {
    let target = target(text, Aim::Nodes).map_err(|wrong| wrong.to_string())?;
    let Target::Nodes(nodes) = target else {
        panic!("{text}")
    };
    nodes
        .names(&picture())
        .map(|names| names.join(" "))
        .map_err(|nobody| nobody.to_string())
}

#[test]
fn roles_mean_whoever_has_them_now() {
    let table = [
        ("b", "b"),
        ("owner(orders)", "b"),
        ("leader(orders)", "c"),
        ("follower(orders)", "a"),
        ("follower(lost)", "a"),
        ("meta-leader", "a"),
        // Of four voters one may be lost, and e is.
        ("all", "a b c d"),
        ("c, owner(orders), c", "c b"),
        ("(a, b)", "a b"),
        ("node(e)", "e"),
    ];
    for (text, names) in table {
        assert_eq!(nodes(text).as_deref(), Ok(names), "{text}");
    }
    let wrong = [
        ("z", "unknown node 'z'; known are c, a, b, d, e"),
        ("owner(z)", "unknown exchange 'z'; known are orders, lost"),
        ("owner(lost)", "owner(lost): there is none now"),
        ("minority", "minority: there is none now"),
        ("rest", "'rest' means those that are not on the other side"),
    ];
    for (text, why) in wrong {
        let said = nodes(text).expect_err(text);
        assert!(said.starts_with(why), "{text}: {said}");
    }
}

fn ways(text: &str) -> Result<String, String> {
    let target = target(text, Aim::Links).map_err(|wrong| wrong.to_string())?;
    let Target::Links(links) = target else {
        panic!("{text}")
    };
    let ways = links.ways(&picture()).map_err(|nobody| nobody.to_string())?;
    let mut ways: Vec<String> = ways.iter().map(|(from, to)| format!("{from}{to}")).collect();
    ways.sort();
    Ok(ways.join(" "))
}

#[test]
fn shapes_are_sets_of_links_between_nodes_that_are_up() {
    let table = [
        ("a -> b", "ab"),
        ("a <-> b", "ab ba"),
        ("a, b -> c", "ac bc"),
        ("a -> rest", "ab ac ad"),
        ("rest -> a", "ba ca da"),
        ("owner(orders)", "ab ba bc bd cb db"),
        ("isolate(a, b)", "ac ad bc bd ca cb da db"),
        ("mute(a)", "ab ac ad"),
        ("deaf(a)", "ba ca da"),
        ("halves", "ac ad bc bd ca cb da db"),
        ("bridge(a)", "bc bd cb db"),
        ("ring", "ac bd ca db"),
        ("a -> b; ring ;b -> a;a -> b", "ab ac ba bd ca db"),
        ("a; b -> c", "ab ac ad ba bc ca da"),
    ];
    for (text, expected) in table {
        assert_eq!(ways(text).as_deref(), Ok(expected), "{text}");
    }
    assert!(ways("a -> a").expect_err("none").contains("has no links now"));
}

#[test]
fn a_fault_is_aimed_at_what_it_can_hit() {
    let kill: Fault = "kill".parse().expect("a fault");
    let links = target("a -> b", Aim::Links).expect("links");
    let error = kill.at(&links, &picture()).expect_err("nodes are wanted");
    assert_eq!(error.to_string(), "'kill' is aimed at nodes, not at links");
    let slow: Fault = "profile 3g".parse().expect("a fault");
    let acts = slow.at(&links, &picture()).expect("acts");
    let texts: Vec<String> = acts.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["delay 150ms ±20ms normal a -> b", "rate 200kB/s a -> b"]);
    assert_eq!(Share::from_percent(1).to_string(), "1%");
}

fn some_nodes() -> impl Strategy<Value = Nodes> {
    let leaf = prop_oneof![
        "[a-z][a-z0-9-]{0,5}".prop_map(Nodes::Named),
        "[a-z]{1,5}".prop_map(Nodes::Owner),
        "[a-z]{1,5}".prop_map(Nodes::Leader),
        "[a-z]{1,5}".prop_map(Nodes::Follower),
        Just(Nodes::MetaLeader),
        Just(Nodes::Minority),
        Just(Nodes::All),
        Just(Nodes::Rest),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        proptest::collection::vec(inner, 2..4).prop_map(Nodes::Listed)
    })
}

fn some_links() -> impl Strategy<Value = Links> {
    prop_oneof![
        (some_nodes(), some_nodes(), any::<bool>()).prop_map(|(from, to, both)| Links::Ways {
            from,
            to,
            both
        }),
        some_nodes().prop_map(Links::Isolate),
        some_nodes().prop_map(Links::Mute),
        some_nodes().prop_map(Links::Deaf),
        some_nodes().prop_map(Links::Bridge),
        Just(Links::Halves),
        Just(Links::Ring),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(nodes in some_nodes(), links in some_links()) {
        let text = nodes.to_string();
        // A name that ends with a hyphen before an arrow, and such, are no names of nodes.
        prop_assume!(!text.contains("-,") && !text.ends_with('-') && !text.contains("-)"));
        prop_assert_eq!(target(&text, Aim::Nodes), Ok(Target::Nodes(nodes)));
        let text = links.to_string();
        prop_assume!(!text.contains("- ") && !text.contains("-,") && !text.contains("-)") && !text.ends_with('-'));
        prop_assert_eq!(target(&text, Aim::Links), Ok(Target::Links(links)));
    }

    #[test]
    fn no_text_breaks_the_reading(text in "\\PC{0,40}") {
        let _fault = read(&text);
        for aim in [Aim::Nodes, Aim::Links] {
            if let Err(wrong) = target(&text, aim) {
                prop_assert!(wrong.at.start <= wrong.at.end && wrong.at.end <= text.len());
            }
        }
    }
}
