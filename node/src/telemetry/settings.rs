//! Where traces and metrics go, and how many traces: the flag `--otlp` and the standard environment variables. What does not live
//! here: reading flags, and how often metrics go (`metrics::push`).

use std::ops::RangeInclusive;
use std::time::Duration;

use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_HEADERS, OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
};
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};

use super::collector::{AddressError, Collector, EXPORT_TIME_MAX, Signal};
use super::sampling::Share;

/// Share of requests that are traced unless OTEL_TRACES_SAMPLER says otherwise.
pub const RATIO_DEFAULT: f64 = 0.01;
/// Value of service.name unless OTEL_SERVICE_NAME says otherwise.
pub const SERVICE_NAME: &str = "squall";
/// Milliseconds that one export may take. Beyond a minute nobody waits for a collector: what is measured is old by then, and spans
/// have no room.
const TIMEOUTS_MS: RangeInclusive<u64> = 1..=60_000;

/// Where traces go and how many.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// The collector.
    pub collector: Collector,
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
    /// Not an address, or one that needs what there is not.
    #[error("{signal} cannot be sent to '{endpoint}': {reason}")]
    Endpoint {
        /// What was to go there.
        signal: Signal,
        /// Address given.
        endpoint: String,
        /// What is wrong with it.
        reason: AddressError,
    },
    /// Not a list of headers. What it says is not shown: it may be a secret.
    #[error(
        "{variable} is no list of name=value with commas between, in ASCII, other characters written as %XX"
    )]
    Headers {
        /// Where it came from.
        variable: &'static str,
    },
    /// Not a time that is taken.
    #[error("{variable} is '{value}', which is no number of milliseconds from {from} to {to}")]
    Milliseconds {
        /// Where it came from.
        variable: &'static str,
        /// What it says.
        value: String,
        /// Shortest such time.
        from: u64,
        /// Longest such time.
        to: u64,
    },
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
    /// A share of nothing.
    #[error(
        "--trace-ratio is for traces, which nobody takes: name a collector by --otlp or OTEL_EXPORTER_OTLP_ENDPOINT"
    )]
    Nowhere,
}

impl Otlp {
    /// To the collector at `endpoint`, and nothing else said.
    ///
    /// # Errors
    /// [`SettingsError::Endpoint`].
    pub fn to(endpoint: &str, share: Share) -> Result<Self, SettingsError> {
        Ok(Self {
            collector: at(Signal::Traces, endpoint)?,
            service_name: SERVICE_NAME.to_owned(),
            share,
            follows: true,
        })
    }

    /// The settings of the flag and the environment (`env` looks a variable up); none when neither names a collector, or
    /// OTEL_TRACES_EXPORTER says that traces go elsewhere or nowhere. The flag goes before the environment's addresses, and `ratio`
    /// before the default.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable or the address.
    pub fn read(
        flag: Option<&str>,
        ratio: Option<f64>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SettingsError> {
        let env = Environment(env);
        if ratio.is_some() && flag.is_none() && env.endpoint(Signal::Traces).is_none() {
            return Err(SettingsError::Nowhere);
        }
        let Some(collector) = env.collector(Signal::Traces, flag)? else {
            return Ok(None);
        };
        let (share, follows) = sampling(ratio, &env)?;
        Ok(Some(Self {
            collector,
            service_name: env.service_name(),
            share,
            follows,
        }))
    }
}

/// What looks variables up. One that is empty says nothing.
pub(crate) struct Environment<E>(pub(crate) E);

impl<E: Fn(&str) -> Option<String>> Environment<E> {
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = (self.0)(name)?.trim().to_owned();
        Some(value).filter(|value| !value.is_empty())
    }

