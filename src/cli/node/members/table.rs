//! The members as a table and as a document.

use serde_json::{Value, json};
use squall_proto::v1::{ListNodesResponse, Member, MetaRole, NodeDuty, NodeState};

use super::super::super::values::{self, columns};

pub(super) fn text(answer: &ListNodesResponse) -> String {
    let head = ["NAME", "STATE", "ROLE", "OWNS", "INCARNATION", "ID", ""].map(String::from);
    let row = |m: &Member| {
        [
            or_dash(&m.name),
            state(m),
            role(m).to_owned(),
            m.exchanges.to_string(),
            m.incarnation.to_string(),
            format!("{:x}", m.raft_id),
            if m.quorum_critical { "quorum-critical" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<[String; 7]> = std::iter::once(head)
        .chain(answer.members.iter().map(row))
        .collect();
    let mut text = columns(&rows);
    if !answer.quorum {
        text += &format!(
            "no quorum as '{}' sees it; lost for good, the way back is `squall node recover --from-survivor`\n",
            or_dash(&answer.answered_by)
        );
    }
    text
}

pub(super) fn document(answer: &ListNodesResponse) -> Value {
    let node = |m: &Member| {
        json!({
            "name": m.name,
            "id": format!("{:x}", m.raft_id),
            "state": state_word(m),
            "why": some(&m.why),
            "role": role_word(m),
            "leads": m.role() == MetaRole::Leader,
            "incarnation": m.incarnation,
            "exchanges": m.exchanges,
            "quorum_critical": m.quorum_critical,
            "mesh": m.mesh_addr,
            "grpc": m.grpc_addr,
        })
    };
    let rule = (answer.replace_after_ms > 0).then_some(answer.replace_after_ms);
    json!({
        "nodes": answer.members.iter().map(node).collect::<Vec<_>>(),
        "answered_by": answer.answered_by,
        "quorum": answer.quorum,
        "replace_after_ms": rule,
    })
}

fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".into()
    } else {
        values::for_terminal(text)
    }
}

fn state(member: &Member) -> String {
    match state_word(member) {
        "down" if !member.why.is_empty() => format!("down ({})", values::for_terminal(&member.why)),
        word => word.to_owned(),
    }
}

fn state_word(member: &Member) -> &'static str {
    match (member.state(), member.duty()) {
        (NodeState::Down, _) => "down",
        (NodeState::Suspect, _) => "suspect",
        (NodeState::Unspecified, _) => "unknown",
        (NodeState::Up, NodeDuty::Weak) => "weak",
        (NodeState::Up, NodeDuty::Draining) => "draining",
        (NodeState::Up, NodeDuty::Leaving) => "leaving",
        (NodeState::Up, NodeDuty::Full | NodeDuty::Unspecified) => "up",
    }
}

fn role(member: &Member) -> &'static str {
    if member.role() == MetaRole::Leader {
        "meta leader"
    } else {
        role_word(member)
    }
}

fn role_word(member: &Member) -> &'static str {
    match member.role() {
        MetaRole::Leader | MetaRole::Voter => "voter",
        MetaRole::Learner => "learner",
        MetaRole::Unspecified => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> ListNodesResponse {
        let member = |name: &str, role: MetaRole, state: NodeState, duty: NodeDuty| Member {
            name: name.into(),
            raft_id: 0xab,
            incarnation: 7,
            role: role as i32,
            state: state as i32,
            duty: duty as i32,
            ..Member::default()
        };
        let mut list = vec![
            member("a", MetaRole::Leader, NodeState::Up, NodeDuty::Full),
            member("b", MetaRole::Voter, NodeState::Up, NodeDuty::Leaving),
            member("c", MetaRole::Learner, NodeState::Down, NodeDuty::Full),
        ];
        list[0].exchanges = 3;
        list[0].quorum_critical = true;
        list[2].why = "goodbye".into();
        ListNodesResponse {
            members: list,
            answered_by: "a".into(),
            quorum: true,
            replace_after_ms: 0,
        }
    }

    #[test]
    fn the_table_says_state_role_and_who_is_critical() {
        let expected = "\
NAME  STATE           ROLE         OWNS  INCARNATION  ID
a     up              meta leader  3     7            ab  quorum-critical
b     leaving         voter        0     7            ab
c     down (goodbye)  learner      0     7            ab
";
        assert_eq!(text(&nodes()), expected);
        let lost = ListNodesResponse {
            quorum: false,
            ..nodes()
        };
        assert!(text(&lost).ends_with("`squall node recover --from-survivor`\n"));
    }

    #[test]
    fn the_document_has_one_array_and_null_for_nothing() {
        let document = document(&nodes());
        assert_eq!(document["nodes"][0]["leads"], true);
        assert_eq!(document["nodes"][0]["role"], "voter");
        assert_eq!(document["nodes"][0]["why"], Value::Null);
        assert_eq!(document["nodes"][2]["why"], "goodbye");
        assert_eq!(document["replace_after_ms"], Value::Null);
    }
}
