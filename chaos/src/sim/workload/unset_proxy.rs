//! An operator lets a node be a proxy no more.

use super::{Operation, set_proxy};

pub(super) const OPERATION: Operation = Operation {
    even: 2,
    moves: 1,
    rushes: 1,
    act: |world, rng| set_proxy::order(world, rng, false),
};