    /// The first of these that says something, and what.
    fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, String)> {
        names
            .into_iter()
            .find_map(|name| self.get(name).map(|value| (name, value)))
    }

    pub(crate) fn service_name(&self) -> String {
        self.get("OTEL_SERVICE_NAME")
            .unwrap_or_else(|| SERVICE_NAME.to_owned())
    }

    fn endpoint(&self, signal: Signal) -> Option<String> {
        let names = signal.variables().endpoint;
        self.first(names).map(|(_, endpoint)| endpoint)
    }

    /// Where `signal` goes; none where nobody names a collector, or it is not wanted there. The flag says where, and that the SDK's
    /// being disabled does not matter; what is sent the environment says.
    pub(crate) fn collector(
        &self,
        signal: Signal,
        flag: Option<&str>,
    ) -> Result<Option<Collector>, SettingsError> {
        let names = signal.variables();
        let exporter = self.get(names.exporter);
        let wanted = exporter.is_none_or(|v| v.split(',').any(|one| one.trim() == "otlp"));
        let disabled = self
            .get("OTEL_SDK_DISABLED")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let named = || self.endpoint(signal).filter(|_| !disabled);
        let endpoint = flag.map(str::to_owned).or_else(named);
        let Some(endpoint) = endpoint.filter(|_| wanted) else {
            return Ok(None);
        };
        let headers = self.first(names.headers);
        let headers = headers.map_or(Ok(MetadataMap::new()), |(variable, list)| {
            headers_of(&list).ok_or(SettingsError::Headers { variable })
        })?;
        let time = self.first(names.timeout);
        let time = time.map_or(Ok(EXPORT_TIME_MAX), |(variable, value)| {
            milliseconds(variable, value, TIMEOUTS_MS)
        })?;
        let collector = at(signal, &endpoint)?;
        Ok(Some(collector.with_headers(headers).within(time)))
    }
}

/// The variables that say something of a signal, its own before those of all.
struct Variables {
    exporter: &'static str,
    endpoint: [&'static str; 2],
    headers: [&'static str; 2],
    timeout: [&'static str; 2],
}

impl Signal {
    const fn variables(self) -> Variables {
        match self {
            Self::Traces => Variables {
                exporter: "OTEL_TRACES_EXPORTER",
                endpoint: [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT],
                headers: [OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_HEADERS],
                timeout: [OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT],
            },
            Self::Metrics => Variables {
                exporter: "OTEL_METRICS_EXPORTER",
                endpoint: [OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT],
                headers: [OTEL_EXPORTER_OTLP_METRICS_HEADERS, OTEL_EXPORTER_OTLP_HEADERS],
                timeout: [OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT],
            },
        }
    }
}

/// A time in milliseconds, as a variable says it.
pub(crate) fn milliseconds(
    variable: &'static str,
    value: String,
    bounds: RangeInclusive<u64>,
) -> Result<Duration, SettingsError> {
    match value.parse().ok().filter(|ms| bounds.contains(ms)) {
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err(SettingsError::Milliseconds {
            variable,
            value,
            from: *bounds.start(),
            to: *bounds.end(),
        }),
    }
}

fn at(signal: Signal, endpoint: &str) -> Result<Collector, SettingsError> {
    Collector::at(endpoint).map_err(|reason| SettingsError::Endpoint {
        signal,
        endpoint: endpoint.to_owned(),
        reason,
    })
}

/// Headers as the environment lists them (OpenTelemetry, Protocol Exporter, "Specifying headers via environment variables"); none
/// where one of them is no header.
fn headers_of(list: &str) -> Option<MetadataMap> {
    let mut headers = MetadataMap::new();
    for header in list.split(',').map(str::trim).filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once('=')?;
        let name = MetadataKey::<Ascii>::from_bytes(name.trim().as_bytes()).ok()?;
        let mut value = MetadataValue::<Ascii>::try_from(decoded(value.trim())?).ok()?;
        // Whatever logs a message on its way leaves it out.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Some(headers)
}

/// With `%XX` as the bytes they stand for.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            plain => plain,
        });
    }
    Some(decoded)
}

