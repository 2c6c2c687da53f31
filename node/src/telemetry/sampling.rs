//! Which messages are traced: a share of those that come without a trace, drawn when they enter, which can be changed at any
//! time. The others have a context as well, which is not sampled: what happens to one of them can still be told of, under ids
//! that everybody knows it by.
//!
//! What does not live here: what is told of them (`spans`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use squall_kernel::frame::TraceContext;
use squall_kernel::spread::mix;

/// Numbers one behind the other are spread before they are mixed, and none of them is 0.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A share of something: from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number from 0 to 1")]
pub struct NoShare;

impl Share {
    /// None of them.
    pub const NONE: Self = Self(0.0);
    /// All of them.
    pub const ALL: Self = Self(1.0);

    /// # Errors
    /// [`NoShare`] for what is not from 0 to 1.
    pub fn new(share: f64) -> Result<Self, NoShare> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(NoShare)
        }
    }

    /// From 0 to 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Decides which messages are traced.
#[derive(Debug)]
pub struct Sampling {
    /// The bits of the share.
    share: AtomicU64,
    /// Whoever comes with a trace has decided for itself.
    follows: bool,
    seen: AtomicU64,
    salts: [u64; 3],
}

impl Sampling {
    /// That share; of what comes with a trace of its own none is drawn when `follows`: it is traced if its caller is.
    #[must_use]
    pub fn of(share: Share, follows: bool) -> Self {
        Self {
            share: AtomicU64::new(share.0.to_bits()),
            follows,
            seen: AtomicU64::new(0),
            salts: std::array::from_fn(|_| rand::random()),
        }
    }

    /// The share now.
    #[must_use]
    pub fn share(&self) -> Share {
        Share(f64::from_bits(self.share.load(Relaxed)))
    }

    /// Changes the share from here on.
    pub fn set(&self, share: Share) {
        self.share.store(share.0.to_bits(), Relaxed);
    }

    /// The context of a message that enters under `caller`: in its trace, or one of its own.
    #[must_use]
    pub fn context(&self, caller: TraceContext) -> TraceContext {
        let number = self.seen.fetch_add(1, Relaxed).wrapping_mul(STEP);
        let [a, b, c] = self.salts.map(|salt| mix(salt ^ number).max(1));
        let sampled = if self.follows && caller.is_some() {
            caller.sampled
        } else {
            // Of bits that the ids do not show: who draws from the ids again gets a share of the share.
            drawn(mix(a ^ b)) < self.share().0
        };
        TraceContext {
            trace_id: if caller.is_some() {
                caller.trace_id
            } else {
                (u128::from(a) << 64 | u128::from(b)).to_be_bytes()
            },
            span_id: c.to_be_bytes(),
            sampled,
        }
    }
}

/// From 0 to less than 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are what a number of this kind has"
)]
fn drawn(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sampled(sampling: &Sampling, caller: TraceContext, of: u32) -> u32 {
        (0..of).map(|_| u32::from(sampling.context(caller).sampled)).sum()
    }

    fn caller(sampled: bool) -> TraceContext {
        TraceContext {
            trace_id: [7; 16],
            span_id: [8; 8],
            sampled,
        }
    }

    #[test]
    fn none_and_all_and_a_share_that_changes() {
        let sampling = Sampling::of(Share::NONE, true);
        let none = TraceContext::default();
        assert_eq!(sampled(&sampling, none, 1_000), 0);
        sampling.set(Share::ALL);
        assert_eq!(sampled(&sampling, none, 1_000), 1_000);
        sampling.set(Share::new(0.3).unwrap());
        assert_eq!(sampling.share().get(), 0.3);
        // Five standard deviations of 100 000 draws.
        let some = sampled(&sampling, none, 100_000);
        assert!((29_275..30_725).contains(&some), "{some}");
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Share::new(bad), Err(NoShare));
        }
    }

    /// What comes in a fixed order, such as requests for three exchanges in turn, is drawn as fairly as anything.
    #[test]
    fn the_draw_does_not_follow_a_pattern() {
        let sampling = Sampling::of(Share::new(1.0 / 3.0).unwrap(), true);
        let mut by_turn = [0; 3];
        for n in 0..30_000 {
            by_turn[n % 3] += u32::from(sampling.context(TraceContext::default()).sampled);
        }
        for drawn in by_turn {
            assert!((3_090..3_580).contains(&drawn), "{by_turn:?}");
        }
    }

    #[test]
    fn whoever_is_traced_stays_so_and_whoever_is_not_stays_in_its_trace() {
        let sampling = Sampling::of(Share::ALL, true);
        let child = sampling.context(caller(false));
        assert_eq!((child.trace_id, child.sampled), ([7; 16], false));
        assert_ne!(child.span_id, [8; 8], "it is a span of its own");
        sampling.set(Share::NONE);
        assert!(sampling.context(caller(true)).sampled);
        let own_mind = Sampling::of(Share::NONE, false);
        assert!(!own_mind.context(caller(true)).sampled);
        own_mind.set(Share::ALL);
        assert!(own_mind.context(caller(false)).sampled);
    }

    #[test]
    fn no_two_have_the_same_ids() {
        let sampling = Sampling::of(Share::NONE, true);
        let ids: BTreeSet<_> = (0..10_000)
            .map(|_| sampling.context(TraceContext::default()))
            .map(|context| (context.trace_id, context.span_id))
            .collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|(_, span)| *span != [0; 8]));
    }
}
