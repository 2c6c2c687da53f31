//! Where the parts of the Chaos view stand: what must hold at the top, then what was broken, the faults, the scenarios with what
//! there is to say of one beside them, and what happened lately. A small screen shows the one list in which something is selected.

use ratatui::layout::{Position, Rect};

use super::{BORDERS, LATEST_MIN, TABLE_EXTRA, bottom, inside, top};

/// The lists that a selection can be in, from the top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Group {
    /// What must hold.
    #[default]
    Bar,
    /// Faults that act.
    Faults,
    /// Scenarios.
    Scenarios,
}

/// What the view is to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Rows of what must hold.
    pub bar: u16,
    /// Rows on what was broken; 0 where nothing is.
    pub breach: u16,
    /// Faults.
    pub faults: u16,
    /// Scenarios; 0 leaves their part out.
    pub scenarios: u16,
    /// Columns of the widest of them.
    pub named: u16,
    /// There are two things to say beside them, not one.
    pub both: bool,
    /// Where the selection is.
    pub on: Group,
}

/// The parts; one without height is not drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChaosParts {
    /// What must hold.
    pub bar: Rect,
    /// What was broken.
    pub breach: Rect,
    /// Faults that act.
    pub table: Rect,
    /// Scenarios.
    pub scenarios: Rect,
    /// What the selected one teaches, or the run.
    pub side: Rect,
    /// The run, where there is room for both.
    pub second: Rect,
    /// What happened.
    pub lately: Rect,
}

/// Rows from which the view has room for what happened, where there are no scenarios.
const LATELY_FROM: u16 = 18;
/// Least rows of a list, with its borders.
const LEAST: u16 = TABLE_EXTRA + 1;
/// Least rows for what is said beside the scenarios to be read.
const SIDE_MIN: u16 = 8;
/// Width from which two things stand beside the scenarios.
const BOTH_FROM: u16 = 130;

/// Cuts the body up.
#[must_use]
pub fn chaos(body: Rect, wanted: Wanted) -> ChaosParts {
    let mut rest = body;
    let bar = top(&mut rest, wanted.bar + BORDERS);
    if wanted.scenarios == 0 {
        return without_scenarios(body, bar, rest, wanted);
    }
    let breach = breach(&mut rest, wanted, 2 * LEAST);
    let mut parts = ChaosParts {
        bar,
        breach,
        ..ChaosParts::default()
    };
    if rest.height < 2 * LEAST {
        // No room for both lists.
        match wanted.on {
            Group::Scenarios => parts.beside(rest, wanted),
            Group::Bar | Group::Faults => parts.table = rest,
        }
        return parts;
    }
    let list = wanted.scenarios.saturating_add(BORDERS).max(SIDE_MIN);
    let faults = wanted.faults.max(1).saturating_add(TABLE_EXTRA);
    let spared = list.min((rest.height / 2).max(LEAST));
    let most = (rest.height - spared).max(LEAST);
    parts.table = top(&mut rest, faults.clamp(LEAST, most));
    let most = list.max(rest.height / 2);
    if rest.height >= most.saturating_add(LATEST_MIN) {
        let height = rest.height - most;
        parts.lately = bottom(&mut rest, height);
    }
    parts.beside(rest, wanted);
    parts
}

/// What was broken stands in full before anything but the list in which something is selected.
fn breach(rest: &mut Rect, wanted: Wanted, lists: u16) -> Rect {
    if wanted.breach == 0 {
        return Rect::default();
    }
    let height = wanted.breach.saturating_add(BORDERS);
    if rest.height >= height.saturating_add(lists) {
        return top(rest, height);
    }
    let kept = if wanted.on == Group::Bar { 0 } else { LEAST };
    let height = match rest.height.saturating_sub(height) {
        // What is left over is too little for a list.
        left if left < LEAST && kept == 0 => rest.height,
        _ => height.min(rest.height.saturating_sub(kept)),
    };
    // A box of borders alone says nothing.
    if height > BORDERS {
        top(rest, height)
    } else {
        Rect::default()
    }
}

