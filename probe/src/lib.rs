//! One customer site, seen from inside.

pub mod app;
pub mod check;
pub mod cli;
pub mod config;
pub mod detect;
pub mod diagnostics;
pub mod discovery;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod icmp;
pub mod identity;
pub mod increase;
pub mod inventory;
pub mod join;
pub mod kept_file;
pub mod monitor;
pub mod profile;
pub mod route;
pub mod snmp;
pub mod spool;
pub mod status;
pub mod steering;
pub mod uplink;
