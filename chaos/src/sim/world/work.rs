//! What the workload may see and do.

use squall_kernel::id::NodeName;
use squall_kernel::time::{Instant, Span};

use super::{Due, World};
use crate::sim::fault::Seat;
use crate::sim::host::Host;
use crate::sim::plan::Plan;
use crate::sim::rng::Rng;
use crate::sim::workload::Deck;

impl World {
    pub(in crate::sim) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// True time since the beginning.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    pub(in crate::sim) fn deck(&mut self) -> &mut Deck {
        &mut self.deck
    }

    pub(in crate::sim) fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        self.plan.seats()
    }

    pub(in crate::sim) fn name(&self, seat: Seat) -> NodeName {
        self.places[seat.index()].plan.name.clone()
    }

    /// The node there, if it runs.
    pub(in crate::sim) fn host(&self, seat: Seat) -> Option<&Host> {
        let place = &self.places[seat.index()];
        place.host.as_ref().filter(|_| !place.paused)
    }

    /// Gives a node an input, if it runs.
    pub(in crate::sim) fn tell_running(&mut self, seat: Seat, input: impl FnOnce(&mut Host, Instant)) {
        if self.places[seat.index()].runs() {
            self.tell(seat, input);
        }
    }

    /// An operator kills a node in the next moments.
    pub(in crate::sim) fn kill_soon(&mut self, seat: Seat, rng: &mut Rng) {
        self.after(rng.span(Span(100), Span::from_ms(50)), Due::Kill(seat));
    }

    pub(in crate::sim) fn request_after(&mut self, span: Span) {
        self.after(span, Due::Request);
    }

    pub(in crate::sim) fn operation_after(&mut self, span: Span) {
        self.after(span, Due::Operation);
    }

    pub(in crate::sim) fn look_after(&mut self, span: Span) {
        self.after(span, Due::Look);
    }
}
