//! Faults as people read them.
//!
//! What does not live here: what they do.

use std::fmt;

use squall_kernel::time::Span;

use super::{Seat, SimFault};

impl fmt::Display for SimFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { node } => write!(f, "crash {node}"),
            Self::Stop { node } => write!(f, "stop {node}"),
            Self::Pause { node } => write!(f, "pause {node}"),
            Self::ClockSkew { node, ppm } => write!(f, "clock of {node} runs {ppm:+} ppm"),
            Self::ClockStep { node, ms } => write!(f, "calendar of {node} jumps {ms:+} ms"),
            Self::Cut { from, to } => write!(f, "cut {from} to {to}"),
            Self::CutBoth { a, b } => write!(f, "cut {a} and {b}"),
            Self::Isolate { node } => write!(f, "isolate {node}"),
            Self::OneWay { node, mute: true } => write!(f, "{node} hears and is not heard"),
            Self::OneWay { node, mute: false } => write!(f, "{node} is heard and does not hear"),
            Self::Split { side } => write!(f, "split off {}", names(side)),
            Self::Bridge { node, side } => write!(f, "only {node} reaches both {} and the rest", names(side)),
            Self::Delay { from, to, by, jitter } => write!(f, "delay {from} to {to} by {by} + {jitter}"),
            Self::Slow { node, by } => write!(f, "delay all of {node} by {by}"),
            Self::Loss { from, to, per_mille } => write!(f, "lose {per_mille} ‰ from {from} to {to}"),
            Self::Duplicate { from, to, per_mille } => write!(f, "repeat {per_mille} ‰ from {from} to {to}"),
            Self::Clog { from, to, stall } => write!(f, "clog {from} to {to} for {stall} at a time"),
            Self::Reorder {
                from,
                to,
                per_mille,
                by,
            } => write!(f, "{per_mille} ‰ from {from} to {to} overtaken by {by}"),
            Self::Corrupt { from, to, per_mille } => {
                write!(f, "change a bit in {per_mille} ‰ from {from} to {to}")
            }
            Self::Rate {
                from,
                to,
                bytes_per_s,
            } => write!(f, "{from} to {to} carries {bytes_per_s} bytes a second"),
            Self::Reset { from, to, every } if *every == Span::ZERO => write!(f, "break {from} to {to}"),
            Self::Reset { from, to, every } => write!(f, "break {from} to {to} every {every}"),
            Self::Limit { from, to, bytes } => write!(f, "break {from} to {to} after {bytes} bytes"),
            Self::Written { from, to, what } => write!(f, "{what} from {from} to {to}"),
            Self::SlowDisk { node, by } => write!(f, "disk of {node} slower by {by}"),
            Self::FullDisk { node } => write!(f, "disk of {node} full"),
        }
    }
}

fn names(seats: &[Seat]) -> String {
    let names: Vec<String> = seats.iter().map(Seat::to_string).collect();
    names.join(", ")
}
