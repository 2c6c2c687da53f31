//! The words of faults: what may be written, and how it is read. What does not live here: amounts (`amount`), and which of
//! them the kernel takes.

use squall_kernel::fault::{Latency, LinkFault, Shape};
use squall_kernel::time::Span;

use super::act::NodeDeed;
use super::amount;
use super::cursor::{Cursor, shown};
use super::held_words::held;
use super::profile::LinkProfile;
use super::{Aim, Fault, Unreadable};

/// How a fault is written, and what it does, in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Its word.
    pub word: &'static str,
    /// All of it, with names for what is to be put in.
    pub form: &'static str,
    /// One that can be fired as it stands.
    pub example: &'static str,
    /// What it is aimed at.
    pub aim: Aim,
    /// What it does.
    pub does: &'static str,
}

const fn form(
    word: &'static str,
    form: &'static str,
    example: &'static str,
    aim: Aim,
    does: &'static str,
) -> Form {
    Form {
        word,
        form,
        example,
        aim,
        does,
    }
}

/// All faults, in the order in which they are offered.
pub const FORMS: &[Form] = &[
    form(
        "kill",
        "kill [stay-down]",
        "kill",
        Aim::Nodes,
        "SIGKILL; started again when the time is over",
    ),
    form(
        "stop",
        "stop [stay-down]",
        "stop",
        Aim::Nodes,
        "SIGTERM: hands over and leaves; started again when the time is over",
    ),
    form(
        "pause",
        "pause",
        "pause",
        Aim::Nodes,
        "SIGSTOP; goes on when the time is over",
    ),
    form(
        "restart",
        "restart",
        "restart",
        Aim::Nodes,
        "SIGKILL, and started again at once",
    ),
    form(
        "wipe",
        "wipe",
        "wipe",
        Aim::Nodes,
        "SIGKILL; started again without its data: a node that nobody knows",
    ),
    form(
        "cut",
        "cut",
        "cut",
        Aim::Links,
        "nothing passes; what is held back flows when it ends",
    ),
    form(
        "delay",
        "delay TIME [±JITTER [normal] | +JITTER exponential]",
        "delay 200ms ±50ms",
        Aim::Links,
        "everything comes later, in order",
    ),
    form(
        "loss",
        "loss SHARE",
        "loss 5%",
        Aim::Links,
        "lost as TCP feels it: 200 ms later, doubling, and all behind it waits",
    ),
    form(
        "duplicate",
        "duplicate SHARE",
        "duplicate 5%",
        Aim::Links,
        "written twice; caught, and the link made anew",
    ),
    form(
        "reorder",
        "reorder SHARE by TIME",
        "reorder 5% by 20ms",
        Aim::Links,
        "overtaken; what overtook it waits",
    ),
    form(
        "corrupt",
        "corrupt SHARE",
        "corrupt 1%",
        Aim::Links,
        "a bit changed; caught, and the link made anew",
    ),
    form(
        "rate",
        "rate SIZE/s",
        "rate 64kB/s",
        Aim::Links,
        "so many bytes a second on each connection",
    ),
    form(
        "clog",
        "clog TIME",
        "clog 300ms",
        Aim::Links,
        "nothing passes for a while, then all at once, again and again",
    ),
    form(
        "reset",
        "reset [every TIME]",
        "reset every 2s",
        Aim::Links,
        "connections are broken",
    ),
    form(
        "slice",
        "slice SIZE",
        "slice 7B",
        Aim::Links,
        "written in small pieces",
    ),
    form(
        "limit",
        "limit SIZE",
        "limit 10kB",
        Aim::Links,
        "each connection is broken when it has carried so much",
    ),
    form(
        "slow-close",
        "slow-close TIME",
        "slow-close 2s",
        Aim::Links,
        "connections that have ended stay open",
    ),
    form(
        "profile",
        "profile lan|cross-region|3g|flaky-wifi",
        "profile 3g",
        Aim::Links,
        "what a kind of network does to links",
    ),
    form(
        "clock",
        "clock ±RATEppm | clock stepped by ±TIME",
        "clock +5000ppm",
        Aim::Nodes,
        "the node's clock runs at another rate, or its calendar jumps",
    ),
    form(
        "disk",
        "disk slow by TIME | full | torn | lost-tail",
        "disk slow by 50ms",
        Aim::Nodes,
        "the disk under the registry",
    ),
    form(
        "burn",
        "burn NUMBER [threads]",
        "burn 2 threads",
        Aim::Nodes,
        "so many threads of the node spin",
    ),
    form(
        "handlers",
        "handlers of EXCHANGE killed | suspended | slow by TIME | panic | full",
        "handlers of orders suspended",
        Aim::Nodes,
        "the handlers and workers attached there",
    ),
    form(
        "message",
        "message EXCHANGE [PATTERN] SHARE dropped | delayed by TIME | doubled",
        "message orders 10% dropped",
        Aim::Nodes,
        "messages on their way from the owner: true losses and doubles; aim it at owner(EXCHANGE)",
    ),
];

impl Form {
    /// The one of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<&'static Self> {
        FORMS.iter().find(|form| form.word == word)
    }
}

