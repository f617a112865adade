//! Incidents: one line per cause, until a person or the cause's end resolves it.
//!
//! - [`rules`] which states open and resolve what; SQL inside the transaction that learned of the state
//! - [`cause`] one incident for one cause, also when it comes and goes
//! - [`way`] nothing at a site answers its probe: one incident for all of it
//! - [`watch`] what no probe can see: a probe that fell silent, a mute that ended while the device is still down
//! - [`outbox`] notifications, written with the incident and sent at least once under one dedup key
//! - [`notify`] e-mail and webhook

mod cause;
pub mod notify;
pub mod outbox;
pub mod rules;
pub mod watch;
mod way;
