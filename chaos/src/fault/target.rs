//! On whom: names and roles of nodes, single links and shapes of many. A role is a person's word for whoever has it when the
//! fault is fired.
//!
//! What does not live here: who has a role now (`resolve`).

use std::fmt;

use super::cursor::{Cursor, shown};
use super::{Aim, Unreadable};

/// Deeper than anybody writes.
const DEPTH_MAX: usize = 8;
/// More than anybody lists.
const LISTED_MAX: usize = 64;

/// Whom a fault is aimed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nodes.
    Nodes(Nodes),
    /// Links.
    Links(Links),
}

/// Nodes, by name or by role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// The one of that name.
    Named(String),
    /// The owner of an exchange.
    Owner(String),
    /// The node of the leader among an exchange's handlers.
    Leader(String),
    /// A node with a handler of an exchange that does not lead; the first one by name.
    Follower(String),
    /// The leader of the registry.
    MetaLeader,
    /// As many voters as may be lost: the first ones by name, the meta leader not among them.
    Minority,
    /// All that are up.
    All,
    /// All that are up, and not on the other side.
    Rest,
    /// Each of these.
    Listed(Vec<Nodes>),
}

/// Links, each in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Links {
    /// From each of some nodes to each of others.
    Ways {
        /// Who sends.
        from: Nodes,
        /// Who receives.
        to: Nodes,
        /// And back.
        both: bool,
    },
    /// All between these nodes and the rest.
    Isolate(Nodes),
    /// All from these nodes to the rest: they hear, and are not heard.
    Mute(Nodes),
    /// All from the rest to these nodes: they are heard, and do not hear.
    Deaf(Nodes),
    /// All between two halves of the cluster; the first half by name is the smaller one.
    Halves,
    /// All between two halves of the others: only this node reaches both.
    Bridge(Nodes),
    /// All but those of neighbours: each node reaches the one before and the one behind it by name.
    Ring,
    /// All of these.
    Several(Vec<Links>),
}

impl Target {
    /// Reads what a fault is aimed at.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn parse(text: &str, aim: Aim) -> Result<Self, Unreadable> {
        let mut line = Cursor::new(text);
        let target = match aim {
            Aim::Nodes => Self::Nodes(listed(&mut line, 0)?),
            Aim::Links => Self::Links(several(&mut line)?),
        };
        line.end().map(|()| target)
    }
}

/// What comes next, or a list of such.
fn listed(line: &mut Cursor<'_>, depth: usize) -> Result<Nodes, Unreadable> {
    let mut all = vec![nodes(line, depth)?];
    while line.take(",") {
        if all.len() == LISTED_MAX {
            return Err(line.expected(&format!("at most {LISTED_MAX} in a list")));
        }
        all.push(nodes(line, depth)?);
    }
    let one = all.len() == 1;
    let first = if one { all.pop() } else { None };
    Ok(first.unwrap_or(Nodes::Listed(all)))
}

fn nodes(line: &mut Cursor<'_>, depth: usize) -> Result<Nodes, Unreadable> {
    if depth > DEPTH_MAX {
        return Err(line.expected("fewer parentheses"));
    }
    if line.take("(") {
        let inner = listed(line, depth + 1)?;
        return closed(line).map(|()| inner);
    }
    let Some(word) = line.name() else {
        return Err(line.expected("a node or a role, such as 'a', 'owner(orders)' or 'meta-leader'"));
    };
    if !line.take("(") {
        return Ok(match word {
            "meta-leader" => Nodes::MetaLeader,
            "minority" => Nodes::Minority,
            "all" => Nodes::All,
            "rest" => Nodes::Rest,
            name => Nodes::Named(name.to_owned()),
        });
    }
    let role: fn(String) -> Nodes = match word {
        "owner" => Nodes::Owner,
        "leader" => Nodes::Leader,
        "follower" => Nodes::Follower,
        "node" => Nodes::Named,
        _ => {
            let why = format!(
                "there is no role '{}(…)'; there are owner(EXCHANGE), leader(EXCHANGE), follower(EXCHANGE), node(NAME), \
                 meta-leader, minority, all and rest",
                shown(word)
            );
            return Err(line.expected("nothing").with(why));
        }
    };
    let Some(of) = line.name() else {
        return Err(line.expected("a name"));
    };
    closed(line).map(|()| role(of.to_owned()))
}

