//! Who is at this site: what answers, what it is, who is next to whom.
//!
//! - [`sweep`] which addresses, in which order
//! - [`credentials`] which secrets are tried, and how failures are told
//! - [`identify`] what an address turns out to be
//! - [`own`] the probe's own addresses and networks
//! - [`rounds`] the loop: sweep, identify, follow, again in an hour

pub mod credentials;
pub mod identify;
pub mod own;
pub mod rounds;
pub mod sweep;

use farwatch_shared::clock::Timestamp;

/// How far discovery is, for `Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// `idle`, `sweeping`, `identifying`.
    pub state: &'static str,
    /// The range being swept, or empty.
    pub range: String,
    /// Addresses asked in this round.
    pub swept: u64,
    /// Addresses of this round.
    pub to_sweep: u64,
    /// Addresses that answered in this round.
    pub answered: u64,
    /// Devices identified in this round.
    pub identified: u64,
    /// Start of this round; 0 = none yet.
    pub started: Timestamp,
    /// End of the last round; 0 = none yet.
    pub finished: Timestamp,
}
