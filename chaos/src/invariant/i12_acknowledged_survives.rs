//! I12: acknowledged registry writes survive any minority loss.
//!
//! Whoever was told that a write took place must find it in the registry for good, on every node, whatever was lost in
//! between. All nodes apply one log (state machine safety: Ongaro and Ousterhout, "In Search of an Understandable
//! Consensus Algorithm", 2014, figure 3), so at one revision of one cluster all have applied the same command and all
//! have the same registry; a node's revision never falls while it runs; what was acknowledged at a revision is the
//! command applied there; and in the end every live node has got at least that far.

use std::collections::BTreeMap;

use squall_kernel::id::{ClusterId, NodeId, Revision};

use super::alive::Alive;
use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::REVISIONS_REMEMBERED;

type At = (ClusterId, Revision);
type Digests = Recent<At, (u64, Event)>;

/// The checker of I12.
#[derive(Debug)]
pub struct AcknowledgedSurvives {
    alive: Alive,
    registries: Digests,
    commands: Digests,
    acknowledged: Digests,
    /// The highest revision acknowledged in each cluster.
    highest: BTreeMap<ClusterId, (Revision, Event)>,
    /// How far each node has got in this run of it.
    reached: BTreeMap<NodeId, (At, Event)>,
    acknowledgements: u64,
}

impl Default for AcknowledgedSurvives {
    fn default() -> Self {
        Self {
            alive: Alive::default(),
            registries: Recent::new(REVISIONS_REMEMBERED),
            commands: Recent::new(REVISIONS_REMEMBERED),
            acknowledged: Recent::new(REVISIONS_REMEMBERED),
            highest: BTreeMap::new(),
            reached: BTreeMap::new(),
            acknowledgements: 0,
        }
    }
}

/// The digest at a revision is the one seen there before, or the first one.
fn same(digests: &mut Digests, event: &Event, at: At, digest: u64, what: &str) -> Result<(), Breach> {
    match digests.get(&at) {
        Some((before, first)) if *before != digest => {
            let text = format!(
                "{what} differs at revision {}: {before:016x} and {digest:016x}",
                at.1
            );
            Err(Breach::new(Id(12), Some(first), event, text))
        }
        Some(_) => Ok(()),
        None => {
            digests.insert(at, (digest, event.clone()));
            Ok(())
        }
    }
}

/// What was acknowledged at a revision is what was applied there.
fn kept(known: &Digests, event: &Event, at: At, digest: u64) -> Result<(), Breach> {
    match known.get(&at) {
        Some((before, first)) if *before != digest => {
            let text = format!(
                "at revision {} another command was acknowledged than applied",
                at.1
            );
            Err(Breach::new(Id(12), Some(first), event, text))
        }
        _ => Ok(()),
    }
}

impl AcknowledgedSurvives {
    fn applied(&mut self, event: &Event, at: At, digest: u64) -> Result<(), Breach> {
        if let Some((before, earlier)) = self.reached.get(&event.node)
            && before.0 == at.0
            && at.1 < before.1
        {
            let text = format!("a node went back from revision {} to revision {}", before.1, at.1);
            return Err(Breach::new(self.id(), Some(earlier), event, text));
        }
        self.reached.insert(event.node, (at, event.clone()));
        same(&mut self.registries, event, at, digest, "the registry")
    }

    fn acknowledged(&mut self, event: &Event, revision: Revision, digest: u64) -> Result<(), Breach> {
        let Some(cluster) = self.alive.cluster(event.node) else {
            return Ok(());
        };
        self.acknowledgements += 1;
        let at = (cluster, revision);
        kept(&self.commands, event, at, digest)?;
        same(
            &mut self.acknowledged,
            event,
            at,
            digest,
            "the acknowledged command",
        )?;
        let highest = self
            .highest
            .get(&cluster)
            .is_none_or(|(highest, _)| revision > *highest);
        if highest {
            self.highest.insert(cluster, (revision, event.clone()));
        }
        Ok(())
    }

    /// A live node that has not got to what was acknowledged, and that acknowledgement.
    fn behind(&self) -> Option<(NodeId, Revision, &Event)> {
        self.alive.running().find_map(|node| {
            let (at, _) = self.reached.get(&node)?;
            let (highest, event) = self.highest.get(&at.0)?;
            (at.1 < *highest).then_some((node, at.1, event))
        })
    }
}

