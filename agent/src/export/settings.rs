//! The `OTEL_EXPORTER_OTLP_*` variables.
//!
//! The exporter crate reads headers, compression, timeout and `INSECURE` itself; here stands what it leaves to
//! its caller (protocol, certificates), and the endpoint, since people must be told where spans go. Every
//! complaint names the variable that is set, and quotes what it is set to.

use anyhow::{Result, bail};
use std::{env, time::Duration};

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

/// Where and how spans are delivered.
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
    /// Reads the variables.
    ///
    /// # Errors
    /// When one has a value that this exporter does not know.
    pub fn from_environment() -> Result<Self> {
        Self::read(&|name| env::var(name).ok())
    }

    pub(super) fn read(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: String| {
            let value = environment(&name)?.trim().to_owned();
            // Empty counts as not set.
            (!value.is_empty()).then_some(Variable { name, value })
        };
        let for_traces = |name: &str| variable(format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
        let general = |name: &str| variable(format!("OTEL_EXPORTER_OTLP_{name}"));
        let get = |name: &str| for_traces(name).or_else(|| general(name));
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
        let endpoint = endpoint(grpc, for_traces("ENDPOINT"), general("ENDPOINT"))?;
        let [certificate, client_certificate, client_key] =
            ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"].map(get);
        Ok(Self { grpc, endpoint, timeout, certificate, client_certificate, client_key })
    }

    /// Where spans go, in words.
    pub fn destination(&self) -> String {
        format!("{} ({})", self.endpoint, if self.grpc { "grpc" } else { "http/protobuf" })
    }

    /// Whether the endpoint is reached by TLS.
    pub fn uses_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// What is set and has no effect: whoever set it believes that it has.
    pub fn without_effect(&self) -> Vec<String> {
        let certificates = [&self.certificate, &self.client_certificate, &self.client_key];
        let set = certificates.into_iter().flatten().filter(|_| !self.uses_tls());
        set.map(|variable| {
            format!("{variable}, and not used: {} is not encrypted, https:// would be", self.endpoint)
        })
        .collect()
    }
}

/// Where spans go. The general endpoint is a base for all signals where the protocol has paths.
fn endpoint(grpc: bool, for_traces: Option<Variable>, general: Option<Variable>) -> Result<String> {
    let with_path = |base: &str| format!("{}/v1/traces", base.trim_end_matches('/'));
    let is_base = for_traces.is_none() && !grpc;
    let Some(given) = for_traces.or(general) else {
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
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(&|name| {
            let found = variables.iter().find(|(k, _)| name == format!("OTEL_EXPORTER_OTLP_{k}"));
            found.map(|(_, v)| (*v).to_owned())
        })
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
        let certificate = ("CERTIFICATE", "/nope");
        let plain = settings(&[certificate, ("ENDPOINT", "http://h:1")]).unwrap().without_effect();
        assert_eq!(
            plain,
            [
                "OTEL_EXPORTER_OTLP_CERTIFICATE is \"/nope\", and not used: http://h:1/v1/traces is not encrypted, \
              https:// would be"
            ]
        );
        assert!(settings(&[certificate, ("ENDPOINT", "https://h:1")]).unwrap().without_effect().is_empty());
        assert!(settings(&[]).unwrap().without_effect().is_empty());
    }
}
