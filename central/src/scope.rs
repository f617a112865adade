//! Whose data: every query of the store takes one of these, and nothing else says which customer.
//!
//! A [`ProbeScope`] comes from a verified certificate, a [`Scope`] from a login session or the local control socket.

use farwatch_shared::id::{CustomerId, ProbeId, SiteId};

pub use crate::auth::scope::{Role, Scope};

/// A probe's: one customer, one site, one probe, as its certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeScope {
    customer: CustomerId,
    site: SiteId,
    probe: ProbeId,
}

impl ProbeScope {
    /// From the names in a certificate that chains to our CA. Nobody else may call this.
    pub(crate) const fn new(customer: CustomerId, site: SiteId, probe: ProbeId) -> Self {
        Self {
            customer,
            site,
            probe,
        }
    }

    /// One without a certificate, for benches and mutation loops; no released program has it.
    #[cfg(any(test, feature = "fuzz"))]
    #[must_use]
    pub const fn pretended(customer: CustomerId, site: SiteId, probe: ProbeId) -> Self {
        Self::new(customer, site, probe)
    }

    /// Who pays.
    #[must_use]
    pub const fn customer(&self) -> CustomerId {
        self.customer
    }

    /// Where it stands.
    #[must_use]
    pub const fn site(&self) -> SiteId {
        self.site
    }

    /// Which one.
    #[must_use]
    pub const fn probe(&self) -> ProbeId {
        self.probe
    }
}
