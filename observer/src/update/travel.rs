//! Freezing what is shown, and going back and forth in what was seen.
//!
//! What does not live here: what is held of it, and making it again ([`crate::keeper`]).

use super::tell;
use crate::keeper::Found;
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
    if model.is_back() {
        live(model);
    } else {
        model.frozen = Some(Frozen {
            cluster: model.live.clone(),
            at: model.now,
        });
    }
    Vec::new()
}

/// Shows what is now.
pub(super) fn live(model: &mut Model) {
    (model.frozen, model.recalling) = (None, None);
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
    if !model.is_back() && stands {
        return vec![Cmd::PlayOn(STEP_MS.unsigned_abs())];
    }
    step(model, 1)
}

/// What is shown, or is about to be.
fn stands_at(model: &Model) -> Moment {
    model.recalling.unwrap_or(model.shown().1)
}

/// A second back or on from what is shown.
pub(super) fn step(model: &mut Model, by: i64) -> Vec<Cmd> {
    let at = stands_at(model);
    show(model, Moment(at.0.saturating_add_signed(by * STEP_MS)))
}

/// To the moment at which something happened, before or after what is shown.
pub(super) fn to_event(model: &mut Model, by: i64) -> Vec<Cmd> {
    let at = stands_at(model);
    let events = &model.live.events;
    let happened = if by < 0 {
        events.before(at)
    } else {
        events.after(at)
    };
    match happened {
        Some(then) => return show(model, then),
        None if by > 0 => live(model),
        None => tell(model, "Nothing happened before that, as far as is known."),
    }
    Vec::new()
}

/// Shows a moment. What is now, or later, is live again.
fn show(model: &mut Model, wanted: Moment) -> Vec<Cmd> {
    if wanted >= model.now {
        live(model);
        return Vec::new();
    }
    let first = model.seen_since.unwrap_or_default();
    if wanted < first && stands_at(model) <= first {
        tell(model, BEGINNING);
        return Vec::new();
    }
    let wanted = wanted.max(first);
    model.recalling = Some(wanted);
    vec![Cmd::Recall(wanted)]
}

const BEGINNING: &str = "Nothing was seen before that.";

/// A moment was made again. Whoever is live again does not want it any more; whoever goes on sees it on the way.
pub(super) fn recalled(model: &mut Model, (wanted, found): Found) {
    let Some(latest) = model.recalling else { return };
    if latest == wanted {
        model.recalling = None;
    }
    match found {
        Some((mut cluster, at)) => {
            if at > wanted {
                // The beginning: what is wanted from before it leads there, too.
                model.seen_since = Some(at);
                model.recalling = model.recalling.filter(|latest| *latest > at);
                tell(model, BEGINNING);
            }
            cluster.events = model.live.events.until(at);
            let cluster = *cluster;
            model.frozen = Some(Frozen { cluster, at });
        }
        None => tell(model, BEGINNING),
    }
}
