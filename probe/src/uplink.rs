//! The session with Central, from the probe's side.

/// What this program says of itself.
pub const PROGRAM: &str = concat!("farwatch-probe ", env!("CARGO_PKG_VERSION"));
