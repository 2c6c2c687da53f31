use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use alloc::vec;

fn at(ms: u64) -> Instant {
    Instant(ms * 1000)
}

fn level(number: u8) -> Priority {
    Priority::new(number).unwrap()
}

fn filled(when_full: WhenFull, items: &[(u8, u32)]) -> PriorityQueue<u32> {
    let mut queue = PriorityQueue::new(items.len(), when_full);
    for (priority, item) in items {
        queue
            .push(at(0), level(*priority), None, *item, &mut Vec::new())
            .unwrap();
    }
    queue
}

fn all(queue: &mut PriorityQueue<u32>) -> Vec<u32> {
    core::iter::from_fn(|| queue.pop(at(0), &mut Vec::new())).collect()
}

#[test]
fn higher_first_and_in_order_within_a_priority() {
    let mut queue = filled(WhenFull::Reject, &[(0, 1), (9, 2), (4, 3), (9, 4), (0, 5)]);
    assert_eq!(all(&mut queue), [2, 4, 3, 1, 5]);
    assert_eq!(Priority::new(10), Err(NoPriority { found: 10 }));
    assert!(postcard::from_bytes::<Priority>(&[10]).is_err());
}

#[test]
fn a_full_queue_rejects_or_blocks_with_the_message_given_back() {
    let mut gone = Vec::new();
    let mut queue = filled(WhenFull::Reject, &[(0, 1)]);
    assert_eq!(
        queue.push(at(0), level(9), None, 2, &mut gone),
        Err(NotTaken::Rejected(2))
    );
    let mut queue = filled(WhenFull::Block, &[(0, 1)]);
    assert_eq!(
        queue.push(at(0), level(9), None, 2, &mut gone),
        Err(NotTaken::Blocked(2))
    );
    assert_eq!(queue.counts().blocked, 1);
    assert_eq!(queue.pop(at(0), &mut gone), Some(1));
    assert_eq!(queue.push(at(0), level(9), None, 2, &mut gone), Ok(()));
    assert!(gone.is_empty());
}

#[test]
fn the_oldest_of_the_lowest_priority_is_dropped_even_when_that_is_the_new_one() {
    let mut gone = Vec::new();
    let mut queue = filled(WhenFull::DropOldest, &[(5, 1), (3, 2), (3, 3)]);
    queue.push(at(0), level(3), None, 4, &mut gone).unwrap();
    queue.push(at(0), level(9), None, 5, &mut gone).unwrap();
    queue.push(at(0), level(0), None, 6, &mut gone).unwrap();
    assert_eq!(gone, [(Gone::Dropped, 2), (Gone::Dropped, 3), (Gone::Dropped, 6)]);
    assert_eq!(all(&mut queue), [5, 1, 4]);
    assert_eq!(queue.counts().dropped, 3);
}

#[test]
fn what_is_out_of_time_is_told_apart_and_makes_room() {
    let mut gone = Vec::new();
    let mut queue = PriorityQueue::new(2, WhenFull::Reject);
    queue.push(at(0), level(0), Some(at(10)), 1, &mut gone).unwrap();
    queue.push(at(0), level(0), None, 2, &mut gone).unwrap();
    assert_eq!(queue.oldest_age(at(4)), Some(Span::from_ms(4)));
    assert!(queue.push(at(9), level(0), None, 3, &mut gone).is_err());
    queue.push(at(10), level(0), Some(at(20)), 3, &mut gone).unwrap();
    assert_eq!(gone, [(Gone::Expired, 1)]);
    assert_eq!(queue.pop(at(20), &mut gone), Some(2));
    assert_eq!(queue.pop(at(20), &mut gone), None);
    assert_eq!(gone, [(Gone::Expired, 1), (Gone::Expired, 3)]);
    let counts = queue.counts();
    assert_eq!((counts.taken, counts.given, counts.expired), (3, 1, 2));
}

/// Two busy priorities with one between them, and nobody starves.
#[test]
fn a_waiting_message_is_overtaken_a_bounded_number_of_times() {
    let mut queue = PriorityQueue::new(8, WhenFull::Reject);
    let gone = &mut Vec::new();
    for (priority, item) in [(0, 1000), (5, 1005), (0, 1001)] {
        queue.push(at(0), level(priority), None, item, gone).unwrap();
    }
    let mut came = Vec::new();
    for n in 0..3 * 65 {
        queue.push(at(0), level(9), None, n, gone).unwrap();
        let item = queue.pop(at(0), gone).unwrap();
        if item >= 1000 {
            came.push((n, item));
        }
    }
    let order: Vec<u32> = came.iter().map(|(_, item)| *item).collect();
    assert_eq!(order, [1000, 1005, 1001]);
    assert_eq!(came[0].0, limits::OVERTAKEN_MAX);
}

#[test]
fn draining_gives_everything() {
    let mut queue = filled(WhenFull::Reject, &[(0, 1), (9, 2), (4, 3)]);
    assert_eq!(queue.drain().collect::<Vec<_>>(), [2, 3, 1]);
    assert!(queue.is_empty());
}

#[derive(Debug, Clone)]
enum Move {
    Push { priority: u8, ttl_ms: Option<u64> },
    Pop,
    Wait { ms: u64 },
}

fn any_move() -> impl Strategy<Value = Move> {
    let ttl = proptest::option::of(1u64..20);
    prop_oneof![
        3 => (0u8..10, ttl).prop_map(|(priority, ttl_ms)| Move::Push { priority, ttl_ms }),
        2 => Just(Move::Pop),
        1 => (0u64..10).prop_map(|ms| Move::Wait { ms }),
    ]
}

