//! Functions by which exchanges of the strategies `fun` and `sticky-fun` route: Rust functions that a node is started with,
//! and the scripts of declarations. Both get the same question and give the same answer.
//!
//! What does not live here: scripts themselves (`script`), and what becomes of an answer (the kernel's `Exchange`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::exchange::{Choice, Signature};
use squall_kernel::id::{FunctionName, Pid};
use squall_kernel::limits::{FUNCTIONS_PER_NODE_MAX, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX};
use squall_kernel::registry::{RoutingFunction, Strategy};

use crate::handlers::catch_now;
use crate::script::Script;

/// A handler that a function may pick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its pid.
    pub pid: Pid,
    /// The pid as people read it.
    pub text: String,
    /// Its group; empty for none.
    pub service_tag: String,
}

/// What a function is asked: where this request goes.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Key of the request; empty for none.
    pub key: &'a Bytes,
    /// Service tag; empty for none.
    pub service_tag: &'a Bytes,
    /// Request tag; empty for none.
    pub request_tag: &'a Bytes,
    /// Payload.
    pub payload: &'a Bytes,
    /// All handlers that are attached, by pid.
    pub handlers: &'a Arc<Vec<Candidate>>,
}

/// What a function answers: where the request goes, and its payload from now on where that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Where it goes.
    pub choice: Choice,
    /// The payload that the handler gets; none for that of the request.
    pub payload: Option<Bytes>,
}

impl Routed {
    /// That choice, with the payload as it is.
    #[must_use]
    pub const fn to(choice: Choice) -> Self {
        Self {
            choice,
            payload: None,
        }
    }

    /// That handler.
    #[must_use]
    pub const fn pick(handler: Pid) -> Self {
        Self::to(Choice::Pick(handler))
    }

    /// One of the group, in turn; the empty tag means all.
    #[must_use]
    pub fn group(tag: &str) -> Self {
        Self::to(Choice::Group(Bytes::copy_from_slice(tag.as_bytes())))
    }

    /// Whoever has that signature (`sticky-fun`).
    #[must_use]
    pub const fn signature(value: u64) -> Self {
        Self::to(Choice::Signature(Signature::new(value)))
    }

    /// Nobody, for that reason; cut to the bound of a reason.
    #[must_use]
    pub fn decline(reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut len = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(len) {
            len -= 1;
        }
        reason.truncate(len);
        Self::to(Choice::Decline(reason))
    }

    /// Itself, where it is an answer that the strategy can use.
    pub(crate) fn fitting(self, strategy: Strategy) -> Result<Self, Failed> {
        let given = match &self.choice {
            Choice::Decline(_) | Choice::Redirect(_) => return Ok(self),
            Choice::Signature(_) if strategy.is_sticky() => return Ok(self),
            Choice::Pick(_) | Choice::Group(_) if !strategy.is_sticky() => return Ok(self),
            Choice::None => "nothing",
            Choice::Signature(_) => "a signature (an integer or a text)",
            Choice::Pick(_) => "a handler (pick)",
            Choice::Group(_) => "a group",
        };
        let wanted = if strategy.is_sticky() {
            "a signature (an integer or a text)"
        } else {
            "pick or group"
        };
        Err(Failed(format!(
            "the exchange's function gave {given}; under '{}' it gives {wanted}, redirect or decline",
            strategy.as_str()
        )))
    }

    /// With another payload.
    #[must_use]
    pub fn rewrite(self, payload: Bytes) -> Self {
        Self {
            payload: Some(payload),
            ..self
        }
    }
}

/// A function that nodes are started with. It must not block: every request of its exchange waits for it. What it answers
/// may depend on the question only, so that each owner routes alike. A panic is caught and declines the request.
pub trait Function: Send + Sync {
    /// Says where a request goes.
    fn route(&self, question: &Question<'_>) -> Routed;
}

impl<F: Fn(&Question<'_>) -> Routed + Send + Sync> Function for F {
    fn route(&self, question: &Question<'_>) -> Routed {
        self(question)
    }
}

/// The functions that a node is started with.
///
/// ```
/// use squall_kernel::id::FunctionName;
/// use squall_node::functions::{Question, Registry, Routed};
///
/// let mut functions = Registry::default();
/// let by_size = |question: &Question<'_>| {
///     Routed::group(if question.payload.len() > 1024 { "large" } else { "small" })
/// };
/// functions.register(FunctionName::new("by-size").unwrap(), by_size).unwrap();
/// assert_eq!(functions.names().len(), 1);
/// ```
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<FunctionName, Arc<dyn Function>>);

/// Why a function is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// There is one of that name.
    #[error("a function '{0}' is registered already")]
    Taken(FunctionName),
    /// There are as many as a node may have.
    #[error("a node has at most {FUNCTIONS_PER_NODE_MAX} functions")]
    Full,
}

