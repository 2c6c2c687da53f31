//! I11: round-robin counts differ by at most one over a stable window.
//!
//! A window is stable while the exchange keeps its owner and its handlers: nobody attaches or detaches. Within one, and
//! for each group, no handler gets a second request before every other has got its next; that is the same as counts that
//! differ by at most one over every part of the window. Who is in the group of all handlers is known from the owner's
//! view; who is in a group of a service tag is known once the first of them is chosen again.

use std::collections::VecDeque;

use squall_kernel::id::{Counter, Epoch, ExchangeId, Pid};
use squall_kernel::registry::Strategy;

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::{GRANTS_REMEMBERED, TURNS_REMEMBERED};

/// Who serves in a stable window.
#[derive(Debug, Clone)]
struct Window {
    counter: Counter,
    servers: Vec<Pid>,
}

/// The latest turns of one group, each handler's last one, the oldest first.
#[derive(Debug, Clone, Default)]
struct Round {
    turns: VecDeque<(Pid, Event)>,
    size: Option<usize>,
}

/// The checker of I11.
#[derive(Debug)]
pub struct RoundRobin {
    strategies: Recent<ExchangeId, Strategy>,
    windows: Recent<(ExchangeId, Epoch), Window>,
    rounds: Recent<(ExchangeId, Epoch, String), Round>,
    judged: u64,
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self {
            strategies: Recent::new(GRANTS_REMEMBERED),
            windows: Recent::new(TURNS_REMEMBERED),
            rounds: Recent::new(TURNS_REMEMBERED),
            judged: 0,
        }
    }
}

impl RoundRobin {
    fn viewed(&mut self, exchange: ExchangeId, (epoch, counter): (Epoch, Counter), servers: &[Pid]) {
        let key = (exchange, epoch);
        let stable = |window: &&mut Window| window.counter <= counter && window.servers == servers;
        if let Some(window) = self.windows.get_mut(&key).filter(stable) {
            window.counter = counter;
            return;
        }
        let servers = servers.to_vec();
        self.windows.insert(key, Window { counter, servers });
        self.rounds.retain(|(e, under, _), _| (*e, *under) != key);
    }

    fn routed(
        &mut self,
        event: &Event,
        (exchange, epoch): (ExchangeId, Epoch),
        service_tag: &str,
        handler: Pid,
    ) -> Result<(), Breach> {
        let Some(window) = self.windows.get(&(exchange, epoch)) else {
            return Ok(());
        };
        let servers = window.servers.len();
        let key = (exchange, epoch, service_tag.to_owned());
        if self.rounds.get(&key).is_none() {
            let size = service_tag.is_empty().then_some(servers);
            let round = Round {
                size,
                ..Round::default()
            };
            self.rounds.insert(key.clone(), round);
        }
        let Some(round) = self.rounds.get_mut(&key) else {
            return Ok(());
        };
        let turn = round.take(event, handler);
        self.judged += 1;
        let size = round.size.unwrap_or(servers);
        turn.map_err(|(before, had)| {
            let text = format!(
                "#{exchange} epoch {epoch}: {handler} got its next request when {had} of {size} had got theirs"
            );
            Breach::new(Id(11), Some(&before), event, text)
        })
    }
}

impl Round {
    /// The handler's turn before and how many had one since, when it is not its turn yet.
    fn take(&mut self, event: &Event, handler: Pid) -> Result<(), (Box<Event>, usize)> {
        if let Some(place) = self.turns.iter().position(|(pid, _)| *pid == handler) {
            // The first one chosen again tells how many the group has.
            let size = *self.size.get_or_insert(self.turns.len());
            if place > 0 || self.turns.len() < size {
                return Err((Box::new(self.turns[place].1.clone()), self.turns.len() - place));
            }
            self.turns.pop_front();
        }
        self.turns.push_back((handler, event.clone()));
        Ok(())
    }
}

impl Invariant for RoundRobin {
    fn id(&self) -> Id {
        Id(11)
    }

    fn claim(&self) -> &'static str {
        "round-robin counts differ by at most one while handlers and owner stay"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        match &event.what {
            What::Declared { exchange, strategy } => {
                // Kept when it is deleted: its owner may hear of that later and route on, and ids are not used again.
                self.strategies.insert(*exchange, *strategy);
            }
            What::OwnerView {
                exchange,
                version,
                view,
            } => self.viewed(*exchange, *version, &view.servers),
            What::Routed {
                exchange,
                epoch,
                service_tag,
                handler,
                ..
            } if self.strategies.get(exchange) == Some(&Strategy::RoundRobin) => {
                return self.routed(event, (*exchange, *epoch), service_tag, *handler);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no request was routed by turns")
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{at, broken, declared, holds, owner_view, routed, unknown};
    use super::*;

    fn between_three() -> Vec<Event> {
        vec![
            declared(1, Strategy::RoundRobin),
            owner_view(1, 1, (1, 3), None, &[1, 2, 3]),
            routed(2, 7, "", 2),
            routed(3, 8, "", 3),
        ]
    }

    #[test]
    fn turns_that_go_round_hold_wherever_they_begin() {
        let mut story = between_three();
        story.extend([routed(4, 9, "", 1), routed(5, 10, "", 2)]);
        holds(RoundRobin::default(), &story);
    }

    #[test]
    fn a_second_turn_before_the_others_is_a_breach() {
        let mut story = between_three();
        story.push(routed(4, 9, "", 2));
        assert_eq!(
            broken(RoundRobin::default(), &story).text,
            "#1 epoch 1: <2.1:1> got its next request when 2 of 3 had got theirs"
        );
    }

    #[test]
    fn a_change_of_handlers_begins_a_new_window() {
        let mut story = between_three();
        story.extend([
            owner_view(4, 1, (1, 4), None, &[2, 3]),
            routed(5, 9, "", 2),
            routed(6, 10, "", 3),
        ]);
        holds(RoundRobin::default(), &story);
    }

    #[test]
    fn a_group_of_a_service_tag_is_judged_once_it_is_known() {
        let mut story = between_three();
        story.extend([1, 2, 1, 2].map(|n| routed(4, 9 + n, "eu", n)));
        holds(RoundRobin::default(), &story);
        story.push(routed(9, 20, "eu", 2));
        broken(RoundRobin::default(), &story);
    }

    #[test]
    fn turns_after_one_node_has_told_of_the_deletion_and_before_another_tells_of_the_declaration_count() {
        let mut story = between_three();
        let deleted = What::Deleted {
            exchange: ExchangeId(1),
        };
        story.push(at(4, 3, deleted));
        story.push(routed(5, 9, "", 1));
        story.push(declared(6, Strategy::RoundRobin));
        story.push(routed(7, 10, "", 2));
        holds(RoundRobin::default(), &story);
    }

    #[test]
    fn another_strategy_takes_no_turns() {
        let mut story = between_three();
        story[0] = declared(1, Strategy::Consensus);
        story.push(routed(4, 9, "", 2));
        unknown(RoundRobin::default(), &story);
    }
}
