//! All sites, seen from above.
//!
//! - [`app`] the parts put together
//! - [`config`] `central.toml`
//! - [`cli`] the commands, through the control socket or beside it
//! - [`enroll`] certificates for probes: issue, renew, revoke
//! - [`ingest`] sessions of probes, from hello to acknowledgement
//! - [`control`] which probes are connected; their control streams
//! - [`ledger`] what is committed of each probe
//! - [`store`] `central.db`, one file per noun
//! - [`metrics`] samples
//! - [`incident`] one cause, one line, until it is over
//! - [`live`] what is happening now, for open pages
//! - [`scope`] whose data
//! - [`auth`] people and their sessions
//! - [`vault`] secrets at rest
//! - [`api`] `/api/v1`
//! - [`dashboard`] the console's built files
//! - [`backup`] everything in one directory, and back

pub mod api;
pub mod app;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod config;
pub mod control;
pub mod dashboard;
pub mod enroll;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod incident;
pub mod ingest;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod scope;
pub mod store;
pub mod vault;
