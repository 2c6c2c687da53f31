//! What a run draws.

use proptest::prelude::*;
use squall_kernel::order::WhenFull;
use squall_kernel::tasks::{Bound, Retry};
use squall_kernel::time::Span;

use super::world::{BROKERS, Op, Shape, WORKERS};

fn retry() -> impl Strategy<Value = Retry> {
    prop_oneof![
        Just(Retry::AtOnce),
        (1u64..2000).prop_map(|ms| Retry::After(Span::from_ms(ms))),
        Just(Retry::Backoff),
        Just(Retry::Never),
        Just(Retry::Unseen),
    ]
}

fn work() -> impl Strategy<Value = Op> {
    let submit = (
        0u8..3,
        0u8..10,
        proptest::option::weighted(0.2, 1u64..4000),
        proptest::option::weighted(0.2, 1u64..2000),
        0u32..4,
        proptest::option::weighted(0.2, 0u8..3),
        any::<bool>(),
    );
    prop_oneof![
        6 => submit.prop_map(|(key, priority, deadline_ms, wait_ms, attempts, unique, large)| Op::Submit {
            key,
            priority,
            deadline_ms,
            wait_ms,
            attempts,
            unique,
            large,
        }),
        3 => (0..WORKERS, 0u32..5).prop_map(|(n, credit)| Op::Attach(n, credit)),
        1 => (0..WORKERS).prop_map(Op::Detach),
        5 => (0..WORKERS, any::<usize>()).prop_map(|(n, place)| Op::Confirm(n, place)),
        2 => (0..WORKERS, any::<usize>(), retry()).prop_map(|(n, p, retry)| Op::GiveBack(n, p, retry)),
        1 => (0..WORKERS, any::<usize>()).prop_map(|(n, place)| Op::Extend(n, place)),
        2 => any::<usize>().prop_map(Op::StaleConfirm),
        2 => (any::<usize>(), 0..WORKERS).prop_map(|(place, n)| Op::Schedule(place, n)),
        1 => any::<usize>().prop_map(Op::Forwarded),
    ]
}

fn trouble(disasters: bool) -> impl Strategy<Value = Op> {
    let worst = if disasters { Op::Disaster } else { Op::KillOwner };
    prop_oneof![
        2 => Just(Op::LoseBatch),
        2 => Just(Op::LoseAnswer),
        1 => any::<bool>().prop_map(Op::Right),
        1 => Just(worst),
        6 => Just(Op::KillOwner),
        1 => Just(Op::KillBackup),
        4 => Just(Op::Name),
        2 => (0..BROKERS).prop_map(Op::Return),
        3 => (0..BROKERS).prop_map(Op::Move),
    ]
}

/// A kind of exchange.
pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let tight = (1usize..6, 0..WhenFull::ALL.len()).prop_map(|(tasks, policy)| Bound {
        tasks,
        when_full: WhenFull::ALL[policy],
    });
    let bound = prop_oneof![Just(Bound::default()), tight];
    (any::<[bool; 3]>(), bound).prop_map(|([ordered, scheduler, forwards], bound)| Shape {
        ordered,
        scheduler,
        forwards,
        bound,
    })
}

/// A list of things that happen; disasters among them, or not.
pub(crate) fn ops(disasters: bool) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        10 => work(),
        7 => (1usize..6).prop_map(Op::Pass),
        2 => (1u64..1500).prop_map(Op::AdvanceMs),
        3 => trouble(disasters),
    ];
    let rest = proptest::collection::vec(op, 0..120);
    rest.prop_map(|rest| [Op::Name, Op::Pass(4)].into_iter().chain(rest).collect())
}
