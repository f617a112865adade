//! Which credentials are tried at an address, and in what words their failures are told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};

use crate::config::site::{Credential, Site};
use crate::snmp::{GetError, Limits, Reason, Snmp, Target};

/// What is known before the first try.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Port that a person named.
    pub port: Option<u16>,
    /// It has spoken v3 with us: nothing weaker is tried, whoever answers there now.
    pub speaks_v3: bool,
    /// Where the last visit left off: not every credential fits into one.
    pub skip: usize,
    /// What came of the visits before, in this round.
    pub attempts: Vec<Attempt>,
}

/// One credential at one address: (its name, port, outcome, when).
pub type Attempt = (String, u16, String, Timestamp);

/// What came of the tries.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// The credential that works, and its port.
    pub works: Option<(Credential, u16)>,
    /// Of all visits of the round, in order.
    pub attempts: Vec<Attempt>,
    /// Where the next visit begins; 0 = all were tried.
    pub next: usize,
}

/// Tries credentials until one works, at most [`FAILURES`] of them in one visit.
///
/// Ports outermost, credentials in the site's order (v3 first). Never asks outside the site's ranges. An agent of v3 says
/// who it is whoever asks (RFC 3414, 4): where that question stays unanswered, the other users are not tried.
pub async fn try_all(
    snmp: &dyn Snmp,
    clock: &Clock,
    site: &Site,
    address: IpAddr,
    before: &Before,
) -> Tried {
    let mut tried = Tried {
        attempts: before.attempts.clone(),
        ..Tried::default()
    };
    if !site.allows(address) {
        return tried;
    }
    let ports = before
        .port
        .map_or_else(|| site.snmp_ports.clone(), |port| vec![port]);
    let all: Vec<(u16, &Credential)> = ports
        .iter()
        .flat_map(|port| {
            site.credentials
                .iter()
                .map(|credential| (*port, credential))
        })
        .filter(|(_, credential)| !before.speaks_v3 || credential.version == "v3")
        .collect();
    let start = if before.skip < all.len() {
        before.skip
    } else {
        0
    };
    let mut failures = 0;
    for (at, (port, credential)) in all.iter().enumerate().skip(start) {
        if failures == FAILURES {
            tried.next = at;
            return tried;
        }
        if credential.version == "v3" && !before.speaks_v3 && no_v3(site, &tried.attempts, *port) {
            let words = NO_V3.to_owned();
            let attempt = (credential.name.clone(), *port, words, clock.now());
            tried.attempts.push(attempt);
            continue;
        }
        let target = Target {
            address: SocketAddr::new(address, *port),
            auth: credential.auth.clone(),
        };
        let outcome = snmp.check(&target, LIMITS).await;
        let words = match &outcome {
            Ok(()) => ANSWERED.to_owned(),
            Err(error) => outcome_words(error),
        };
        tried
            .attempts
            .push((credential.name.clone(), *port, words, clock.now()));
        match outcome {
            Ok(()) => {
                tried.works = Some(((*credential).clone(), *port));
                return tried;
            }
            Err(_) => failures += 1,
        }
    }
    tried
}

/// Whether nothing that speaks v3 is at a port: a user was not answered there.
fn no_v3(site: &Site, attempts: &[Attempt], port: u16) -> bool {
    attempts.iter().any(|(name, at, outcome, _)| {
        *at == port
            && outcome == NO_RESPONSE
            && site
                .credentials
                .iter()
                .any(|credential| credential.name == *name && credential.version == "v3")
    })
}

/// An error of one try in a few words.
fn outcome_words(error: &GetError) -> String {
    match error {
        GetError::Timeout { .. } => NO_RESPONSE.to_owned(),
        GetError::Security { reason, .. } => match reason {
            Reason::UnknownUserName => "unknown user".to_owned(),
            Reason::WrongDigest => "wrong auth password".to_owned(),
            Reason::WrongPrivacy => "wrong priv password".to_owned(),
            Reason::UnsupportedSecurityLevel => "unsupported level".to_owned(),
            Reason::UnknownContext => "unknown context".to_owned(),
            other => other.to_string(),
        },
        GetError::Refused { status, .. } => format!("refused: {status}"),
        GetError::Send { .. } => NOT_REACHED.to_owned(),
        GetError::Stopped => "not asked: the probe is stopping".to_owned(),
        _ => "its answer cannot be read".to_owned(),
    }
}

