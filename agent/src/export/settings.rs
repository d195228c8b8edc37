//! The `OTEL_EXPORTER_OTLP_*` variables.
//!
//! The exporter crate reads headers, compression, timeout and `INSECURE` itself; here stands what it leaves to
//! its caller (protocol, certificates), and the endpoint, since people must be told where it goes. Every
//! complaint names the variable that is set, and quotes what it is set to.

use super::signal::Names;
use anyhow::{Result, bail};
use std::time::Duration;

/// A variable that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its whole name.
    pub name: String,
    /// Its value, never empty.
    pub value: String,
}

impl std::fmt::Display for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {:?}", self.name, self.value)
    }
}

/// Where and how a signal is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) grpc: bool,
    /// As it is called: for HTTP with the path.
    pub(super) endpoint: String,
    pub(super) timeout: Option<Duration>,
    pub(super) certificate: Option<Variable>,
    pub(super) client_certificate: Option<Variable>,
    pub(super) client_key: Option<Variable>,
}

impl Settings {
    /// Reads the variables that a signal heeds.
    ///
    /// # Errors
    /// When one has a value that this exporter does not know.
    pub fn read(signal: &Names, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: String| {
            let value = environment(&name)?.trim().to_owned();
            // Empty counts as not set.
            (!value.is_empty()).then_some(Variable { name, value })
        };
        let own = |name: &str| variable(format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.variable));
        let general = |name: &str| variable(format!("OTEL_EXPORTER_OTLP_{name}"));
        let get = |name: &str| own(name).or_else(|| general(name));
        let grpc = match get("PROTOCOL") {
            None => false,
            Some(protocol) => match protocol.value.as_str() {
                "http/protobuf" => false,
                "grpc" => true,
                _ => bail!("{protocol}: set it to grpc or http/protobuf"),
            },
        };
        if let Some(other) = get("COMPRESSION").filter(|c| c.value != "gzip" && c.value != "none") {
            bail!("{other}: set it to gzip or none");
        }
        let timeout = match get("TIMEOUT") {
            None => None,
            Some(timeout) => match timeout.value.parse() {
                Ok(ms) => Some(Duration::from_millis(ms)),
                Err(_) => bail!("{timeout}: set it to a number of milliseconds"),
            },
        };
        let endpoint = endpoint(grpc, signal.path, own("ENDPOINT"), general("ENDPOINT"))?;
        let [certificate, client_certificate, client_key] =
            ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"].map(get);
        Ok(Self { grpc, endpoint, timeout, certificate, client_certificate, client_key })
    }

    /// Where it goes, in words.
    pub fn destination(&self) -> String {
        format!("{} ({})", self.endpoint, if self.grpc { "grpc" } else { "http/protobuf" })
    }

    /// Whether the endpoint is reached by TLS.
    pub fn uses_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// What is set and has no effect, with a remark: whoever set it believes that it has.
    pub fn without_effect(&self) -> impl Iterator<Item = (&Variable, String)> {
        let certificates = [&self.certificate, &self.client_certificate, &self.client_key];
        let set = certificates.into_iter().flatten().filter(|_| !self.uses_tls());
        set.map(|variable| {
            let endpoint = &self.endpoint;
            (variable, format!("{variable}, and not used: {endpoint} is not encrypted, https:// would be"))
        })
    }
}

/// Where a signal goes. The general endpoint is a base for all signals where the protocol has paths.
fn endpoint(grpc: bool, path: &str, own: Option<Variable>, general: Option<Variable>) -> Result<String> {
    let with_path = |base: &str| format!("{}/{path}", base.trim_end_matches('/'));
    let is_base = own.is_none() && !grpc;
    let Some(given) = own.or(general) else {
        return Ok(if grpc { "http://localhost:4317".into() } else { with_path("http://localhost:4318") });
    };
    if !is_url(&given.value) {
        bail!("{given}: set it to a URL like http://localhost:{}", if grpc { 4317 } else { 4318 });
    }
    Ok(if is_base { with_path(&given.value) } else { given.value })
}

