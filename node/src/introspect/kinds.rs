//! Sets of row kinds. What does not live here: the kinds themselves, which the wire defines.

use squall_proto::v1::RowKind;

/// A set of row kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindSet(u8);

impl KindSet {
    /// Every kind.
    pub const ALL: Self = Self(u8::MAX);

    /// The known kinds among numbers from the wire; those of a newer version are left out.
    #[must_use]
    pub fn of_numbers(numbers: &[i32]) -> Self {
        let known = numbers.iter().filter_map(|n| RowKind::try_from(*n).ok());
        Self(
            known
                .filter(|k| *k != RowKind::Unspecified)
                .fold(0, |bits, kind| bits | bit(kind)),
        )
    }

    /// True when `kind` is in it.
    #[must_use]
    pub const fn contains(self, kind: RowKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// True when nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const fn bit(kind: RowKind) -> u8 {
    1 << (kind as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_a_newer_version_are_left_out() {
        let set = KindSet::of_numbers(&[RowKind::Link as i32, 99, -1, 0]);
        assert!(set.contains(RowKind::Link) && !set.contains(RowKind::Node));
        assert!(KindSet::of_numbers(&[99]).is_empty());
        assert!(KindSet::ALL.contains(RowKind::Fault));
    }
}
