//! `/api/v1`: what the console and everybody else can see and do. One file per resource.
//!
//! Every route is added through [`guard::Routes`], which asks for its permission: deny is the default. The OpenAPI 3.1
//! document comes from the same declarations, is served at `/api/v1/openapi.json` and committed as `central/openapi.json`.

#![expect(
    unused_qualifications,
    reason = "what `utoipa::path` makes of `params(..)` names types in full"
)]

mod audit;
mod channels;
mod credentials;
mod customers;
mod devices;
mod discovery;
pub mod error;
mod events;
mod extract;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod guard;
pub mod headers;
mod health;
mod incidents;
mod install;
mod interfaces;
mod join_tokens;
pub mod limit;
mod live;
pub mod local;
mod me;
mod metrics;
mod overview;
mod probes;
mod readings;
mod session;
mod setup;
mod site_config;
mod sites;
mod tell;
#[cfg(test)]
pub mod testing;
mod topology;
mod users;
#[cfg(test)]
mod walk;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::DeviceNo;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi};

use self::error::ApiError;
use self::guard::{Declared, Routes};
use crate::auth::Auth;
use crate::control::Registry;
use crate::enroll::Enroll;
use crate::incident::notify::Sender;
use crate::incident::outbox::Outbox;
use crate::live::{Effects, Live};
use crate::metrics::Metrics;
use crate::metrics::query::Source;
use crate::scope::Scope;
use crate::store::devices::DeviceFilter;
use crate::store::overview::Fleet;
use crate::store::presence::Heard;
use crate::store::strips::DayCache;
use crate::store::{Outcome, Store};
use crate::vault::Vault;

/// The largest body that is read.
const BODY_LIMIT: usize = 256 * 1_024;

/// What handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Central(Arc<Parts>);

/// The parts of Central that the API speaks for.
#[derive(Debug)]
pub struct Parts {
    /// `central.db`.
    pub store: Store,
    /// Samples.
    pub metrics: Metrics,
    /// What is happening now.
    pub live: Live,
    /// Time.
    pub clock: Clock,
    /// Secrets at rest.
    pub vault: Vault,
    /// People.
    pub auth: Auth,
    /// Tokens, certificates, revocations.
    pub enroll: Enroll,
    /// Connected probes.
    pub registry: Registry,
    /// Delivers notifications.
    pub sender: Sender,
    /// Wakes the outbox.
    pub outbox: Outbox,
    /// Strips of all devices, a few seconds old: shared by every list.
    pub days: DayCache,
    /// When somebody last asked for an echo, and got one.
    pub echoed: Mutex<HashMap<ProbeId, Timestamp>>,
    /// Cancelled when Central stops: open event streams end.
    pub drain: CancellationToken,
    /// When this process started.
    pub started: Timestamp,
    /// What the routes beside the API need to know.
    pub settings: Settings,
}

/// What the routes beside the API need to know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Central's data directory, for backups.
    pub data_dir: PathBuf,
    /// Where the console is reached, as people type it: `https://noc.example:8443`.
    pub console: String,
    /// Directory with `farwatch-probe` programs for technicians.
    pub downloads: PathBuf,
    /// Requests a second that one address may make.
    pub requests_per_s: u32,
}

impl std::ops::Deref for Central {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Central {
    /// From its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Reads in one read transaction.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        Ok(self.store.read(query).await?)
    }

