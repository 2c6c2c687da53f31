//! Which address to try next: those given, then those learned. Pure.

use squall_kernel::registry::Introduction;

use crate::limits::ADDRESSES_MAX;

/// The addresses of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Addresses {
    given: Vec<String>,
    learned: Vec<String>,
    next: usize,
}

impl Addresses {
    pub(crate) fn new(given: Vec<String>) -> Self {
        Self {
            given,
            learned: Vec::new(),
            next: 0,
        }
    }

    /// Replaces what was learned. The order of the known ones stays, so that nobody is skipped.
    pub(crate) fn learn(&mut self, members: &[Introduction]) {
        let told = || members.iter().map(|m| &m.mesh_addr).filter(|a| !a.is_empty());
        self.learned.retain(|known| told().any(|a| a == known));
        for addr in told() {
            let known = self.given.contains(addr) || self.learned.contains(addr);
            if !known && self.learned.len() < ADDRESSES_MAX {
                self.learned.push(addr.clone());
            }
        }
    }

    /// The next address in turn, and whether it is the last one of a round. `None` when there is none at all.
    pub(crate) fn take(&mut self) -> Option<(String, bool)> {
        let count = self.given.len() + self.learned.len();
        if self.next >= count {
            self.next = 0;
        }
        let addr = self.given.iter().chain(&self.learned).nth(self.next)?.clone();
        self.next += 1;
        Some((addr, self.next == count))
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{Boot, Incarnation, NodeId, NodeName};

    use super::*;

    fn member(mesh_addr: &str) -> Introduction {
        Introduction {
            id: NodeId(1),
            name: NodeName::new("a").unwrap(),
            incarnation: Incarnation(1),
            boot: Boot(1),
            mesh_addr: mesh_addr.into(),
            grpc_addr: String::new(),
        }
    }

    fn round(addresses: &mut Addresses) -> Vec<String> {
        let mut round = Vec::new();
        while let Some((addr, last)) = addresses.take() {
            round.push(addr);
            if last {
                break;
            }
        }
        round
    }

    #[test]
    fn given_ones_come_first_then_the_learned_ones_each_once_a_round() {
        let mut addresses = Addresses::new(vec!["a".into(), "b".into()]);
        assert_eq!(round(&mut addresses), ["a", "b"]);
        addresses.learn(&[member("b"), member("c"), member("c"), member("")]);
        assert_eq!(round(&mut addresses), ["c"], "what was just learned comes next");
        assert_eq!(round(&mut addresses), ["a", "b", "c"]);
        addresses.learn(&[member("d")]);
        assert_eq!(
            round(&mut addresses),
            ["a", "b", "d"],
            "a member that left is forgotten, a given address never"
        );
        assert_eq!(Addresses::default().take(), None);
    }
}
