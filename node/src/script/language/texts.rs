//! What scripts do with texts and numbers beside the operators. None of these changes its argument.

use rhai::{Array, Dynamic, Engine, EvalAltResult, INT, ImmutableString};

use crate::script::budget::spend;

type Text = ImmutableString;

pub(super) fn register(engine: &mut Engine) {
    numbers(engine);
    questions(engine);
    parts(engine);
    joining(engine);
}

fn numbers(engine: &mut Engine) {
    engine
        .register_fn("!", |a: bool| !a)
        .register_fn("-", |a: INT| {
            a.checked_neg()
                .ok_or_else(|| -> Box<EvalAltResult> { "a number that is too large".into() })
        })
        .register_fn("+", |a: INT| a)
        .register_fn("min", |a: INT, b: INT| a.min(b))
        .register_fn("max", |a: INT, b: INT| a.max(b))
        .register_fn("abs", |a: INT| a.saturating_abs())
        .register_fn("parse_int", parse_int)
        .register_fn("to_int", |c: char| INT::from(u32::from(c)))
        .register_fn("to_string", |a: INT| a.to_string())
        .register_fn("to_string", |a: bool| a.to_string())
        .register_fn("to_string", |a: char| a.to_string())
        .register_fn("to_string", |a: Text| a);
}

fn parse_int(text: &str) -> Result<INT, Box<EvalAltResult>> {
    text.trim()
        .parse()
        .map_err(|_| "a text that is no integer".into())
}

fn questions(engine: &mut Engine) {
    engine
        .register_fn("len", |text: &str| characters(text))
        .register_get("len", |text: &mut Text| characters(text))
        .register_fn("bytes", |text: &str| size(text.len()))
        .register_fn("is_empty", str::is_empty)
        .register_fn("contains", |text: &str, what: &str| {
            spend(text.len() * 2);
            text.contains(what)
        })
        .register_fn("contains", |text: &str, what: char| {
            spend(text.len());
            text.contains(what)
        })
        .register_fn("starts_with", |text: &str, what: &str| text.starts_with(what))
        .register_fn("ends_with", |text: &str, what: &str| text.ends_with(what))
        .register_fn("index_of", |text: &str, what: &str| {
            spend(text.len() * 2);
            text.find(what).map_or(-1, |at| characters(&text[..at]))
        });
}

fn parts(engine: &mut Engine) {
    engine
        .register_fn("sub_string", |text: &str, start: INT| {
            sub_string(text, start, INT::MAX)
        })
        .register_fn("sub_string", sub_string)
        .register_fn("split", split)
        .register_fn("trim", |text: &str| Text::from(text.trim()))
        .register_fn("to_upper", |text: &str| {
            spend(text.len() * 8);
            text.to_uppercase()
        })
        .register_fn("to_lower", |text: &str| {
            spend(text.len() * 8);
            text.to_lowercase()
        });
}

fn joining(engine: &mut Engine) {
    engine
        .register_fn("+", |a: &str, b: INT| format!("{a}{b}"))
        .register_fn("+", |a: INT, b: &str| format!("{a}{b}"))
        .register_fn("+", |a: &str, b: bool| format!("{a}{b}"))
        .register_fn("+", |a: bool, b: &str| format!("{a}{b}"));
}

/// From that character on; a negative place is counted from the end.
fn sub_string(text: &str, start: INT, len: INT) -> String {
    spend(text.len() * 2);
    let count = characters(text);
    let from = if start < 0 {
        count.saturating_add(start)
    } else {
        start
    };
    let from = usize::try_from(from).unwrap_or(0);
    text.chars()
        .skip(from)
        .take(usize::try_from(len).unwrap_or(0))
        .collect()
}

fn split(text: &str, at: &str) -> Result<Array, Box<EvalAltResult>> {
    if at.is_empty() {
        return Err("a text is split at some other text".into());
    }
    spend(text.len() * 2);
    // One above the bound, so that the engine refuses what is cut here.
    let parts = text.split(at).take(super::LIST_SIZE_MAX + 1);
    Ok(parts.map(|part| Dynamic::from(Text::from(part))).collect())
}

fn characters(text: &str) -> INT {
    spend(text.len());
    size(text.chars().count())
}

fn size(len: usize) -> INT {
    INT::try_from(len).expect("bounded by TEXT_BYTES_MAX")
}
