//! Who that is now: targets on the cluster as it is seen when a fault is fired. Pure, and the same in the observer, on the
//! command line, in a scenario and in the simulator.
//!
//! What does not live here: looking at the cluster.

use squall_kernel::fault::LinkFault;
use squall_observer::console::{Picture, PictureExchange};

use super::act::Act;
use super::target::{Links, Nodes, Target};
use super::{Aim, Fault};

/// Nobody is there whom the target means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No such node.
    #[error("unknown node '{node}'; known are {}", .known.join(", "))]
    Node {
        /// Name.
        node: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// No such exchange.
    #[error("unknown exchange '{exchange}'; known are {}", .known.join(", "))]
    Exchange {
        /// Name.
        exchange: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// Nobody has the role.
    #[error("{role}: there is none now")]
    Nobody {
        /// The role.
        role: String,
    },
    /// A role of one side only makes sense beside another side.
    #[error("'rest' means those that are not on the other side of a link: there is no other side here")]
    RestAlone,
    /// The target has no links.
    #[error("{target} has no links now: a link needs two different nodes that are up")]
    NoLinks {
        /// The target.
        target: String,
    },
    /// A fault on nodes was aimed at links, or the other way round.
    #[error("'{fault}' is aimed at {}", if matches!(.wants, Aim::Nodes) { "nodes, not at links" } else { "links, not at nodes" })]
    Aim {
        /// Fault.
        fault: String,
        /// What it is aimed at.
        wants: Aim,
    },
}

impl Fault {
    /// What it comes to when it is fired at that target now.
    ///
    /// # Errors
    /// [`Unresolved`] says whom the cluster does not have.
    pub fn at(&self, target: &Target, picture: &Picture) -> Result<Vec<Act>, Unresolved> {
        match (self, target) {
            (Self::Node(deed), Target::Nodes(nodes)) => {
                let nodes = nodes.names(picture)?.into_iter();
                Ok(nodes.map(|node| Act::Node { node, deed: *deed }).collect())
            }
            (Self::Link(what), Target::Links(links)) => on_links(&[*what], links, picture),
            (Self::Profile(profile), Target::Links(links)) => on_links(&profile.faults(), links, picture),
            (Self::Held(kind), Target::Nodes(nodes)) => {
                let nodes = nodes.names(picture)?.into_iter();
                let hold = |node| Act::Hold {
                    node,
                    kind: kind.clone(),
                };
                Ok(nodes.map(hold).collect())
            }
            _ => Err(Unresolved::Aim {
                fault: self.to_string(),
                wants: self.aim(),
            }),
        }
    }
}

fn on_links(faults: &[LinkFault], links: &Links, picture: &Picture) -> Result<Vec<Act>, Unresolved> {
    let ways = links.ways(picture)?;
    let acts = ways.into_iter().flat_map(|(from, to)| {
        faults.iter().map(move |what| Act::Link {
            from: from.clone(),
            to: to.clone(),
            what: *what,
        })
    });
    Ok(acts.collect())
}

impl Nodes {
    /// Their names, each once.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn names(&self, picture: &Picture) -> Result<Vec<String>, Unresolved> {
        self.beside(&[], picture)
    }

    fn beside(&self, other_side: &[String], picture: &Picture) -> Result<Vec<String>, Unresolved> {
        let nobody = || Unresolved::Nobody {
            role: self.to_string(),
        };
        let one = |name: Option<String>| name.map(|name| vec![name]).ok_or_else(nobody);
        match self {
            Self::Named(name) => known(name, picture).map(|name| vec![name]),
            Self::Owner(of) => one(exchange(of, picture)?.owner.clone()),
            Self::Leader(of) => one(exchange(of, picture)?.leader.clone()),
            Self::Follower(of) => one(follower(exchange(of, picture)?, picture)),
            Self::MetaLeader => one(picture.meta_leader.clone()),
            Self::Minority => some(minority(picture)).ok_or_else(nobody),
            Self::All => some(up(picture)).ok_or_else(nobody),
            Self::Rest if other_side.is_empty() => Err(Unresolved::RestAlone),
            Self::Rest => some(without(up(picture), other_side)).ok_or_else(nobody),
            Self::Listed(all) => {
                let mut names = Vec::new();
                for one in all {
                    let found = one.beside(other_side, picture)?;
                    names.extend(without(found, &names));
                }
                Ok(names)
            }
        }
    }
}

