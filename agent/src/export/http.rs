//! An HTTP client that remembers why it failed: the exporter crate says "network error" and no more.

use crate::reason::chain;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::{Arc, Mutex};

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words.
    pub words: String,
    /// What the receiver's answer means, if it answered.
    pub refusal: Option<Refusal>,
}

/// What a receiver means that does not take what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It knows nothing of that path or service.
    Unknown,
    /// It wants to know who sends.
    Unauthorized,
    /// Something else.
    Other,
}

impl From<StatusCode> for Refusal {
    fn from(code: StatusCode) -> Self {
        match code {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                Self::Unknown
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Unauthorized,
            _ => Self::Other,
        }
    }
}

/// A client and the reason of its last failure.
#[derive(Debug)]
pub struct ReasonClient {
    inner: Box<dyn HttpClient>,
    reason: Arc<Mutex<Option<Failure>>>,
}

impl ReasonClient {
    /// Wraps `inner`; its last failure will stand in `reason`.
    pub fn new(inner: Box<dyn HttpClient>, reason: Arc<Mutex<Option<Failure>>>) -> Self {
        Self { inner, reason }
    }
}

#[async_trait]
impl HttpClient for ReasonClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.inner.send_bytes(request).await;
        let reason = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(Failure {
                words: format!("it answered {}", response.status()),
                refusal: Some(response.status().into()),
            }),
            Err(error) => Some(Failure { words: chain(error.as_ref()), refusal: None }),
        };
        *self.reason.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = reason;
        result
    }
}
