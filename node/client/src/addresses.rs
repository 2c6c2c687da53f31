//! Which address to try next: those given, then those learned, and last those of nodes that sent the client away. Pure.

use squall_kernel::registry::Introduction;

use crate::limits::ADDRESSES_MAX;

/// The addresses of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Addresses {
    given: Vec<String>,
    learned: Vec<String>,
    /// Addresses of nodes that sent the client away; a part of the others.
    away: Vec<String>,
    next: usize,
}

impl Addresses {
    pub(crate) fn new(given: Vec<String>) -> Self {
        Self {
            given,
            learned: Vec::new(),
            away: Vec::new(),
            next: 0,
        }
    }

    /// The node at these addresses, which may be written differently, sends the client away: a round begins with all the
    /// others and ends with it.
    pub(crate) fn sent_away(&mut self, from: &[&str]) {
        for addr in from {
            let known = self.given.iter().chain(&self.learned).any(|a| a == addr);
            if known && !self.away.iter().any(|a| a == addr) {
                self.away.push((*addr).to_owned());
            }
        }
        self.next = 0;
    }

    /// The node at these addresses serves the client: it is as good as any other again. When it is lost, those that sent
    /// the client away still come last.
    pub(crate) fn serves(&mut self, at: &[&str]) {
        self.away.retain(|away| !at.contains(&away.as_str()));
        if !self.away.is_empty() {
            self.next = 0;
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
        let (given, learned) = (&self.given, &self.learned);
        self.away
            .retain(|away| given.contains(away) || learned.contains(away));
    }

    /// The next address in turn, and whether it is the last one of a round. `None` when there is none at all.
    pub(crate) fn take(&mut self) -> Option<(String, bool)> {
        let count = self.given.len() + self.learned.len();
        if self.next >= count {
            self.next = 0;
        }
        let all = || self.given.iter().chain(&self.learned);
        let (near, away) = (all().filter(|a| !self.away.contains(a)), all());
        let away = away.filter(|a| self.away.contains(a));
        let addr = near.chain(away).nth(self.next)?.clone();
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
            functions: Vec::new(),
            zone: None,
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

    #[test]
    fn a_node_that_sent_the_client_away_is_tried_last_until_it_serves_again() {
        let mut addresses = Addresses::new(vec!["localhost:1".into(), "b".into()]);
        addresses.learn(&[member("127.0.0.1:1"), member("c")]);
        addresses.sent_away(&["localhost:1", "127.0.0.1:1"]);
        assert_eq!(round(&mut addresses), ["b", "c", "localhost:1", "127.0.0.1:1"]);
        addresses.sent_away(&["b", "elsewhere"]);
        assert_eq!(round(&mut addresses), ["c", "localhost:1", "b", "127.0.0.1:1"]);
        assert_eq!(addresses.take(), Some(("c".into(), false)));
        addresses.serves(&["c"]);
        assert_eq!(round(&mut addresses), ["c", "localhost:1", "b", "127.0.0.1:1"]);
        addresses.serves(&["localhost:1", "127.0.0.1:1"]);
        assert_eq!(round(&mut addresses), ["localhost:1", "127.0.0.1:1", "c", "b"]);
        addresses.learn(&[member("c")]);
        assert_eq!(
            round(&mut addresses),
            ["localhost:1", "c", "b"],
            "what left is forgotten"
        );
    }
}