/// Share of requests that start a trace, and whether a trace begun elsewhere decides for itself.
fn sampling<E: Fn(&str) -> Option<String>>(
    ratio: Option<f64>,
    env: &Environment<E>,
) -> Result<(Share, bool), SettingsError> {
    let Some(name) = env.get("OTEL_TRACES_SAMPLER") else {
        return Ok((share("the ratio", ratio.unwrap_or(RATIO_DEFAULT))?, true));
    };
    let argument = || {
        let Some(text) = env.get("OTEL_TRACES_SAMPLER_ARG") else {
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
        let at = |flag, env| found(flag, None, env).collector.to_string();
        assert_eq!(at(Some("flag:1"), &env), "http://flag:1");
        assert_eq!(at(None, &env), "http://traces:1");
        assert_eq!(at(None, &env[..1]), "http://all:1");
        assert_eq!(found(None, None, &env).service_name, "orders");
        assert_eq!(found(None, None, &env[..1]).service_name, "squall");
    }

    #[test]
    fn who_wants_no_traces_gets_none_whatever_the_flag_says() {
        for exporter in ["none", "zipkin", "console"] {
            let env = [("OTEL_TRACES_EXPORTER", exporter)];
            assert!(
                read(Some("flag:1"), Some(0.5), &env).expect("good").is_none(),
                "{exporter}"
            );
        }
        for exporter in ["otlp", "console, otlp"] {
            found(Some("flag:1"), None, &[("OTEL_TRACES_EXPORTER", exporter)]);
        }
        let disabled = [("OTEL_SDK_DISABLED", "true")];
        found(Some("flag:1"), None, &disabled);
    }

    #[test]
    fn a_share_is_one_of_what_the_environment_sends_and_of_nothing_it_is_an_error() {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "x:1")];
        assert_eq!(found(None, Some(0.5), &env).share.get(), 0.5);
        let metrics = [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "x:1")];
        for env in [&[][..], &metrics] {
            let error = read(None, Some(0.5), env)
                .expect_err("nobody takes traces")
                .to_string();
            assert!(
                error.contains("--otlp") && error.contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
                "{error}"
            );
        }
    }

    /// What goes along with an export, by the environment.
    fn headers(list: &str) -> Option<Vec<(String, String)>> {
        let headers = headers_of(list)?.into_headers();
        let text = |value: &tonic::codegen::http::HeaderValue| value.to_str().expect("text").to_owned();
        Some(
            headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
        )
    }

    #[test]
    fn headers_are_decoded_and_none_that_is_wrong_goes_by_unsaid() {
        let both = [("authorization", "Bearer a b="), ("x-tenant", "7")];
        let both = both
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        assert_eq!(
            headers("Authorization=Bearer%20a b%3D, x-tenant = 7 ,"),
            Some(both)
        );
        assert_eq!(headers("a=1,a=2").map(|all| all.len()), Some(2));
        for bad in [
            "no value",
            "=1",
            "a b=1",
            "a=%2",
            "a=%zz",
            "a=%0A",
            "blob-bin=AAAA",
            "ä=1",
        ] {
            assert_eq!(headers(bad), None, "{bad}");
        }
        let of = |signal, env: &[(&str, &str)]| {
            let env =
                Environment(|name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
            env.collector(signal, Some("x:1"))
        };
        let env = [("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "token=the secret,=")];
        assert!(of(Signal::Metrics, &env).is_ok(), "they are of traces");
        let error = of(Signal::Traces, &env).expect_err("no headers").to_string();
        assert!(
            error.starts_with("OTEL_EXPORTER_OTLP_TRACES_HEADERS is no list"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn how_long_an_export_may_take_is_said_in_milliseconds() {
        let time =
            |env: &[(&str, &str)]| read(Some("x:1"), None, env).map(|it| it.expect("one").collector.time());
        let all = ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500");
        assert_eq!(time(&[]), Ok(EXPORT_TIME_MAX));
        assert_eq!(time(&[all]), Ok(Duration::from_millis(2500)));
        assert_eq!(
            time(&[all, ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "100")]),
            Ok(Duration::from_millis(100))
        );
        for bad in ["0", "60001", "10s", "-1"] {
            let error = time(&[("OTEL_EXPORTER_OTLP_TIMEOUT", bad)])
                .expect_err("no time")
                .to_string();
            let said = format!(
                "OTEL_EXPORTER_OTLP_TIMEOUT is '{bad}', which is no number of milliseconds from 1 to 60000"
            );
            assert_eq!(error, said);
        }
    }

    #[test]
    fn an_address_that_cannot_be_is_named() {
        for bad in ["http://no such host", "https://collector:4317", "ftp://collector"] {
            let error = read(Some(bad), None, &[]).expect_err("no address").to_string();
            let said = format!("traces cannot be sent to '{bad}': ");
            assert!(error.starts_with(&said), "{error}");
        }
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
