//! What handlers take from a request, with our own words when it cannot be read.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query as AxumQuery, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::scope::Scope;

/// An id of the path. What is no id does not exist: 404.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdOf<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for IdOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Path::<T>::from_request_parts(parts, state)
            .await
            .map(|Path(id)| Self(id))
            .map_err(|_| ApiError::NotFound)
    }
}

/// The query string.
#[derive(Clone, Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        AxumQuery::<T>::from_request_parts(parts, state)
            .await
            .map(|AxumQuery(query)| Self(query))
            .map_err(|error| ApiError::BadRequest(in_plain_words(&error.body_text()).into()))
    }
}

/// A JSON body. Its text never comes back in an error: it may hold a secret.
#[derive(Clone, Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::BadRequest(
                "send JSON, with content-type: application/json".into(),
            )),
            Err(JsonRejection::BytesRejection(error))
                if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE =>
            {
                Err(ApiError::TooLarge)
            }
            Err(JsonRejection::JsonDataError(error)) => Err(ApiError::BadRequest(
                without_values(&error.body_text()).into(),
            )),
            Err(_) => Err(ApiError::BadRequest("the body is not JSON".into())),
        }
    }
}

/// An optional JSON body: none is the default.
#[derive(Clone, Debug)]
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request
            .headers()
            .get(axum::http::header::CONTENT_TYPE)
            .is_none()
        {
            return Ok(Self(T::default()));
        }
        let Body(body) = Body::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// serde quotes what it found, last; a secret written into the wrong field must not be echoed.
fn without_values(text: &str) -> String {
    in_plain_words(text.split('"').next().unwrap_or_default().trim())
}

/// What is wrong, without how the framework begins its sentence.
fn in_plain_words(text: &str) -> String {
    let said = text
        .strip_prefix("Failed to deserialize the JSON body into the target type: ")
        .or_else(|| text.strip_prefix("Failed to deserialize query string: "))
        .unwrap_or(text);
    said.replace("UUID parsing failed:", "this is no id:")
}

/// Who asks. Only routes behind the guard have one; it is a fault of ours when it is missing.
impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("{} has no scope", parts.uri.path())))
    }
}

/// A line of text that a person wrote: trimmed, without control characters, at most `most` characters.
///
/// # Errors
/// 422 for the field.
pub(super) fn line(field: &'static str, text: &str, most: usize) -> Result<String, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ApiError::field(field, "must not be empty"));
    }
    optional_line(field, text, most)
}

/// The same, and may be empty.
///
/// # Errors
/// 422 for the field.
pub(super) fn optional_line(
    field: &'static str,
    text: &str,
    most: usize,
) -> Result<String, ApiError> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(ApiError::field(
            field,
            "must be one line without control characters",
        ));
    }
    if text.chars().count() > most {
        return Err(ApiError::field(field, format!("at most {most} characters")));
    }
    Ok(text.to_owned())
}

/// Text of several lines that a person wrote: at most `most` characters, no control characters but line breaks and tabs.
///
/// # Errors
/// 422 for the field.
pub(super) fn text(field: &'static str, text: &str, most: usize) -> Result<String, ApiError> {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(bad) {
        return Err(ApiError::field(field, "must not have control characters"));
    }
    if text.chars().count() > most {
        return Err(ApiError::field(field, format!("at most {most} characters")));
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_does_not_fit_is_not_quoted() {
        let text =
            "Failed to deserialize: kind: invalid type: string \"hunter2\", expected u16 at line 1";
        assert!(!without_values(text).contains("hunter2"));
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(line("name", "  Acme ", 10).unwrap(), "Acme");
        for bad in ["", "  ", "a\nb", "a\0", "12345678901"] {
            assert!(line("name", bad, 10).is_err(), "{bad:?}");
        }
    }
}
