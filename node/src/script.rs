//! Scripts by which exchanges route (`fun`, `sticky-fun`): compiled once per exchange, run once per request, in a fresh
//! scope, with no way to reach anything but the question. Each run is bounded by operations, depth and sizes, so that the
//! same question gives the same answer on every node; the bound of processor time behind these is there for what nobody
//! thought of.
//!
//! The words of a script are described in docs/messaging.md. What does not live here: what becomes of the answer.

use std::sync::OnceLock;

use rhai::{AST, Dynamic, Engine, EvalAltResult, ParseError, Position, Scope};
use squall_kernel::exchange::{Choice, Signature};
use squall_kernel::limits::SCRIPT_BYTES_MAX;
use squall_kernel::registry::{Command, RoutingFunction};

use crate::functions::{Failed, Question, Routed};

mod budget;
mod handlers;
mod language;
mod payload;
mod shape;
mod verdict;

pub use budget::{OPERATIONS_MAX, TIME_MAX};
use handlers::Handlers;
pub use language::CALLS_MAX;
pub use payload::PAYLOAD_SEEN_MAX;
use payload::Payload;
use verdict::Verdict;

/// Why a script is refused at its declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It is too long.
    #[error("a script has at most {SCRIPT_BYTES_MAX} bytes, this one has {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It is not a script.
    #[error("the script is broken in line {line}, column {column}: {what}")]
    Broken {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
}

/// What is said of `a[0] = 1` and its like.
const PART_ASSIGNED: &str = "only a variable as a whole is assigned to, not a part of it";

/// Says whether a text is a script that an exchange can be declared with.
///
/// # Errors
/// [`ScriptError`] says what is wrong and where.
pub fn check(source: &str) -> Result<(), ScriptError> {
    Script::compile(source).map(drop)
}

/// As [`check`], for the script of a declaration.
///
/// # Errors
/// [`ScriptError`] says what is wrong and where.
pub(crate) fn check_command(command: &Command) -> Result<(), ScriptError> {
    match command {
        Command::Declare {
            function: Some(RoutingFunction::Script { source, .. }),
            ..
        } => check(source),
        _ => Ok(()),
    }
}

/// A compiled script.
pub struct Script {
    tree: AST,
    /// It speaks of the payload.
    wants_payload: bool,
}

impl Script {
    /// Compiles a script.
    ///
    /// # Errors
    /// [`ScriptError`] says what is wrong and where.
    pub fn compile(source: &str) -> Result<Self, ScriptError> {
        if source.len() > SCRIPT_BYTES_MAX {
            return Err(ScriptError::TooLong { len: source.len() });
        }
        let tree = engine().compile(source).map_err(|error| unreadable(&error))?;
        match shape::assigned_part(&tree) {
            Some(position) => Err(broken(position, PART_ASSIGNED.into())),
            None => Ok(Self {
                tree,
                wants_payload: mentions(source, "payload"),
            }),
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`Failed`] when it fails, meets a bound, or says nothing of use: the request is declined then.
    pub fn route(&self, question: &Question<'_>) -> Result<Routed, Failed> {
        let mut scope = scope(question, self.wants_payload);
        budget::begin();
        let value = engine()
            .eval_ast_with_scope::<Dynamic>(&mut scope, &self.tree)
            .map_err(|error| failed(&error))?;
        answer(value, question)
    }
}

fn scope(question: &Question<'_>, with_payload: bool) -> Scope<'static> {
    let mut scope = Scope::new();
    for (name, bytes) in [
        ("key", question.key),
        ("service_tag", question.service_tag),
        ("request_tag", question.request_tag),
    ] {
        scope.push_constant(name, String::from_utf8_lossy(bytes).into_owned());
    }
    let len = i64::try_from(question.payload.len()).expect("a payload is a few megabytes");
    scope.push_constant("payload_len", len);
    scope.push_constant("handlers", Handlers::of(question.handlers));
    if !with_payload {
        return scope;
    }
    let payload = if question.payload.len() <= PAYLOAD_SEEN_MAX {
        Dynamic::from(Payload::new(question.payload.clone()))
    } else {
        Dynamic::UNIT
    };
    scope.push_constant_dynamic("payload", payload);
    scope
}

fn failed(error: &EvalAltResult) -> Failed {
    let why = match error.unwrap_inner() {
        EvalAltResult::ErrorTerminated(why, position) => format!("{why} ({position})"),
        _ => error.to_string(),
    };
    Failed(format!("the exchange's script failed: {why}"))
}

/// What the script's value says. An integer or a text is a signature.
fn answer(value: Dynamic, question: &Question<'_>) -> Result<Routed, Failed> {
    let value = match value.try_cast_result::<Verdict>() {
        Ok(verdict) => return verdict.routed(question),
        Err(value) => value,
    };
    match signature(&value) {
        Some(signature) => Ok(Routed::to(Choice::Signature(signature))),
        None => Err(Failed(format!(
            "the exchange's script ended with a value of the kind {}, which says nothing",
            value.type_name()
        ))),
    }
}

fn signature(value: &Dynamic) -> Option<Signature> {
    if let Ok(number) = value.as_int() {
        return Some(Signature::new(number.cast_unsigned()));
    }
    let text = value.clone().into_immutable_string().ok()?;
    Some(Signature::of_key(text.as_bytes()))
}

fn unreadable(error: &ParseError) -> ScriptError {
    broken(error.position(), error.err_type().to_string())
}

fn broken(position: Position, what: String) -> ScriptError {
    ScriptError::Broken {
        line: position.line().unwrap_or(1),
        column: position.position().unwrap_or(1),
        what,
    }
}

/// True when the word stands in the text: perhaps in a comment, which costs little.
fn mentions(source: &str, word: &str) -> bool {
    source
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|found| found == word)
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(language::engine)
}

#[cfg(test)]
#[path = "script_test.rs"]
mod tests;
