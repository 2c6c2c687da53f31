//! I14: nothing grows without bound.
//!
//! A queue, a table or a cache that grows with the load or with the number of failures ends a node by memory, at the
//! worst moment. Every such place has a bound and says how much it holds.

use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};

/// The checker of I14.
#[derive(Debug, Default)]
pub struct Bounded {
    judged: u64,
}

impl Invariant for Bounded {
    fn id(&self) -> Id {
        Id(14)
    }

    fn claim(&self) -> &'static str {
        "nothing grows without bound"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        if let What::Holds { place, count, bound } = &event.what {
            self.judged += 1;
            if count > bound {
                let text = format!(
                    "{place} of node {:x} holds {count}, its bound is {bound}",
                    event.node.0
                );
                return Err(Breach::new(self.id(), None, event, text));
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no place said how much it holds")
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{at, broken, holds};
    use super::*;

    fn full(count: u64) -> Event {
        let place = "open requests".into();
        at(
            1,
            1,
            What::Holds {
                place,
                count,
                bound: 8,
            },
        )
    }

    #[test]
    fn up_to_the_bound_it_holds_and_no_further() {
        holds(Bounded::default(), &[full(8)]);
        assert_eq!(
            broken(Bounded::default(), &[full(9)]).to_string(),
            "I14 broken: open requests of node 1 holds 9, its bound is 8\n  0.001000s 1 open requests holds 9 of 8"
        );
    }
}