impl Invariant for AcknowledgedSurvives {
    fn id(&self) -> Id {
        Id(12)
    }

    fn claim(&self) -> &'static str {
        "acknowledged registry writes survive any minority loss"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.alive.see(event);
        match &event.what {
            What::LogFailed { why } => {
                let text = format!("a node's log cannot go on: {why}");
                Err(Breach::new(self.id(), None, event, text))
            }
            What::Started { .. } | What::Ended { .. } => {
                self.reached.remove(&event.node);
                Ok(())
            }
            What::Applied {
                cluster,
                revision,
                digest,
            } => self.applied(event, (*cluster, *revision), *digest),
            What::Command {
                cluster,
                revision,
                digest,
            } => {
                let at = (*cluster, *revision);
                kept(&self.acknowledged, event, at, *digest)?;
                same(&mut self.commands, event, at, *digest, "the command applied")
            }
            What::Acknowledged { revision, digest } => self.acknowledged(event, *revision, *digest),
            What::Settled => match self.behind() {
                Some((NodeId(node), revision, acknowledged)) => {
                    let text =
                        format!("node {node:x} ended at revision {revision}, before what was acknowledged");
                    Err(Breach::new(self.id(), Some(acknowledged), event, text))
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Verdict {
        match self.behind() {
            Some((NodeId(node), ..)) => {
                Verdict::Unknown(format!("node {node:x} has not got to what was acknowledged"))
            }
            None => Verdict::judged(self.acknowledgements, "no registry write was acknowledged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{acknowledged, applied, at, broken, command, ended, holds, started, unknown};
    use super::*;

    fn written() -> Vec<Event> {
        vec![
            started(0, 1),
            started(0, 2),
            command(1, 1, 5, 0xa),
            applied(1, 1, 5, 0x50),
            acknowledged(2, 1, 5, 0xa),
        ]
    }

    #[test]
    fn what_was_acknowledged_is_applied_by_all() {
        let mut story = written();
        story.extend([
            command(3, 2, 5, 0xa),
            applied(3, 2, 5, 0x50),
            at(9, 1, What::Settled),
        ]);
        holds(AcknowledgedSurvives::default(), &story);
    }

    #[test]
    fn another_command_in_its_place_is_a_breach() {
        let mut story = written();
        story.push(command(3, 2, 5, 0xb));
        assert_eq!(
            broken(AcknowledgedSurvives::default(), &story).to_string(),
            "I12 broken: at revision 5 another command was acknowledged than applied\n  \
             0.002000s 1 acknowledged revision 5 command 000000000000000a\n  \
             0.003000s 2 applied command 000000000000000b as revision 5"
        );
    }

    #[test]
    fn registries_that_differ_at_one_revision_are_a_breach() {
        let mut story = written();
        story.push(applied(3, 2, 5, 0x51));
        let breach = broken(AcknowledgedSurvives::default(), &story);
        assert!(
            breach.text.starts_with("the registry differs at revision 5"),
            "{breach}"
        );
    }

    #[test]
    fn a_revision_falls_only_by_a_restart() {
        let mut story = written();
        story.push(applied(3, 1, 4, 0x40));
        assert_eq!(
            broken(AcknowledgedSurvives::default(), &story).text,
            "a node went back from revision 5 to revision 4"
        );
        story.insert(5, started(3, 1));
        story.push(applied(4, 1, 5, 0x50));
        holds(AcknowledgedSurvives::default(), &story);
    }

    #[test]
    fn a_write_that_is_lost_with_the_node_that_had_it_is_a_breach() {
        let mut story = written();
        story.extend([ended(3, 1), applied(4, 2, 4, 0x40)]);
        assert_eq!(
            unknown(AcknowledgedSurvives::default(), &story),
            "node 2 has not got to what was acknowledged"
        );
        story.push(at(9, 2, What::Settled));
        assert_eq!(
            broken(AcknowledgedSurvives::default(), &story).text,
            "node 2 ended at revision 4, before what was acknowledged"
        );
    }
}
