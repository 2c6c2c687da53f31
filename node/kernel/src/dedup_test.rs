use proptest::prelude::*;

use super::*;
use crate::id::{Boot, NodeId};

const SPAN: Span = Span::from_ms(10);

fn publisher(n: u32) -> Pid {
    Pid::new(NodeId(1), Boot(1), n)
}

fn at_ms(ms: u64) -> Instant {
    Instant(ms * 1000)
}

#[test]
fn an_id_is_taken_once_within_the_window_and_again_after_it() {
    let mut window = DedupWindow::new(SPAN);
    let mut seen = |ms, id: &[u8]| window.seen(at_ms(ms), publisher(1), id);
    assert_eq!(seen(0, b"a"), Seen::First);
    assert_eq!(seen(9, b"a"), Seen::Duplicate);
    assert_eq!(
        seen(10, b"a"),
        Seen::First,
        "a duplicate does not lengthen the window"
    );
    assert_eq!((seen(10, b"b"), seen(10, b"")), (Seen::First, Seen::First));
    assert_eq!(seen(10, b""), Seen::First, "no id, no duplicate");
}

#[test]
fn publishers_have_ids_of_their_own() {
    let mut window = DedupWindow::new(SPAN);
    assert_eq!(window.seen(at_ms(0), publisher(1), b"a"), Seen::First);
    assert_eq!(window.seen(at_ms(0), publisher(2), b"a"), Seen::First);
    assert_eq!(window.seen(at_ms(1), publisher(1), b"a"), Seen::Duplicate);
}

#[test]
fn a_flood_crowds_out_its_own_ids() {
    let mut window = DedupWindow::with_bound(SPAN, 100);
    window.seen(at_ms(0), publisher(1), b"quiet");
    for n in 0u32..10_000 {
        assert_eq!(window.seen(at_ms(1), publisher(2), &n.to_le_bytes()), Seen::First);
        assert!(window.len() <= 100);
    }
    assert_eq!(window.seen(at_ms(1), publisher(1), b"quiet"), Seen::Duplicate);
    let newest = 9_999u32.to_le_bytes();
    assert_eq!(window.seen(at_ms(1), publisher(2), &newest), Seen::Duplicate);
    assert_eq!(window.crowded_out(), 10_001 - 100);
}

#[test]
fn the_window_travels_with_what_is_left_of_it() {
    let mut old = DedupWindow::new(SPAN);
    for n in 0u8..5 {
        old.seen(at_ms(u64::from(n)), publisher(1), &[n]);
    }
    let parts = old.state(at_ms(10), 3);
    assert_eq!(
        parts.iter().map(|part| part.ids.len()).collect::<Vec<_>>(),
        [3, 1]
    );
    let wire = postcard::to_allocvec(&parts).unwrap();
    let parts: Vec<DedupState> = postcard::from_bytes(&wire).unwrap();

    let mut new = DedupWindow::new(SPAN);
    assert_eq!(new.seen(at_ms(500), publisher(1), &[9]), Seen::First);
    for part in &parts {
        new.absorb(at_ms(500), part);
        new.absorb(at_ms(500), part);
    }
    assert_eq!(new.len(), 5);
    assert_eq!(new.seen(at_ms(500), publisher(1), &[1]), Seen::Duplicate);
    assert_eq!(
        new.seen(at_ms(501), publisher(1), &[1]),
        Seen::First,
        "its window ended"
    );
    assert_eq!(new.seen(at_ms(503), publisher(1), &[4]), Seen::Duplicate);
    assert_eq!(new.seen(at_ms(504), publisher(1), &[4]), Seen::First);
    let absurd = DedupState {
        ids: alloc::vec![MovedId {
            left: SPAN,
            publisher: publisher(1),
            id: alloc::vec![0; 256]
        }],
    };
    let before = new.len();
    new.absorb(at_ms(504), &absurd);
    assert_eq!(new.len(), before);
}

#[test]
fn an_id_that_comes_in_a_move_is_remembered_for_the_longer_of_two_times() {
    let mut later = DedupWindow::new(SPAN);
    assert_eq!(later.seen(at_ms(5), publisher(1), b"a"), Seen::First);
    let state = later.state(at_ms(6), 10);
    // Told of it before, when it was another publish: that move was cancelled.
    let mut heir = DedupWindow::new(SPAN);
    assert_eq!(heir.seen(at_ms(0), publisher(1), b"a"), Seen::First);
    heir.absorb(at_ms(6), &state[0]);
    assert_eq!(heir.len(), 1);
    assert_eq!(heir.seen(at_ms(14), publisher(1), b"a"), Seen::Duplicate);
    assert_eq!(heir.seen(at_ms(15), publisher(1), b"a"), Seen::First);
    // What is remembered for longer here stays so.
    let mut new = DedupWindow::new(SPAN);
    assert_eq!(new.seen(at_ms(9), publisher(1), b"a"), Seen::First);
    new.absorb(at_ms(10), &state[0]);
    assert_eq!(new.seen(at_ms(18), publisher(1), b"a"), Seen::Duplicate);
}

proptest! {
    #[test]
    fn a_window_does_what_a_list_does(
        publishes in proptest::collection::vec((0u64..4, 1u32..4, 1u8..6), 0..200),
        max in 1usize..12,
    ) {
        let mut window = DedupWindow::with_bound(SPAN, max);
        // What is remembered, oldest first.
        let mut model: Vec<(Instant, Pid, u8)> = Vec::new();
        let mut now = at_ms(0);
        for (later, who, id) in publishes {
            (now, model) = (now + Span::from_ms(later), model);
            model.retain(|(first, ..)| *first + SPAN > now);
            let who = publisher(who);
            let known = model.iter().any(|(_, p, i)| (*p, *i) == (who, id));
            if !known {
                if model.len() == max {
                    let count = |pid: Pid| model.iter().filter(|(_, p, _)| *p == pid).count();
                    let most = model.iter().map(|(_, p, _)| (count(*p), *p)).max().unwrap().1;
                    let place = model.iter().position(|(_, p, _)| *p == most).unwrap();
                    model.remove(place);
                }
                model.push((now, who, id));
            }
            let expected = if known { Seen::Duplicate } else { Seen::First };
            prop_assert_eq!(window.seen(now, who, &[id]), expected);
            prop_assert_eq!(window.len(), model.len());
        }
    }
}
