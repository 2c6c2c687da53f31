//! What scripts may use, and their bounds.

use rhai::packages::{
    ArithmeticPackage, BasicBlobPackage, BasicIteratorPackage, BasicMapPackage, BasicStringPackage,
    LanguageCorePackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Array, Engine, INT};

use super::{handlers, verdict};

/// Operations of one run: some milliseconds at the very most.
pub const OPERATIONS_MAX: u64 = 10_000;
/// Functions of a script that call one another: enough for any routing, and far from the end of a thread's stack, in
/// debug builds too.
pub const CALLS_MAX: usize = 8;
/// Largest payload that a script sees or makes. Larger ones it only knows the length of.
pub const PAYLOAD_SEEN_MAX: usize = 64 * 1024;
/// Depth of expressions, outside and inside of functions.
const DEPTH_MAX: (usize, usize) = (32, 16);
/// Bytes of a text: one operation on it stays some hundreds of nanoseconds.
const TEXT_BYTES_MAX: usize = 4 * 1024;
const MAP_SIZE_MAX: usize = 256;
const VARIABLES_MAX: usize = 64;
const FUNCTIONS_MAX: usize = 32;

pub(super) fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    for package in [
        LanguageCorePackage::new().as_shared_module(),
        ArithmeticPackage::new().as_shared_module(),
        LogicPackage::new().as_shared_module(),
        BasicStringPackage::new().as_shared_module(),
        MoreStringPackage::new().as_shared_module(),
        BasicIteratorPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
        BasicBlobPackage::new().as_shared_module(),
    ] {
        engine.register_global_module(package);
    }
    engine.register_fn("len", |array: &mut Array| {
        INT::try_from(array.len()).expect("bounded below")
    });
    handlers::register(&mut engine);
    verdict::register(&mut engine);
    bound(&mut engine);
    engine
}

fn bound(engine: &mut Engine) {
    engine.disable_symbol("eval");
    engine.on_print(|_| {});
    engine.on_debug(|_, _, _| {});
    engine.set_max_operations(OPERATIONS_MAX);
    engine.set_max_call_levels(CALLS_MAX);
    engine.set_max_expr_depths(DEPTH_MAX.0, DEPTH_MAX.1);
    engine.set_max_string_size(TEXT_BYTES_MAX);
    // A blob counts as an array.
    engine.set_max_array_size(PAYLOAD_SEEN_MAX);
    engine.set_max_map_size(MAP_SIZE_MAX);
    engine.set_max_variables(VARIABLES_MAX);
    engine.set_max_functions(FUNCTIONS_MAX);
}
