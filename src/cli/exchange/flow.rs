//! What `squall exchange show` tells of what flows through an exchange, by its pattern: publishes and subscribers, or tasks.
//! What does not live here: what all exchanges have (`table`), and proxies.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use squall_client::operator::{Figures, PassedFigures};
use squall_kernel::registry::Pattern;
use squall_proto::v1::{ExchangeInfo, TaskFigures};

use super::super::task::list;
use super::super::values::counted;

/// Figures of one pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Flow {
    /// Requests: handlers, which all exchanges tell.
    Requests,
    /// Publishes for one handler each: how many had a known id.
    Inverted(u64),
    /// Publishes, added up over the nodes that answer.
    Publishes(Publishes),
    /// Tasks; none where the owner does not answer.
    Tasks(Option<TaskFigures>),
}

/// Publishes and their subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Publishes {
    /// Patterns at the owner: of its own subscribers, and of all nodes that it serves. None where it does not answer.
    patterns: Option<u64>,
    /// Nodes with subscribers.
    nodes: u64,
    all: PassedFigures,
}

impl Flow {
    /// What the nodes told, where that is all there is to ask for.
    pub(super) fn of(exchange: &ExchangeInfo, figures: &BTreeMap<String, Figures>) -> Self {
        match Pattern::parse(&exchange.pattern) {
            Some(Pattern::PublishSubscribe) => Self::Publishes(publishes(&exchange.owner, figures)),
            Some(Pattern::Task) => Self::Tasks(None),
            Some(Pattern::InvertedPublishSubscribe) => {
                Self::Inverted(figures.values().map(|at_node| at_node.passed.duplicates).sum())
            }
            _ => Self::Requests,
        }
    }

    pub(super) fn tell(&self, document: &mut Value) {
        match self {
            Self::Requests => {}
            Self::Inverted(duplicates) => document["publishes"] = json!({ "duplicates": duplicates }),
            Self::Publishes(told) => {
                document["publishes"] = json!({
                    "subscribers": told.all.subscribers,
                    "subscriber_nodes": told.nodes,
                    "patterns": told.patterns,
                    "published": told.all.published,
                    "duplicates": told.all.duplicates,
                    "delivered": told.all.delivered,
                    "events_sent": told.all.events_sent,
                });
            }
            Self::Tasks(queue) => document["tasks"] = queue.as_ref().map_or(Value::Null, list::figures),
        }
    }

    pub(super) fn rows(&self) -> Vec<[String; 2]> {
        let row = |name: &str, text: String| [name.to_owned(), text];
        match self {
            Self::Requests => Vec::new(),
            Self::Inverted(duplicates) => vec![row("publishes", format!("{duplicates} with a known id"))],
            Self::Publishes(told) => vec![
                row("subscribers", subscribers(told)),
                row("publishes", published(told.all)),
            ],
            Self::Tasks(Some(queue)) => vec![
                row("tasks", list::in_words(queue)),
                row("since declared", history(queue)),
            ],
            Self::Tasks(None) => vec![row("tasks", "? (its owner does not answer)".into())],
        }
    }
}

fn publishes(owner: &str, figures: &BTreeMap<String, Figures>) -> Publishes {
    let mut told = Publishes {
        patterns: figures.get(owner).map(|at_owner| at_owner.passed.patterns),
        ..Publishes::default()
    };
    for at_node in figures.values().map(|at_node| at_node.passed) {
        told.nodes += u64::from(at_node.subscribers > 0);
        told.all.subscribers += at_node.subscribers;
        told.all.published += at_node.published;
        told.all.duplicates += at_node.duplicates;
        told.all.delivered += at_node.delivered;
        told.all.events_sent += at_node.events_sent;
    }
    told
}

fn subscribers(told: &Publishes) -> String {
    let patterns = told.patterns.map_or_else(
        || "its owner does not answer".to_owned(),
        |patterns| {
            format!(
                "{} at the owner",
                counted(patterns, "key or pattern", "keys and patterns")
            )
        },
    );
    let nodes = counted(told.nodes, "node", "nodes");
    format!("{} on {nodes}; {patterns}", told.all.subscribers)
}

