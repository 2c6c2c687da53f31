//! How a page scrolls, and which of its lines is chosen: `↑` and `↓` go to the next line in sight that leads on, and scroll where
//! there is none.
//!
//! What does not live here: what lines lead to.

use crate::model::Page;
use crate::table::{Motion, RowId};

/// Makes the motion that was wished for on a page of so many lines, of which `height` show.
pub(super) fn scroll(page: &mut Page, leads: &[(usize, RowId)], total: usize, height: usize) {
    let last = total.saturating_sub(height);
    page.first = page.first.min(last);
    let mut at = chosen(page, leads);
    match std::mem::take(&mut page.motion) {
        // What is chosen stays in sight, wherever its line goes.
        Motion::Stay => {
            if let Some(line) = at {
                let low = (line + 1).saturating_sub(height);
                page.first = page.first.clamp(low, line.max(low)).min(last);
            }
        }
        Motion::By(by) => {
            for _ in 0..by.unsigned_abs() {
                at = step(page, leads, at, by > 0, height, last);
            }
        }
        Motion::Scroll(by) => page.first = page.first.saturating_add_signed(by).min(last),
        Motion::Pages(by) => {
            let by = by.saturating_mul(height as isize);
            page.first = page.first.saturating_add_signed(by).min(last);
        }
        // The page itself.
        Motion::First => (page.first, at) = (0, None),
        Motion::Last => page.first = last,
    }
    let in_sight = |line: &usize| (page.first..page.first + height).contains(line);
    if at.is_none_or(|line| !in_sight(&line)) {
        page.chosen = None;
    } else if let Some((_, id)) = leads.iter().find(|(line, _)| Some(*line) == at) {
        page.chosen = Some(id.clone());
    }
}

fn chosen(page: &Page, leads: &[(usize, RowId)]) -> Option<usize> {
    let id = page.chosen.as_ref()?;
    leads.iter().find(|(_, to)| to == id).map(|(line, _)| *line)
}

/// One line on or back: to the next one that leads on if it is in sight, else the page moves by a line.
fn step(
    page: &mut Page,
    leads: &[(usize, RowId)],
    at: Option<usize>,
    down: bool,
    height: usize,
    last: usize,
) -> Option<usize> {
    let next = |page: &Page| {
        let shown = page.first..page.first + height;
        let mut lines = leads.iter().map(|(line, _)| *line);
        if down {
            lines.find(|line| shown.contains(line) && at.is_none_or(|at| *line > at))
        } else {
            lines.rfind(|line| shown.contains(line) && at.is_none_or(|at| *line < at))
        }
    };
    if let Some(line) = next(page) {
        return Some(line);
    }
    let moved = if down {
        (page.first + 1).min(last)
    } else {
        page.first.saturating_sub(1)
    };
    if moved == page.first {
        // Above the first one that leads on is the page itself.
        return at.filter(|_| down);
    }
    page.first = moved;
    next(page).or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 20 lines, six in sight, of which lines 2, 3 and 15 lead on; the keys, and what they come to.
    fn walk(motions: &[Motion]) -> (usize, Option<usize>) {
        let id = |n: usize| RowId::Node(n.to_string());
        let leads = [2, 3, 15].map(|n| (n, id(n)));
        let mut page = Page::new(id(0));
        for motion in motions {
            page.motion = *motion;
            scroll(&mut page, &leads, 20, 6);
        }
        (page.first, chosen(&page, &leads))
    }

    #[test]
    fn the_next_line_that_leads_on_is_chosen_or_the_page_moves() {
        use Motion::{By, First, Last, Pages, Scroll, Stay};
        type Walk<'a> = (&'a [Motion], (usize, Option<usize>));
        let table: [Walk<'_>; 10] = [
            (&[Stay], (0, None)),
            (&[By(1)], (0, Some(2))),
            (&[By(1), By(1)], (0, Some(3))),
            (&[By(2), By(1)], (1, Some(3))),
            (&[By(2), By(4)], (4, None)),
            (&[By(2), By(10)], (10, Some(15))),
            (&[By(1), By(-1)], (0, None)),
            (&[By(1), Scroll(3)], (3, None)),
            (&[Last, By(-1)], (14, Some(15))),
            (&[Pages(1), First, By(1)], (0, Some(2))),
        ];
        for (motions, expected) in table {
            assert_eq!(walk(motions), expected, "{motions:?}");
        }
    }

    #[test]
    fn what_is_chosen_stays_in_sight_when_its_line_goes_down() {
        let id = RowId::Node("d".to_owned());
        let mut page = Page::new(RowId::Exchange("x".to_owned()));
        page.chosen = Some(id.clone());
        scroll(&mut page, &[(12, id.clone())], 20, 6);
        assert_eq!((page.first, page.chosen.as_ref()), (7, Some(&id)));
        scroll(&mut page, &[], 20, 6);
        assert_eq!(page.chosen, None, "it is gone");
    }
}
