//! Maps by counted numbers.

use std::collections::HashMap;

use squall_kernel::numbered::Numbers;

/// A map by numbers that this node or its cluster has counted.
pub(crate) type ByNumber<K, V> = HashMap<K, V, Numbers>;
