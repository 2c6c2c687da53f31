//! What a script says: `pick`, `group`, `redirect`, `decline`, `sign`, `rewrite`. Each is a function that gives a verdict, and
//! `rewrite` goes together with another one: `pick(0).rewrite(payload)`.

use bytes::Bytes;
use rhai::{Dynamic, Engine, EvalAltResult, INT, ImmutableString};
use squall_kernel::exchange::{Choice, Signature};
use squall_kernel::id::ExchangeName;

use super::budget::spend;
use super::payload::Payload;
use super::signature;
use crate::functions::{Failed, Question, Routed};

/// A verdict, as a value of the script.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    to: To,
    payload: Option<Payload>,
}

#[derive(Debug, Clone)]
enum To {
    Place(INT),
    Group(ImmutableString),
    Signature(Signature),
    Redirect(ImmutableString),
    Decline(ImmutableString),
}

impl From<To> for Verdict {
    fn from(to: To) -> Self {
        Self { to, payload: None }
    }
}

impl Verdict {
    fn with(&self, to: To) -> Self {
        Self {
            to,
            payload: self.payload.clone(),
        }
    }

    pub(super) fn routed(self, question: &Question<'_>) -> Result<Routed, Failed> {
        let choice = match self.to {
            To::Place(place) => {
                let found = usize::try_from(place).ok().and_then(|p| question.handlers.get(p));
                let handler = found.ok_or_else(|| {
                    let count = question.handlers.len();
                    Failed(format!(
                        "the exchange's script picked handler {place}, there are {count}"
                    ))
                })?;
                Choice::Pick(handler.pid)
            }
            To::Group(tag) => Choice::Group(Bytes::copy_from_slice(tag.as_bytes())),
            To::Signature(signature) => Choice::Signature(signature),
            To::Redirect(name) => Choice::Redirect(
                ExchangeName::new(&name)
                    .map_err(|error| Failed(format!("the exchange's script redirected: {error}")))?,
            ),
            To::Decline(reason) => return Ok(Routed::decline(reason.as_str())),
        };
        Ok(Routed {
            choice,
            payload: self.payload.map(|payload| payload.join()),
        })
    }
}

fn signed(value: &Dynamic) -> Result<To, Box<EvalAltResult>> {
    spend(value.as_immutable_string_ref().map_or(0, |text| text.len()) * 2);
    signature(value)
        .map(To::Signature)
        .ok_or_else(|| "a signature is an integer or a text".into())
}

fn payload(value: Dynamic) -> Result<Option<Payload>, Box<EvalAltResult>> {
    match value.try_cast_result::<Payload>() {
        Ok(payload) => Ok(Some(payload)),
        Err(other) => match other.as_immutable_string_ref() {
            Ok(text) => Ok(Some(Payload::of_text(&text))),
            Err(_) => Err("a payload is the request's, parts of it, and texts".into()),
        },
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Verdict>("verdict");
    engine
        .register_fn("pick", |place: INT| Verdict::from(To::Place(place)))
        .register_fn("pick", |v: &mut Verdict, place: INT| v.with(To::Place(place)))
        .register_fn("group", |tag: ImmutableString| Verdict::from(To::Group(tag)))
        .register_fn("group", |v: &mut Verdict, tag: ImmutableString| {
            v.with(To::Group(tag))
        })
        .register_fn("redirect", |name: ImmutableString| {
            Verdict::from(To::Redirect(name))
        })
        .register_fn("redirect", |v: &mut Verdict, name: ImmutableString| {
            v.with(To::Redirect(name))
        })
        .register_fn("decline", |reason: ImmutableString| {
            Verdict::from(To::Decline(reason))
        })
        .register_fn("sign", |value: Dynamic| signed(&value).map(Verdict::from))
        .register_fn("sign", |v: &mut Verdict, value: Dynamic| {
            signed(&value).map(|to| v.with(to))
        })
        .register_fn("rewrite", |value: Dynamic| {
            payload(value).map(|payload| Verdict {
                to: To::Group(ImmutableString::new()),
                payload,
            })
        })
        .register_fn("rewrite", |v: &mut Verdict, value: Dynamic| {
            payload(value).map(|payload| Verdict { payload, ..v.clone() })
        });
}
