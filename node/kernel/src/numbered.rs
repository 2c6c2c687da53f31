//! Hashing of numbers that nodes, clusters or clients' own libraries have counted: nobody outside chooses them, so a few
//! multiplications and shifts spread them well enough.

use core::hash::{BuildHasherDefault, Hasher};

use crate::spread::mix;

/// For maps by counted numbers. Not for keys that clients choose: those could make all of them collide.
pub type Numbers = BuildHasherDefault<NumberHasher>;

/// Spreads the one number, or the few, that a key consists of.
#[derive(Debug, Default, Clone, Copy)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(self.0.rotate_left(5) ^ number);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use core::hash::{BuildHasher as _, Hash};

    use crate::id::{Boot, ExchangeId, MessageId, NodeId, Pid};

    use super::*;

    /// Of `keys`, how many of the 1 024 places of a table they would be in.
    fn places<K: Hash>(keys: impl Iterator<Item = K>) -> usize {
        let hasher = Numbers::default();
        let places: BTreeSet<u64> = keys.map(|key| hasher.hash_one(key) % 1024).collect();
        places.len()
    }

    /// By chance 1 024 keys would be in 647 places (1 - 1/e).
    #[test]
    fn counted_numbers_spread() {
        assert!(places((1..=1024).map(ExchangeId)) > 600);
        assert!(places((1..=1024).map(|n| MessageId((3 << 44) | (n * 16)))) > 600);
        assert!(places((1..=1024).map(|n| Pid::new(NodeId(7), Boot(2), n))) > 600);
    }
}