    /// Writes; a refusal of the job is the answer.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<Outcome<T>> + Send + 'static,
    ) -> Result<T, ApiError> {
        Ok(self.store.write(job).await??)
    }

    /// Writes, then tells open pages and the outbox.
    pub(crate) async fn write_and_tell(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<Outcome<Effects>> + Send + 'static,
    ) -> Result<(), ApiError> {
        let effects = self.write(job).await?;
        self.tell(&effects);
        Ok(())
    }

    pub(crate) fn tell(&self, effects: &Effects) {
        self.live.publish(effects);
        if effects.has_incidents() {
            self.outbox.wake();
        }
    }

    /// The devices that `scope` sees, with their states, their days and when their probes were heard.
    pub(crate) async fn fleet<T: Send + 'static>(
        &self,
        scope: &Scope,
        which: DeviceFilter,
        then: impl FnOnce(&Connection, &Scope, Fleet) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (central, scope, heard, now) = (self.clone(), scope.clone(), self.heard(), self.now());
        self.read(move |c| {
            let fleet = Fleet::read(c, &scope, which, &heard, &central.days, now)?;
            then(c, &scope, fleet)
        })
        .await
    }

    /// Until when the states of each probe's devices are known to be current.
    pub(crate) fn heard(&self) -> Heard {
        Heard(
            self.live
                .probes()
                .all()
                .into_iter()
                .filter_map(|(id, probe)| probe.states_as_of.map(|at| (id, at)))
                .collect(),
        )
    }
}

pub(crate) const fn source((probe, device): (ProbeId, DeviceNo)) -> Source {
    Source { probe, device }
}

fn api_routes(central: Central) -> Routes {
    Routes::new(central)
        .with(setup::routes)
        .with(session::routes)
        .with(me::routes)
        .with(users::routes)
        .with(overview::routes)
        .with(customers::routes)
        .with(sites::routes)
        .with(site_config::routes)
        .with(credentials::routes)
        .with(discovery::routes)
        .with(join_tokens::routes)
        .with(probes::routes)
        .with(devices::routes)
        .with(interfaces::routes)
        .with(readings::routes)
        .with(events::routes)
        .with(metrics::routes)
        .with(topology::routes)
        .with(incidents::routes)
        .with(channels::routes)
        .with(audit::routes)
        .with(health::api_routes)
        .with(live::routes)
        .with(install::api_routes)
}

/// Everything that is served over HTTP, and what was declared of it.
pub fn router(central: Central) -> (Router, Vec<Declared>) {
    let (api, _, mut declared) = api_routes(central.clone()).split();
    let (beside, _, more) = Routes::new(central.clone())
        .with(health::routes)
        .with(install::routes)
        .split();
    declared.extend(more);
    let router = api.merge(beside).fallback(crate::dashboard::serve);
    (finish(router, central), declared)
}

/// What the control socket of this machine serves: everything, and what only this machine may.
pub fn local_router(central: Central) -> (Router, Vec<Declared>) {
    let (api, _, mut declared) = api_routes(central.clone()).split();
    let (beside, _, more) = Routes::new(central.clone())
        .with(health::routes)
        .with(local::routes)
        .split();
    declared.extend(more);
    (finish(api.merge(beside), central), declared)
}

fn finish(router: Router<Central>, central: Central) -> Router {
    router
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                axum::response::IntoResponse::into_response(ApiError::Internal(anyhow::anyhow!(
                    "a handler panicked"
                )))
            },
        ))
        .layer(from_fn_with_state(
            limit::Limit::new(&central),
            limit::slow_down,
        ))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn(headers::secure))
        .with_state(central)
}

/// The OpenAPI 3.1 document of `/api/v1`.
pub fn document(central: Central) -> OpenApi {
    let (_, mut document, _) = api_routes(central).split();
    document.info = InfoBuilder::new()
        .title("Farwatch")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "What Central sees of all sites, and what people may do. Errors are RFC 9457 problems.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components.schemas.insert(
        "Problem".to_owned(),
        <error::Problem as utoipa::PartialSchema>::schema(),
    );
    components.schemas.insert(
        "FieldError".to_owned(),
        <error::FieldError as utoipa::PartialSchema>::schema(),
    );
    document
}

/// The document as it is committed: `central/openapi.json`.
///
/// # Panics
/// Never: the document is plain data.
#[must_use]
pub fn document_text(document: &OpenApi) -> String {
    let mut text = document
        .to_pretty_json()
        .expect("the document is plain data");
    text.push('\n');
    text
}
