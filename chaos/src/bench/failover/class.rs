//! The classes of failover, and the shapes in which each is brought about. What does not live here: what is expected of
//! them (`goal`), and doing it (`strike`).

use serde::{Serialize, Serializer};

/// What happens to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The owner is asked to end.
    G0,
    /// The owner is killed; another node is meta leader.
    G1,
    /// The owner is killed, and was meta leader too.
    G1m,
    /// The meta leader is killed or paused; another node owns the exchange.
    G1o,
    /// The owner is paused, and goes on when another one owns the exchange.
    G2,
    /// The owner's links are cut.
    G3,
    /// The owner's links become slow.
    G4,
    /// The owner's links lose some of what goes over them, for a minute.
    G4l,
    /// Three nodes found a cluster; and three nodes with data start again.
    G5,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// The only one there is.
    Plain,
    /// The meta leader is killed.
    Kill,
    /// The meta leader is paused.
    Pause,
    /// Nothing gets through from the owner.
    Outgoing,
    /// Nothing gets through to the owner.
    Incoming,
    /// Nothing gets through either way.
    Both,
    /// Another node than the owner is meta leader.
    Apart,
    /// The owner is meta leader too.
    Leader,
    /// Data directories are empty.
    Founding,
    /// There are data.
    Restart,
}

impl Class {
    /// All, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::G0,
        Self::G1,
        Self::G1m,
        Self::G1o,
        Self::G2,
        Self::G3,
        Self::G4,
        Self::G4l,
        Self::G5,
    ];

    /// Those of which a trial takes seconds.
    #[must_use]
    pub fn quick() -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|class| *class != Self::G4l)
            .collect()
    }

    /// The class's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::G0 => "G0",
            Self::G1 => "G1",
            Self::G1m => "G1m",
            Self::G1o => "G1o",
            Self::G2 => "G2",
            Self::G3 => "G3",
            Self::G4 => "G4",
            Self::G4l => "G4l",
            Self::G5 => "G5",
        }
    }

    /// Its shapes, which take turns.
    #[must_use]
    pub const fn shapes(self) -> &'static [Shape] {
        match self {
            Self::G0 | Self::G1 | Self::G1m | Self::G2 => &[Shape::Plain],
            Self::G1o => &[Shape::Kill, Shape::Pause],
            Self::G3 => &[Shape::Outgoing, Shape::Incoming, Shape::Both],
            Self::G4 | Self::G4l => &[Shape::Apart, Shape::Leader],
            Self::G5 => &[Shape::Founding, Shape::Restart],
        }
    }

    /// True when the node that is struck has to be meta leader.
    pub(super) const fn strikes_leader(self, shape: Shape) -> bool {
        matches!(
            (self, shape),
            (Self::G1m | Self::G1o, _) | (Self::G4 | Self::G4l, Shape::Leader)
        )
    }
}

impl Shape {
    /// The shape's word; none where the class has no other.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
            Self::Both => "both",
            Self::Apart => "owner",
            Self::Leader => "owner+leader",
            Self::Founding => "founding",
            Self::Restart => "restart",
        }
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One trial to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Number, from 0.
    pub(super) number: u32,
    /// Class.
    pub(super) class: Class,
    /// Shape.
    pub(super) shape: Shape,
    /// How often the class had its turn before.
    pub(super) round: u32,
}

/// `trials` of each class, the classes taking turns so that a bad minute of the machine hits all alike; a class with
/// several shapes takes them in turn. Those that need clusters of their own come last.
pub(super) fn plan(classes: &[Class], trials: u32) -> Vec<Turn> {
    let (last, first): (Vec<Class>, Vec<Class>) = classes.iter().partition(|class| **class == Class::G5);
    let mut turns = Vec::new();
    for group in [first, last] {
        for round in 0..trials {
            for class in &group {
                turns.push(turn(turns.len(), *class, round));
            }
        }
    }
    turns
}

/// So many kills of owners, every second of a meta leader.
pub(super) fn plan_kills(kills: u32) -> Vec<Turn> {
    let class = |number: u32| {
        if number.is_multiple_of(2) {
            Class::G1
        } else {
            Class::G1m
        }
    };
    (0..kills)
        .map(|number| turn(number as usize, class(number), number / 2))
        .collect()
}

fn turn(number: usize, class: Class, round: u32) -> Turn {
    let shapes = class.shapes();
    // A cluster that was founded is the one that starts again: one turn gives both.
    let shape = if class == Class::G5 {
        0
    } else {
        round as usize % shapes.len()
    };
    Turn {
        number: u32::try_from(number).unwrap_or(u32::MAX),
        class,
        shape: shapes[shape],
        round,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_their_shapes_take_turns_and_new_clusters_come_last() {
        let turns = plan(&[Class::G5, Class::G1, Class::G3], 3);
        let words: Vec<String> = turns
            .iter()
            .map(|turn| format!("{}{}", turn.class.as_str(), turn.shape.as_str()))
            .collect();
        assert_eq!(
            words,
            [
                "G1",
                "G3outgoing",
                "G1",
                "G3incoming",
                "G1",
                "G3both",
                "G5founding",
                "G5founding",
                "G5founding"
            ]
        );
        assert!(turns.iter().zip(0..).all(|(turn, number)| turn.number == number));
    }

    #[test]
    fn kills_alternate_between_owners_and_owners_that_lead() {
        let classes: Vec<Class> = plan_kills(3).iter().map(|turn| turn.class).collect();
        assert_eq!(classes, [Class::G1, Class::G1m, Class::G1]);
    }
}
