//! A scenario on a cluster that others use: it works with exchanges of its own, and leaves theirs alone. What does not live here:
//! running it.

use squall_kernel::fault::FaultKind;
use squall_kernel::id::ExchangeName;

use super::{Deed, Scenario};
use crate::fault::{Fault, Links, Nodes, Target};

/// How the names of its exchanges begin then.
pub(super) const PREFIX: &str = "chaos-";

impl Scenario {
    /// The same with `chaos-` before the names of its exchanges, wherever they stand; a name that would be too long stays.
    #[must_use]
    pub fn beside_others(mut self) -> Self {
        for plan in &mut self.exchanges {
            rename(&mut plan.name);
        }
        for step in &mut self.steps {
            match &mut step.deed {
                Deed::Move { exchange, to } => {
                    rename(exchange);
                    nodes(to);
                }
                Deed::Fault { fault, target } => {
                    if let Fault::Held(FaultKind::Process { exchange, .. }) = fault {
                        rename(exchange);
                    }
                    if let Fault::Held(FaultKind::Message { of, .. }) = fault {
                        rename(&mut of.exchange);
                    }
                    match target {
                        Target::Nodes(all) => nodes(all),
                        Target::Links(all) => links(all),
                    }
                }
            }
        }
        let expected = self
            .expects
            .iter_mut()
            .filter_map(|expect| expect.exchange.as_mut());
        expected.for_each(rename);
        self
    }
}

fn rename(name: &mut ExchangeName) {
    if let Ok(new) = ExchangeName::new(&format!("{PREFIX}{name}")) {
        *name = new;
    }
}

fn links(all: &mut Links) {
    match all {
        Links::Ways { from, to, .. } => {
            nodes(from);
            nodes(to);
        }
        Links::Isolate(of) | Links::Mute(of) | Links::Deaf(of) | Links::Bridge(of) => nodes(of),
        Links::Several(each) => each.iter_mut().for_each(links),
        Links::Halves | Links::Ring => {}
    }
}

fn nodes(all: &mut Nodes) {
    match all {
        Nodes::Owner(of) | Nodes::Leader(of) | Nodes::Follower(of) => {
            if ExchangeName::new(&format!("{PREFIX}{of}")).is_ok() {
                *of = format!("{PREFIX}{of}");
            }
        }
        Nodes::Listed(each) => each.iter_mut().for_each(nodes),
        Nodes::Named(_) | Nodes::MetaLeader | Nodes::Minority | Nodes::All | Nodes::Rest => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{library, read};

    #[test]
    fn no_scenario_speaks_of_the_exchanges_of_others() {
        for shipped in library::SHIPPED {
            let scenario = read(shipped.name, shipped.text).expect("it ships");
            let theirs: Vec<String> = scenario
                .exchanges
                .iter()
                .map(|plan| plan.name.to_string())
                .collect();
            let beside = format!("{:?}", scenario.beside_others());
            for name in theirs {
                // Quoted, it would be a whole name.
                assert!(
                    !beside.contains(&format!("\"{name}\"")),
                    "{}: {beside}",
                    shipped.name
                );
                assert!(
                    beside.contains(&format!("\"chaos-{name}\"")),
                    "{}: {beside}",
                    shipped.name
                );
            }
        }
    }
}
