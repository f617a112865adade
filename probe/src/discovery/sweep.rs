//! Which addresses are asked, in which order, how fast; resumable.

/// Where a round is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Print of the ranges that the round sweeps: with others it is another round.
    pub ranges: u64,
    /// Addresses done.
    pub done: u64,
    /// When the round began, ms since 1970.
    pub started_ms: i64,
}
