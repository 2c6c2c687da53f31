//! Where metrics are pushed to, and how often: the flag `--otlp` and the standard environment variables. What does not live here:
//! reading flags.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::telemetry::SettingsError;
use crate::telemetry::collector::{Collector, Signal};
use crate::telemetry::settings::{Environment, milliseconds};

/// Between two exports unless OTEL_METRIC_EXPORT_INTERVAL says otherwise.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// Such times in milliseconds: each export looks at everything that the node has, and beyond an hour a figure says nothing of now.
const INTERVALS_MS: RangeInclusive<u64> = 100..=3_600_000;

/// Where metrics are pushed to, and how often.
#[derive(Debug, Clone)]
pub struct Push {
    /// The collector.
    pub collector: Collector,
    /// Value of service.name.
    pub service_name: String,
    /// Between two exports.
    pub every: Duration,
}

impl Push {
    /// The settings of the flag and the environment (`env` looks a variable up); none when neither names a collector, or
    /// OTEL_METRICS_EXPORTER says that metrics go elsewhere or nowhere. The flag goes before the environment's addresses, and before
    /// OTEL_SDK_DISABLED.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable or the address.
    pub fn read(
        flag: Option<&str>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SettingsError> {
        let env = Environment(env);
        let Some(collector) = env.collector(Signal::Metrics, flag)? else {
            return Ok(None);
        };
        let variable = "OTEL_METRIC_EXPORT_INTERVAL";
        let every = env.get(variable).map_or(Ok(INTERVAL_DEFAULT), |value| {
            milliseconds(variable, value, INTERVALS_MS)
        })?;
        Ok(Some(Self {
            collector,
            service_name: env.service_name(),
            every,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flag: Option<&str>, env: &[(&str, &str)]) -> Result<Option<Push>, SettingsError> {
        Push::read(flag, |name| {
            env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        })
    }

    fn endpoint(flag: Option<&str>, env: &[(&str, &str)]) -> Option<String> {
        read(flag, env)
            .expect("good settings")
            .map(|push| push.collector.to_string())
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
            let error = every(&says(bad)).expect_err("no such time").to_string();
            let said = format!(
                "OTEL_METRIC_EXPORT_INTERVAL is '{bad}', which is no number of milliseconds from 100 to 3600000"
            );
            assert_eq!(error, said);
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
