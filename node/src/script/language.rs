//! What scripts may use, and the bounds of sizes. The language's engine comes without any function; all that a script can
//! call is registered here and in the files below, name by name. So nothing waits, reads a clock, prints or ends the run.
//!
//! What does not live here: how much one run may use (`budget`).

use rhai::Engine;

use super::{budget, handlers, payload, verdict};

mod lists;
mod texts;

/// Functions of a script that call one another: enough for any routing, and far from the end of a thread's stack, in
/// debug builds too.
pub const CALLS_MAX: usize = 8;
/// Depth of expressions, outside and inside of functions.
const DEPTH_MAX: (usize, usize) = (32, 16);
/// Bytes of a text, and of all texts in a list or map: one operation passes over them.
pub(super) const TEXT_BYTES_MAX: usize = 2 * 1024;
/// Values of a list and of all lists in it: one operation copies them.
pub(super) const LIST_SIZE_MAX: usize = 64;
/// The same of a map, whose values cost more.
const MAP_SIZE_MAX: usize = 32;
const VARIABLES_MAX: usize = 64;
const FUNCTIONS_MAX: usize = 32;
/// Words that stand for more than a value: text that becomes a program, functions as values, which hold others without a
/// bound, and output.
const FORBIDDEN_WORDS: [&str; 6] = ["eval", "Fn", "call", "curry", "print", "debug"];

pub(super) fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    texts::register(&mut engine);
    lists::register(&mut engine);
    handlers::register(&mut engine);
    payload::register(&mut engine);
    verdict::register(&mut engine);
    bound(&mut engine);
    engine
}

fn bound(engine: &mut Engine) {
    for word in FORBIDDEN_WORDS {
        engine.disable_symbol(word);
    }
    engine.set_allow_anonymous_fn(false);
    // What is registered here goes before what the engine has for the same operator.
    engine.set_fast_operators(false);
    engine.set_max_operations(budget::OPERATIONS_MAX);
    engine.on_progress(budget::look);
    engine.set_max_call_levels(CALLS_MAX);
    engine.set_max_expr_depths(DEPTH_MAX.0, DEPTH_MAX.1);
    engine.set_max_string_size(TEXT_BYTES_MAX);
    engine.set_max_array_size(LIST_SIZE_MAX);
    engine.set_max_map_size(MAP_SIZE_MAX);
    engine.set_max_variables(VARIABLES_MAX);
    engine.set_max_functions(FUNCTIONS_MAX);
}
