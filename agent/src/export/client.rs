//! The exporter crate's client, made as the settings say.

use super::{
    http::{Failure, ReasonClient},
    settings::{Settings, Variable},
    signal::Signal,
};
use anyhow::{Context, Result, bail};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use opentelemetry_http::{HttpClient, hyper::HyperClient};
use opentelemetry_otlp::{
    Protocol, RetryPolicy, WithExportConfig, WithHttpConfig, WithTonicConfig,
    tonic_types::transport::{Certificate, ClientTlsConfig, Identity},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    fs,
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

/// The exporter of the crate, and where it leaves the reason of an HTTP failure.
pub struct Client<S: Signal> {
    /// The exporter.
    pub exporter: S::Exporter,
    /// Its last failure.
    pub reason: Arc<Mutex<Option<Failure>>>,
}

impl<S: Signal> Client<S> {
    /// A client that connects when it has something to deliver. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a certificate or key cannot be read.
    pub fn new(settings: &Settings) -> Result<Self> {
        let reason = Arc::<Mutex<Option<Failure>>>::default();
        let exporter = S::exporter(settings, &reason)
            .with_context(|| format!("cannot set up the export to {}", settings.destination()))?;
        Ok(Self { exporter, reason })
    }
}

/// A builder of an exporter over gRPC, set up as the settings say.
///
/// # Errors
/// When a certificate or key cannot be read.
pub fn grpc<B: WithExportConfig + WithTonicConfig>(builder: B, settings: &Settings) -> Result<B> {
    let builder = builder.with_endpoint(&settings.endpoint).with_retry_policy(retry_policy());
    // Reading the system's certificates takes a while: not where none are needed.
    if settings.uses_tls() { Ok(builder.with_tls_config(grpc_tls(settings)?)) } else { Ok(builder) }
}

/// The same over HTTP; why a delivery failed will stand in `reason`.
///
/// # Errors
/// When a certificate or key cannot be read.
pub fn http<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    settings: &Settings,
    reason: &Arc<Mutex<Option<Failure>>>,
) -> Result<B> {
    let timeout = settings.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let client: Box<dyn HttpClient> = if settings.uses_tls() {
        let connector = HttpsConnectorBuilder::new().with_tls_config(http_tls(settings)?);
        Box::new(HyperClient::new(connector.https_or_http().enable_http1().build(), timeout, None))
    } else {
        Box::new(HyperClient::with_default_connector(timeout, None))
    };
    let builder = builder.with_endpoint(&settings.endpoint).with_protocol(Protocol::HttpBinary);
    let builder = builder.with_http_client(ReasonClient::new(client, reason.clone()));
    Ok(builder.with_retry_policy(retry_policy()))
}

fn grpc_tls(settings: &Settings) -> Result<ClientTlsConfig> {
    let mut tls = ClientTlsConfig::new();
    tls = match &settings.certificate {
        Some(file) => tls.ca_certificate(Certificate::from_pem(read(file)?)),
        None => tls.with_native_roots(),
    };
    if let Some((certificate, key)) = identity(settings)? {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(tls)
}

fn http_tls(settings: &Settings) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match &settings.certificate {
        Some(file) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).with_context(|| format!("{file}: it holds no usable certificate"))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_native_roots().context("cannot read the system's certificates")?,
    };
    match identity(settings)? {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                .with_context(|| format!("{key}: it holds no private key in PEM form"))?;
            Ok(builder.with_client_auth_cert(certificates(certificate)?, key)?)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn identity(settings: &Settings) -> Result<Option<(&Variable, &Variable)>> {
    match (&settings.client_certificate, &settings.client_key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => bail!(
            "of OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY only one is set: \
             set both"
        ),
    }
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(RETRIES)
        .with_initial_delay(FIRST_DELAY)
        .with_max_delay(LONGEST_DELAY)
}

fn read(file: &Variable) -> Result<Vec<u8>> {
    fs::read(&file.value).with_context(|| format!("{file}: it cannot be read"))
}

fn certificates(file: &Variable) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.with_context(|| format!("{file}: it holds no certificate in PEM form"))?;
    anyhow::ensure!(!found.is_empty(), "{file}: it holds no certificate in PEM form");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_engine::{Finding, Span};

    #[tokio::test]
    async fn certificates_are_checked_before_the_start() {
        for protocol in ["grpc", "http/protobuf"] {
            let with = |name: &str, value: &str| {
                let settings = Settings::read(&Span::NAMES, &|variable| match variable {
                    "OTEL_EXPORTER_OTLP_PROTOCOL" => Some(protocol.into()),
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => Some("https://localhost:1".into()),
                    other => (other == format!("OTEL_EXPORTER_OTLP_{name}")).then(|| value.into()),
                });
                Client::<Span>::new(&settings.unwrap()).map(drop).map_err(|e| format!("{e:#}"))
            };
            assert_eq!(with("", ""), Ok(()));
            assert_eq!(
                with("TRACES_CERTIFICATE", "/no/such.pem").unwrap_err(),
                format!(
                    "cannot set up the export to https://localhost:1 ({protocol}): \
                     OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE is \"/no/such.pem\": it cannot be read: No such file \
                     or directory (os error 2)"
                )
            );
            assert!(with("CLIENT_KEY", "/no/key.pem").unwrap_err().ends_with("set both"));
            if protocol != "grpc" {
                assert!(with("CERTIFICATE", "/dev/null").unwrap_err().contains("holds no certificate"));
            }
        }
    }

    #[tokio::test]
    async fn findings_have_certificates_of_their_own() {
        let settings = Settings::read(&Finding::NAMES, &|variable| match variable {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("https://localhost:1".into()),
            "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE" => Some("/no/logs.pem".into()),
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" => Some("/no/traces.pem".into()),
            _ => None,
        });
        let error = Client::<Finding>::new(&settings.unwrap()).map(drop).unwrap_err();
        let words = "https://localhost:1/v1/logs (http/protobuf): OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE is";
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
}
