//! SNMP, the asking side: v1, v2c and v3 on an engine of our own.
//!
//! [`Engine`] asks devices: a few shared sockets, one table of requests under way, hard deadlines, and what each device
//! is known to take. [`Recording`](recording::Recording) answers as a device did once. Both are an [`Snmp`], which is
//! what the rest of the probe knows.

mod auth;
mod ber;
mod engine;
mod error;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod message;
mod pdu;
mod plan;
pub mod recording;
mod stats;
mod v3;
mod value;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use farwatch_shared::oid::Oid;
use futures::future::BoxFuture;

pub use self::{
    auth::{
        Auth, AuthProtocol, Community, CredentialError, PrivProtocol, SecurityLevel, V3User,
        Version,
    },
    ber::BerError,
    engine::{Engine, EngineConfig},
    error::{GetError, WalkError},
    pdu::{ErrorStatus, PduKind},
    plan::{Column, Cost, Plan, Reading, Rows, Table, TablePlan, Walk},
    stats::{Dropped, Stats},
    v3::report::Reason,
    value::{Value, VarBind},
};

/// A device's agent and how to ask it.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub auth: Arc<Auth>,
}

impl Target {
    #[must_use]
    pub fn new(address: SocketAddr, auth: Auth) -> Self {
        Self {
            address,
            auth: Arc::new(auth),
        }
    }
}

/// How long and how often to ask, and how much to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the whole call, waiting for a turn included. Hard: a call never takes longer.
    pub deadline: Duration,
    /// Times that one request is sent, at least 1.
    pub attempts: u32,
    /// How long to wait for an answer before sending again; longer where the device is known to be slow.
    pub retry_after: Duration,
    /// Values kept of one walk or reading; a device that has more is cut off there.
    pub max_values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            attempts: 3,
            retry_after: Duration::from_secs(1),
            max_values: 100_000,
        }
    }
}

impl Limits {
    /// One attempt: the cheapest way to find out that a device is still down.
    #[must_use]
    pub const fn once(patience: Duration) -> Self {
        Self {
            deadline: patience,
            attempts: 1,
            retry_after: patience,
            max_values: 100_000,
        }
    }

    #[must_use]
    pub const fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }
}

/// What can be asked of devices: the network's, or recorded ones.
///
/// Every call can be dropped at any time; nothing stays under way.
pub trait Snmp: fmt::Debug + Send + Sync {
    /// See [`Engine::get`].
    fn get<'a>(
        &'a self,
        target: &'a Target,
        oids: &'a [Oid],
        limits: Limits,
    ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>>;

    /// See [`Engine::get_next`].
    fn get_next<'a>(
        &'a self,
        target: &'a Target,
        oids: &'a [Oid],
        limits: Limits,
    ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>>;

    /// See [`Engine::walk`].
    fn walk<'a>(
        &'a self,
        target: &'a Target,
        root: &'a Oid,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Walk, WalkError>>;

    /// See [`Engine::read`].
    fn read<'a>(
        &'a self,
        target: &'a Target,
        plan: &'a Plan,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Reading, WalkError>>;

    /// See [`Engine::check`].
    fn check<'a>(
        &'a self,
        target: &'a Target,
        limits: Limits,
    ) -> BoxFuture<'a, Result<(), GetError>>;

    /// See [`Engine::forget`].
    fn forget(&self, address: SocketAddr);

    /// See [`Engine::engine_id`].
    fn engine_id(&self, address: SocketAddr) -> Option<Arc<[u8]>>;
}

impl Snmp for Engine {
    fn get<'a>(
        &'a self,
        target: &'a Target,
        oids: &'a [Oid],
        limits: Limits,
    ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>> {
        Box::pin(self.get(target, oids, limits))
    }

    fn get_next<'a>(
        &'a self,
        target: &'a Target,
        oids: &'a [Oid],
        limits: Limits,
    ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>> {
        Box::pin(self.get_next(target, oids, limits))
    }

    fn walk<'a>(
        &'a self,
        target: &'a Target,
        root: &'a Oid,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Walk, WalkError>> {
        Box::pin(self.walk(target, root, limits))
    }

    fn read<'a>(
        &'a self,
        target: &'a Target,
        plan: &'a Plan,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Reading, WalkError>> {
        Box::pin(self.read(target, plan, limits))
    }

    fn check<'a>(
        &'a self,
        target: &'a Target,
        limits: Limits,
    ) -> BoxFuture<'a, Result<(), GetError>> {
        Box::pin(self.check(target, limits))
    }

    fn forget(&self, address: SocketAddr) {
        self.forget(address);
    }

    fn engine_id(&self, address: SocketAddr) -> Option<Arc<[u8]>> {
        self.engine_id(address)
    }
}