impl Links {
    /// Who sends to whom, each way once.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn ways(&self, picture: &Picture) -> Result<Vec<(String, String)>, Unresolved> {
        let ways = match self {
            Self::Ways { from, to, both } => {
                let (from, to) = match from {
                    Nodes::Rest => {
                        let to = to.names(picture)?;
                        (from.beside(&to, picture)?, to)
                    }
                    _ => {
                        let from = from.names(picture)?;
                        let to = to.beside(&from, picture)?;
                        (from, to)
                    }
                };
                between(&from, &to, *both)
            }
            Self::Isolate(nodes) => apart(&nodes.names(picture)?, picture, true, true),
            Self::Mute(nodes) => apart(&nodes.names(picture)?, picture, true, false),
            Self::Deaf(nodes) => apart(&nodes.names(picture)?, picture, false, true),
            Self::Halves => {
                let (one, other) = halves(&up(picture));
                between(&one, &other, true)
            }
            Self::Bridge(nodes) => {
                let (one, other) = halves(&without(up(picture), &nodes.names(picture)?));
                between(&one, &other, true)
            }
            Self::Ring => ring(&up(picture)),
            Self::Several(all) => {
                let mut ways = Vec::new();
                for one in all {
                    let found = one.ways(picture)?;
                    ways.extend(
                        found
                            .into_iter()
                            .filter(|way| !ways.contains(way))
                            .collect::<Vec<_>>(),
                    );
                }
                ways
            }
        };
        some(ways).ok_or_else(|| Unresolved::NoLinks {
            target: self.to_string(),
        })
    }
}

fn some<T>(found: Vec<T>) -> Option<Vec<T>> {
    (!found.is_empty()).then_some(found)
}

fn known(name: &str, picture: &Picture) -> Result<String, Unresolved> {
    let names = || picture.nodes.iter().map(|node| node.name.clone());
    names()
        .find(|known| known == name)
        .ok_or_else(|| Unresolved::Node {
            node: name.to_owned(),
            known: names().collect(),
        })
}

fn exchange<'p>(name: &str, picture: &'p Picture) -> Result<&'p PictureExchange, Unresolved> {
    let found = picture.exchanges.iter().find(|exchange| exchange.name == name);
    found.ok_or_else(|| Unresolved::Exchange {
        exchange: name.to_owned(),
        known: picture
            .exchanges
            .iter()
            .map(|exchange| exchange.name.clone())
            .collect(),
    })
}

/// Where it is not known who has handlers, whoever does not own the exchange.
fn follower(exchange: &PictureExchange, picture: &Picture) -> Option<String> {
    let up = up(picture);
    let handled = up.iter().filter(|node| exchange.handlers.contains(node));
    let follows = |node: &&String| exchange.leader.as_ref() != Some(node);
    let not_owner = |node: &&String| exchange.owner.as_ref() != Some(node);
    let found = handled.filter(|node| follows(node)).find(|_| true);
    found
        .or_else(|| up.iter().filter(|node| follows(node)).find(not_owner))
        .cloned()
}

/// Those that are up, by name.
fn up(picture: &Picture) -> Vec<String> {
    let nodes = picture.nodes.iter().filter(|node| node.up);
    let mut names: Vec<String> = nodes.map(|node| node.name.clone()).collect();
    names.sort();
    names
}

fn minority(picture: &Picture) -> Vec<String> {
    let voters = picture.nodes.iter().filter(|node| node.voter);
    let lost_max = voters.clone().count().saturating_sub(1) / 2;
    let down = voters.clone().filter(|node| !node.up).count();
    let mut names: Vec<String> = voters
        .filter(|node| node.up && picture.meta_leader.as_ref() != Some(&node.name))
        .map(|node| node.name.clone())
        .collect();
    names.sort();
    names.truncate(lost_max.saturating_sub(down));
    names
}

fn without(names: Vec<String>, these: &[String]) -> Vec<String> {
    names.into_iter().filter(|name| !these.contains(name)).collect()
}

fn halves(names: &[String]) -> (Vec<String>, Vec<String>) {
    let (one, other) = names.split_at(names.len() / 2);
    (one.to_vec(), other.to_vec())
}

fn between(from: &[String], to: &[String], both: bool) -> Vec<(String, String)> {
    let mut ways = Vec::new();
    let mut add = |from: &String, to: &String| {
        let way = (from.clone(), to.clone());
        if from != to && !ways.contains(&way) {
            ways.push(way);
        }
    };
    for one in from {
        for other in to {
            add(one, other);
            if both {
                add(other, one);
            }
        }
    }
    ways
}

fn apart(nodes: &[String], picture: &Picture, out: bool, back: bool) -> Vec<(String, String)> {
    let rest = without(up(picture), nodes);
    let mut ways = if out {
        between(nodes, &rest, false)
    } else {
        Vec::new()
    };
    if back {
        ways.extend(between(&rest, nodes, false));
    }
    ways
}

fn ring(names: &[String]) -> Vec<(String, String)> {
    let count = names.len();
    let neighbours = |a: usize, b: usize| a.abs_diff(b) == 1 || a.abs_diff(b) + 1 == count;
    let ways = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
    ways.filter(|(a, b)| a != b && !neighbours(*a, *b))
        .map(|(a, b)| (names[a].clone(), names[b].clone()))
        .collect()
}
