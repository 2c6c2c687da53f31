//! The Mesh's panels: the matrix of directed links, the graph, the selected link.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::cluster::State;
use crate::layout;
use crate::prepare::mesh::Mesh;
use crate::theme::Tone;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Mesh) {
    let parts = layout::mesh(area, v.alone);
    if !parts.matrix.is_empty() {
        matrix(paint, parts.matrix, v);
    }
    if !parts.ring.is_empty() {
        super::ring::draw(paint, parts.ring, v);
    }
    let title = v
        .detail
        .as_ref()
        .map_or_else(|| "Link".to_owned(), |d| format!("Link {}", d.title));
    let inside = paint.panel(parts.detail, &title, "");
    if let Some(detail) = &v.detail {
        paint.details(inside, &detail.lines);
    }
}

fn matrix(paint: &mut Paint<'_>, area: Rect, v: &Mesh) {
    let inside = paint.panel(area, "Links", v.legend);
    if v.nodes.len() < 2 {
        paint.nothing(inside, "one node has no links");
        return;
    }
    let grid = &v.grid;
    let head = paint.theme.style(Tone::Head);
    paint.styled(grid.corner(), "from\\to", head);
    let columns = grid.first_column..v.nodes.len().min(grid.first_column + grid.columns);
    for column in columns.clone() {
        paint.styled(grid.heading(column), &v.nodes[column].0, head);
    }
    for row in grid.first_row..v.nodes.len().min(grid.first_row + grid.rows) {
        let (name, state) = &v.nodes[row];
        let tone = if *state == State::Up {
            Tone::Accent
        } else {
            Tone::Dim
        };
        paint.text(grid.name(row), name, tone);
        for column in columns.clone() {
            let spot = grid.cell(row, column);
            let lines = &v.cells[row][column];
            for ((text, tone), line) in lines.iter().zip(spot.rows()) {
                paint.text(line, text, *tone);
            }
            if v.painted.contains(&(row, column)) {
                paint.painted(spot);
            }
            if v.selected == Some((row, column)) {
                paint.point(grid.row(row));
                paint.select(Rect {
                    height: spot.height.min(lines.len() as u16),
                    ..spot
                });
            }
        }
    }
}
