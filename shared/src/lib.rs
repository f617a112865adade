//! What both programs must agree on.
//!
//! - [`id`] identities, newtypes over UUIDv7
//! - [`clock`] time, moved by hand in tests
//! - [`model`] the nouns of delivery
//! - [`text`] text that came from a device
//! - [`profile`] device profiles: which device is this, and what is worth reading from it
//! - [`wire`] every byte that crosses the link
//! - [`session`] delivery as a state machine without I/O
//! - [`link`] identities, ALPN, QUIC
//! - [`sqlite`] open, pragmas, migrations, the one writer thread
//! - [`lifecycle`] long-lived tasks, signals, two-step shutdown
//! - [`telemetry`] the lights
//! - [`file`] small files that must be whole
//! - [`failpoint`] where a test may kill the process
//! - `fuzz` every decoder with examples, for mutation loops (only with the feature of that name)
//! - [`error`] errors as logs print them

pub mod bundle;
pub mod clock;
pub mod error;
pub mod failpoint;
pub mod file;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod id;
pub mod lifecycle;
pub mod link;
pub mod model;
pub mod oid;
pub mod profile;
pub mod session;
pub mod sqlite;
pub mod telemetry;
pub mod text;
pub mod wire;
