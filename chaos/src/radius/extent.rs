//! How far deeds reach: nodes that are gone, links that are worse, who is cut off, and whether a majority is left. What does
//! not live here: words for it.

use std::collections::BTreeSet;

use squall_kernel::fault::LinkFault;
use squall_observer::console::{Picture, PictureNode};

use crate::fault::Act;

/// How far deeds reach when they are done together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// Nodes that were up and are gone.
    pub gone: Vec<String>,
    /// Nodes that hold a fault for themselves.
    pub held: Vec<String>,
    /// Links that are worse, each way once.
    pub ways: Vec<(String, String)>,
    /// Nodes that are up and that no majority of voters answers any more.
    pub cut_off: Vec<String>,
    /// No voter reaches a majority of them both ways.
    pub quorum_lost: bool,
    /// Exchanges that stand still: all without a quorum, otherwise those whose owner is gone or cut off, until they have
    /// another one.
    pub stalled: Vec<String>,
}

impl Extent {
    /// Of these deeds on the cluster of `picture`.
    #[must_use]
    pub fn of(acts: &[Act], picture: &Picture) -> Self {
        let (mut gone, mut held) = (BTreeSet::new(), BTreeSet::new());
        let (mut ways, mut cuts) = (Vec::new(), BTreeSet::new());
        for act in acts {
            match act {
                Act::Node { node, deed } if deed.takes_away() && is_up(node, picture) => {
                    gone.insert(node.clone());
                }
                Act::Node { .. } => {}
                Act::Hold { node, .. } => {
                    held.insert(node.clone());
                }
                Act::Link { from, to, what } => {
                    let way = (from.clone(), to.clone());
                    if *what == LinkFault::Cut {
                        cuts.insert(way.clone());
                    }
                    if !ways.contains(&way) {
                        ways.push(way);
                    }
                }
            }
        }
        let left = Left {
            picture,
            gone: &gone,
            cuts: &cuts,
        };
        let quorum_lost = left.quorum_lost(acts);
        let cut_off: Vec<String> = if cuts.is_empty() {
            Vec::new()
        } else {
            left.cut_off()
        };
        let stalled = stalled(picture, quorum_lost, &gone, &cut_off);
        Self {
            gone: gone.into_iter().collect(),
            held: held.into_iter().collect(),
            ways,
            cut_off,
            quorum_lost,
            stalled,
        }
    }

    /// Every node that has anything to do with it.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<&str> {
        let ends = self.ways.iter().map(|(from, _)| from.as_str());
        let own = self.gone.iter().chain(&self.held);
        own.map(String::as_str).chain(ends).collect()
    }
}

fn is_up(node: &str, picture: &Picture) -> bool {
    let found = picture.nodes.iter().find(|member| member.name == node);
    found.is_none_or(|member| member.up)
}

fn stalled(picture: &Picture, quorum_lost: bool, gone: &BTreeSet<String>, cut_off: &[String]) -> Vec<String> {
    let stands = |owner: Option<&String>| {
        quorum_lost || owner.is_some_and(|owner| gone.contains(owner) || cut_off.contains(owner))
    };
    let exchanges = picture.exchanges.iter();
    let stalled = exchanges.filter(|exchange| stands(exchange.owner.as_ref()));
    stalled.map(|exchange| exchange.name.clone()).collect()
}

/// What is left of a cluster.
struct Left<'l> {
    picture: &'l Picture,
    gone: &'l BTreeSet<String>,
    cuts: &'l BTreeSet<(String, String)>,
}

impl<'l> Left<'l> {
    fn up(&self) -> impl Iterator<Item = &'l PictureNode> {
        let gone = self.gone;
        self.picture
            .nodes
            .iter()
            .filter(move |node| node.up && !gone.contains(&node.name))
    }

    fn majority(&self) -> usize {
        self.picture.nodes.iter().filter(|node| node.voter).count() / 2 + 1
    }

    /// Voters that a node reaches both ways, itself among them.
    fn reached(&self, node: &PictureNode) -> usize {
        let cut = |from: &str, to: &str| self.cuts.contains(&(from.to_owned(), to.to_owned()));
        let reaches = |other: &&PictureNode| {
            other.voter && !cut(&node.name, &other.name) && !cut(&other.name, &node.name)
        };
        self.up().filter(reaches).count()
    }

    /// Deeds that take nothing away and cut nothing lose no quorum, even where there is none.
    fn quorum_lost(&self, acts: &[Act]) -> bool {
        let harmless = self.cuts.is_empty() && !acts.iter().any(takes_away);
        let nobody_votes = !self.picture.nodes.iter().any(|node| node.voter);
        if harmless || nobody_votes || (self.cuts.is_empty() && self.gone.is_empty()) {
            return false;
        }
        !self
            .up()
            .filter(|node| node.voter)
            .any(|node| self.reached(node) >= self.majority())
    }

    fn cut_off(&self) -> Vec<String> {
        let off = self.up().filter(|node| self.reached(node) < self.majority());
        off.map(|node| node.name.clone()).collect()
    }
}

fn takes_away(act: &Act) -> bool {
    matches!(act, Act::Node { deed, .. } if deed.takes_away())
}

/// The voters without those that are gone.
pub(super) struct Quorum {
    voters: usize,
    left: usize,
    before: usize,
}

impl Quorum {
    pub(super) fn without(gone: &[String], picture: &Picture) -> Self {
        let voters = || picture.nodes.iter().filter(|member| member.voter);
        let up = || voters().filter(|member| member.up);
        Self {
            voters: voters().count(),
            left: up().filter(|member| !gone.contains(&member.name)).count(),
            before: up().count(),
        }
    }

    pub(super) fn words(&self, gone: &[String], picture: &Picture) -> String {
        let Self { voters, left, before } = self;
        let majority = voters / 2 + 1;
        let count = format!("{left} of {voters} voters left");
        let votes = |node: &String| picture.nodes.iter().any(|m| m.name == *node && m.voter);
        if *voters == 0 {
            "the voters are not known: the quorum may be lost".to_owned()
        } else if *before < majority {
            format!("{count}: the quorum is LOST already")
        } else if *left < majority {
            format!("{count}: quorum LOST, the registry stands still")
        } else if !gone.iter().any(votes) {
            match gone {
                [one] => format!("{one} does not vote: quorum unchanged"),
                _ => "none of them votes: quorum unchanged".to_owned(),
            }
        } else if *left == majority {
            format!("{count}: quorum holds, the next loss breaks it")
        } else {
            format!("{count}: quorum holds")
        }
    }
}
