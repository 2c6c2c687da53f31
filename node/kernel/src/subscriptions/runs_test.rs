//! Whatever is subscribed, lost, restarted and moved, no subscriber ever gets a publish twice, and once everything is
//! quiet each node with a subscriber gets each publish in one frame.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::world::{KEYS, NODES, PATTERNS, Step, World};

fn calm_step() -> BoxedStrategy<Step> {
    let node = || 1..=NODES;
    let pick = |from: &'static [&'static str]| proptest::sample::select(from);
    prop_oneof![
        4 => (node(), 1u32..4, pick(&["", "x"]), pick(&PATTERNS))
            .prop_map(|(node, who, tag, pattern)| Step::Subscribe { node, who, tag, pattern }),
        2 => (node(), 0usize..6).prop_map(|(node, nth)| Step::Unsubscribe { node, nth }),
        1 => (node(), 1u32..4).prop_map(|(node, who)| Step::Gone { node, who }),
        3 => pick(&KEYS).prop_map(|key| Step::Publish { key }),
        12 => (0usize..20).prop_map(|nth| Step::Deliver { nth }),
        5 => node().prop_map(|node| Step::Flush { node }),
        // To the proxy only: what a proxy that is left has not received itself may be lost.
        1 => node().prop_map(|node| Step::Use { node, proxy: true }),
    ]
    .boxed()
}

fn wild_step() -> impl Strategy<Value = Step> {
    let node = || 1..=NODES;
    prop_oneof![
        12 => calm_step(),
        1 => (node(), any::<bool>()).prop_map(|(node, proxy)| Step::Use { node, proxy }),
        1 => (0usize..20).prop_map(|nth| Step::Lose { nth }),
        1 => (node(), any::<bool>()).prop_map(|(node, told_at_once)| Step::Restart { node, told_at_once }),
        1 => (node(), any::<bool>()).prop_map(|(node, all_know)| Step::Owner { node, all_know }),
        1 => node().prop_map(|node| Step::Learn { node }),
    ]
}

proptest! {
    #[test]
    fn who_is_ready_misses_nothing_while_nothing_is_lost(
        steps in proptest::collection::vec(calm_step(), 0..120),
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.run(step));
        world.settle();
        let missing: Vec<_> = world.expected.difference(&world.copies).collect();
        prop_assert!(missing.is_empty(), "{:?}", missing);
        world.check_quiet();
    }

    #[test]
    fn nobody_gets_a_publish_twice_and_all_is_well_in_the_end(
        steps in proptest::collection::vec(wild_step(), 0..150),
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.run(step));
        world.settle();
        // Nodes that missed that they were left learn it from the first publish that they pass on.
        for key in KEYS {
            world.publish(key);
            world.settle();
        }
        world.check_quiet();
    }
}