impl Tried {
    /// Something spoke SNMP there, and would not say: the first that it refused, in any visit.
    #[must_use]
    pub fn refusal(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|(_, _, outcome, _)| {
            ![ANSWERED, NO_RESPONSE, NO_V3, NOT_REACHED].contains(&outcome.as_str())
        })
    }

    /// One sentence: why an address speaks no SNMP with us.
    #[must_use]
    pub fn reason(&self, site: &Site) -> String {
        if let Some((credential, port)) = &self.works {
            return format!(
                "answers to credential {} ({}) at port {port}",
                credential.name, credential.version
            );
        }
        if site.credentials.is_empty() {
            return "the site has no SNMP credential to try".to_owned();
        }
        match self.refusal() {
            Some((name, port, outcome, _)) => {
                format!("speaks SNMP at port {port}, but not with credential {name}: {outcome}")
            }
            None if self.attempts.is_empty() => "SNMP was not tried".to_owned(),
            None => format!(
                "no response to {} SNMP {}: wrong community, no SNMP there, or a firewall",
                self.attempts.len(),
                if self.attempts.len() == 1 {
                    "try"
                } else {
                    "tries"
                }
            ),
        }
    }
}

const ANSWERED: &str = "answered";
const NOT_REACHED: &str = "cannot be reached";
const NO_RESPONSE: &str = "no response";
const NO_V3: &str = "not tried: no SNMPv3 there";
/// Failures at one address in one visit: more would look like an attack, and lock accounts.
const FAILURES: usize = 3;
/// One try: two datagrams, a second apart.
const LIMITS: Limits = Limits {
    deadline: Duration::from_millis(2_500),
    attempts: 2,
    retry_after: Duration::from_secs(1),
    max_values: 16,
};

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use farwatch_shared::oid::Oid;
    use farwatch_shared::wire::message::pull::CredentialRecord;
    use futures::future::BoxFuture;

    use super::*;
    use crate::config::site::Scope;
    use crate::snmp::{Auth, Plan, Reading, VarBind, Version, Walk, WalkError};

    /// Answers to one community, and writes down who knocked.
    #[derive(Debug)]
    struct Door {
        opens_to: &'static str,
        speaks_v3: bool,
        knocks: Mutex<Vec<(u16, Version)>>,
    }

    impl Snmp for Door {
        fn get<'a>(
            &'a self,
            _: &'a Target,
            _: &'a [Oid],
            _: Limits,
        ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>> {
            unreachable!("only check is asked")
        }
        fn get_next<'a>(
            &'a self,
            _: &'a Target,
            _: &'a [Oid],
            _: Limits,
        ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>> {
            unreachable!("only check is asked")
        }
        fn walk<'a>(
            &'a self,
            _: &'a Target,
            _: &'a Oid,
            _: Limits,
        ) -> BoxFuture<'a, Result<Walk, WalkError>> {
            unreachable!("only check is asked")
        }
        fn read<'a>(
            &'a self,
            _: &'a Target,
            _: &'a Plan,
            _: Limits,
        ) -> BoxFuture<'a, Result<Reading, WalkError>> {
            unreachable!("only check is asked")
        }
        fn check<'a>(
            &'a self,
            target: &'a Target,
            limits: Limits,
        ) -> BoxFuture<'a, Result<(), GetError>> {
            self.knocks
                .lock()
                .unwrap()
                .push((target.address.port(), target.auth.version()));
            let result = match &*target.auth {
                Auth::V3(_) if self.speaks_v3 => Err(GetError::Security {
                    target: target.address,
                    reason: Reason::UnknownUserName,
                }),
                Auth::V1(_) | Auth::V2c(_)
                    if self.opens_to == target.address.port().to_string() =>
                {
                    Ok(())
                }
                _ => Err(GetError::Timeout {
                    target: target.address,
                    attempts: limits.attempts,
                    waited: limits.deadline,
                }),
            };
            Box::pin(async move { result })
        }
        fn forget(&self, _: SocketAddr) {}
        fn engine_id(&self, _: SocketAddr) -> Option<Arc<[u8]>> {
            None
        }
    }

    fn site(v2c: usize, ports: &[u16]) -> Site {
        let v3 = CredentialRecord {
            name: "secure".to_owned(),
            kind: "v3".to_owned(),
            user_name: "u".to_owned(),
            ..CredentialRecord::default()
        };
        let records = std::iter::once(v3).chain((0..v2c).map(|i| CredentialRecord {
            name: format!("c{i}"),
            kind: "v2c".to_owned(),
            ..CredentialRecord::default()
        }));
        Site {
            scope: Scope {
                ranges: vec!["10.0.0.0/24".parse().unwrap()],
                ..Scope::default()
            },
            snmp_ports: ports.to_vec(),
            credentials: records
                .map(|record| Credential::from_record(&record).unwrap())
                .collect(),
            ..Site::default()
        }
    }

    async fn knock(door: &Door, site: &Site, address: &str, before: &Before) -> Tried {
        try_all(
            door,
            &Clock::manual(Timestamp(7)),
            site,
            address.parse().unwrap(),
            before,
        )
        .await
    }

    fn door(opens_to: &'static str) -> Door {
        Door {
            opens_to,
            speaks_v3: true,
            knocks: Mutex::default(),
        }
    }

    #[tokio::test]
    async fn three_failures_are_enough_and_the_next_visit_goes_on_from_there() {
        let (door, site) = (door(""), site(5, &[161]));
        let first = knock(&door, &site, "10.0.0.1", &Before::default()).await;
        assert_eq!((first.attempts.len(), first.next), (3, 3));
        assert_eq!(first.attempts[0].2, "unknown user");
        assert!(first.refusal().is_some());
        assert_eq!(
            first.reason(&site),
            "speaks SNMP at port 161, but not with credential secure: unknown user"
        );
        let second = Before {
            skip: first.next,
            attempts: first.attempts,
            ..Before::default()
        };
        let second = knock(&door, &site, "10.0.0.1", &second).await;
        let names: Vec<_> = second
            .attempts
            .iter()
            .map(|attempt| attempt.0.as_str())
            .collect();
        assert_eq!(names, ["secure", "c0", "c1", "c2", "c3", "c4"]);
        assert_eq!(second.next, 0, "and then from the start");
        assert!(second.refusal().is_some(), "what was refused before counts");
        assert_eq!(door.knocks.lock().unwrap().len(), 6);
    }

    #[tokio::test]
    async fn where_nobody_speaks_v3_one_question_tells() {
        let (door, mut site) = (
            Door {
                speaks_v3: false,
                ..door("161")
            },
            site(1, &[161]),
        );
        let secure = site.credentials[0].clone();
        for name in ["second", "third"] {
            let name = name.to_owned();
            site.credentials.insert(
                1,
                Credential {
                    name,
                    ..secure.clone()
                },
            );
        }
        let tried = knock(&door, &site, "10.0.0.1", &Before::default()).await;
        assert_eq!(tried.works.unwrap().0.name, "c0");
        assert_eq!(
            *door.knocks.lock().unwrap(),
            [(161, Version::V3), (161, Version::V2c)]
        );
        assert_eq!((tried.attempts.len(), &*tried.attempts[1].2), (4, NO_V3));
    }

    #[tokio::test]
    async fn a_device_that_spoke_v3_is_never_asked_in_clear() {
        let (door, site) = (door("161"), site(2, &[161]));
        let before = Before {
            speaks_v3: true,
            ..Before::default()
        };
        let tried = knock(&door, &site, "10.0.0.1", &before).await;
        assert!(tried.works.is_none());
        assert_eq!(*door.knocks.lock().unwrap(), vec![(161, Version::V3)]);
    }

    #[tokio::test]
    async fn nobody_outside_the_ranges_sees_a_credential() {
        let (door, site) = (door("161"), site(2, &[161]));
        let tried = knock(&door, &site, "10.0.1.1", &Before::default()).await;
        assert!(tried.attempts.is_empty() && door.knocks.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_port_that_a_person_named_is_the_only_one() {
        let (door, site) = (door("1161"), site(1, &[161, 162]));
        let before = Before {
            port: Some(1_161),
            ..Before::default()
        };
        let tried = knock(&door, &site, "10.0.0.1", &before).await;
        let (credential, port) = tried.works.clone().unwrap();
        assert_eq!((credential.name.as_str(), port), ("c0", 1_161));
        assert_eq!(
            tried.reason(&site),
            "answers to credential c0 (v2c) at port 1161"
        );
    }
}
