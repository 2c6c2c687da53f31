//! What is said after nodes have left: how little the quorum can bear then. What does not live here: who is critical (the
//! kernel), and what is said before (`members`).

use std::io::{Write as _, stderr};
use std::time::Duration;

use anyhow::Result;
use squall_client::Operator;
use squall_proto::v1::{ListNodesResponse, Member, MembersChanged, NodeState};
use tokio::time::{Instant, sleep};

use super::super::super::values;
use super::votes;

/// Between two looks at the members.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long the answering node may take to see what was changed.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// Warns on stderr when one voter is left, or when the voters can lose none of them any more.
pub(super) async fn warn(operator: &Operator, changed: Option<&MembersChanged>) -> Result<()> {
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        // The change is made; whoever cannot look has nothing to add.
        let Ok(now) = operator.nodes().await else {
            return Ok(());
        };
        if changed.is_none_or(|changed| is_seen(&now, changed)) || Instant::now() >= deadline {
            if let Some(warning) = warning(&now) {
                writeln!(stderr(), "warning: {warning}")?;
            }
            return Ok(());
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn is_seen(now: &ListNodesResponse, changed: &MembersChanged) -> bool {
    let mut voters: Vec<&str> = names(now.members.iter().filter(|m| votes(m)));
    voters.sort_unstable();
    changed.voters.is_empty() || voters == changed.voters
}

fn warning(now: &ListNodesResponse) -> Option<String> {
    let voters = names(now.members.iter().filter(|m| votes(m)));
    if let [alone] = voters[..] {
        let alone = values::for_terminal(alone);
        return Some(format!(
            "one voter is left, {alone}: without it the registry stops, and what it has on disk is the only copy with a \
             vote; two more nodes make three voters"
        ));
    }
    let up = |m: &&Member| m.quorum_critical && m.state() != NodeState::Down;
    let critical = names(now.members.iter().filter(up));
    if critical.is_empty() {
        return None;
    }
    let critical: Vec<String> = critical.into_iter().map(values::for_terminal).collect();
    Some(format!(
        "the quorum cannot lose any of {}: they are quorum-critical until another voter is back or in the place of one that \
         is down (`squall node rule`, `squall node promote`)",
        critical.join(", ")
    ))
}

fn names<'a>(members: impl Iterator<Item = &'a Member>) -> Vec<&'a str> {
    members.map(|m| m.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use squall_proto::v1::MetaRole;

    use super::*;

    fn nodes(list: &[(&str, MetaRole, NodeState, bool)]) -> ListNodesResponse {
        let member = |(name, role, state, critical): &(&str, MetaRole, NodeState, bool)| Member {
            name: (*name).into(),
            role: *role as i32,
            state: *state as i32,
            quorum_critical: *critical,
            ..Member::default()
        };
        ListNodesResponse {
            members: list.iter().map(member).collect(),
            ..ListNodesResponse::default()
        }
    }

    #[test]
    fn one_voter_that_is_left_is_told() {
        use MetaRole::{Leader, Learner};
        use NodeState::{Down, Up};
        let left = nodes(&[
            ("a", Leader, Up, true),
            ("b", Learner, Down, false),
            ("c", Learner, Up, false),
        ]);
        assert!(warning(&left).unwrap().starts_with("one voter is left, a: "));
    }

    #[test]
    fn a_quorum_that_can_lose_nobody_names_those_it_cannot_lose() {
        use MetaRole::{Leader, Voter};
        use NodeState::{Down, Up};
        let thin = nodes(&[
            ("a", Leader, Up, true),
            ("b", Voter, Up, true),
            ("c", Voter, Down, false),
        ]);
        assert!(
            warning(&thin)
                .unwrap()
                .starts_with("the quorum cannot lose any of a, b: ")
        );
        let whole = nodes(&[
            ("a", Leader, Up, false),
            ("b", Voter, Up, false),
            ("c", Voter, Up, false),
        ]);
        assert_eq!(warning(&whole), None);
    }

    #[test]
    fn a_change_is_seen_when_the_voters_are_those_it_left() {
        use MetaRole::{Leader, Learner, Voter};
        use NodeState::Up;
        let now = nodes(&[
            ("b", Voter, Up, false),
            ("a", Leader, Up, false),
            ("c", Learner, Up, false),
        ]);
        let changed = |voters: &[&str]| MembersChanged {
            changed: true,
            voters: voters.iter().map(|v| (*v).into()).collect(),
        };
        assert!(is_seen(&now, &changed(&["a", "b"])) && is_seen(&now, &changed(&[])));
        assert!(!is_seen(&now, &changed(&["a", "b", "c"])));
    }
}
