//! The one place where routes are added. A route without a declared permission cannot be: there is no other door.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use subtle::ConstantTimeEq as _;
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::Central;
use super::error::ApiError;
use crate::auth::Auth;
use crate::auth::scope::Permission;
use crate::auth::session::{Token, Transport, Via, host_of, is_loopback_host, is_same_origin};

/// A route as it was declared: what the generated tests walk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// `GET`, …
    pub method: String,
    /// `/api/v1/customers/{id}`
    pub path: String,
    /// What it asks of who calls it.
    pub permission: &'static str,
}

/// Routes, each with its permission and its place in the OpenAPI document.
pub(crate) struct Routes {
    central: Central,
    router: OpenApiRouter<Central>,
    declared: Vec<Declared>,
}

/// The hash of the session that a request came with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionHash(pub(crate) [u8; 32]);

impl Routes {
    pub(crate) fn new(central: Central) -> Self {
        Self {
            central,
            router: OpenApiRouter::default(),
            declared: Vec::new(),
        }
    }

    /// Adds a handler, behind a guard that lets in only who has `permission`.
    pub(crate) fn add(
        mut self,
        permission: Permission,
        (schemas, mut paths, methods): UtoipaMethodRouter<Central>,
    ) -> Self {
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                operation
                    .extensions
                    .get_or_insert_default()
                    .insert("x-permission".to_owned(), permission.as_str().into());
                self.declared.push(Declared {
                    method: method.to_owned(),
                    path: path.clone(),
                    permission: permission.as_str(),
                });
            }
        }
        let guarded = methods.layer(from_fn_with_state(
            (self.central.clone(), permission),
            guard,
        ));
        self.router = self.router.routes((schemas, paths, guarded));
        self
    }

    /// Adds another part's routes.
    pub(crate) fn with(self, part: impl FnOnce(Self) -> Self) -> Self {
        part(self)
    }

    /// Everything that was added, its document, and what was declared.
    pub(crate) fn split(self) -> (axum::Router<Central>, OpenApi, Vec<Declared>) {
        let (router, document) = self.router.split_for_parts();
        (router, document, self.declared)
    }
}

fn operations(
    item: &mut PathItem,
) -> impl Iterator<Item = (&'static str, &mut utoipa::openapi::path::Operation)> {
    [
        ("GET", item.get.as_mut()),
        ("PUT", item.put.as_mut()),
        ("POST", item.post.as_mut()),
        ("DELETE", item.delete.as_mut()),
        ("PATCH", item.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
}

/// Who asks, is it really their page that asks, and may they: in this order, before the handler sees anything.
async fn guard(
    State((central, permission)): State<(Central, Permission)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let via = request.extensions().get::<Via>().cloned().ok_or_else(|| {
        ApiError::Internal(anyhow::anyhow!("a listener did not say how it was reached"))
    })?;
    if via.transport == Transport::Local {
        request.extensions_mut().insert(Auth::local_root(&via.peer));
        return Ok(next.run(request).await);
    }
    if permission == Permission::Local {
        return Err(ApiError::NotFound);
    }
    let host = host_of(request.uri(), request.headers());
    if via.transport == Transport::Http && !host.is_some_and(is_loopback_host) {
        return Err(ApiError::BadRequest(
            "plain HTTP is only for this machine: use 127.0.0.1, localhost or HTTPS".into(),
        ));
    }
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if !safe && !is_same_origin(request.headers(), host, via.transport) {
        return Err(ApiError::Forbidden(
            "this request comes from another site's page".into(),
        ));
    }
    if permission == Permission::Public {
        return Ok(next.run(request).await);
    }
    let token = Token::from_headers(request.headers(), via.transport);
    let session = match &token {
        Some(token) => central.auth.resolve(token, &via.peer).await?,
        None => None,
    };
    let Some((session, scope)) = session else {
        return Err(ApiError::Unauthorized("sign in first"));
    };
    if !safe {
        let sent = request.headers().get("x-csrf-token");
        let sent = sent.map(|value| value.as_bytes()).unwrap_or_default();
        if !bool::from(sent.ct_eq(session.csrf_token.as_bytes())) {
            return Err(ApiError::Forbidden(
                "the x-csrf-token header is missing or not this session's".into(),
            ));
        }
    }
    if !scope.may(permission) {
        return Err(ApiError::Forbidden(
            format!("the role {} may not do this", scope.role()).into(),
        ));
    }
    request.extensions_mut().insert(scope);
    request
        .extensions_mut()
        .insert(SessionHash(session.token_hash));
    Ok(next.run(request).await)
}
