//! Answers that say no: `application/problem+json` (RFC 9457). A 500 tells the client nothing of the inside.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use farwatch_shared::error::Chain;
use farwatch_shared::sqlite::SqliteError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::metrics::MetricsError;
use crate::store::Refused;

/// RFC 9457, with the request's id as `instance`: the log has it beside the cause.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What to do about it.
    #[serde(default)]
    pub detail: String,
    /// The request's id.
    pub instance: String,
    /// Per field of the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// What to do about it.
    pub detail: String,
}

/// Why a request gets no other answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApiError {
    /// 400: cannot be read at all.
    BadRequest(Cow<'static, str>),
    /// 401: sign in.
    Unauthorized(&'static str),
    /// 403: signed in, and may not.
    Forbidden(Cow<'static, str>),
    /// 404: does not exist, or not for you.
    NotFound,
    /// 405: the answer's `Allow` says which methods there are.
    MethodNotAllowed,
    /// 409: it is not as you think.
    Conflict(Cow<'static, str>),
    /// 413: more than is read.
    TooLarge,
    /// 422: fields.
    Invalid(Vec<FieldError>),
    /// 429: wait.
    TooMany {
        /// Seconds.
        retry_after_s: u64,
    },
    /// 502, 504 and the like: the probe did not do it.
    Probe(StatusCode, Cow<'static, str>),
    /// 503: wait a moment.
    Busy,
    /// 507: the disk is full.
    Full,
    /// 500: the log has the cause, under the request's id.
    Internal(anyhow::Error),
}

impl ApiError {
    /// One bad field.
    #[must_use]
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError {
            field: field.to_owned(),
            detail: detail.into(),
        }])
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Probe(status, _) => *status,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::BadRequest(detail)
            | Self::Forbidden(detail)
            | Self::Conflict(detail)
            | Self::Probe(_, detail) => detail.clone(),
            Self::Unauthorized(detail) => (*detail).into(),
            Self::NotFound => "there is no such thing here".into(),
            Self::MethodNotAllowed => "this route has no such method".into(),
            Self::TooLarge => "the body is larger than this route reads".into(),
            Self::Invalid(errors) => match errors.as_slice() {
                [one] => format!("{}: {}", one.field, one.detail).into(),
                _ => "some fields are not right".into(),
            },
            Self::TooMany { retry_after_s } => {
                format!("too many attempts: try again in {retry_after_s} s").into()
            }
            Self::Busy => "too much at once: try again in a moment".into(),
            Self::Full => "Central's disk is full: nothing was changed".into(),
            Self::Internal(_) => {
                "something went wrong here; the log has it under this instance".into()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let instance = Uuid::now_v7();
        if let Self::Internal(error) = &self {
            tracing::error!(request.id = %instance, error = %Chain(error.as_ref()), "a request failed");
        }
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: status.as_u16(),
            detail: self.detail().into_owned(),
            instance: format!("urn:uuid:{instance}"),
            errors: match &self {
                Self::Invalid(errors) => errors.clone(),
                _ => Vec::new(),
            },
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (
            status,
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            )],
            body,
        )
            .into_response();
        if let Self::TooMany { retry_after_s } = self {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
        response
    }
}

impl From<SqliteError> for ApiError {
    fn from(error: SqliteError) -> Self {
        if error.is_full() {
            return Self::Full;
        }
        if let SqliteError::Sqlite { source, .. } = &error
            && source.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
        {
            return match source {
                rusqlite::Error::SqliteFailure(code, _)
                    if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                        || code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY =>
                {
                    Self::Conflict("this name is taken".into())
                }
                _ => Self::Internal(error.into()),
            };
        }
        Self::Internal(error.into())
    }
}

impl From<MetricsError> for ApiError {
    fn from(error: MetricsError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound,
            Refused::Forbidden(why) => Self::Forbidden(why.into()),
            Refused::Conflict(why) => Self::Conflict(why.into()),
            Refused::Invalid { field, detail } => Self::field(field, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_internal_error_says_nothing_of_the_inside() {
        let error = anyhow::anyhow!("no such table: users at /var/lib/x/central.db");
        let response = ApiError::Internal(error).into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("users") && !text.contains("/var"), "{text}");
        assert!(text.contains("urn:uuid:"), "{text}");
    }
}
