//! What faults of a plan are on links: entries for the kernel's fault tables of the nodes that send. So what a link's fault
//! does is decided in one place for live and simulated nodes.
//!
//! What does not live here: who holds the tables, and when (`world`).

use squall_kernel::fault::{FaultError, Latency, LinkFault, Shape, Share};
use squall_kernel::time::Span;

use super::{Seat, SimFault};
use crate::sim::links::Way;

impl SimFault {
    /// What it does to which links of a cluster of so many nodes.
    pub(in crate::sim) fn on_links(&self, nodes: usize) -> Vec<(Way, LinkFault)> {
        if let Some((way, what)) = self.on_one_link() {
            return vec![(way, what)];
        }
        ways(nodes).filter_map(|way| Some((way, self.on(way)?))).collect()
    }

    /// Whether the nodes' tables take what it does to links.
    ///
    /// # Errors
    /// [`FaultError`] says what they would take.
    pub fn check(&self) -> Result<(), FaultError> {
        match self.on_one_link() {
            Some((_, what)) => what.check(),
            None => match self {
                Self::Slow { by, .. } => LinkFault::Delay(Latency::constant(*by)).check(),
                _ => Ok(()),
            },
        }
    }

    fn on_one_link(&self) -> Option<(Way, LinkFault)> {
        let (from, to, what) = match *self {
            Self::Delay { from, to, by, jitter } => (from, to, delay(by, jitter)),
            Self::Loss { from, to, per_mille } => (from, to, LinkFault::Loss(share(per_mille))),
            Self::Duplicate { from, to, per_mille } => (from, to, LinkFault::Duplicate(share(per_mille))),
            Self::Reorder {
                from,
                to,
                per_mille,
                by,
            } => {
                let share = share(per_mille);
                (from, to, LinkFault::Reorder { share, by })
            }
            Self::Corrupt { from, to, per_mille } => (from, to, LinkFault::Corrupt(share(per_mille))),
            Self::Clog { from, to, stall } => (from, to, LinkFault::Clog(stall)),
            Self::Rate {
                from,
                to,
                bytes_per_s,
            } => (from, to, LinkFault::Rate(bytes_per_s)),
            Self::Reset { from, to, every } => (from, to, LinkFault::Reset(every)),
            Self::Limit { from, to, bytes } => (from, to, LinkFault::Limit(bytes)),
            Self::Written { from, to, what } => (from, to, what.0),
            _ => return None,
        };
        Some((Way { from, to }, what))
    }

    /// What a fault of more than one link does to one of them.
    fn on(&self, Way { from, to }: Way) -> Option<LinkFault> {
        match self {
            Self::Slow { node, by } if from == *node || to == *node => {
                Some(LinkFault::Delay(Latency::constant(*by)))
            }
            _ => self.cuts(from, to).then_some(LinkFault::Cut),
        }
    }

    /// True when nothing passes from one node to another while it lasts.
    fn cuts(&self, source: Seat, target: Seat) -> bool {
        match self {
            Self::Cut { from, to } => (*from, *to) == (source, target),
            Self::CutBoth { a, b } => (*a, *b) == (source, target) || (*b, *a) == (source, target),
            Self::Isolate { node } => source == *node || target == *node,
            Self::OneWay { node, mute } => *node == if *mute { source } else { target },
            Self::Split { side } => side.contains(&source) != side.contains(&target),
            Self::Bridge { node, side } => {
                source != *node && target != *node && side.contains(&source) != side.contains(&target)
            }
            _ => false,
        }
    }
}

fn ways(nodes: usize) -> impl Iterator<Item = Way> {
    let seats = move || (0..nodes).filter_map(|seat| u8::try_from(seat).ok()).map(Seat);
    seats().flat_map(move |from| {
        let others = seats().filter(move |to| *to != from);
        others.map(move |to| Way { from, to })
    })
}

/// By so much and up to so much more, as the table has it: by so much in the middle, and half of the spread to either side.
fn delay(by: Span, more: Span) -> LinkFault {
    let jitter = Span(more.0 / 2);
    LinkFault::Delay(Latency {
        time: Span(by.0 + jitter.0),
        jitter,
        shape: Shape::Uniform,
    })
}

const fn share(per_mille: u32) -> Share {
    Share(per_mille.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Span = Span::from_ms;

    fn cut(fault: &SimFault, nodes: usize) -> Vec<(u8, u8)> {
        let links = fault.on_links(nodes).into_iter();
        links
            .map(|(way, what)| {
                assert_eq!(what, LinkFault::Cut);
                (way.from.0, way.to.0)
            })
            .collect()
    }

    #[test]
    fn every_shape_of_a_cut_is_held_by_those_who_send() {
        let (a, b, c) = (Seat(0), Seat(1), Seat(2));
        assert_eq!(cut(&SimFault::Cut { from: a, to: b }, 3), [(0, 1)]);
        assert_eq!(cut(&SimFault::CutBoth { a, b }, 3), [(0, 1), (1, 0)]);
        let isolated = [(0, 1), (1, 0), (1, 2), (2, 1)];
        assert_eq!(cut(&SimFault::Isolate { node: b }, 3), isolated);
        assert_eq!(cut(&SimFault::Split { side: vec![a, c] }, 3), isolated);
        let mute = SimFault::OneWay { node: b, mute: true };
        let deaf = SimFault::OneWay { node: b, mute: false };
        assert_eq!(cut(&mute, 3), [(1, 0), (1, 2)]);
        assert_eq!(cut(&deaf, 3), [(0, 1), (2, 1)]);
        let bridge = SimFault::Bridge {
            node: b,
            side: vec![a],
        };
        assert_eq!(cut(&bridge, 3), [(0, 2), (2, 0)]);
    }

    #[test]
    fn a_delay_is_spread_from_what_was_asked_for_to_so_much_more() {
        let LinkFault::Delay(latency) = delay(MS(100), MS(50)) else {
            panic!("no delay")
        };
        assert_eq!(latency.time.0 - latency.jitter.0, MS(100).0);
        assert_eq!(latency.longest(), MS(150));
    }

    #[test]
    fn a_slow_node_is_slow_both_ways_and_others_are_not() {
        let slow = SimFault::Slow {
            node: Seat(2),
            by: MS(7),
        };
        let links = slow.on_links(4);
        assert_eq!(links.len(), 6);
        assert!(links.iter().all(|(way, what)| {
            (way.from == Seat(2) || way.to == Seat(2)) && *what == LinkFault::Delay(Latency::constant(MS(7)))
        }));
    }

    #[test]
    fn what_acts_on_no_link_is_in_no_table() {
        for fault in [
            SimFault::Crash { node: Seat(0) },
            SimFault::FullDisk { node: Seat(0) },
        ] {
            assert!(fault.on_links(5).is_empty());
        }
    }

    #[test]
    fn parts_of_a_thousand_are_parts_of_a_million() {
        assert_eq!(share(50), Share::from_percent(5));
        assert_eq!(share(1_000), Share::ALL);
    }
}
