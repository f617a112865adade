//! The one URI in a certificate: whose key it is.

use std::fmt;
use std::str::FromStr;

use crate::id::{CustomerId, DeploymentId, ProbeId, SiteId};

/// `spiffe://<deployment>/customer/<id>/site/<id>/probe/<id>`. A name only: it proves nothing until
/// [`accept`](super::accept()) has seen the certificate that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeName {
    /// Which installation of Central.
    pub deployment: DeploymentId,
    /// Who pays.
    pub customer: CustomerId,
    /// Where.
    pub site: SiteId,
    /// Which probe.
    pub probe: ProbeId,
}

impl fmt::Display for ProbeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            deployment,
            customer,
            site,
            probe,
        } = self;
        write!(
            f,
            "spiffe://{deployment}/customer/{customer}/site/{site}/probe/{probe}"
        )
    }
}

/// The URI is not one of a probe of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a probe")]
pub struct NotAName;

impl FromStr for ProbeName {
    type Err = NotAName;

    /// Reads exactly what `Display` writes: no other case, no other form of an id, nothing after it.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let mut parts = text.strip_prefix("spiffe://").ok_or(NotAName)?.split('/');
        let mut next = || parts.next().ok_or(NotAName);
        let deployment = next()?;
        let words = [(next()?, next()?), (next()?, next()?), (next()?, next()?)];
        let [("customer", customer), ("site", site), ("probe", probe)] = words else {
            return Err(NotAName);
        };
        let name = Self {
            deployment: deployment.parse().map_err(|_| NotAName)?,
            customer: customer.parse().map_err(|_| NotAName)?,
            site: site.parse().map_err(|_| NotAName)?,
            probe: probe.parse().map_err(|_| NotAName)?,
        };
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(NotAName)
        }
    }
}

/// The URI in Central's own certificate.
#[must_use]
pub fn central_uri(deployment: DeploymentId) -> String {
    format!("spiffe://{deployment}/central")
}

/// Which Central a URI names.
///
/// # Errors
/// [`NotAName`] when it is not exactly [`central_uri`] of some deployment.
pub fn parse_central_uri(text: &str) -> Result<DeploymentId, NotAName> {
    let deployment: DeploymentId = text
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_suffix("/central"))
        .and_then(|id| id.parse().ok())
        .ok_or(NotAName)?;
    if central_uri(deployment) == text {
        Ok(deployment)
    } else {
        Err(NotAName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_nothing_else_is_one() {
        let name = ProbeName {
            deployment: DeploymentId::generate(),
            customer: CustomerId::generate(),
            site: SiteId::generate(),
            probe: ProbeId::generate(),
        };
        let text = name.to_string();
        assert_eq!(text.parse(), Ok(name));
        for wrong in [
            format!("{text}/"),
            format!("{text}/x"),
            text.to_uppercase(),
            text.replace("customer", "tenant"),
            text.replace("/site/", "//site/"),
            text.replace('-', ""),
            text.replace("spiffe", "https"),
            String::new(),
            central_uri(name.deployment),
        ] {
            assert_eq!(wrong.parse::<ProbeName>(), Err(NotAName), "{wrong}");
        }
    }

    #[test]
    fn central_has_a_name_of_its_own() {
        let deployment = DeploymentId::generate();
        assert_eq!(parse_central_uri(&central_uri(deployment)), Ok(deployment));
        assert!(parse_central_uri(&format!("spiffe://{deployment}/central/")).is_err());
        assert!(parse_central_uri("spiffe://x/central").is_err());
    }
}
