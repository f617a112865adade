//! Why an SNMPv3 engine would not answer (RFC 3414 §5, RFC 3412 §5, RFC 3413 §4.1.2).

use farwatch_shared::oid::Oid;

/// The counter that a report carries, as a reason a person can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The user is not allowed, or not able, to ask at this security level.
    #[error("the device does not support this security level for this user")]
    UnsupportedSecurityLevel,
    #[error("the device's clock and ours do not agree, and asking again did not help")]
    NotInTimeWindow,
    #[error("the device does not know this user name")]
    UnknownUserName,
    #[error("the device gave another engine id than before, and asking again did not help")]
    UnknownEngineId,
    #[error("wrong auth password or auth protocol")]
    WrongDigest,
    /// Said by the device; or found out by asking without encryption, which it answered.
    #[error("wrong priv password or priv protocol")]
    WrongPrivacy,
    #[error("the device does not know this context name")]
    UnknownContext,
    #[error("the device could not process the message")]
    Other,
}

/// usmStats, under which the USM's counters lie.
const USM_STATS: Oid = Oid::of(&[1, 3, 6, 1, 6, 3, 15, 1, 1]);
/// snmpTargetObjects' two context counters.
const UNAVAILABLE_CONTEXTS: Oid = Oid::of(&[1, 3, 6, 1, 6, 3, 12, 1, 4]);
const UNKNOWN_CONTEXTS: Oid = Oid::of(&[1, 3, 6, 1, 6, 3, 12, 1, 5]);

impl Reason {
    pub(crate) fn from_counter(counter: &Oid) -> Self {
        if counter.starts_with(&UNAVAILABLE_CONTEXTS) || counter.starts_with(&UNKNOWN_CONTEXTS) {
            return Self::UnknownContext;
        }
        match counter
            .index_under(&USM_STATS)
            .and_then(|index| index.arcs().next())
        {
            Some(1) => Self::UnsupportedSecurityLevel,
            Some(2) => Self::NotInTimeWindow,
            Some(3) => Self::UnknownUserName,
            Some(4) => Self::UnknownEngineId,
            Some(5) => Self::WrongDigest,
            Some(6) => Self::WrongPrivacy,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_reason() {
        let reason = |oid: &str| Reason::from_counter(&oid.parse().unwrap());
        assert_eq!(
            reason("1.3.6.1.6.3.15.1.1.1.0"),
            Reason::UnsupportedSecurityLevel
        );
        assert_eq!(reason("1.3.6.1.6.3.15.1.1.2.0"), Reason::NotInTimeWindow);
        assert_eq!(reason("1.3.6.1.6.3.15.1.1.3.0"), Reason::UnknownUserName);
        assert_eq!(
            reason("1.3.6.1.6.3.15.1.1.4"),
            Reason::UnknownEngineId,
            "some leave the instance away"
        );
        assert_eq!(reason("1.3.6.1.6.3.15.1.1.5.0"), Reason::WrongDigest);
        assert_eq!(reason("1.3.6.1.6.3.15.1.1.6.0"), Reason::WrongPrivacy);
        assert_eq!(reason("1.3.6.1.6.3.12.1.5.0"), Reason::UnknownContext);
        assert_eq!(reason("1.3.6.1.6.3.11.2.1.3.0"), Reason::Other);
        assert_eq!(Reason::from_counter(&Oid::default()), Reason::Other);
    }
}
