//! An HTTP client that remembers why it failed: the exporter crate says "network error" and no more.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::{Arc, Mutex};

/// A client and the reason of its last failure.
#[derive(Debug)]
pub struct ReasonClient {
    inner: Box<dyn HttpClient>,
    reason: Arc<Mutex<Option<String>>>,
}

impl ReasonClient {
    /// Wraps `inner`; its last failure will stand in `reason`.
    pub fn new(inner: Box<dyn HttpClient>, reason: Arc<Mutex<Option<String>>>) -> Self {
        Self { inner, reason }
    }
}

#[async_trait]
impl HttpClient for ReasonClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.inner.send_bytes(request).await;
        let reason = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(chain(error.as_ref())),
        };
        *self.reason.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = reason;
        result
    }
}

/// An error and what caused it, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = error.source();
    }
    text
}
