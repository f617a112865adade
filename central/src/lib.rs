//! All sites, seen from above.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod dashboard;
pub mod enroll;
pub mod incident;
pub mod ingest;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod scope;
pub mod store;
pub mod vault;
