//! What the invariants say, as it goes to those who ask the supervisor.

use squall_proto::v1 as proto;

use super::Standing;
use crate::invariant::{Id, Verdict};

impl Standing {
    /// As a message.
    pub(crate) fn on_wire(&self) -> proto::VerdictsResponse {
        let invariants = self.verdicts.iter();
        let seen = self.seen.iter().map(|(sight, count)| proto::Sighting {
            what: sight.to_string(),
            count: *count,
        });
        proto::VerdictsResponse {
            invariants: invariants
                .map(|(id, claim, verdict)| one(*id, claim, verdict))
                .collect(),
            seen: seen.collect(),
            events: self.events,
            failed: self.failed.clone().unwrap_or_default(),
        }
    }
}

fn one(id: Id, claim: &str, verdict: &Verdict) -> proto::InvariantVerdict {
    let mut said = proto::InvariantVerdict {
        id: id.to_string(),
        claim: claim.to_owned(),
        ..Default::default()
    };
    match verdict {
        Verdict::Ok => said.set_state(proto::VerdictState::Holds),
        Verdict::Unknown(why) => {
            said.set_state(proto::VerdictState::Unknown);
            said.text.clone_from(why);
        }
        Verdict::Fail(breach) => {
            said.set_state(proto::VerdictState::Broken);
            said.text.clone_from(&breach.text);
            said.first = breach.first.as_ref().map(ToString::to_string).unwrap_or_default();
            said.second = breach.second.to_string();
        }
    }
    said
}
