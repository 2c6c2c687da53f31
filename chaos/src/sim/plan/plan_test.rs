use std::collections::BTreeSet;

use super::*;
use crate::sim::fault::FaultKind;
use squall_kernel::limits::DRIFT_PPM;

fn plans() -> impl Iterator<Item = Plan> {
    (0..500).map(|seed| Plan::draw(seed, &Wishes::default()))
}

#[test]
fn the_same_seed_draws_the_same_plan_and_it_survives_being_written_down() {
    for plan in plans().take(50) {
        assert_eq!(plan, Plan::draw(plan.seed, &Wishes::default()));
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }
}

#[test]
fn a_batch_draws_every_size_every_profile_and_every_kind_of_fault() {
    let sizes: BTreeSet<usize> = plans().map(|p| p.nodes.len()).collect();
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    let voters: BTreeSet<u8> = plans().map(|p| p.voters).collect();
    assert_eq!(voters.into_iter().collect::<Vec<_>>(), [1, 3, 5]);
    let profiles: BTreeSet<&str> = plans().map(|p| p.profile.as_str()).collect();
    assert_eq!(profiles.len(), 3);
    let kinds: BTreeSet<FaultKind> = plans().flat_map(|p| p.faults).map(|f| f.what.kind()).collect();
    assert_eq!(kinds.len(), FaultKind::ALL.len());
}

#[test]
fn every_fault_ends_before_the_healing_and_names_nodes_that_exist() {
    for plan in plans() {
        let count = plan.nodes.len();
        assert!(usize::from(plan.voters) <= count);
        for fault in &plan.faults {
            assert!(fault.ends() <= plan.healed_at());
            assert!(fault.what.seat().index() < count);
        }
    }
}

#[test]
fn no_two_clocks_differ_by_more_than_the_kernel_reckons_with() {
    for plan in plans() {
        let rates = plan.nodes.iter().map(|n| f64::from(n.clock_ppm) / 1e6 + 1.0);
        let (slow, fast) = rates.fold((2.0_f64, 0.0_f64), |(s, f), r| (s.min(r), f.max(r)));
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let bound = 1.0 + DRIFT_PPM as f64 / 1e6;
        assert!(fast / slow <= bound, "{slow} {fast}");
    }
}

#[test]
fn a_wish_for_nodes_is_followed() {
    let wishes = Wishes { nodes: Some(5) };
    assert!((0..50).all(|seed| Plan::draw(seed, &wishes).nodes.len() == 5));
}
