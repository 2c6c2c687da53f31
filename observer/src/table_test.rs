//! Where the selection goes, and what a table shows.

use super::*;

fn lines(names: &[&str]) -> Vec<Line> {
    let line = |(i, n): (usize, &&str)| Line {
        id: RowId::Node((*n).to_owned()),
        cells: vec![Cell::new(*n), Cell::number(i as f64, i.to_string())],
        dim: false,
    };
    names.iter().enumerate().map(line).collect()
}

fn table(names: &[&str], cursor: &mut Cursor, sort: Option<Sort>, height: usize) -> Table {
    Table::new(&[], lines(names), &Filter::default(), sort, cursor, height)
}

#[test]
fn the_selection_follows_the_row_not_the_index() {
    let mut cursor = Cursor {
        motion: Motion::By(1),
        ..Cursor::default()
    };
    table(&["a", "b", "c"], &mut cursor, None, 9);
    assert_eq!(cursor.id, Some(RowId::Node("b".to_owned())));
    let t = table(&["0", "a", "b", "c"], &mut cursor, None, 9);
    assert_eq!(
        (t.selected, &cursor.id),
        (Some(2), &Some(RowId::Node("b".to_owned())))
    );
}

#[test]
fn a_row_that_is_gone_leaves_the_selection_in_its_place() {
    let mut cursor = Cursor {
        motion: Motion::By(1),
        ..Cursor::default()
    };
    table(&["a", "b", "c"], &mut cursor, None, 9);
    table(&["a", "c"], &mut cursor, None, 9);
    assert_eq!(cursor.id, Some(RowId::Node("c".to_owned())));
}

#[test]
fn only_the_window_is_kept_and_it_shows_the_selection() {
    let mut cursor = Cursor {
        motion: Motion::Last,
        ..Cursor::default()
    };
    let t = table(&["a", "b", "c", "d", "e"], &mut cursor, None, 2);
    assert_eq!((t.first, t.lines.len(), t.total, t.selected), (3, 2, 5, Some(4)));
    cursor.motion = Motion::Pages(-9);
    assert_eq!(table(&["a", "b", "c", "d", "e"], &mut cursor, None, 2).first, 0);
}

#[test]
fn numbers_sort_as_numbers_and_both_ways() {
    let names = ["j", "b", "c", "d", "e", "f", "g", "h", "i", "a", "k"];
    let mut cursor = Cursor::default();
    let t = table(
        &names,
        &mut cursor,
        Some(Sort {
            column: 1,
            descending: true,
        }),
        2,
    );
    assert_eq!(t.lines[0].cells[1].text, "10");
    let t = table(
        &names,
        &mut cursor,
        Some(Sort {
            column: 0,
            descending: false,
        }),
        2,
    );
    assert_eq!(t.lines[0].cells[0].text, "a");
}

#[test]
fn a_selection_never_moved_stays_with_whatever_is_first() {
    let mut cursor = Cursor::default();
    table(&["b"], &mut cursor, None, 9);
    table(&["a", "b"], &mut cursor, None, 9);
    assert_eq!(cursor.id, Some(RowId::Node("a".to_owned())));
    cursor.motion = Motion::By(1);
    table(&["a", "b"], &mut cursor, None, 9);
    assert_eq!(table(&["0", "a", "b"], &mut cursor, None, 9).selected, Some(2));
    cursor.motion = Motion::First;
    table(&["0", "a", "b"], &mut cursor, None, 9);
    assert_eq!(table(&["-", "0", "a"], &mut cursor, None, 9).selected, Some(0));
}

#[test]
fn an_empty_table_has_no_selection() {
    let mut cursor = Cursor {
        motion: Motion::By(3),
        ..Cursor::default()
    };
    assert_eq!(table(&[], &mut cursor, None, 4).selected, None);
}