fn without_scenarios(body: Rect, bar: Rect, mut rest: Rect, wanted: Wanted) -> ChaosParts {
    let breach = breach(&mut rest, wanted, LEAST);
    let half = body.height / 2;
    let lately = if body.height >= LATELY_FROM && rest.height >= half + LEAST {
        bottom(&mut rest, half)
    } else {
        Rect::default()
    };
    ChaosParts {
        bar,
        breach,
        table: rest,
        lately,
        ..ChaosParts::default()
    }
}

impl ChaosParts {
    /// The scenarios, with what there is to say beside them.
    fn beside(&mut self, area: Rect, wanted: Wanted) {
        // The mark of the selection, the name, and how it ended.
        let width = (wanted.named + BORDERS + 2).clamp(22, 40).min(area.width * 2 / 5);
        let (list, side) = split(area, width);
        (self.scenarios, self.side) = (list, side);
        if wanted.both && area.width >= BOTH_FROM {
            (self.side, self.second) = split(side, side.width / 2);
        }
    }

    /// The list that a place is in, and the line of it.
    #[must_use]
    pub fn at(&self, place: Position) -> Option<(Group, usize)> {
        let line = |area: Rect, above: u16| usize::from((place.y - area.y).saturating_sub(above));
        if self.bar.contains(place) || self.breach.contains(place) {
            return Some((Group::Bar, 0));
        }
        if inside(self.scenarios).contains(place) {
            return Some((Group::Scenarios, line(self.scenarios, 1)));
        }
        // Below the border and the headings.
        let lines = inside(self.table).contains(place) && place.y > self.table.y + 1;
        lines.then(|| (Group::Faults, line(self.table, 2)))
    }
}

/// Takes `width` columns off the left.
fn split(area: Rect, width: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    let left = Rect { width, ..area };
    let right = Rect {
        x: area.x + width,
        width: area.width - width,
        ..area
    };
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::shell;

    fn all(parts: &ChaosParts) -> [Rect; 7] {
        [
            parts.bar,
            parts.breach,
            parts.table,
            parts.scenarios,
            parts.side,
            parts.second,
            parts.lately,
        ]
    }

    #[test]
    fn parts_never_leave_the_screen_nor_overlap_and_the_selected_list_shows() {
        for (w, h) in [(60, 16), (61, 17), (80, 24), (120, 40), (160, 48), (200, 60)] {
            for banners in 0..4 {
                let body = shell(Rect::new(0, 0, w, h), banners, true).body;
                for breach in [0, 3, 9, 40] {
                    for (faults, scenarios) in [(0, 0), (1, 11), (50, 1), (2, 300)] {
                        for on in [Group::Bar, Group::Faults, Group::Scenarios] {
                            let wanted = Wanted {
                                bar: 2,
                                breach,
                                faults,
                                scenarios,
                                named: 18,
                                both: true,
                                on,
                            };
                            let parts = chaos(body, wanted);
                            let all = all(&parts);
                            let sum: u32 = all.iter().map(|r| r.area()).sum();
                            assert!(sum <= body.area(), "{w}x{h} {wanted:?}: {parts:?}");
                            let within = |r: &Rect| r.is_empty() || body.intersection(*r) == *r;
                            assert!(all.iter().all(within), "{w}x{h} {wanted:?}: {parts:?}");
                            assert!(breach == 0 || on != Group::Bar || parts.breach.height >= 3);
                            match on {
                                Group::Scenarios if scenarios > 0 => assert!(parts.scenarios.height >= 3),
                                Group::Faults => assert!(parts.table.height >= LEAST, "{w}x{h} {parts:?}"),
                                Group::Bar | Group::Scenarios => assert!(parts.bar.height >= 3),
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_clicked_is_what_is_drawn_there() {
        let wanted = Wanted {
            bar: 2,
            faults: 2,
            scenarios: 11,
            named: 18,
            ..Wanted::default()
        };
        let parts = chaos(Rect::new(0, 2, 80, 21), wanted);
        let at = |area: Rect, line: u16| parts.at(Position::new(area.x + 3, area.y + line));
        assert_eq!(at(parts.bar, 1), Some((Group::Bar, 0)));
        assert_eq!(at(parts.table, 1), None, "headings sort");
        assert_eq!(at(parts.table, 3), Some((Group::Faults, 1)));
        assert_eq!(at(parts.scenarios, 1), Some((Group::Scenarios, 0)));
        assert_eq!(at(parts.side, 2), None);
    }
}
