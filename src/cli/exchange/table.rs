//! Exchanges as a table for people, and one in full.
//!
//! What does not live here: the same for programs (`document`).

use squall_client::operator::{MailboxFigures, OwnedFigures};
use squall_kernel::registry::Pattern;
use squall_proto::v1::{ExchangeInfo, ExchangeSettings};

use super::super::values::{self, columns, counted};
use super::proxies::Passes;
use super::settings;

fn proxies(passed: &[Passes]) -> String {
    let told = |it: &Passes| {
        let node = values::for_terminal(&it.node);
        match it.figures {
            Some(f) => format!(
                "{node} (serves {}, {} sent)",
                counted(f.downstreams, "node", "nodes"),
                counted(f.events_sent, "event", "events")
            ),
            None => format!("{node} (does not answer)"),
        }
    };
    passed.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// By which function it routes.
fn function(e: &ExchangeInfo) -> String {
    if !e.script.is_empty() {
        let lines = counted(e.script.lines().count(), "line", "lines");
        return format!("script {}, {lines}", e.script_hash);
    }
    if e.function.is_empty() {
        "-".into()
    } else {
        format!("registered: {}", values::for_terminal(&e.function))
    }
}

/// What its owner knows: handlers, and what is bound to them.
fn handlers(owned: Option<OwnedFigures>) -> String {
    let Some(owned) = owned else {
        return "? (its owner does not answer)".into();
    };
    let failed = match owned.functions_failed {
        0 => String::new(),
        n => format!(
            "; {} declined because the function failed",
            counted(n, "request", "requests")
        ),
    };
    format!("{}, bindings {}{failed}", owned.handlers, owned.bindings)
}

/// How large mailboxes are, what a full one does, and what they did.
fn told_of(settings: &ExchangeSettings, tasks: bool, did: MailboxFigures) -> String {
    let bound = match settings.mailbox {
        0 => String::new(),
        n if tasks => format!("{}, ", counted(n, "open task", "open tasks")),
        n => format!("{}, ", counted(n, "message", "messages")),
    };
    let when_full = match settings.when_full.as_str() {
        "" => "reject",
        word => word,
    };
    format!(
        "{bound}{} when full; turned away {}, dropped {}, out of time {}, held back {}",
        values::for_terminal(when_full),
        did.rejected,
        did.dropped,
        did.expired,
        did.held
    )
}

/// Who chooses the worker of a task, and how that went.
fn scheduler(name: &str, owned: Option<OwnedFigures>) -> String {
    let name = or_dash(name);
    let Some(said) = owned.map(|owned| owned.scheduling) else {
        return name;
    };
    let times = |n| counted(n, "time", "times");
    format!(
        "{name}: asked {}, named a worker {}, left it to the owner {}, let wait {}; {} of no use",
        times(said.asked),
        said.followed,
        said.left,
        said.waits,
        times(said.unanswered + said.unfit)
    )
}

/// The node it would rather be on.
pub(super) fn prefers(e: &ExchangeInfo) -> &str {
    if e.preferred == e.owner { "" } else { &e.preferred }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".into()
    } else {
        values::for_terminal(text)
    }
}

/// What is to be said beside the columns: a move under way, a node it would rather be on.
fn remark(e: &ExchangeInfo) -> String {
    if !e.moving_to.is_empty() {
        return format!("moving to {}", values::for_terminal(&e.moving_to));
    }
    match prefers(e) {
        "" => String::new(),
        node => format!("prefers {}", values::for_terminal(node)),
    }
}

pub(super) fn text(exchanges: &[ExchangeInfo]) -> String {
    let head = [
        "NAME", "PATTERN", "STRATEGY", "OWNER", "EPOCH", "LEADER", "FAILOVER", "TAKEOVER", "",
    ]
    .map(String::from);
    let row = |e: &ExchangeInfo| {
        [
            or_dash(&e.name),
            or_dash(&e.pattern),
            or_dash(&e.strategy),
            or_dash(&e.owner),
            e.epoch.to_string(),
            or_dash(&e.leader),
            or_dash(&e.failover.join(",")),
            or_dash(&e.takeover),
            remark(e),
        ]
    };
    let rows: Vec<[String; 9]> = std::iter::once(head).chain(exchanges.iter().map(row)).collect();
    columns(&rows)
}

