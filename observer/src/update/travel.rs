//! Freezing what is shown, and going back and forth in what was seen.
//!
//! What does not live here: what is held of it (`history`).

use super::notice;
use crate::limits::STEP_MS;
use crate::model::{Frozen, Model};
use crate::units::Moment;

/// Stops, or goes on with what is there now.
pub(super) fn freeze(model: &mut Model) {
    model.frozen = match model.frozen.take() {
        Some(_) => None,
        None => Some(Frozen {
            cluster: model.live.clone(),
            at: model.now,
        }),
    };
}

/// A second back or on from what is shown.
pub(super) fn step(model: &mut Model, by: i64) {
    let at = model.shown().1;
    show(model, Moment(at.0.saturating_add_signed(by * STEP_MS)));
}

/// To the moment at which something happened, before or after what is shown.
pub(super) fn to_event(model: &mut Model, by: i64) {
    let at = model.shown().1;
    let events = &model.live.events;
    let happened = if by < 0 {
        events.before(at)
    } else {
        events.after(at)
    };
    match happened {
        Some(then) => show(model, then),
        None if by > 0 => model.frozen = None,
        None => notice(
            model,
            "Back",
            "Nothing happened before that, as far as is known.",
            false,
        ),
    }
}

/// Shows a moment. What is now, or later, is live again.
fn show(model: &mut Model, wanted: Moment) {
    if wanted >= model.now {
        model.frozen = None;
        return;
    }
    match model.history.at(wanted, &model.live) {
        Some((cluster, at)) => model.frozen = Some(Frozen { cluster, at }),
        None => notice(model, "Back", "Nothing was seen yet.", false),
    }
}
