//! Where metrics are pushed to, and how often: the flag `--otlp` and the standard environment variables. What does not live here:
//! reading flags.

use std::time::Duration;

use tonic::transport::Endpoint;

use crate::telemetry::settings::SERVICE_NAME;

/// Between two exports unless OTEL_METRIC_EXPORT_INTERVAL says otherwise.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// Shortest such time: each export looks at everything that the node has.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Longest such time: beyond it a figure says nothing of now.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// Where metrics are pushed to, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Address of the collector, `http://host:port`.
    pub endpoint: String,
    /// Value of service.name.
    pub service_name: String,
    /// Between two exports.
    pub every: Duration,
}

/// Why the settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Not a time that is taken.
    #[error("OTEL_METRIC_EXPORT_INTERVAL is '{0}', which is no number of milliseconds from 100 to 3600000")]
    Interval(String),
    /// Not an address, or one that needs what there is not.
    #[error("metrics cannot be sent to '{endpoint}': {reason}")]
    Endpoint {
        /// Address given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Push {
    /// The settings of the flag and the environment (`env` looks a variable up); none when neither names a collector, or
    /// OTEL_METRICS_EXPORTER says that metrics go elsewhere or nowhere. The flag goes before the environment's addresses, and before
    /// OTEL_SDK_DISABLED.
    ///
    /// # Errors
    /// [`PushError`] names the variable or the address.
    pub fn read(flag: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, PushError> {
        let env = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let wanted =
            env("OTEL_METRICS_EXPORTER").is_none_or(|v| v.split(',').any(|one| one.trim() == "otlp"));
        let disabled = env("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let named = || {
            let endpoint =
                env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT").or_else(|| env("OTEL_EXPORTER_OTLP_ENDPOINT"));
            endpoint.filter(|_| !disabled)
        };
        let Some(endpoint) = flag.map(str::to_owned).or_else(named).filter(|_| wanted) else {
            return Ok(None);
        };
        let endpoint = if endpoint.contains("://") {
            endpoint
        } else {
            format!("http://{endpoint}")
        };
        address(&endpoint)?;
        Ok(Some(Self {
            endpoint,
            service_name: env("OTEL_SERVICE_NAME").unwrap_or_else(|| SERVICE_NAME.to_owned()),
            every: env("OTEL_METRIC_EXPORT_INTERVAL").map_or(Ok(INTERVAL_DEFAULT), interval)?,
        }))
    }
}

/// The address as the transport takes it.
pub(super) fn address(endpoint: &str) -> Result<Endpoint, PushError> {
    let bad = |reason: String| PushError::Endpoint {
        endpoint: endpoint.to_owned(),
        reason,
    };
    let address = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| bad(error.to_string()))?;
    match address.uri().scheme_str() {
        Some("http") => Ok(address),
        _ => Err(bad("only http:// is spoken, without encryption".into())),
    }
}

fn interval(text: String) -> Result<Duration, PushError> {
    let time = text.parse().ok().map(Duration::from_millis);
    let time = time.filter(|time| (INTERVAL_MIN..=INTERVAL_MAX).contains(time));
    time.ok_or(PushError::Interval(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flag: Option<&str>, env: &[(&str, &str)]) -> Result<Option<Push>, PushError> {
        Push::read(flag, |name| {
            env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        })
    }

    fn endpoint(flag: Option<&str>, env: &[(&str, &str)]) -> Option<String> {
        read(flag, env).expect("good settings").map(|push| push.endpoint)
    }

    const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1");
    const METRICS: (&str, &str) = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:1");

    #[test]
    fn the_flag_goes_before_the_environment_and_metrics_before_all_signals() {
        assert_eq!(endpoint(None, &[]), None);
        assert_eq!(
            endpoint(Some("flag:1"), &[ALL, METRICS]).as_deref(),
            Some("http://flag:1")
        );
        assert_eq!(
            endpoint(None, &[ALL, METRICS]).as_deref(),
            Some("http://metrics:1")
        );
        assert_eq!(endpoint(None, &[ALL]).as_deref(), Some("http://all:1"));
        let traces = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:1")];
        assert_eq!(endpoint(None, &traces), None);
    }

    #[test]
    fn who_wants_no_metrics_gets_none() {
        for exporter in ["none", "prometheus", "console"] {
            let env = [ALL, ("OTEL_METRICS_EXPORTER", exporter)];
            assert_eq!(endpoint(None, &env), None, "{exporter}");
            assert_eq!(
                endpoint(Some("flag:1"), &env),
                None,
                "the flag says where, not what"
            );
        }
        for exporter in ["otlp", "prometheus, otlp"] {
            let env = [ALL, ("OTEL_METRICS_EXPORTER", exporter)];
            assert!(endpoint(None, &env).is_some(), "{exporter}");
        }
        let disabled = [ALL, ("OTEL_SDK_DISABLED", "TRUE")];
        assert_eq!(endpoint(None, &disabled), None);
        assert!(endpoint(Some("flag:1"), &disabled).is_some());
    }

    #[test]
    fn how_often_is_said_in_milliseconds() {
        let every =
            |env: &[(&str, &str)]| read(Some("x:1"), env).map(|push| push.expect("a collector").every);
        assert_eq!(every(&[]), Ok(Duration::from_secs(10)));
        let says = |text: &'static str| [("OTEL_METRIC_EXPORT_INTERVAL", text)];
        assert_eq!(every(&says("2500")), Ok(Duration::from_millis(2500)));
        for bad in ["0", "99", "3600001", "10s", "-1", "1.5"] {
            assert_eq!(every(&says(bad)), Err(PushError::Interval(bad.into())));
        }
    }

    #[test]
    fn an_address_that_cannot_be_is_named() {
        for bad in ["http://no such host", "https://collector:4317", "ftp://collector"] {
            let error = read(Some(bad), &[]).expect_err("no address").to_string();
            assert!(
                error.starts_with(&format!("metrics cannot be sent to '{bad}': ")),
                "{error}"
            );
        }
    }
}
