//! Freezing what is shown, and going back and forth in what was seen.
//!
//! What does not live here: what is held of it (`history`).

use super::tell;
use crate::limits::STEP_MS;
use crate::model::{Cmd, Frozen, Model, SPEEDS};
use crate::units::Moment;

/// Stops, or goes on with what is there now; a recording stands still, or plays on.
pub(super) fn freeze(model: &mut Model) -> Vec<Cmd> {
    if let Some(replay) = &mut model.replay {
        replay.paused = !replay.paused;
        let speed = if replay.paused { 0.0 } else { replay.speed };
        return vec![Cmd::Play(speed)];
    }
    model.frozen = match model.frozen.take() {
        Some(_) => None,
        None => Some(Frozen {
            cluster: model.live.clone(),
            at: model.now,
        }),
    };
    Vec::new()
}

/// A recording plays faster, or more slowly.
pub(super) fn speed(model: &mut Model, by: isize) -> Vec<Cmd> {
    let Some(replay) = &mut model.replay else {
        return Vec::new();
    };
    let place = SPEEDS
        .iter()
        .position(|speed| *speed >= replay.speed)
        .unwrap_or(0);
    let place = place.saturating_add_signed(by).min(SPEEDS.len() - 1);
    (replay.speed, replay.paused) = (SPEEDS[place], false);
    vec![Cmd::Play(SPEEDS[place])]
}

/// A second on: of what was seen, or of a recording that stands still.
pub(super) fn step_on(model: &mut Model) -> Vec<Cmd> {
    let stands = model.replay.as_ref().is_some_and(|replay| replay.paused);
    if model.frozen.is_none() && stands {
        return vec![Cmd::PlayOn(STEP_MS.unsigned_abs())];
    }
    step(model, 1);
    Vec::new()
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
        None => tell(model, "Nothing happened before that, as far as is known."),
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
        None => tell(model, "Nothing was seen before that."),
    }
}