fn is_url(text: &str) -> bool {
    let scheme = text.starts_with("http://") || text.starts_with("https://");
    scheme && text.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::{super::signal::Signal, *};
    use tracer_engine::{Finding, Span};

    fn read(signal: &Names, variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(signal, &|name| {
            let found = variables.iter().find(|(k, _)| name == format!("OTEL_EXPORTER_OTLP_{k}"));
            found.map(|(_, v)| (*v).to_owned())
        })
    }

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        read(&Span::NAMES, variables)
    }

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let got = settings(&[("ENDPOINT", " "), ("PROTOCOL", "")]).unwrap();
        assert_eq!(got.destination(), "http://localhost:4318/v1/traces (http/protobuf)");
        assert_eq!((got.timeout, got.certificate), (None, None));
        let grpc = settings(&[("PROTOCOL", "grpc")]).unwrap();
        assert_eq!(grpc.destination(), "http://localhost:4317 (grpc)");
    }

    #[test]
    fn the_form_for_traces_comes_first() {
        let got = settings(&[
            ("ENDPOINT", "http://a"),
            ("TRACES_ENDPOINT", "http://b"),
            ("PROTOCOL", "http/protobuf"),
            ("TRACES_PROTOCOL", "grpc"),
            ("TIMEOUT", "1500"),
        ])
        .unwrap();
        assert_eq!(got.destination(), "http://b (grpc)");
        assert_eq!(got.timeout, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn each_signal_has_a_form_of_its_own() {
        let variables = [
            ("ENDPOINT", "http://a"),
            ("LOGS_ENDPOINT", "http://logs/in"),
            ("LOGS_PROTOCOL", "http/protobuf"),
            ("TRACES_PROTOCOL", "grpc"),
            ("LOGS_TIMEOUT", "7"),
        ];
        let logs = read(&Finding::NAMES, &variables).unwrap();
        assert_eq!(logs.destination(), "http://logs/in (http/protobuf)");
        assert_eq!(logs.timeout, Some(Duration::from_millis(7)));
        let traces = read(&Span::NAMES, &variables).unwrap();
        assert_eq!((traces.destination().as_str(), traces.timeout), ("http://a (grpc)", None));
        let base = read(&Finding::NAMES, &[("ENDPOINT", "https://h/otlp")]).unwrap();
        assert_eq!(base.endpoint, "https://h/otlp/v1/logs");
        let wrong = read(&Finding::NAMES, &[("LOGS_COMPRESSION", "zstd")]).unwrap_err().to_string();
        assert_eq!(wrong, "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION is \"zstd\": set it to gzip or none");
    }

    #[test]
    fn only_the_general_endpoint_is_a_base() {
        let endpoint = |variables| settings(variables).unwrap().endpoint;
        assert_eq!(endpoint(&[("ENDPOINT", "https://h/otlp/")]), "https://h/otlp/v1/traces");
        assert_eq!(endpoint(&[("TRACES_ENDPOINT", "https://h/otlp/")]), "https://h/otlp/");
    }

    #[test]
    fn what_makes_no_sense_is_quoted_with_the_variable_that_is_set() {
        for (name, value, advice) in [
            ("PROTOCOL", "http/json", "set it to grpc or http/protobuf"),
            ("TRACES_PROTOCOL", "pigeon", "set it to grpc or http/protobuf"),
            ("COMPRESSION", "zstd", "set it to gzip or none"),
            ("TIMEOUT", "abc", "set it to a number of milliseconds"),
            ("TIMEOUT", "1s", "set it to a number of milliseconds"),
            ("ENDPOINT", "notaurl", "set it to a URL like http://localhost:4318"),
            ("ENDPOINT", "ftp://h", "set it to a URL like http://localhost:4318"),
            ("ENDPOINT", "localhost:4318", "set it to a URL like http://localhost:4318"),
            ("ENDPOINT", "http://", "set it to a URL like http://localhost:4318"),
            ("TRACES_ENDPOINT", "http://a b", "set it to a URL like http://localhost:4318"),
        ] {
            let error = settings(&[(name, value)]).unwrap_err().to_string();
            assert_eq!(error, format!("OTEL_EXPORTER_OTLP_{name} is {value:?}: {advice}"));
        }
        let grpc = settings(&[("PROTOCOL", "grpc"), ("ENDPOINT", "localhost:4317")]).unwrap_err();
        assert!(grpc.to_string().ends_with("like http://localhost:4317"), "{grpc}");
    }

    #[test]
    fn certificates_without_tls_are_remarked() {
        let remarks = |variables: &[(&str, &str)]| -> Vec<String> {
            settings(variables).unwrap().without_effect().map(|(_, remark)| remark).collect()
        };
        let certificate = ("CERTIFICATE", "/nope");
        assert_eq!(
            remarks(&[certificate, ("ENDPOINT", "http://h:1")]),
            [
                "OTEL_EXPORTER_OTLP_CERTIFICATE is \"/nope\", and not used: http://h:1/v1/traces is not encrypted, \
              https:// would be"
            ]
        );
        assert!(remarks(&[certificate, ("ENDPOINT", "https://h:1")]).is_empty());
        assert!(remarks(&[]).is_empty());
    }
}