/// In full; `more` is what its pattern has beside.
pub(super) fn full(
    e: &ExchangeInfo,
    owned: Option<OwnedFigures>,
    passed: &[Passes],
    mailboxes: MailboxFigures,
    more: Vec<[String; 2]>,
) -> String {
    let held = if e.held {
        "; an operator moved it here: no takeover until its owner is lost"
    } else {
        ""
    };
    let remark = match remark(e) {
        remark if remark.is_empty() => remark,
        remark => format!("; {remark}"),
    };
    let mut rows = vec![
        ["exchange".into(), or_dash(&e.name)],
        ["pattern".into(), or_dash(&e.pattern)],
        ["strategy".into(), or_dash(&e.strategy)],
        ["function".into(), function(e)],
        ["handlers".into(), handlers(owned)],
        [
            "owner".into(),
            format!("{}, epoch {}{remark}", or_dash(&e.owner), e.epoch),
        ],
        ["failover".into(), or_dash(&e.failover.join(","))],
        ["takeover".into(), format!("{}{held}", or_dash(&e.takeover))],
        [
            "leader".into(),
            if e.leader.is_empty() {
                "-".into()
            } else {
                format!("{}, leader epoch {}", or_dash(&e.leader), e.leader_epoch)
            },
        ],
    ];
    let settings = e.settings.clone().unwrap_or_default();
    let tasks = Pattern::parse(&e.pattern) == Some(Pattern::Task);
    let bounded = if tasks { "queue" } else { "mailboxes" };
    rows.push([bounded.into(), told_of(&settings, tasks, mailboxes)]);
    rows.extend(settings::rows(e, &settings));
    if !settings.middleware.is_empty() {
        rows.push(["middleware".into(), or_dash(&settings.middleware.join(", "))]);
    }
    if !settings.scheduler.is_empty() {
        rows.push(["scheduler".into(), scheduler(&settings.scheduler, owned)]);
    }
    if !e.controller.is_empty() {
        rows.push(["controller".into(), or_dash(&e.controller)]);
    }
    if !passed.is_empty() {
        rows.push(["proxies".into(), proxies(passed)]);
    }
    rows.extend(more);
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use squall_client::operator::PassedFigures;

    use super::super::document::{object, object_in_full};
    use super::*;

    /// What all exchanges have.
    fn full(e: &ExchangeInfo, owned: Option<OwnedFigures>, passed: &[Passes], did: MailboxFigures) -> String {
        super::full(e, owned, passed, did, Vec::new())
    }

    fn orders() -> ExchangeInfo {
        ExchangeInfo {
            name: "orders".into(),
            pattern: "request-response".into(),
            strategy: "consensus".into(),
            owner: "b".into(),
            epoch: 3,
            failover: vec!["b".into(), "c".into()],
            takeover: "auto".into(),
            preferred: "b".into(),
            ..ExchangeInfo::default()
        }
    }

    #[test]
    fn the_table_is_aligned_and_says_where_there_is_nothing() {
        let expected = "NAME    PATTERN           STRATEGY   OWNER  EPOCH  LEADER  FAILOVER  TAKEOVER\n\
                        orders  request-response  consensus  b      3      -       b,c       auto\n";
        assert_eq!(text(&[orders()]), expected);
    }

    #[test]
    fn a_move_and_a_preference_are_said() {
        let elsewhere = ExchangeInfo {
            owner: "c".into(),
            ..orders()
        };
        assert!(text(std::slice::from_ref(&elsewhere)).ends_with("auto      prefers b\n"));
        assert_eq!(object(&elsewhere)["prefers"], "b");
        let moving = ExchangeInfo {
            moving_to: "b".into(),
            ..elsewhere
        };
        assert!(text(std::slice::from_ref(&moving)).ends_with("auto      moving to b\n"));
        assert!(
            full(&moving, None, &[], MailboxFigures::default())
                .contains("owner      c, epoch 3; moving to b\n")
        );
    }

    #[test]
    fn in_full_a_script_is_told_by_its_hash_and_lines_with_what_the_owner_knows() {
        let scripted = ExchangeInfo {
            strategy: "sticky-fun".into(),
            script: "let k = key;\nk\n".into(),
            script_hash: "00000000deadbeef".into(),
            ..orders()
        };
        let owned = OwnedFigures {
            handlers: 3,
            bindings: 17,
            functions_failed: 2,
            ..OwnedFigures::default()
        };
        let text = full(&scripted, Some(owned), &[], MailboxFigures::default());
        assert!(text.contains("script 00000000deadbeef, 2 lines\n"), "{text}");
        assert!(
            text.contains("3, bindings 17; 2 requests declined because the function failed\n"),
            "{text}"
        );
        assert!(full(&orders(), None, &[], MailboxFigures::default()).contains("its owner does not answer"));
        assert_eq!(
            object_in_full(&scripted, Some(owned), &[], MailboxFigures::default())["bindings"],
            17
        );
    }

    /// A4, A30: who stands in front, and who chooses.
    #[test]
    fn neighbours_are_told_with_what_the_scheduler_said() {
        let mails = ExchangeInfo {
            settings: Some(ExchangeSettings {
                middleware: vec!["log".into(), "auth".into()],
                scheduler: "chooser".into(),
                ..Default::default()
            }),
            ..orders()
        };
        let mut owned = OwnedFigures::default();
        owned.scheduling.asked = 7;
        owned.scheduling.followed = 4;
        owned.scheduling.unanswered = 2;
        owned.scheduling.unfit = 1;
        let text = full(&mails, Some(owned), &[], MailboxFigures::default());
        assert!(text.contains("middleware  log, auth\n"), "{text}");
        let told = "chooser: asked 7 times, named a worker 4, left it to the owner 0, let wait 0; 3 times of no use\n";
        assert!(text.contains(told), "{text}");
        let document = object_in_full(&mails, Some(owned), &[], MailboxFigures::default());
        assert_eq!(
            (&document["scheduler"], &document["scheduling"]["unfit"]),
            (&json!("chooser"), &json!(1))
        );
    }

    /// B9: how full mailboxes were.
    #[test]
    fn what_mailboxes_did_is_told_by_reason() {
        let bounded = ExchangeInfo {
            settings: Some(ExchangeSettings {
                mailbox: 7,
                when_full: "drop-oldest".into(),
                ..Default::default()
            }),
            ..orders()
        };
        let did = MailboxFigures {
            rejected: 1,
            dropped: 2,
            expired: 3,
            held: 4,
        };
        let text = full(&bounded, None, &[], did);
        let told =
            "7 messages, drop-oldest when full; turned away 1, dropped 2, out of time 3, held back 4\n";
        assert!(text.contains(told), "{text}");
        let queue = ExchangeInfo {
            pattern: "task".into(),
            ..bounded.clone()
        };
        let text = full(&queue, None, &[], did);
        assert!(text.contains("7 open tasks, drop-oldest when full; "), "{text}");
        let document = object_in_full(&bounded, None, &[], did);
        assert_eq!(
            (&document["mailboxes"]["bound"], &document["mailboxes"]["held"]),
            (&json!(7), &json!(4))
        );
    }

    #[test]
    fn a38_proxies_are_told_with_what_they_pass_on() {
        let news = ExchangeInfo {
            proxies: vec!["b".into(), "c".into()],
            controller: "gate".into(),
            ..orders()
        };
        let figures = Some(PassedFigures {
            downstreams: 2,
            subscribers: 0,
            events_sent: 7,
            ..PassedFigures::default()
        });
        let passed = [("b", figures), ("c", None)].map(|(node, figures)| Passes {
            node: node.into(),
            figures,
        });
        let text = full(&news, None, &passed, MailboxFigures::default());
        assert!(
            text.contains("b (serves 2 nodes, 7 events sent), c (does not answer)\n"),
            "{text}"
        );
        assert!(text.contains("controller  gate\n"), "{text}");
        let document = object_in_full(&news, None, &passed, MailboxFigures::default());
        assert_eq!(document["proxies"][0]["downstreams"], 2);
        assert_eq!(document["proxies"][1]["downstreams"], Value::Null);
    }
}
