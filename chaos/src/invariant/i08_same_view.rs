//! I8: a handler's view after its system messages equals the owner's at that epoch and counter.
//!
//! Handlers decide by what they were told: who leads, who else serves. Messages are repeated, lost and made good, and come
//! from one owner after the other; two that have followed to the same place must have the same picture, and it must be
//! the one the owner had there. A handler may stand between two views of the owner (several handlers of a lost node go
//! in one step); where the owner had no view, there is nothing to compare.

use squall_kernel::id::{ClusterId, Counter, Epoch, ExchangeId};

use super::alive::Alive;
use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, View, What};
use crate::limits::VIEWS_REMEMBERED;

type At = (Option<ClusterId>, ExchangeId, (Epoch, Counter));

/// The checker of I8.
#[derive(Debug)]
pub struct SameView {
    alive: Alive,
    owners: Recent<At, (View, Event)>,
    judged: u64,
}

impl Default for SameView {
    fn default() -> Self {
        Self {
            alive: Alive::default(),
            owners: Recent::new(VIEWS_REMEMBERED),
            judged: 0,
        }
    }
}

impl Invariant for SameView {
    fn id(&self) -> Id {
        Id(8)
    }

    fn claim(&self) -> &'static str {
        "a handler's view equals the owner's at the same epoch and counter"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.alive.see(event);
        let (exchange, version, view, who) = match &event.what {
            What::OwnerView {
                exchange,
                version,
                view,
            } => (*exchange, *version, view, None),
            What::HandlerView {
                exchange,
                handler,
                version,
                view,
            } => (*exchange, *version, view, Some(*handler)),
            _ => return Ok(()),
        };
        let key = (self.alive.cluster(event.node), exchange, version);
        let at = format_args!("#{exchange} at {}/{}", version.0, version.1).to_string();
        match (self.owners.get(&key), who) {
            (None, None) => {
                self.owners.insert(key, (view.clone(), event.clone()));
            }
            (None, Some(_)) => {}
            (Some((owners, before)), _) => {
                self.judged += u64::from(who.is_some());
                if owners != view {
                    let who = who.map_or("the owner again".to_owned(), |handler| handler.to_string());
                    let text = format!("{at}: the owner saw {}, {who} saw {}", words(owners), words(view));
                    return Err(Breach::new(self.id(), Some(before), event, text));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no handler's view could be compared")
    }
}

fn words(view: &View) -> String {
    let servers: Vec<String> = view.servers.iter().map(ToString::to_string).collect();
    match view.leader {
        Some((pid, epoch)) => format!("leader {pid} epoch {epoch} of [{}]", servers.join(" ")),
        None => format!("no leader of [{}]", servers.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{broken, handler_view, holds, owner_view, unknown};
    use super::*;

    #[test]
    fn equal_views_hold_and_what_the_owner_never_saw_is_not_judged() {
        let one = Some((1, 1));
        holds(
            SameView::default(),
            &[
                owner_view(1, 1, (1, 2), one, &[1, 2]),
                handler_view(2, 1, (1, 1), None, &[1]),
                handler_view(3, 1, (1, 2), one, &[1, 2]),
            ],
        );
        assert_eq!(
            unknown(SameView::default(), &[handler_view(2, 1, (1, 1), None, &[1])]),
            "no handler's view could be compared"
        );
    }

    #[test]
    fn a_handler_that_missed_a_message_is_a_breach() {
        let breach = broken(
            SameView::default(),
            &[
                owner_view(1, 1, (1, 3), Some((1, 1)), &[1]),
                handler_view(2, 1, (1, 3), Some((1, 1)), &[1, 2]),
            ],
        );
        assert_eq!(
            breach.text,
            "#1 at 1/3: the owner saw leader <1.1:1> epoch 1 of [<1.1:1>], <1.1:1> saw leader <1.1:1> epoch 1 of \
             [<1.1:1> <2.1:1>]"
        );
    }
}
