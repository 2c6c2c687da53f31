//! Where traces go and how many: the flag `--otlp` and the standard environment variables. What does not live here:
//! reading flags.

use super::sampling::Share;

/// Share of requests that are traced unless OTEL_TRACES_SAMPLER says otherwise.
pub const RATIO_DEFAULT: f64 = 0.01;
/// Value of service.name unless OTEL_SERVICE_NAME says otherwise.
pub const SERVICE_NAME: &str = "squall";

/// Where traces go and how many.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// Address of the collector.
    pub endpoint: String,
    /// Value of service.name.
    pub service_name: String,
    /// Share of requests that are traced.
    pub share: Share,
    /// Whoever comes with a trace has decided for itself: it is traced if its caller is.
    pub follows: bool,
}

/// Why the settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a sampler that there is.
    #[error(
        "OTEL_TRACES_SAMPLER is '{0}'; there are always_on, always_off, traceidratio, parentbased_always_on, \
         parentbased_always_off and parentbased_traceidratio"
    )]
    Sampler(String),
    /// Not a share.
    #[error("{variable} is '{value}', which is no number from 0 to 1")]
    Ratio {
        /// Where it came from.
        variable: &'static str,
        /// What it says.
        value: String,
    },
}

impl Otlp {
    /// The settings of the flag and the environment (`env` looks a variable up); none when neither names a
    /// collector. The flag goes before the environment, and `ratio` before the default.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable.
    pub fn read(
        flag: Option<&str>,
        ratio: Option<f64>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SettingsError> {
        let env = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let disabled = env("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let none = env("OTEL_TRACES_EXPORTER").is_some_and(|v| v == "none");
        let named = || {
            let endpoint =
                env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| env("OTEL_EXPORTER_OTLP_ENDPOINT"));
            endpoint.filter(|_| !disabled && !none)
        };
        let Some(endpoint) = flag.map(str::to_owned).or_else(named) else {
            return Ok(None);
        };
        let endpoint = if endpoint.contains("://") {
            endpoint
        } else {
            format!("http://{endpoint}")
        };
        let service_name = env("OTEL_SERVICE_NAME").unwrap_or_else(|| SERVICE_NAME.to_owned());
        let (share, follows) = sampling(ratio, &env)?;
        Ok(Some(Self {
            endpoint,
            service_name,
            share,
            follows,
        }))
    }
}

/// Share of requests that start a trace, and whether a trace begun elsewhere decides for itself.
fn sampling(
    ratio: Option<f64>,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<(Share, bool), SettingsError> {
    let Some(name) = env("OTEL_TRACES_SAMPLER") else {
        return Ok((share("the ratio", ratio.unwrap_or(RATIO_DEFAULT))?, true));
    };
    let argument = || {
        let Some(text) = env("OTEL_TRACES_SAMPLER_ARG") else {
            return Ok(Share::ALL);
        };
        let bad = SettingsError::Ratio {
            variable: "OTEL_TRACES_SAMPLER_ARG",
            value: text.clone(),
        };
        share("OTEL_TRACES_SAMPLER_ARG", text.parse().map_err(|_| bad)?)
    };
    Ok(match name.as_str() {
        "always_on" => (Share::ALL, false),
        "always_off" => (Share::NONE, false),
        "traceidratio" => (argument()?, false),
        "parentbased_always_on" => (Share::ALL, true),
        "parentbased_always_off" => (Share::NONE, true),
        "parentbased_traceidratio" => (argument()?, true),
        _ => return Err(SettingsError::Sampler(name)),
    })
}

fn share(variable: &'static str, value: f64) -> Result<Share, SettingsError> {
    Share::new(value).map_err(|_| SettingsError::Ratio {
        variable,
        value: value.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        flag: Option<&str>,
        ratio: Option<f64>,
        env: &[(&str, &str)],
    ) -> Result<Option<Otlp>, SettingsError> {
        Otlp::read(flag, ratio, |name| {
            env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        })
    }

    fn found(flag: Option<&str>, ratio: Option<f64>, env: &[(&str, &str)]) -> Otlp {
        read(flag, ratio, env)
            .expect("good settings")
            .expect("a collector")
    }

    #[test]
    fn nobody_names_a_collector_and_there_are_no_traces() {
        assert!(read(None, None, &[]).expect("good").is_none());
        let disabled = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:1"),
            ("OTEL_SDK_DISABLED", "TRUE"),
        ];
        assert!(read(None, None, &disabled).expect("good").is_none());
    }

    #[test]
    fn the_flag_goes_before_the_environment_and_traces_before_all_signals() {
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:1"),
            ("OTEL_SERVICE_NAME", "orders"),
        ];
        assert_eq!(found(Some("flag:1"), None, &env).endpoint, "http://flag:1");
        assert_eq!(found(None, None, &env).endpoint, "http://traces:1");
        assert_eq!(found(None, None, &env[..1]).endpoint, "http://all:1");
        assert_eq!(found(None, None, &env).service_name, "orders");
        assert_eq!(found(None, None, &env[..1]).service_name, "squall");
    }

    #[test]
    fn the_sampler_of_the_environment_wins() {
        let sampling = |ratio, env| {
            let otlp = found(Some("x:1"), ratio, env);
            (otlp.share.get(), otlp.follows)
        };
        assert_eq!(sampling(None, &[]), (0.01, true));
        assert_eq!(sampling(Some(0.05), &[]), (0.05, true));
        let env = [
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.75"),
        ];
        assert_eq!(sampling(Some(0.05), &env), (0.75, true));
        let on = [("OTEL_TRACES_SAMPLER", "always_on")];
        assert_eq!(sampling(None, &on), (1.0, false));
        assert_eq!(
            sampling(None, &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]),
            (0.0, true)
        );
    }

    #[test]
    fn bad_samplers_are_named() {
        let error = |env: &[(&str, &str)]| read(Some("x:1"), None, env).expect_err("bad").to_string();
        assert!(error(&[("OTEL_TRACES_SAMPLER", "xray")]).starts_with("OTEL_TRACES_SAMPLER is 'xray'"));
        let env = [
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ];
        assert_eq!(
            error(&env),
            "OTEL_TRACES_SAMPLER_ARG is '2', which is no number from 0 to 1"
        );
        assert!(read(Some("x:1"), Some(-1.0), &[]).is_err());
    }
}
