//! Settings of exchanges, as callers of the admin service write them and as they are told of.

use squall_kernel::id::ExchangeName;
use squall_kernel::order::WhenFull;
use squall_kernel::registry::Settings;
use squall_kernel::time::Span;
use squall_proto::v1;

use super::parse::shown;
use crate::grpc::status::CallError;

/// What a caller wants; what does not go together is refused by the registry.
pub(super) fn parse(asked: &v1::ExchangeSettings) -> Result<Settings, CallError> {
    let middleware = asked.middleware.iter().map(|name| exchange("middleware", name));
    Ok(Settings {
        mailbox: some(asked.mailbox),
        when_full: when_full(&asked.when_full)?,
        ttl: span(asked.ttl_ms),
        dedup: span(asked.dedup_ms),
        lease: span(asked.lease_ms),
        attempts: some(asked.attempts),
        ordered: asked.ordered,
        dead_letter: optional("dead_letter", &asked.dead_letter)?,
        middleware: middleware.collect::<Result<_, _>>()?,
        controller: optional("controller", &asked.controller)?,
        scheduler: optional("scheduler", &asked.scheduler)?,
    })
}

/// Settings as told of: a time that is no whole millisecond is told as the next longer one.
pub(super) fn told(settings: &Settings) -> v1::ExchangeSettings {
    let name = |name: &Option<ExchangeName>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let ms = |span: Option<Span>| span.map_or(0, |span| span.0.div_ceil(1000));
    v1::ExchangeSettings {
        mailbox: settings.mailbox.unwrap_or(0),
        when_full: settings.when_full.as_str().to_owned(),
        ttl_ms: ms(settings.ttl),
        dedup_ms: ms(settings.dedup),
        lease_ms: ms(settings.lease),
        attempts: settings.attempts.unwrap_or(0),
        ordered: settings.ordered,
        dead_letter: name(&settings.dead_letter),
        middleware: settings.middleware.iter().map(ToString::to_string).collect(),
        controller: name(&settings.controller),
        scheduler: name(&settings.scheduler),
    }
}

fn some(count: u32) -> Option<u32> {
    (count > 0).then_some(count)
}

fn span(ms: u64) -> Option<Span> {
    (ms > 0).then(|| Span::from_ms(ms.min(u64::MAX / 1000)))
}

fn when_full(word: &str) -> Result<WhenFull, CallError> {
    if word.is_empty() {
        return Ok(WhenFull::default());
    }
    WhenFull::parse(word).ok_or_else(|| CallError::Invalid {
        field: "settings.when_full",
        reason: format!(
            "'{}' is none; there are {}",
            shown(word),
            WhenFull::ALL.map(WhenFull::as_str).join(", ")
        ),
    })
}

fn optional(field: &'static str, name: &str) -> Result<Option<ExchangeName>, CallError> {
    if name.is_empty() {
        return Ok(None);
    }
    exchange(field, name).map(Some)
}

fn exchange(field: &'static str, name: &str) -> Result<ExchangeName, CallError> {
    ExchangeName::new(name).map_err(|error| CallError::Invalid {
        field,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_settings_come_through_and_back() {
        let all = v1::ExchangeSettings {
            mailbox: 9,
            when_full: "drop-oldest".into(),
            ttl_ms: 1,
            dedup_ms: 2,
            lease_ms: 3,
            attempts: 4,
            ordered: true,
            dead_letter: "complaints".into(),
            middleware: vec!["log".into(), "auth".into()],
            controller: "gate".into(),
            scheduler: "chooser".into(),
        };
        assert_eq!(told(&parse(&all).unwrap()), all);
        let nothing = parse(&v1::ExchangeSettings::default()).unwrap();
        assert_eq!(nothing, Settings::default());
    }

    #[test]
    fn what_is_none_is_refused_by_its_field() {
        let wrong = |settings: v1::ExchangeSettings| match parse(&settings) {
            Err(CallError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        let none = v1::ExchangeSettings::default;
        assert_eq!(
            wrong(v1::ExchangeSettings {
                when_full: "grow".into(),
                ..none()
            }),
            "settings.when_full"
        );
        assert_eq!(
            wrong(v1::ExchangeSettings {
                middleware: vec!["a b".into()],
                ..none()
            }),
            "middleware"
        );
        assert_eq!(
            wrong(v1::ExchangeSettings {
                scheduler: "a b".into(),
                ..none()
            }),
            "scheduler"
        );
    }
}
