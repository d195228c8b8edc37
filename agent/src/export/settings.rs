//! The `OTEL_EXPORTER_OTLP_*` variables.
//!
//! The exporter crate reads headers, compression, timeout and `INSECURE` itself; here stands what it leaves to
//! its caller (protocol, certificates), and the endpoint, since people must be told where spans go.

use super::http::ReasonClient;
use anyhow::{Context, Result, bail};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use opentelemetry_http::{HttpClient, hyper::HyperClient};
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
    tonic_types::transport::{Certificate, ClientTlsConfig, Identity},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    env, fs,
    sync::{Arc, Mutex},
    time::Duration,
};

/// After the first attempt: delays of 0.25, 0.5, 1 and 2 s, and up to 100 ms by chance, in 4 s all in all. A
/// receiver that is away for longer costs the batch; the queue holds what comes meanwhile.
const RETRIES: usize = 4;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// The specification's default for a batch, all retries included.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where and how spans are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) grpc: bool,
    /// As it is called: for HTTP with the path.
    pub(super) endpoint: String,
    pub(super) timeout: Option<Duration>,
    pub(super) certificate: Option<String>,
    pub(super) client_certificate: Option<String>,
    pub(super) client_key: Option<String>,
}

/// The exporter of the crate, and where it leaves the reason of an HTTP failure.
pub struct Client {
    pub exporter: SpanExporter,
    pub reason: Arc<Mutex<Option<String>>>,
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
        // Empty counts as not set.
        let variable = |name: &str| environment(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let for_traces = |name: &str| variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
        let get = |name: &str| for_traces(name).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")));
        let grpc = match get("PROTOCOL").as_deref() {
            None | Some("http/protobuf") => false,
            Some("grpc") => true,
            Some(other) => bail!("OTEL_EXPORTER_OTLP_PROTOCOL is {other:?}: set it to grpc or http/protobuf"),
        };
        if let Some(other) = get("COMPRESSION").filter(|c| c != "gzip" && c != "none") {
            bail!("OTEL_EXPORTER_OTLP_COMPRESSION is {other:?}: set it to gzip or none");
        }
        let timeout = get("TIMEOUT").map(|t| t.parse().map(Duration::from_millis)).transpose();
        let timeout = timeout.context("OTEL_EXPORTER_OTLP_TIMEOUT is no number of milliseconds")?;
        let endpoint = match (grpc, for_traces("ENDPOINT"), variable("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            (true, endpoint, general) => {
                endpoint.or(general).unwrap_or_else(|| "http://localhost:4317".into())
            }
            (false, Some(endpoint), _) => endpoint,
            (false, None, general) => with_path(general.as_deref().unwrap_or("http://localhost:4318")),
        };
        if !grpc && !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            bail!("OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint:?}: it must begin with http:// or https://");
        }
        let [certificate, client_certificate, client_key] =
            ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"].map(get);
        Ok(Self { grpc, endpoint, timeout, certificate, client_certificate, client_key })
    }

    /// Where spans go, in words.
    pub fn destination(&self) -> String {
        format!("{} ({})", self.endpoint, if self.grpc { "grpc" } else { "http/protobuf" })
    }

    /// The exporter. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the endpoint makes no sense or a certificate cannot be read.
    pub fn client(&self) -> Result<Client> {
        let reason = Arc::<Mutex<Option<String>>>::default();
        let exporter = if self.grpc { self.grpc_exporter() } else { self.http_exporter(reason.clone()) };
        let exporter =
            exporter.with_context(|| format!("cannot set up the export to {}", self.destination()))?;
        Ok(Client { exporter, reason })
    }

    fn grpc_exporter(&self) -> Result<SpanExporter> {
        let mut builder = SpanExporter::builder().with_tonic().with_endpoint(&self.endpoint);
        builder = builder.with_retry_policy(retry_policy());
        if self.uses_tls() {
            builder = builder.with_tls_config(self.grpc_tls()?);
        }
        Ok(builder.build()?)
    }

    fn http_exporter(&self, reason: Arc<Mutex<Option<String>>>) -> Result<SpanExporter> {
        let timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let client: Box<dyn HttpClient> = if self.uses_tls() {
            let connector = HttpsConnectorBuilder::new().with_tls_config(self.http_tls()?);
            Box::new(HyperClient::new(connector.https_or_http().enable_http1().build(), timeout, None))
        } else {
            Box::new(HyperClient::with_default_connector(timeout, None))
        };
        let builder = SpanExporter::builder().with_http().with_endpoint(&self.endpoint);
        let builder =
            builder.with_protocol(Protocol::HttpBinary).with_http_client(ReasonClient::new(client, reason));
        Ok(builder.with_retry_policy(retry_policy()).build()?)
    }

    /// Reading the system's certificates takes a while: not where none are needed.
    fn uses_tls(&self) -> bool {
        !self.endpoint.starts_with("http://")
    }

    fn grpc_tls(&self) -> Result<ClientTlsConfig> {
        let mut tls = ClientTlsConfig::new();
        tls = match &self.certificate {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
            None => tls.with_native_roots(),
        };
        if let Some((certificate, key)) = self.identity()? {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(tls)
    }

    fn http_tls(&self) -> Result<rustls::ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.certificate {
            Some(path) => {
                let mut roots = rustls::RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).with_context(|| format!("{path} holds no usable certificate"))?;
                }
                builder.with_root_certificates(roots)
            }
            None => builder.with_native_roots().context("cannot read the system's certificates")?,
        };
        match self.identity()? {
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .with_context(|| format!("{key} holds no private key in PEM form"))?;
                Ok(builder.with_client_auth_cert(certificates(certificate)?, key)?)
            }
            None => Ok(builder.with_no_client_auth()),
        }
    }

    fn identity(&self) -> Result<Option<(&String, &String)>> {
        match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            _ => bail!(
                "of OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY only one is set: \
                 set both"
            ),
        }
    }
}

