//! Spreading of numbers: the same everywhere, so that lanes, seeds and faults are drawn alike by all.
//!
//! What does not live here: random numbers; those come from outside.

/// Spreads a number over all bits (the finalizer of splitmix64: Steele, Lea, Flood 2014).
#[must_use]
pub const fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
