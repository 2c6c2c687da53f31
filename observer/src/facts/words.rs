//! Words for what nodes tell by number. A number that this program does not know is shown as it came: a newer node means
//! something by it.

use squall_proto::v1;

/// A number that is not known here, in a word.
fn raw(number: i32) -> &'static str {
    const NUMBERS: [&str; 20] = [
        "unknown",
        "unknown 1",
        "unknown 2",
        "unknown 3",
        "unknown 4",
        "unknown 5",
        "unknown 6",
        "unknown 7",
        "unknown 8",
        "unknown 9",
        "unknown 10",
        "unknown 11",
        "unknown 12",
        "unknown 13",
        "unknown 14",
        "unknown 15",
        "unknown 16",
        "unknown 17",
        "unknown 18",
        "unknown 19",
    ];
    let place = usize::try_from(number).ok();
    place
        .and_then(|place| NUMBERS.get(place).copied())
        .unwrap_or("unknown 20 or more")
}

/// How bad an event is, in a word.
#[must_use]
pub fn severity(event: &v1::Event) -> &'static str {
    match v1::Severity::try_from(event.severity) {
        Ok(v1::Severity::Info) => "info",
        Ok(v1::Severity::Notice) => "notice",
        Ok(v1::Severity::Alert) => "alert",
        Ok(v1::Severity::Unspecified) | Err(_) => raw(event.severity),
    }
}

pub(super) fn role(number: i32) -> &'static str {
    match v1::MetaRole::try_from(number) {
        Ok(v1::MetaRole::Leader) => "leader",
        Ok(v1::MetaRole::Voter) => "voter",
        Ok(v1::MetaRole::Learner) => "learner",
        Ok(v1::MetaRole::Unspecified) | Err(_) => raw(number),
    }
}

pub(super) fn duty(duty: v1::NodeDuty) -> &'static str {
    match duty {
        v1::NodeDuty::Full => "full",
        v1::NodeDuty::Weak => "weak",
        v1::NodeDuty::Draining => "draining",
        v1::NodeDuty::Leaving => "leaving",
        v1::NodeDuty::Unspecified => "unknown",
    }
}

pub(super) fn link(number: i32) -> &'static str {
    match v1::LinkState::try_from(number) {
        Ok(v1::LinkState::Up) => "up",
        Ok(v1::LinkState::Connecting) => "connecting",
        Ok(v1::LinkState::Suspect) => "suspect",
        Ok(v1::LinkState::Down) => "down",
        Ok(v1::LinkState::Refused) => "refused",
        Ok(v1::LinkState::Unspecified) | Err(_) => raw(number),
    }
}

pub(super) fn leader(number: i32) -> &'static str {
    match v1::LeaderRole::try_from(number) {
        Ok(v1::LeaderRole::Owner) => "owner",
        Ok(v1::LeaderRole::OwnerNoLease) => "owner-no-lease",
        Ok(v1::LeaderRole::Router) => "router",
        Ok(v1::LeaderRole::Unspecified) | Err(_) => raw(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_shown_as_it_came() {
        assert_eq!(role(v1::MetaRole::Leader.into()), "leader");
        assert_eq!([role(0), link(0), leader(0)], ["unknown"; 3]);
        assert_eq!(
            [role(9), link(19), leader(20)],
            ["unknown 9", "unknown 19", "unknown 20 or more"]
        );
        assert_eq!([link(-3), leader(i32::MAX)], ["unknown 20 or more"; 2]);
    }
}
