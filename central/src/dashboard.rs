//! The console's built files, inside the program; without them, a page that says so.

use std::borrow::Cow;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::api::error::ApiError;

/// `web/dist`, where it was built.
#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Files;

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Farwatch</title>\
<h1>Farwatch runs, without its console</h1><p>This program was built without the web files. \
Build them and then the program again: <code>npm ci && npm run build</code> in <code>web/</code>, then <code>cargo build</code>. \
The API answers at <code>/api/v1</code>.</p></html>";

/// A file of the console; any other page's path gets `index.html`, which finds its own way.
pub async fn serve(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    let own = path
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("/api"));
    if own || !is_plain(path) {
        return ApiError::NotFound.into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return ApiError::NotFound.into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(file) = Files::get(name).filter(|_| !name.is_empty()) {
        return send(name, file);
    }
    // What has an extension is a file that is not there, not a page.
    if name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains('.'))
    {
        return ApiError::NotFound.into_response();
    }
    match Files::get("index.html") {
        Some(index) => send("index.html", index),
        None => page(StatusCode::OK, Cow::Borrowed(NOT_BUILT.as_bytes())),
    }
}

/// Only what our own pages and files are called: no empty parts, no escapes, no parameters.
fn is_plain(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| {
                !part.is_empty()
                    && part != "."
                    && part != ".."
                    && part.chars().all(|c| {
                        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '$' | '@')
                    })
            })
        })
}

fn send(name: &str, file: EmbeddedFile) -> Response {
    if name == "index.html" {
        return page(StatusCode::OK, file.data);
    }
    let mut response = body(file.data).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    // Names under assets/ carry a hash of their contents.
    let cache = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

fn page(status: StatusCode, bytes: Cow<'static, [u8]>) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, html),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body(bytes)).into_response()
}

fn body(bytes: Cow<'static, [u8]>) -> axum::body::Body {
    match bytes {
        Cow::Borrowed(bytes) => axum::body::Bytes::from_static(bytes).into(),
        Cow::Owned(bytes) => bytes.into(),
    }
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(path: &str) -> StatusCode {
        serve(Method::GET, path.parse().unwrap()).await.status()
    }

    #[tokio::test]
    async fn pages_get_the_index_and_odd_paths_get_nothing() {
        for path in [
            "/",
            "/devices",
            "/sites/0192f0c1-0000-7000-8000-000000000000",
            "/setup",
        ] {
            assert_eq!(status(path).await, StatusCode::OK, "{path}");
        }
        for path in [
            "/api",
            "/api/v1/nothing",
            "/API/v1/setup",
            "/setup//",
            "//setup",
            "/setup;x",
            "/setup%2f",
            "/a/../b",
            "/nothing.js",
            "/assets/x.css",
        ] {
            assert_eq!(status(path).await, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
