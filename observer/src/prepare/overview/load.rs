//! The columns of the load charts: a second each, or some seconds, up to all that is kept.

use std::collections::VecDeque;

use crate::cluster::events::{Mark, MarkKind};
use crate::units::{Moment, millis};

/// Seconds a column, to choose from; the last one shows ten minutes on sixty columns.
pub const STEPS: [u64; 4] = [1, 2, 5, 10];
/// Columns between two labels of the axis.
const LABELS: u16 = 30;

/// The newest columns, the newest last: the most of each one's seconds, and none where one of them is missing. Columns keep to the
/// clock, so that bars do not dance while they fill.
pub(super) fn columns(load: &VecDeque<Option<f32>>, now: Moment, step: u64, most: usize) -> Vec<Option<f32>> {
    let mut all: Vec<Option<f32>> = Vec::new();
    for (ago, sample) in (0u64..).zip(load.iter().rev()) {
        let column = back(now, ago, step);
        if column >= most {
            break;
        }
        match all.get_mut(column) {
            None => all.push(*sample),
            Some(of) => *of = of.zip(*sample).map(|(a, b)| a.max(b)),
        }
    }
    all.reverse();
    all
}

/// The marks that show, by their columns from the right.
pub(super) fn marks(all: &[Mark], now: Moment, step: u64, most: usize) -> Vec<(u16, MarkKind)> {
    let column = |mark: &Mark| {
        let ago = now.0.saturating_sub(mark.unix_ms) / 1000;
        let column = back(now, ago, step);
        let shows = (column < most).then(|| u16::try_from(column).ok());
        Some((shows.flatten()?, mark.kind))
    };
    all.iter().filter_map(column).collect()
}

/// Labels of the axis, by their columns from the right.
pub(super) fn axis(step: u64, most: u16) -> Vec<(u16, String)> {
    let label = |column: u16| match u64::from(column) * step {
        seconds if seconds % 60 == 0 => (column, format!("{}m", seconds / 60)),
        seconds if seconds < 60 => (column, format!("{seconds}s")),
        seconds => (column, millis(seconds * 1000)),
    };
    let places = (1..).map(|i| i * LABELS).take_while(|column| *column < most);
    places.map(label).collect()
}

/// How many columns back something was, so many seconds ago.
fn back(now: Moment, ago: u64, step: u64) -> usize {
    let (now, step) = (now.0 / 1000, step.max(1));
    let columns = now / step - now.saturating_sub(ago) / step;
    usize::try_from(columns).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(samples: &[Option<f32>]) -> VecDeque<Option<f32>> {
        samples.iter().copied().collect()
    }

    #[test]
    fn a_column_is_the_most_of_its_seconds_and_a_gap_stays_one() {
        let samples = load(&[
            Some(9.0),
            Some(1.0),
            Some(2.0),
            None,
            Some(4.0),
            Some(5.0),
            Some(3.0),
        ]);
        let at = |second: u64, step| columns(&samples, Moment(second * 1000), step, 9);
        assert_eq!(at(106, 1), samples.iter().copied().collect::<Vec<_>>());
        // The seconds 100 and 101, 102 and 103, 104 and 105, and 106 so far.
        assert_eq!(at(106, 2), [Some(9.0), None, Some(5.0), Some(3.0)]);
        assert_eq!(at(106, 5), [None, Some(5.0)]);
        assert_eq!(columns(&samples, Moment(106_000), 1, 2), [Some(5.0), Some(3.0)]);
    }

    #[test]
    fn marks_stand_over_the_column_of_their_second() {
        let mark = |unix_ms| Mark {
            unix_ms,
            kind: MarkKind::Fault,
        };
        let at = |step| {
            marks(
                &[mark(106_900), mark(104_200), mark(50_000)],
                Moment(106_999),
                step,
                9,
            )
        };
        let places = |all: Vec<(u16, MarkKind)>| all.into_iter().map(|(x, _)| x).collect::<Vec<_>>();
        assert_eq!(
            (places(at(1)), places(at(2)), places(at(10))),
            (vec![0, 2], vec![0, 1], vec![0, 0, 5])
        );
    }

    #[test]
    fn the_axis_tells_ten_minutes_on_sixty_columns() {
        let words = |step, most| {
            axis(step, most)
                .into_iter()
                .map(|(_, label)| label)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(1, 100), ["30s", "1m", "1m30s"]);
        assert_eq!(words(10, 70), ["5m", "10m"]);
    }
}
