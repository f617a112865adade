//! What both programs must agree on.
pub mod oid;
