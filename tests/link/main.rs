//! The link, both ends in one process over real QUIC on loopback: join, session, acks, cuts, echoes.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod hall;
mod hostile;
mod sessions;