fn published(all: PassedFigures) -> String {
    format!(
        "{} taken, {} of them with a known id; {} between nodes, {} delivered",
        all.published,
        all.duplicates,
        counted(all.events_sent, "event", "events"),
        counted(all.delivered, "copy", "copies")
    )
}

fn history(queue: &TaskFigures) -> String {
    let told = format!(
        "{} submitted, {} completed, {} without a completion, {} dead ({} kept no more), {} lost with their nodes",
        queue.submitted,
        queue.completed,
        counted(queue.returned, "lease", "leases"),
        queue.died,
        queue.dropped,
        queue.lost
    );
    match queue.lost_unknown {
        0 => told,
        1 => format!("{told}, and once all there were, nobody knows how many"),
        times => format!("{told}, and {times} times all there were, nobody knows how many"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(pattern: Pattern) -> ExchangeInfo {
        ExchangeInfo {
            pattern: pattern.as_str().into(),
            owner: "a".into(),
            ..ExchangeInfo::default()
        }
    }

    #[test]
    fn publishes_are_added_up_and_patterns_are_the_owners() {
        let at = |subscribers, delivered| Figures {
            passed: PassedFigures {
                subscribers,
                delivered,
                patterns: 4,
                published: 10,
                ..PassedFigures::default()
            },
            ..Figures::default()
        };
        let figures =
            [("a", at(0, 0)), ("b", at(7, 2)), ("c", at(1, 1))].map(|(name, at)| (name.to_owned(), at));
        let flow = Flow::of(&exchange(Pattern::PublishSubscribe), &figures.into());
        let rows = flow.rows();
        assert_eq!(rows[0][1], "8 on 2 nodes; 4 keys and patterns at the owner");
        let told = "30 taken, 0 of them with a known id; 0 events between nodes, 3 copies delivered";
        assert_eq!(rows[1][1], told);
        let mut document = json!({});
        flow.tell(&mut document);
        assert_eq!(document["publishes"]["delivered"], 3);
        let silent = Flow::of(&exchange(Pattern::PublishSubscribe), &BTreeMap::new());
        assert!(silent.rows()[0][1].ends_with("its owner does not answer"));
    }

    #[test]
    fn of_publishes_for_one_handler_known_ids_are_told() {
        let at = |duplicates| Figures {
            passed: PassedFigures {
                duplicates,
                ..PassedFigures::default()
            },
            ..Figures::default()
        };
        let figures = [("a", at(2)), ("b", at(1))].map(|(name, at)| (name.to_owned(), at));
        let flow = Flow::of(&exchange(Pattern::InvertedPublishSubscribe), &figures.into());
        assert_eq!(flow.rows()[0][1], "3 with a known id");
        let mut document = json!({});
        flow.tell(&mut document);
        assert_eq!(document["publishes"]["duplicates"], 3);
    }

    #[test]
    fn tasks_are_told_as_the_queue_is_and_requests_add_nothing() {
        assert_eq!(
            Flow::of(&exchange(Pattern::RequestResponse), &BTreeMap::new())
                .rows()
                .len(),
            0
        );
        let unknown = Flow::of(&exchange(Pattern::Task), &BTreeMap::new());
        assert!(unknown.rows()[0][1].contains("does not answer"));
        let mut document = json!({});
        unknown.tell(&mut document);
        assert_eq!(document["tasks"], Value::Null);
        let flow = Flow::Tasks(Some(TaskFigures {
            waiting: 2,
            submitted: 9,
            lost: 1,
            ..TaskFigures::default()
        }));
        assert!(flow.rows()[0][1].starts_with("2 waiting, 0 in hand, 0 dead"));
        assert!(
            flow.rows()[1][1].starts_with("9 submitted")
                && flow.rows()[1][1].ends_with("1 lost with their nodes")
        );
        let all_lost = history(&TaskFigures {
            lost_unknown: 1,
            ..TaskFigures::default()
        });
        assert!(
            all_lost.ends_with("0 lost with their nodes, and once all there were, nobody knows how many")
        );
    }
}