impl Registry {
    /// Adds a function.
    ///
    /// # Errors
    /// [`RegisterError`]; the functions are as before then.
    pub fn register(
        &mut self,
        name: FunctionName,
        function: impl Function + 'static,
    ) -> Result<(), RegisterError> {
        if self.0.contains_key(&name) {
            return Err(RegisterError::Taken(name));
        }
        if self.0.len() >= FUNCTIONS_PER_NODE_MAX {
            return Err(RegisterError::Full);
        }
        self.0.insert(name, Arc::new(function));
        Ok(())
    }

    /// Their names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<FunctionName> {
        self.0.keys().cloned().collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The function of an exchange, ready to be asked.
pub(crate) enum Ready {
    Registered(Arc<dyn Function>),
    Script(Box<Script>),
    /// It cannot be asked, and why: everything is declined.
    Broken(String),
}

/// A function could not answer, and why, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

impl Ready {
    /// Compiles a script, or looks a registered function up.
    pub(crate) fn of(function: &RoutingFunction, registry: &Registry) -> Self {
        match function {
            RoutingFunction::Registered(name) => registry.0.get(name).map_or_else(
                || Self::Broken(format!("the owner has no function '{name}'")),
                |function| Self::Registered(Arc::clone(function)),
            ),
            RoutingFunction::Script { source, .. } => match Script::compile(source) {
                Ok(script) => Self::Script(Box::new(script)),
                Err(error) => Self::Broken(error.to_string()),
            },
        }
    }

    pub(crate) fn ask(&self, question: &Question<'_>) -> Result<Routed, Failed> {
        let routed = match self {
            Self::Registered(function) => catch_now(|| function.route(question))
                .map_err(|_| Failed("the exchange's function panicked".into()))?,
            Self::Script(script) => script.route(question)?,
            Self::Broken(why) => return Err(Failed(why.clone())),
        };
        match &routed.payload {
            Some(payload) if payload.len() > PAYLOAD_BYTES_MAX => Err(Failed(format!(
                "the exchange's function made a payload of {} bytes, above the bound",
                payload.len()
            ))),
            _ => Ok(routed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FunctionName {
        FunctionName::new(text).unwrap()
    }

    fn ask(ready: &Ready) -> Result<Routed, Failed> {
        let empty = Bytes::new();
        ready.ask(&Question {
            key: &empty,
            service_tag: &empty,
            request_tag: &empty,
            payload: &empty,
            handlers: &Arc::default(),
        })
    }

    #[test]
    fn a_name_is_registered_once() {
        let mut functions = Registry::default();
        let any = |_: &Question<'_>| Routed::group("");
        functions.register(name("any"), any).unwrap();
        assert_eq!(
            functions.register(name("any"), any),
            Err(RegisterError::Taken(name("any")))
        );
        let known = Ready::of(&RoutingFunction::Registered(name("any")), &functions);
        assert_eq!(ask(&known), Ok(Routed::group("")));
    }

    #[test]
    fn a_function_that_is_not_here_or_panics_or_makes_too_much_declines() {
        let mut functions = Registry::default();
        let unknown = Ready::of(&RoutingFunction::Registered(name("none")), &functions);
        assert_eq!(
            ask(&unknown),
            Err(Failed("the owner has no function 'none'".into()))
        );
        let panics = |_: &Question<'_>| -> Routed { panic!("as asked") };
        functions.register(name("panics"), panics).unwrap();
        let panics = Ready::of(&RoutingFunction::Registered(name("panics")), &functions);
        assert_eq!(
            ask(&panics),
            Err(Failed("the exchange's function panicked".into()))
        );
        let huge = |_: &Question<'_>| Routed::group("").rewrite(vec![0; PAYLOAD_BYTES_MAX + 1].into());
        functions.register(name("huge"), huge).unwrap();
        let huge = Ready::of(&RoutingFunction::Registered(name("huge")), &functions);
        assert!(ask(&huge).is_err());
    }

    #[test]
    fn an_answer_of_the_wrong_kind_is_named_with_what_is_expected() {
        let said = |routed: Routed, strategy| routed.fitting(strategy).unwrap_err().0;
        let signature = "the exchange's function gave a signature (an integer or a text); under 'fun' it gives pick or \
                         group, redirect or decline";
        assert_eq!(said(Routed::signature(7), Strategy::Fun), signature);
        let group = "the exchange's function gave a group; under 'sticky-fun' it gives a signature (an integer or a \
                     text), redirect or decline";
        assert_eq!(said(Routed::group("eu"), Strategy::StickyFun), group);
        for (fits, strategy) in [
            (Routed::signature(7), Strategy::StickyFun),
            (Routed::group("eu"), Strategy::Fun),
            (Routed::decline("no"), Strategy::StickyFun),
        ] {
            assert_eq!(fits.clone().fitting(strategy), Ok(fits));
        }
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let Choice::Decline(reason) = Routed::decline("ä".repeat(REASON_BYTES_MAX)).choice else {
            panic!("it declines")
        };
        assert_eq!(reason.len(), REASON_BYTES_MAX);
    }
}
