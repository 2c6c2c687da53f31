//! Routing decisions in words for people.

use squall_kernel::exchange::{Basis, Explanation, Outcome, Verdict};

use crate::data::DataContext;

/// What decided.
pub(super) fn basis(explanation: &Explanation, context: &DataContext) -> String {
    let words = said(&explanation.basis, context);
    match explanation.function {
        true => format!("the exchange's function: {words}"),
        false => words,
    }
}

fn said(basis: &Basis, context: &DataContext) -> String {
    let turn = |place: usize, of: usize| match of {
        0 => "nobody is there".to_owned(),
        of => format!("the turn of number {} of {of}", place + 1),
    };
    match basis {
        Basis::Refused(reason) => format!("refused before handlers were looked at: {reason}"),
        Basis::Everybody => "every handler of the group gets it".into(),
        Basis::Turn { group, place, of } => format!("{}: {}", group_words(group), turn(*place, *of)),
        Basis::Leader {
            leader,
            attached,
            appointing,
        } => match leader {
            None => "only the leader gets it, and there is none".into(),
            Some(leader) => {
                let pid = context.pid_text(leader.pid);
                let state = match (attached, appointing) {
                    (false, _) => ", which is not attached, or not again yet",
                    (true, true) => ", and another appointment is under way",
                    (true, false) => "",
                };
                format!(
                    "only the leader gets it: {pid} under epoch {}{state}",
                    leader.epoch
                )
            }
        },
        Basis::Bound { signature, handler } => {
            format!("signature {signature} is bound to {}", context.pid_text(*handler))
        }
        Basis::NewBinding {
            signature,
            fewest,
            place,
            of,
        } => format!(
            "signature {signature} is new: to the one with the fewest bindings ({fewest}), among equals {}",
            turn(*place, *of)
        ),
        Basis::GoesOver { signature } => {
            format!("signature {signature} goes over to another handler at this moment")
        }
        Basis::Rolling { signature, awaited } => {
            let nodes: Vec<String> = awaited.iter().map(|node| context.node_text(*node)).collect();
            format!(
                "signature {signature} is not known, and not all handlers are: node {} has yet to tell",
                nodes.join(", ")
            )
        }
        Basis::Full { signature } => {
            format!("signature {signature} is new, and there is no room for one more")
        }
        Basis::NoKey => "the exchange is sticky, and there is no key".into(),
        Basis::Chosen(handler) => format!("it picked {}", context.pid_text(*handler)),
        Basis::NotRouted => "it named no handler and no group".into(),
    }
}

fn group_words(group: &[u8]) -> String {
    if group.is_empty() {
        "all handlers".into()
    } else {
        format!("group {}", readable(group))
    }
}

/// Why a candidate does not get it; nothing when it does.
pub(super) fn verdict(verdict: Verdict, context: &DataContext) -> String {
    match verdict {
        Verdict::Picked => String::new(),
        Verdict::OtherGroup => "other group".into(),
        Verdict::NotItsTurn => "not its turn".into(),
        Verdict::BoundTo(handler) => format!("bound to {}", context.pid_text(handler)),
        Verdict::HasMore(1) => "has 1 binding already".into(),
        Verdict::HasMore(bindings) => format!("has {bindings} bindings already"),
        Verdict::NotTheLeader => "not the leader".into(),
        Verdict::NotChosen => "not picked by the exchange's function".into(),
        Verdict::NotAttached => "has not attached, or not again yet".into(),
    }
}

/// What became of it.
pub(super) fn outcome(outcome: &Outcome, context: &DataContext) -> String {
    match outcome {
        Outcome::Given { to, count } => {
            let names: Vec<String> = to.iter().map(|pid| context.pid_text(*pid)).collect();
            let more = match count.saturating_sub(to.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("given to {}{more}", names.join(", "))
        }
        Outcome::Refused(reason) => format!("refused: {reason}"),
        Outcome::Declined(reason) => format!("declined: {reason}"),
        Outcome::Redirected(to) => format!("sent on to '{to}'"),
        Outcome::Nothing => "nothing came of it".into(),
    }
}

/// Bytes as text; what is none is shown as signs.
pub(super) fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
