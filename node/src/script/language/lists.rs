//! What scripts do with lists and maps beside the operators. None of these changes its argument: a list or a map is what it
//! was made as, and a longer list is another one.

use std::ops::{Range, RangeInclusive};

use rhai::{Array, Dynamic, Engine, INT, Map};

use crate::script::budget::spend;

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_iterator::<Array>()
        .register_iterator::<Range<INT>>()
        .register_iterator::<RangeInclusive<INT>>()
        .register_fn("contains", |range: Range<INT>, what: INT| range.contains(&what))
        .register_fn("contains", |range: RangeInclusive<INT>, what: INT| {
            range.contains(&what)
        })
        .register_fn("len", |list: &mut Array| size(list.len()))
        .register_get("len", |list: &mut Array| size(list.len()))
        .register_fn("is_empty", |list: &mut Array| list.is_empty())
        .register_fn("contains", |list: &mut Array, what: Dynamic| {
            contains(list, &what)
        })
        .register_fn("+", |a: Array, b: Array| -> Array {
            a.into_iter().chain(b).collect()
        })
        // The engine's own looks at the size before, not after.
        .register_fn("+=", |a: &mut Array, b: Array| a.extend(b))
        .register_fn("len", |map: &mut Map| size(map.len()))
        .register_fn("is_empty", |map: &mut Map| map.is_empty())
        .register_fn("contains", |map: &mut Map, key: &str| map.contains_key(key))
        .register_fn("keys", |map: &mut Map| -> Array {
            map.keys().map(|key| Dynamic::from(key.to_string())).collect()
        });
}

/// Texts, numbers, characters and truth values are compared; lists and maps are equal to nothing.
fn contains(list: &[Dynamic], what: &Dynamic) -> bool {
    spend(list.len() * 8);
    list.iter().any(|item| same(item, what))
}

fn same(a: &Dynamic, b: &Dynamic) -> bool {
    if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
        return *a == *b;
    }
    let numbers = a.as_int().ok().filter(|a| b.as_int() == Ok(*a)).is_some();
    let characters = a.as_char().ok().filter(|a| b.as_char() == Ok(*a)).is_some();
    let truths = a.as_bool().ok().filter(|a| b.as_bool() == Ok(*a)).is_some();
    numbers || characters || truths || (a.is_unit() && b.is_unit())
}

fn size(len: usize) -> INT {
    INT::try_from(len).expect("bounded by LIST_SIZE_MAX and MAP_SIZE_MAX")
}