/// The general endpoint is a base for all signals.
fn with_path(base: &str) -> String {
    format!("{}/v1/traces", base.trim_end_matches('/'))
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(RETRIES)
        .with_initial_delay(FIRST_DELAY)
        .with_max_delay(LONGEST_DELAY)
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {path}"))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let found = found.with_context(|| format!("{path} holds no certificate in PEM form"))?;
    anyhow::ensure!(!found.is_empty(), "{path} holds no certificate in PEM form");
    Ok(found)
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
    fn values_that_nobody_knows_are_refused() {
        for wrong in [
            ("PROTOCOL", "http/json"),
            ("COMPRESSION", "zstd"),
            ("TIMEOUT", "1s"),
            ("ENDPOINT", "localhost:4318"),
        ] {
            let error = settings(&[wrong]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("OTEL_EXPORTER_OTLP_{} is", wrong.0)), "{error}");
        }
    }

    #[tokio::test]
    async fn certificates_are_checked_before_the_start() {
        for protocol in ["grpc", "http/protobuf"] {
            let with = |more: &[(&str, &str)]| {
                let all =
                    [&[("PROTOCOL", protocol), ("TRACES_ENDPOINT", "https://localhost:1")], more].concat();
                settings(&all).unwrap().client().map(drop).map_err(|e| format!("{e:#}"))
            };
            assert_eq!(with(&[]), Ok(()));
            let error = with(&[("CERTIFICATE", "/no/such.pem")]).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "cannot set up the export to https://localhost:1 ({protocol}): cannot read \
                     /no/such.pem: No such file or directory (os error 2)"
                )
            );
            let error = with(&[("CLIENT_KEY", "/no/key.pem")]).unwrap_err();
            assert!(error.ends_with("set both"), "{error}");
        }
        let error =
            settings(&[("ENDPOINT", "https://localhost:1"), ("CERTIFICATE", "/dev/null")]).unwrap().client();
        assert!(format!("{:#}", error.err().unwrap()).contains("/dev/null holds no certificate"));
    }
}
