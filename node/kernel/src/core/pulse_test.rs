//! Tests of what a voter promises, and since when in its life.

use alloc::collections::BTreeSet;

use super::super::tests::introduction;
use super::*;
use crate::id::{ClusterId, Term};
use crate::profile::Profile;

const OWNER: NodeId = NodeId(2);

/// A registry with three nodes, under the times of a quiet site.
fn founded() -> Registry {
    let mut registry = Registry::default();
    let (cluster, profile) = (ClusterId(1), Profile::Lan);
    registry.apply(Revision(1), &Command::Found { cluster, profile });
    for id in 1..=3 {
        registry.apply(Revision(1 + id), &Command::NodeUp(introduction(id)));
    }
    registry
}

/// A run of the voter that starts at 0, with the registry and the voters known.
fn voter(run: Incarnation, profile: Profile, registry: &Registry) -> NodeCore {
    let me = Introduction {
        incarnation: run,
        ..introduction(3)
    };
    let mut core = NodeCore::new(Instant(0), &CoreConfig { me, profile });
    let voters: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
    let meta = MetaView {
        term: Term(1),
        voters: voters.into(),
        leads: false,
        quorum: false,
    };
    for input in [
        CoreInput::Registry(Arc::new(registry.clone())),
        CoreInput::Meta(meta),
    ] {
        core.step(Instant(0), &input, &mut Vec::new());
    }
    core
}

/// The promise that the owner's heartbeat gets.
fn promised(core: &mut NodeCore, now: Instant) -> Span {
    let message = PeerMessage::Heartbeat {
        sent_at: now,
        tenure: Tenure(1),
        revision: Revision(4),
        leased: true,
        ended: false,
    };
    let mut out = Vec::new();
    core.step(now, &CoreInput::Message { from: OWNER, message }, &mut out);
    let promise = out.into_iter().find_map(|e| match e {
        CoreEffect::Send {
            to: OWNER,
            message: PeerMessage::HeartbeatAck { promise, .. },
        } => Some(promise),
        _ => None,
    });
    promise.expect("every heartbeat is answered")
}

#[test]
fn a_voter_that_starts_again_promises_nothing_until_the_registry_has_its_new_run() {
    let mut registry = founded();
    let next_run = Introduction {
        incarnation: Incarnation(11),
        ..introduction(3)
    };
    let mut core = voter(next_run.incarnation, Profile::Lan, &registry);
    let long_after = Instant(10_000_000);
    assert_eq!(promised(&mut core, long_after), Span::ZERO);
    registry.apply(Revision(5), &Command::NodeUp(next_run));
    core.step(
        long_after,
        &CoreInput::Registry(Arc::new(registry)),
        &mut Vec::new(),
    );
    assert_eq!(promised(&mut core, long_after), Profile::Lan.times().promise);
}

#[test]
fn a_voter_that_was_started_with_other_times_promises_by_those_of_the_cluster() {
    let mut core = voter(Incarnation(10), Profile::Slow, &founded());
    let after_silence = Instant(10_000_000);
    assert_eq!(promised(&mut core, after_silence), Profile::Lan.times().promise);
}
