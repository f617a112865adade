//! The messages: one struct per (type, version), never edited once released; a change is a new version beside the old.
//!
//! No enum, no recursive type, no `Option` of a recursive type: bincode's reader must stay bounded (see `codec`).

pub mod batch;
pub mod control;
pub mod enroll;
pub mod pull;
pub mod session;
