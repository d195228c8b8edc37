//! What OTLP calls a signal: spans go out as traces, findings as logs, both by the same machinery.

use super::{client, convert, http::Failure, settings::Settings};
use anyhow::Result;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter as _},
    trace::SpanExporter as _,
};
use std::{
    fmt::Debug,
    future::Future,
    sync::{Arc, Mutex},
};
use tracer_engine::{Finding, Resource, Span};

/// How a signal is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Many of its items, as people call them.
    pub items: &'static str,
    /// In the variables of its own: `OTEL_EXPORTER_OTLP_<variable>_ENDPOINT`.
    pub variable: &'static str,
    /// What completes the general endpoint where the protocol has paths.
    pub path: &'static str,
    /// What to do when the receiver does not know the signal.
    pub unknown: &'static str,
}

/// One kind of thing to deliver.
pub trait Signal: Debug + Send + Sync + Sized + 'static {
    /// How it is called.
    const NAMES: Names;
    /// Bytes of it that wait for delivery or are on their way.
    const QUEUE: u32;
    /// The client's part that speaks for this signal.
    type Exporter: Debug + Send + 'static;

    /// Bytes of memory that it takes, about.
    fn footprint(&self) -> usize;

    /// The process it is about.
    fn resource(&self) -> &Arc<Resource>;

    /// A client that connects when it has something to deliver. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a certificate or key cannot be read.
    fn exporter(settings: &Settings, reason: &Arc<Mutex<Option<Failure>>>) -> Result<Self::Exporter>;

    /// Delivers items of one process.
    fn export(
        exporter: &mut Self::Exporter,
        resource: &Resource,
        items: &[Arc<Self>],
    ) -> impl Future<Output = OTelSdkResult>;
}

impl Signal for Span {
    const NAMES: Names = Names {
        items: "spans",
        variable: "TRACES",
        path: "v1/traces",
        unknown: "Something listens there, but takes no spans at this path: OTEL_EXPORTER_OTLP_ENDPOINT is \
                  completed by /v1/traces, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as it is",
    };
    /// A second of spans of everyday size, about 1.5 KB, at 10,000 a second.
    const QUEUE: u32 = 16 << 20;
    type Exporter = SpanExporter;

    fn footprint(&self) -> usize {
        Span::footprint(self)
    }

    fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    fn exporter(settings: &Settings, reason: &Arc<Mutex<Option<Failure>>>) -> Result<SpanExporter> {
        Ok(match settings.grpc {
            true => client::grpc(SpanExporter::builder().with_tonic(), settings)?.build()?,
            false => client::http(SpanExporter::builder().with_http(), settings, reason)?.build()?,
        })
    }

    async fn export(exporter: &mut SpanExporter, resource: &Resource, items: &[Arc<Self>]) -> OTelSdkResult {
        exporter.set_resource(&convert::resource(resource));
        exporter.export(items.iter().map(|item| convert::span(item)).collect()).await
    }
}

impl Signal for Finding {
    const NAMES: Names = Names {
        items: "findings",
        variable: "LOGS",
        path: "v1/logs",
        unknown: "Something listens there, but takes no logs, as which findings are delivered: \
                  OTEL_EXPORTER_OTLP_LOGS_ENDPOINT can name a receiver that does",
    };
    /// A thousand findings of everyday size, about 4 KB; all cases that the engine knows at a time are four times
    /// as many.
    const QUEUE: u32 = 4 << 20;
    type Exporter = LogExporter;

    fn footprint(&self) -> usize {
        Finding::footprint(self)
    }

    fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    fn exporter(settings: &Settings, reason: &Arc<Mutex<Option<Failure>>>) -> Result<LogExporter> {
        Ok(match settings.grpc {
            true => client::grpc(LogExporter::builder().with_tonic(), settings)?.build()?,
            false => client::http(LogExporter::builder().with_http(), settings, reason)?.build()?,
        })
    }

    async fn export(exporter: &mut LogExporter, resource: &Resource, items: &[Arc<Self>]) -> OTelSdkResult {
        exporter.set_resource(&convert::resource(resource));
        let records: Vec<_> = items.iter().map(|item| convert::log_record(item)).collect();
        let batch: Vec<_> = records.iter().map(|record| (record, convert::scope())).collect();
        exporter.export(LogBatch::new(&batch)).await
    }
}