fn closed(line: &mut Cursor<'_>) -> Result<(), Unreadable> {
    match line.take(")") {
        true => Ok(()),
        false => Err(line.expected("')'")),
    }
}

/// What comes next, or several of such with semicolons.
fn several(line: &mut Cursor<'_>) -> Result<Links, Unreadable> {
    let mut all = vec![links(line)?];
    while line.take(";") {
        if all.len() == LISTED_MAX {
            return Err(line.expected(&format!("at most {LISTED_MAX} in a list")));
        }
        all.push(links(line)?);
    }
    let one = all.len() == 1;
    let first = if one { all.pop() } else { None };
    Ok(first.unwrap_or(Links::Several(all)))
}

fn links(line: &mut Cursor<'_>) -> Result<Links, Unreadable> {
    let shape: Option<fn(Nodes) -> Links> = [
        ("isolate(", Links::Isolate as fn(Nodes) -> Links),
        ("mute(", Links::Mute),
        ("deaf(", Links::Deaf),
        ("bridge(", Links::Bridge),
    ]
    .into_iter()
    .find_map(|(word, shape)| line.take(word).then_some(shape));
    if let Some(shape) = shape {
        let of = listed(line, 0)?;
        return closed(line).map(|()| shape(of));
    }
    let rest = line.rest();
    match rest.split(';').next().unwrap_or(rest).trim_end() {
        "halves" => return Ok(taken(line, "halves", Links::Halves)),
        "ring" => return Ok(taken(line, "ring", Links::Ring)),
        _ => {}
    }
    let from = listed(line, 0)?;
    let both = line.take("<->");
    if !both && !line.take("->") {
        return match line.rest() {
            // Nodes alone are all their links.
            rest if rest.is_empty() || rest.starts_with(';') => Ok(Links::Isolate(from)),
            _ => Err(line.expected("'->' or '<->'")),
        };
    }
    let to = listed(line, 0)?;
    Ok(Links::Ways { from, to, both })
}

fn taken(line: &mut Cursor<'_>, word: &str, links: Links) -> Links {
    let _there = line.take(word);
    links
}

impl Unreadable {
    fn with(self, why: String) -> Self {
        Self { why, ..self }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(nodes) => write!(f, "{nodes}"),
            Self::Links(links) => write!(f, "{links}"),
        }
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) if matches!(name.as_str(), "meta-leader" | "minority" | "all" | "rest") => {
                write!(f, "node({name})")
            }
            Self::Named(name) => f.write_str(name),
            Self::Owner(of) => write!(f, "owner({of})"),
            Self::Leader(of) => write!(f, "leader({of})"),
            Self::Follower(of) => write!(f, "follower({of})"),
            Self::MetaLeader => f.write_str("meta-leader"),
            Self::Minority => f.write_str("minority"),
            Self::All => f.write_str("all"),
            Self::Rest => f.write_str("rest"),
            Self::Listed(all) => {
                for (place, one) in all.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    match one {
                        Self::Listed(_) => write!(f, "{comma}({one})")?,
                        _ => write!(f, "{comma}{one}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ways { from, to, both } => {
                write!(f, "{from} {} {to}", if *both { "<->" } else { "->" })
            }
            Self::Isolate(nodes) => write!(f, "isolate({nodes})"),
            Self::Mute(nodes) => write!(f, "mute({nodes})"),
            Self::Deaf(nodes) => write!(f, "deaf({nodes})"),
            Self::Halves => f.write_str("halves"),
            Self::Bridge(node) => write!(f, "bridge({node})"),
            Self::Ring => f.write_str("ring"),
            Self::Several(all) => {
                for (place, one) in all.iter().enumerate() {
                    let semicolon = if place == 0 { "" } else { "; " };
                    write!(f, "{semicolon}{one}")?;
                }
                Ok(())
            }
        }
    }
}
