//! Whose data: a type that only the link and the login can make.

use farwatch_shared::id::{CustomerId, ProbeId, SiteId};

/// The probe on the other end of a session, as its certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeScope {
    customer: CustomerId,
    site: SiteId,
    probe: ProbeId,
}

impl ProbeScope {
    pub(crate) const fn new(customer: CustomerId, site: SiteId, probe: ProbeId) -> Self {
        Self {
            customer,
            site,
            probe,
        }
    }

    /// Whose customer.
    #[must_use]
    pub const fn customer(&self) -> CustomerId {
        self.customer
    }

    /// Which site.
    #[must_use]
    pub const fn site(&self) -> SiteId {
        self.site
    }

    /// Which probe.
    #[must_use]
    pub const fn probe(&self) -> ProbeId {
        self.probe
    }
}
