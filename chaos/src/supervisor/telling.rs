//! Tells the judge of the nodes' processes: which journals there are, and what no journal has. What does not live here: judging
//! (`judge`), and what happens to processes (`roster`).

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use squall_kernel::id::NodeName;
use squall_kernel::time::Span;
use squall_node::clock::machine_now;

use super::order::Deed;
use crate::judge::{Happened, Judge};
use crate::limits::TTL_MAX;

/// A busy machine may take so long to start a process whose time has come.
const START_WITHIN: Span = Span::from_ms(5_000);

/// What is known of one node's process.
#[derive(Debug, Default)]
struct Known {
    journal: Option<PathBuf>,
    /// What it was ordered to end by.
    ordered: Option<Deed>,
    /// The pause that holds it.
    pause: Option<u64>,
    /// What keeps it down.
    down: Option<u64>,
}

/// Tells a judge.
#[derive(Debug)]
pub(super) struct Telling {
    /// Nobody, where nobody judges.
    judge: Option<Judge>,
    nodes: HashMap<NodeName, Known>,
    told: u64,
}

impl Telling {
    pub(super) fn new(judge: Option<Judge>) -> Self {
        Self {
            judge,
            nodes: HashMap::new(),
            told: 0,
        }
    }

    /// A run begins, and keeps this journal.
    pub(super) fn begins(&mut self, node: &NodeName, path: &Path, file: File) {
        if let Some(judge) = &self.judge {
            judge.journal(node, path.to_owned(), file);
        }
        self.known(node).journal = Some(path.to_owned());
    }

    /// Its process runs.
    pub(super) fn started(&mut self, node: &NodeName) {
        let known = self.known(node);
        let down = known.down.take();
        // A restart of a node that is down ends nothing.
        known.ordered = None;
        self.over(node, down);
    }

    /// It is to be acted on.
    pub(super) fn ordered(&mut self, node: &NodeName, deed: Deed) {
        let ends = !matches!(deed, Deed::Pause | Deed::Resume);
        if ends {
            self.known(node).ordered = Some(deed);
        }
    }

    /// It stands still for so long, from now on.
    pub(super) fn paused(&mut self, node: &NodeName, ttl: Span) {
        let before = self.known(node).pause.take();
        let stood_still = before.is_some();
        self.over(node, before);
        let id = self.began(node, format!("{} {node}", Deed::Pause), ttl);
        if !stood_still {
            self.happened(node, Happened::Paused);
        }
        self.known(node).pause = Some(id);
    }

    /// It goes on.
    pub(super) fn resumed(&mut self, node: &NodeName) {
        let pause = self.known(node).pause.take();
        if pause.is_some() {
            self.happened(node, Happened::Resumed);
        }
        self.over(node, pause);
    }

    /// It has ended, and is started again after that time; never without one. Gives the journal that it kept.
    pub(super) fn exited(&mut self, node: &NodeName, restart_in: Option<Span>) -> Option<PathBuf> {
        self.resumed(node);
        let known = self.known(node);
        let (journal, ordered) = (known.journal.take(), known.ordered.take());
        if let Some(deed) = ordered {
            let started = Span(restart_in.unwrap_or(TTL_MAX).0 + START_WITHIN.0);
            let id = self.began(node, format!("{deed} {node}"), started);
            self.known(node).down = Some(id);
        }
        if let (Some(judge), Some(journal)) = (&self.judge, &journal) {
            judge.over(journal.clone());
        }
        journal
    }

    fn began(&mut self, node: &NodeName, text: String, ttl: Span) -> u64 {
        self.told += 1;
        let began = Happened::Began {
            id: self.told,
            text,
            ends_by: machine_now() + ttl,
        };
        self.happened(node, began);
        self.told
    }

    fn over(&self, node: &NodeName, id: Option<u64>) {
        if let Some(id) = id {
            self.happened(node, Happened::Over { id });
        }
    }

    fn happened(&self, node: &NodeName, what: Happened) {
        if let Some(judge) = &self.judge {
            judge.happened(node, what);
        }
    }

    fn known(&mut self, node: &NodeName) -> &mut Known {
        self.nodes.entry(node.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling() -> (Telling, NodeName, impl FnMut() -> Vec<String>) {
        let (judge, told) = Judge::overheard();
        (Telling::new(Some(judge)), "a".parse().expect("a name"), told)
    }

    #[test]
    fn a_stop_that_takes_longer_than_it_was_to_last_is_over_with_the_next_start() {
        let (mut telling, a, mut told) = telling();
        telling.ordered(&a, Deed::Stop { stay_down: false });
        assert_eq!(told(), [""; 0], "it has not stopped yet");
        telling.exited(&a, Some(Span::ZERO));
        telling.started(&a);
        assert_eq!(told(), ["a: 1 began, stop a, about 5 s", "a: Over { id: 1 }"]);
    }

    #[test]
    fn a_restart_of_a_node_that_is_down_is_not_taken_for_what_ends_it_later() {
        let (mut telling, a, mut told) = telling();
        telling.ordered(&a, Deed::Restart);
        telling.started(&a);
        telling.exited(&a, None);
        assert_eq!(told(), [""; 0]);
    }

    #[test]
    fn a_node_that_ends_by_itself_was_struck_by_nobody() {
        let (mut telling, a, mut told) = telling();
        telling.exited(&a, Some(Span::from_ms(200)));
        telling.started(&a);
        assert_eq!(told(), [""; 0]);
    }

    #[test]
    fn a_pause_that_is_lengthened_goes_on_and_ends_once_also_when_the_node_is_killed() {
        let (mut telling, a, mut told) = telling();
        telling.paused(&a, Span::from_ms(2_000));
        telling.paused(&a, Span::from_ms(9_000));
        assert_eq!(
            told(),
            [
                "a: 1 began, pause a, about 2 s",
                "a: Paused",
                "a: Over { id: 1 }",
                "a: 2 began, pause a, about 9 s"
            ]
        );
        telling.ordered(&a, Deed::Kill { stay_down: true });
        telling.exited(&a, None);
        let down = told();
        assert_eq!(down[..2], ["a: Resumed", "a: Over { id: 2 }"]);
        assert!(
            down[2].starts_with("a: 3 began, kill stay-down a, about "),
            "{down:?}"
        );
        telling.resumed(&a);
        assert_eq!(told(), [""; 0]);
    }
}