proptest! {
    #[test]
    fn every_message_ends_once_and_in_its_order(
        moves in proptest::collection::vec(any_move(), 0..300),
        bound in 1usize..10,
        when_full in proptest::sample::select(std::vec![WhenFull::Reject, WhenFull::DropOldest, WhenFull::Block]),
    ) {
        let mut queue = PriorityQueue::new(bound, when_full);
        let mut waiting: BTreeMap<u32, (u8, Option<Instant>)> = BTreeMap::new();
        let (mut now, mut next, mut gone) = (at(0), 0u32, Vec::new());
        for it in moves {
            match it {
                Move::Wait { ms } => now = now + Span::from_ms(ms),
                Move::Push { priority, ttl_ms } => {
                    let until = ttl_ms.map(|ms| now + Span::from_ms(ms));
                    let full = waiting.len() == bound;
                    waiting.insert(next, (priority, until));
                    match queue.push(now, level(priority), until, next, &mut gone) {
                        Ok(()) => {}
                        Err(NotTaken::Rejected(item) | NotTaken::Blocked(item)) => {
                            prop_assert!(full && item == next && when_full != WhenFull::DropOldest);
                            waiting.remove(&item);
                        }
                    }
                    next += 1;
                }
                Move::Pop => {
                    let item = queue.pop(now, &mut gone);
                    let out: Vec<_> = gone.iter().map(|(_, item)| *item).collect();
                    let left = waiting.iter().filter(|(item, _)| !out.contains(item));
                    // Fewer than 64 pops in a row overtake here, so the order is the plain one.
                    let first = left.max_by_key(|(item, (p, _))| (*p, core::cmp::Reverse(**item)));
                    if queue.counts().given < 60 {
                        prop_assert_eq!(item, first.map(|(item, _)| *item));
                    }
                    if let Some(item) = item {
                        let (_, until) = waiting.remove(&item).unwrap();
                        prop_assert!(until.is_none_or(|until| until > now));
                    }
                }
            }
            for (why, item) in gone.drain(..) {
                let (_, until) = waiting.remove(&item).expect("ends once");
                prop_assert_eq!(why == Gone::Expired, until.is_some_and(|until| until <= now));
            }
            prop_assert_eq!(queue.len(), waiting.len());
            prop_assert!(queue.len() <= bound);
            let counts = queue.counts();
            let ended = counts.given + counts.expired + counts.dropped;
            prop_assert_eq!(counts.taken, ended + queue.len() as u64);
        }
    }
}

/// Ten bytes in all; each message weighs what it says.
fn weighed(when_full: WhenFull) -> PriorityQueue<usize> {
    PriorityQueue::new(100, when_full).weighed(10, |item| *item)
}

fn offer(
    queue: &mut PriorityQueue<usize>,
    priority: u8,
    item: usize,
) -> (Result<(), NotTaken<usize>>, Vec<usize>) {
    let mut gone = Vec::new();
    let priority = Priority::new(priority).unwrap();
    let taken = queue.push(Instant(0), priority, None, item, &mut gone);
    (taken, gone.into_iter().map(|(_, item)| item).collect())
}

#[test]
fn bytes_are_a_bound_under_each_policy_and_one_message_always_fits() {
    let mut rejects = weighed(WhenFull::Reject);
    assert_eq!(
        offer(&mut rejects, 0, 50),
        (Ok(()), vec![]),
        "larger than the bound"
    );
    assert_eq!(offer(&mut rejects, 0, 1), (Err(NotTaken::Rejected(1)), vec![]));
    assert_eq!(rejects.pop(Instant(0), &mut Vec::new()), Some(50));
    assert_eq!(offer(&mut rejects, 0, 6), (Ok(()), vec![]));
    assert_eq!(offer(&mut rejects, 9, 5), (Err(NotTaken::Rejected(5)), vec![]));
    assert_eq!(offer(&mut rejects, 9, 4), (Ok(()), vec![]));

    let mut blocks = weighed(WhenFull::Block);
    assert_eq!(offer(&mut blocks, 0, 6), (Ok(()), vec![]));
    assert_eq!(offer(&mut blocks, 0, 5), (Err(NotTaken::Blocked(5)), vec![]));
    assert!(!blocks.has_room(5) && blocks.has_room(4));

    let mut drops = weighed(WhenFull::DropOldest);
    for item in [3, 2, 4] {
        assert_eq!(offer(&mut drops, 0, item), (Ok(()), vec![]));
    }
    assert_eq!(
        offer(&mut drops, 0, 5),
        (Ok(()), vec![3, 2]),
        "as many as it takes"
    );
    assert_eq!(offer(&mut drops, 5, 6), (Ok(()), vec![4, 5]));
    assert_eq!(
        offer(&mut drops, 0, 5),
        (Ok(()), vec![5]),
        "itself: what stays is of a higher priority"
    );
    assert_eq!(offer(&mut drops, 0, 4), (Ok(()), vec![]));
    assert_eq!(
        offer(&mut drops, 0, 50),
        (Ok(()), vec![50]),
        "and nothing is dropped for it"
    );
    assert_eq!(drops.drain().collect::<Vec<_>>(), [6, 4]);
    assert_eq!(offer(&mut drops, 0, 10), (Ok(()), vec![]), "empty weighs nothing");
}

#[test]
fn what_expires_weighs_nothing_any_more() {
    let mut queue = weighed(WhenFull::Reject);
    let mut gone = Vec::new();
    let first = queue.push(Instant(0), Priority::default(), Some(Instant(5)), 9, &mut gone);
    assert_eq!(first, Ok(()));
    let second = queue.push(Instant(5), Priority::default(), None, 9, &mut gone);
    assert_eq!((second, gone), (Ok(()), vec![(Gone::Expired, 9)]));
}
