//! Invariants of the cluster that were seen broken, by whoever judges it from outside, as this node was told: counted for the
//! metrics.
//!
//! What does not live here: the invariants, and judging (`squall-chaos`); who may tell (`grpc::chaos`).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of the words about a breach: as much as an event keeps.
pub const BREACH_TEXT_BYTES_MAX: usize = crate::introspect::limits::EVENT_TEXT_BYTES_MAX;

/// Number of an invariant, written `I3`: at most 100 of them, whatever a node is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Invariant(u8);

/// It is not written as an invariant's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an invariant's number is written as in I3, from I0 to I99")]
pub struct NoInvariant;

impl FromStr for Invariant {
    type Err = NoInvariant;

    fn from_str(text: &str) -> Result<Self, NoInvariant> {
        let digits = text.strip_prefix('I').ok_or(NoInvariant)?;
        let number = digits.parse().map_err(|_| NoInvariant)?;
        let invariant = Self(number);
        // One way to write each: they are labels.
        if number < 100 && invariant.to_string() == text {
            Ok(invariant)
        } else {
            Err(NoInvariant)
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I{}", self.0)
    }
}

/// Those that are judged: they are counted from 0 on, for whoever reads counters sees a growth only from what was there before.
pub const JUDGED: RangeInclusive<u8> = 1..=15;

/// How often this node was told of each, since it started.
#[derive(Debug)]
pub struct Breaches(Mutex<BTreeMap<Invariant, u64>>);

impl Default for Breaches {
    fn default() -> Self {
        Self(Mutex::new(JUDGED.map(|number| (Invariant(number), 0)).collect()))
    }
}

impl Breaches {
    /// Counts one.
    pub fn count(&self, invariant: Invariant) {
        *self.lock().entry(invariant).or_default() += 1;
    }

    /// Of each that is judged, and of each that was told of.
    #[must_use]
    pub fn read(&self) -> BTreeMap<Invariant, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Invariant, u64>> {
        // Every change is one addition: a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_finds_a_zero_before_the_first_breach() {
        let breaches = Breaches::default();
        assert_eq!(breaches.read().values().copied().collect::<Vec<_>>(), [0; 15]);
        breaches.count("I15".parse().expect("a number"));
        breaches.count("I77".parse().expect("a number"));
        let last: Vec<_> = breaches.read().into_iter().skip(14).collect();
        assert_eq!(last, [(Invariant(15), 1), (Invariant(77), 1)]);
    }

    #[test]
    fn a_number_is_written_in_one_way() {
        for good in ["I0", "I3", "I15", "I99"] {
            assert_eq!(
                good.parse::<Invariant>().map(|it| it.to_string()),
                Ok(good.into())
            );
        }
        for bad in [
            "", "I", "3", "i3", "I03", "I+3", "I-1", "I100", "I256", "I3 ", "I³",
        ] {
            assert_eq!(bad.parse::<Invariant>(), Err(NoInvariant), "{bad:?}");
        }
    }
}
