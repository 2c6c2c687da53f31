//! The history of a cluster whose nodes kept journals, and what the checkers say of it.

use std::path::PathBuf;

use rustix::process::Signal;
use squall_chaos::invariant::{Id, Verdict, check};
use squall_chaos::record::{Marks, history_with};

use crate::rig::{Cluster, end};

/// Which invariants must have been judged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum All<'a> {
    /// Those with these numbers had nothing to judge; all others held.
    But(&'a [u8]),
}

impl Cluster {
    /// Ends all nodes in order, and judges what their journals and these marks tell.
    pub(crate) fn judge(&mut self, marks: &Marks) -> Vec<(Id, Verdict)> {
        for node in &mut self.nodes {
            if let Some(node) = node.take() {
                end(node, Signal::TERM);
            }
        }
        let history = history_with(&self.journals(), marks);
        check(&history.expect("journals of this run"))
    }

    fn journals(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dir.path()).expect("the directory is there");
        let paths = files.map(|file| file.expect("readable").path());
        paths
            .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
            .collect()
    }
}

/// Every invariant held, and was judged unless it is excepted.
pub(crate) fn held(verdicts: &[(Id, Verdict)], All::But(excepted): All<'_>) {
    for (id, verdict) in verdicts {
        match verdict {
            Verdict::Ok => {}
            Verdict::Unknown(_) if excepted.contains(&id.0) => {}
            broken => panic!("{id}: {broken}"),
        }
    }
}
