//! Who subscribes to what, and who has to get which publish: worked out beforehand, without asking the program that is
//! measured.

/// Topic of every publish without wildcards.
const ONE_TOPIC: &str = "news.0.eur";

/// Ways to say with wildcards that all of one topic is wanted; each matches its own topic's key and no other one's.
const KINDS: [fn(u32) -> String; 4] = [
    |topic| format!("news.{topic}.*"),
    |topic| format!("*.{topic}.eur"),
    |topic| format!("news.{topic}.#"),
    |topic| format!("#.{topic}.eur"),
];

/// What subscribers want, and where they are: patterns are given in turn, nodes likewise, but each time all patterns were
/// given the turn of the nodes begins one further on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bench) struct Plan {
    subscribers: usize,
    nodes: usize,
    /// Different patterns with wildcards; 0 for one plain key.
    wild: usize,
    /// Per topic: subscribers at each node.
    topics: Vec<Vec<usize>>,
}

impl Plan {
    /// So many subscribers over so many nodes; `wild` different patterns with wildcards among them, or 0 for none.
    pub(in crate::bench) fn new(subscribers: usize, nodes: usize, wild: usize) -> Self {
        let topics = wild.div_ceil(KINDS.len()).max(1);
        let mut plan = Self {
            subscribers,
            nodes,
            wild,
            topics: vec![vec![0; nodes]; topics],
        };
        for subscriber in 0..subscribers {
            let (topic, node) = (plan.topic_of(subscriber) as usize, plan.node_of(subscriber));
            plan.topics[topic][node] += 1;
        }
        plan
    }

    pub(in crate::bench) fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Different patterns.
    pub(super) fn patterns(&self) -> usize {
        self.wild.max(1).min(self.subscribers)
    }

    /// Where the subscriber lives.
    pub(in crate::bench) fn node_of(&self, subscriber: usize) -> usize {
        let patterns = self.wild.max(1);
        (subscriber % patterns + subscriber / patterns) % self.nodes
    }

    /// What it wants to hear of.
    pub(in crate::bench) fn topic_of(&self, subscriber: usize) -> u32 {
        let pattern = subscriber % self.wild.max(1);
        u32::try_from(pattern / KINDS.len()).expect("patterns are bounded")
    }

    /// How it says that.
    pub(in crate::bench) fn pattern_of(&self, subscriber: usize) -> String {
        if self.wild == 0 {
            return ONE_TOPIC.into();
        }
        let pattern = subscriber % self.wild;
        KINDS[pattern % KINDS.len()](self.topic_of(subscriber))
    }

    /// Topics that somebody wants.
    pub(in crate::bench) fn topics(&self) -> Vec<u32> {
        let wanted = |topic: &u32| self.receivers(*topic) > 0;
        let all = u32::try_from(self.topics.len()).expect("patterns are bounded");
        (0..all).filter(wanted).collect()
    }

    /// Key of a publish of that topic.
    pub(in crate::bench) fn key(topic: u32) -> String {
        format!("news.{topic}.eur")
    }

    /// Subscribers that a publish of the topic goes to.
    pub(in crate::bench) fn receivers(&self, topic: u32) -> usize {
        self.at_nodes(topic).iter().sum()
    }

    /// Nodes that it goes to.
    pub(in crate::bench) fn receiving_nodes(&self, topic: u32) -> usize {
        self.at_nodes(topic).iter().filter(|its| **its > 0).count()
    }

    /// Subscribers of the topic at that node.
    pub(in crate::bench) fn receivers_at(&self, node: usize, topic: u32) -> usize {
        self.at_nodes(topic).get(node).copied().unwrap_or(0)
    }

    fn at_nodes(&self, topic: u32) -> &[usize] {
        self.topics.get(topic as usize).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::keys::{Key, KeyPattern};

    use super::*;

    /// By the patterns themselves.
    fn matching(plan: &Plan, topic: u32) -> Vec<usize> {
        let key = Key::new(&Plan::key(topic)).unwrap();
        let wants = |subscriber: &usize| {
            KeyPattern::new(&plan.pattern_of(*subscriber))
                .unwrap()
                .matches(&key)
        };
        (0..plan.subscribers()).filter(wants).collect()
    }

    #[test]
    fn receivers_are_those_whose_pattern_matches() {
        for (subscribers, nodes, wild) in [(10, 3, 0), (100, 5, 8), (37, 4, 10), (5, 2, 100), (64, 4, 16)] {
            let plan = Plan::new(subscribers, nodes, wild);
            let mut all = 0;
            for topic in plan.topics() {
                let found = matching(&plan, topic);
                assert_eq!(found.len(), plan.receivers(topic), "{plan:?}");
                assert!(found.iter().all(|subscriber| plan.topic_of(*subscriber) == topic));
                let at = |node: usize| found.iter().any(|subscriber| plan.node_of(*subscriber) == node);
                let places: Vec<usize> = (0..nodes).filter(|node| at(*node)).collect();
                assert_eq!(places.len(), plan.receiving_nodes(topic), "{plan:?}");
                for node in 0..nodes {
                    let at = found.iter().filter(|its| plan.node_of(**its) == node).count();
                    assert_eq!(at, plan.receivers_at(node, topic), "{plan:?}");
                }
                all += found.len();
            }
            assert_eq!(all, subscribers, "each has one topic");
        }
    }

    #[test]
    fn patterns_are_as_many_as_asked_for_and_all_have_wildcards() {
        let plan = Plan::new(1000, 5, 50);
        let patterns: std::collections::BTreeSet<String> =
            (0..1000).map(|subscriber| plan.pattern_of(subscriber)).collect();
        assert_eq!((patterns.len(), plan.patterns()), (50, 50));
        assert!(patterns.iter().all(|pattern| pattern.contains(['*', '#'])));
        let plain = Plan::new(1000, 5, 0);
        assert_eq!((plain.patterns(), plain.topics()), (1, vec![0]));
        assert_eq!(plain.receiving_nodes(0), 5);
    }

    #[test]
    fn one_pattern_is_not_all_on_one_node() {
        // As many patterns as a multiple of the nodes: the simplest spread would put each on one node.
        let plan = Plan::new(200, 5, 20);
        assert_eq!(plan.receiving_nodes(0), 5);
        for nodes in 1..8 {
            assert_eq!(Plan::new(100, nodes, 0).receiving_nodes(0), nodes);
        }
    }
}
