//! A matrix in a box: a line of headings, a column of names, and cells of one size, as many as fit. Drawing it and clicking on it
//! must agree. What does not live here: what stands in the cells.

use ratatui::layout::{Position, Rect};

/// What a matrix is to show.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Rows and columns there are.
    pub size: (usize, usize),
    /// Columns of the widest name.
    pub names: u16,
    /// Narrowest and widest cell, with the blank behind it.
    pub width: (u16, u16),
    /// Highest cell.
    pub height: u16,
    /// The row and column that must show.
    pub selected: (usize, usize),
    /// The first row that shows, where that is known already.
    pub first: Option<usize>,
}

/// Where everything stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grid {
    inside: Rect,
    names: u16,
    cell: (u16, u16),
    /// The first row that shows.
    pub first_row: usize,
    /// Rows that show.
    pub rows: usize,
    /// The first column that shows.
    pub first_column: usize,
    /// Columns that show.
    pub columns: usize,
}

/// Columns before a row for the mark of the selection.
const MARK: u16 = 2;

impl Grid {
    /// Cuts the inside of a box up.
    #[must_use]
    pub fn new(inside: Rect, wanted: Wanted) -> Self {
        let (rows, columns) = wanted.size;
        let (narrow, wide) = wanted.width;
        let names = (wanted.names + 2).min(inside.width / 2);
        let room = inside.width.saturating_sub(MARK + names);
        let shown = usize::from(room / narrow.max(1)).clamp(1, columns.max(1));
        let width = (room / shown as u16).min(wide);
        let below = inside.height.saturating_sub(1);
        let height = (below / u16::try_from(rows.max(1)).unwrap_or(u16::MAX)).clamp(1, wanted.height);
        let lines = usize::from(below / height).max(1).min(rows);
        let (row, column) = wanted.selected;
        Self {
            inside,
            names,
            cell: (width, height),
            first_row: wanted.first.unwrap_or((row + 1).saturating_sub(lines.max(1))),
            rows: lines,
            first_column: (column + 1).saturating_sub(shown),
            columns: shown,
        }
    }

    /// Columns and rows of a cell, without the blank behind it.
    #[must_use]
    pub fn cell_size(&self) -> (u16, u16) {
        (self.cell.0.saturating_sub(1).max(1), self.cell.1)
    }

    /// The corner above the names.
    #[must_use]
    pub fn corner(&self) -> Rect {
        self.cut(self.inside.x + MARK, self.inside.y, self.names, 1)
    }

    /// The heading of a column.
    #[must_use]
    pub fn heading(&self, column: usize) -> Rect {
        let x = self.x(column);
        self.cut(x, self.inside.y, self.cell_size().0, 1)
    }

    /// All of a row.
    #[must_use]
    pub fn row(&self, row: usize) -> Rect {
        self.cut(self.inside.x, self.y(row), self.inside.width, self.cell.1)
    }

    /// The name of a row.
    #[must_use]
    pub fn name(&self, row: usize) -> Rect {
        self.cut(self.inside.x + MARK, self.y(row), self.names.saturating_sub(1), 1)
    }

    /// A cell.
    #[must_use]
    pub fn cell(&self, row: usize, column: usize) -> Rect {
        let (width, height) = self.cell_size();
        self.cut(self.x(column), self.y(row), width, height)
    }

    /// The row that a place is in, and the column where it is in a cell.
    #[must_use]
    pub fn at(&self, place: Position) -> Option<(usize, Option<usize>)> {
        let mut rows = self.first_row..self.first_row + self.rows;
        let row = rows.find(|row| self.row(*row).contains(place))?;
        let mut columns = self.first_column..self.first_column + self.columns;
        Some((
            row,
            columns.find(|column| self.cell(row, *column).contains(place)),
        ))
    }

    fn x(&self, column: usize) -> u16 {
        let left = u16::try_from(column.saturating_sub(self.first_column)).unwrap_or(u16::MAX);
        (self.inside.x + MARK + self.names).saturating_add(self.cell.0.saturating_mul(left))
    }

    fn y(&self, row: usize) -> u16 {
        let above = u16::try_from(row.saturating_sub(self.first_row)).unwrap_or(u16::MAX);
        (self.inside.y + 1).saturating_add(self.cell.1.saturating_mul(above))
    }

    fn cut(&self, x: u16, y: u16, width: u16, height: u16) -> Rect {
        let spot = Rect { x, y, width, height };
        if x >= self.inside.right() || y >= self.inside.bottom() {
            return Rect::default();
        }
        spot.intersection(self.inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(inside: (u16, u16), size: (usize, usize), selected: (usize, usize)) -> Grid {
        let wanted = Wanted {
            size,
            names: 5,
            width: (8, 20),
            height: 4,
            selected,
            first: None,
        };
        Grid::new(Rect::new(3, 2, inside.0, inside.1), wanted)
    }

    #[test]
    fn what_is_clicked_is_what_is_drawn_there() {
        for inside in [(40, 9), (100, 30), (12, 2), (3, 1)] {
            for size in [(1, 1), (3, 3), (9, 9)] {
                let grid = grid(inside, size, (0, 0));
                for row in grid.first_row..grid.first_row + grid.rows {
                    for column in grid.first_column..grid.first_column + grid.columns {
                        let cell = grid.cell(row, column);
                        if !cell.is_empty() {
                            let corner = Position::new(cell.right() - 1, cell.bottom() - 1);
                            assert_eq!(grid.at(corner), Some((row, Some(column))), "{inside:?} {size:?}");
                        }
                    }
                }
            }
        }
        let grid = grid((60, 20), (3, 3), (0, 0));
        assert_eq!(grid.at(grid.heading(1).as_position()), None);
        assert_eq!(grid.at(grid.name(2).as_position()), Some((2, None)));
    }

    #[test]
    fn the_selected_cell_shows_where_not_all_fit() {
        let grid = grid((30, 4), (9, 9), (8, 7));
        assert!(!grid.cell(8, 7).is_empty() && (grid.rows, grid.columns) == (3, 2));
        assert_eq!((grid.first_row, grid.first_column), (6, 6));
    }
}
