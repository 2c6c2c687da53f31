//! Which columns of a table fit into a width, and where they stand: drawing them and clicking on them must agree. What does not
//! live here: what the columns mean.

use super::Table;
use crate::measure::width;

/// Columns before a row for the mark of the selection.
pub const MARK: u16 = 2;
/// A column of the first rank is shown whole up to this width.
const WHOLE_MAX: u16 = 20;

/// Columns that fit into a width: index, place and width of each. The highest ranks go first; what is
/// left over goes to the columns that have more to say, the lowest ranks first.
#[must_use]
pub fn columns(table: &Table, room: u16) -> Vec<(usize, u16, u16)> {
    let natural: Vec<u16> = (0..table.columns.len()).map(|i| natural(table, i)).collect();
    let mut kept: Vec<usize> = (0..table.columns.len()).collect();
    // What matters most shows whole before the rest shows at all.
    let base = |i: usize| {
        let column = &table.columns[i];
        if column.rank == 0 {
            natural[i].min(WHOLE_MAX).max(column.min)
        } else {
            column.min
        }
    };
    let least = |kept: &[usize]| kept.iter().map(|i| base(*i) + 1).sum::<u16>();
    while least(&kept) > room + 1 {
        let Some(worst) = kept.iter().copied().max_by_key(|i| (table.columns[*i].rank, *i)) else {
            break;
        };
        if table.columns[worst].rank == 0 {
            break;
        }
        kept.retain(|i| *i != worst);
    }
    let mut widths: Vec<u16> = kept.iter().map(|i| base(*i)).collect();
    let mut spare = (room + 1).saturating_sub(least(&kept));
    let mut by_rank: Vec<usize> = (0..kept.len()).collect();
    by_rank.sort_by_key(|k| table.columns[kept[*k]].rank);
    for k in by_rank {
        let more = natural[kept[k]].saturating_sub(widths[k]).min(spare);
        widths[k] += more;
        spare -= more;
    }
    // Room that nobody needs makes the gaps wider.
    let gap = 1 + (spare / kept.len().max(1) as u16).min(2);
    let mut x = 0;
    let mut placed = Vec::with_capacity(kept.len());
    for (i, width) in kept.into_iter().zip(widths) {
        let width = width.min(room.saturating_sub(x));
        placed.push((i, x, width));
        x += width + gap;
    }
    placed.retain(|(_, _, width)| *width > 0);
    placed
}

fn natural(table: &Table, i: usize) -> u16 {
    let column = &table.columns[i];
    let cells = table
        .lines
        .iter()
        .filter_map(|l| l.cells.get(i))
        .map(|c| width(&c.text));
    let widest = cells.max().unwrap_or(0).max(width(&heading(table, i)));
    widest.clamp(column.min, column.max.max(column.min))
}

/// The column whose heading stands at `x` of a row that begins at 0, in a table of this width.
#[must_use]
pub fn heading_at(table: &Table, width: u16, x: u16) -> Option<usize> {
    let x = x.checked_sub(MARK)?;
    let placed = columns(table, width.saturating_sub(MARK));
    let under = |(_, from, width): &&(usize, u16, u16)| (*from..*from + *width).contains(&x);
    placed.iter().find(under).map(|(i, ..)| *i)
}

/// Heading of a column, with a sign on the one that the table is sorted by.
#[must_use]
pub fn heading(table: &Table, i: usize) -> String {
    let title = table.columns[i].title;
    match table.sort {
        Some(sort) if sort.column == i && table.selected.is_some() => {
            format!("{title}{}", if sort.descending { "▾" } else { "▴" })
        }
        _ => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Column;
    use super::*;

    #[test]
    fn columns_go_by_rank_and_never_leave_the_room() {
        let columns_of = [
            Column::words("name", 4, 20, 0),
            Column::number("a", 6, 2),
            Column::number("b", 6, 1),
            Column::words("c", 6, 9, 3),
        ];
        let table = Table {
            columns: columns_of.to_vec(),
            ..Table::default()
        };
        for room in 0..60 {
            let fitted = columns(&table, room);
            assert!(fitted.iter().all(|(_, x, w)| x + w <= room), "{room}: {fitted:?}");
        }
        let kept: Vec<_> = columns(&table, 12).iter().map(|c| c.0).collect();
        assert_eq!(kept, [0, 2]);
    }

    #[test]
    fn a_click_finds_the_heading_it_is_on() {
        let table = Table {
            columns: vec![Column::words("name", 4, 20, 0), Column::number("a", 6, 2)],
            ..Table::default()
        };
        let at = |x| heading_at(&table, 40, x);
        assert_eq!(
            [at(0), at(1), at(2), at(5), at(39)],
            [None, None, Some(0), Some(0), None]
        );
        let number = columns(&table, 38)[1];
        assert_eq!(at(MARK + number.1), Some(1));
    }
}