/// Reads a fault.
pub(super) fn fault(text: &str) -> Result<Fault, Unreadable> {
    let mut line = Cursor::new(text);
    let Some(word) = line.word() else {
        return Err(line.expected("a fault, such as 'kill' or 'delay 200ms'"));
    };
    let fault = match word {
        "kill" => Fault::Node(NodeDeed::Kill {
            stay_down: line.take("stay-down"),
        }),
        "stop" => Fault::Node(NodeDeed::Stop {
            stay_down: line.take("stay-down"),
        }),
        "pause" => Fault::Node(NodeDeed::Pause),
        "resume" => Fault::Node(NodeDeed::Resume),
        "restart" => Fault::Node(NodeDeed::Restart),
        "wipe" => Fault::Node(NodeDeed::Wipe),
        "profile" => Fault::Profile(profile(&mut line)?),
        _ => match (link(word, &mut line)?, held(word, &mut line)?) {
            (Some(what), _) => Fault::Link(what),
            (None, Some(kind)) => Fault::Held(kind),
            (None, None) => return Err(line.error_at(word, unknown(word))),
        },
    };
    line.end().map_err(|error| explained(error, word))?;
    // What no node takes is told where it is written, and not when it is fired.
    let taken = match &fault {
        Fault::Link(what) => what.check(),
        Fault::Held(kind) => kind.check(),
        Fault::Node(_) | Fault::Profile(_) => Ok(()),
    };
    taken.map(|()| fault).map_err(|refused| Unreadable {
        at: 0..text.len(),
        why: refused.to_string(),
    })
}

fn unknown(word: &str) -> String {
    let words: Vec<&str> = FORMS.iter().map(|form| form.word).collect();
    format!(
        "there is no fault '{}'; there are {}",
        shown(word),
        words.join(", ")
    )
}

/// Says how the fault is written.
pub(super) fn explained(error: Unreadable, word: &str) -> Unreadable {
    let form = Form::of(word).map_or(word, |form| form.form);
    Unreadable {
        why: format!("{}; it is written '{form}'", error.why),
        ..error
    }
}

fn profile(line: &mut Cursor<'_>) -> Result<LinkProfile, Unreadable> {
    let words = LinkProfile::ALL.map(LinkProfile::as_str).join(", ");
    let Some(word) = line.word() else {
        return Err(line.expected(&format!("one of {words}")));
    };
    LinkProfile::parse(word).ok_or_else(|| {
        line.error_at(
            word,
            format!("there is no profile '{}'; there are {words}", shown(word)),
        )
    })
}

fn link(word: &str, line: &mut Cursor<'_>) -> Result<Option<LinkFault>, Unreadable> {
    let fault = match word {
        "cut" => LinkFault::Cut,
        "delay" => LinkFault::Delay(latency(line)?),
        "loss" => LinkFault::Loss(one(line, word, amount::share)?),
        "duplicate" => LinkFault::Duplicate(one(line, word, amount::share)?),
        "corrupt" => LinkFault::Corrupt(one(line, word, amount::share)?),
        "reorder" => {
            let share = one(line, word, amount::share)?;
            if !line.take("by") {
                return Err(explained(line.expected("'by' and a time"), word));
            }
            LinkFault::Reorder {
                share,
                by: one(line, word, time)?,
            }
        }
        "rate" => LinkFault::Rate(one(line, word, rate)?),
        "clog" => LinkFault::Clog(one(line, word, time)?),
        "reset" => LinkFault::Reset(if line.take("every") {
            one(line, word, time)?
        } else {
            Span::ZERO
        }),
        // What is too much for a slice is refused by the node, in words.
        "slice" => LinkFault::Slice(u32::try_from(one(line, word, amount::bytes)?).unwrap_or(u32::MAX)),
        "limit" => LinkFault::Limit(one(line, word, amount::bytes)?),
        "slow-close" => LinkFault::SlowClose(one(line, word, time)?),
        _ => return Ok(None),
    };
    Ok(Some(fault))
}

fn latency(line: &mut Cursor<'_>) -> Result<Latency, Unreadable> {
    let mut latency = Latency::constant(one(line, "delay", time)?);
    let around = line.take("±") || line.take("+-");
    if around || line.take("+") {
        latency.jitter = one(line, "delay", time)?;
        latency.shape = match (around, line.word()) {
            (true, None | Some("uniform")) => Shape::Uniform,
            (true, Some("normal")) => Shape::Normal,
            (false, None | Some("exponential")) => Shape::Exponential,
            (_, Some(word)) => {
                let why = format!("'{}' is no shape of this spread", shown(word));
                return Err(explained(line.error_at(word, why), "delay"));
            }
        };
    }
    Ok(latency)
}

/// An amount, which must be there.
pub(super) fn one<T>(
    line: &mut Cursor<'_>,
    of: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Unreadable> {
    let Some(word) = line.word() else {
        return Err(explained(line.expected("an amount"), of));
    };
    read(word).map_err(|why| line.error_at(word, why))
}

pub(super) fn time(text: &str) -> Result<Span, String> {
    amount::some_time(text).map(amount::span)
}

fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a rate: write 64kB/s");
    let size = text.strip_suffix("/s").ok_or_else(wrong)?;
    amount::bytes(size).map_err(|_| wrong())
}
