//! Parts of views stay on the screen.

use super::*;

#[test]
fn parts_never_leave_the_screen_nor_overlap() {
    for (w, h) in [(60, 16), (80, 24), (120, 40), (200, 60)] {
        for nodes in [0, 1, 3, 7, 40] {
            let area = Rect::new(0, 0, w, h);
            let body = shell(area, 2, true).body;
            let o = overview(body, nodes, 9, 12);
            let m = mesh(body, nodes == 7);
            let l = leaders(body, nodes, 3);
            let t = timeline(body, 6, 10, true);
            let none = Rect::default();
            for parts in [
                [o.nodes, o.load, o.health, o.latest],
                [m.matrix, m.ring, m.detail, none],
                [l.registry, l.matrix, l.detail, l.history],
                [t.table, t.detail, t.stopwatch, none],
            ] {
                let sum: u32 = parts.iter().map(|r| r.area()).sum();
                assert!(sum <= body.area(), "{w}x{h} {nodes}: {parts:?}");
                assert!(parts.iter().all(|r| r.is_empty() || body.intersection(*r) == *r));
            }
            assert!(lines(o.nodes) >= 1 && o.health.height >= 1, "{w}x{h} {nodes}");
        }
    }
}
