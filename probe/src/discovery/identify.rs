//! What an address turns out to be.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::profile::Library;
use farwatch_shared::wire::message::batch::AddressRecord;

use super::credentials::{self, Attempt, Before, Tried};
use crate::config::site::Site;
use crate::inventory::around::around;
use crate::inventory::facts::{self, Facts};
use crate::inventory::who::who;
use crate::inventory::{Found, FoundSnmp};
use crate::monitor::{Known, Monitor};
use crate::snmp::{Limits, Snmp, Target};

/// An address to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub address: IpAddr,
    /// Whether it answered an echo request; `None` where that is not judged.
    pub ping: Option<bool>,
    /// A person named it.
    pub by_person: bool,
    /// Where the last visit's tries of credentials left off.
    pub skip: usize,
    /// What came of them.
    pub attempts: Vec<Attempt>,
    /// Whether it was counted as answering, and as a device.
    pub counted: (bool, bool),
}

impl Candidate {
    /// An address of which nothing is known.
    #[must_use]
    pub const fn at(address: IpAddr) -> Self {
        Self {
            address,
            ping: None,
            by_person: false,
            skip: 0,
            attempts: Vec::new(),
            counted: (false, false),
        }
    }
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Identified {
    /// The candidate.
    pub candidate: Candidate,
    /// To be kept, if it ever answered or was named.
    pub record: Option<AddressRecord>,
    /// It is a device, or belongs to one.
    pub is_device: bool,
    /// It answered anything.
    pub answered: bool,
    /// Where the next visit's tries begin; 0 = there is nothing more to try.
    pub next: usize,
}

/// Asks an address who it is, and tells the monitor.
pub async fn identify(
    snmp: Arc<dyn Snmp>,
    profiles: Arc<Library>,
    monitor: Monitor,
    clock: Clock,
    site: Arc<Site>,
    candidate: Candidate,
) -> Identified {
    let address = candidate.address;
    let known = monitor.known(vec![address]).await.pop().flatten();
    if let Some(known) = &known
        && known.credential.is_some()
    {
        return already_known(&candidate, known, &clock);
    }
    let before = Before {
        port: site.named(address).flatten(),
        speaks_v3: known.as_ref().is_some_and(|known| known.speaks_v3),
        skip: candidate.skip,
        attempts: candidate.attempts.clone(),
    };
    let tried = credentials::try_all(&*snmp, &clock, &site, address, &before).await;
    let mut device = 0;
    if let Some((credential, port)) = &tried.works {
        let target = Target {
            address: SocketAddr::new(address, *port),
            auth: credential.auth.clone(),
        };
        let limits = Limits::default().with_deadline(READ_DEADLINE);
        // It answered once: a device, even where little is known yet.
        let facts = who(&*snmp, &profiles, &target, limits)
            .await
            .unwrap_or_default();
        let interfaces = facts.interfaces.clone();
        let found = Found {
            address,
            ping: candidate.ping,
            snmp: Some(FoundSnmp {
                port: *port,
                credential: credential.name.clone(),
                version: credential.version.to_owned(),
                security: credential.security.clone(),
                facts: with_engine_id(facts, &*snmp, target.address),
            }),
            by_person: candidate.by_person,
            at: clock.now(),
        };
        if let Some(no) = monitor.found(found).await {
            device = no.0;
            if let Ok(around) = around(&*snmp, &target, limits, &interfaces).await {
                monitor.around(no, around).await;
            }
        }
    } else if candidate.ping == Some(true) {
        let found = Found {
            address,
            ping: candidate.ping,
            snmp: None,
            by_person: candidate.by_person,
            at: clock.now(),
        };
        if let Some(no) = monitor.found(found).await {
            device = no.0;
        }
    }
    told(candidate, tried, device, &site, &clock)
}

/// A device of v3 tells its engine id with every answer, whether it may read the object or not.
fn with_engine_id(mut facts: Facts, snmp: &dyn Snmp, address: SocketAddr) -> Facts {
    if facts.engine_id.is_empty()
        && let Some(engine_id) = snmp.engine_id(address)
    {
        facts.engine_id = facts::hex(&engine_id);
    }
    facts
}

fn already_known(candidate: &Candidate, known: &Known, clock: &Clock) -> Identified {
    Identified {
        candidate: candidate.clone(),
        record: (candidate.ping == Some(true)).then(|| AddressRecord {
            address: candidate.address.to_string(),
            device: known.device.0,
            icmp: "answered".to_owned(),
            snmp: if known.is_primary {
                "answered"
            } else {
                "not_tried"
            }
            .to_owned(),
            attempts: Vec::new(),
            reason: if known.is_primary {
                format!(
                    "answers to credential {}",
                    known.credential.as_deref().unwrap_or_default()
                )
            } else {
                "another address of a device that is known".to_owned()
            },
            last_seen: clock.now(),
        }),
        is_device: true,
        answered: candidate.ping == Some(true),
        next: 0,
    }
}

fn told(candidate: Candidate, tried: Tried, device: u32, site: &Site, clock: &Clock) -> Identified {
    let refused = tried.refusal().is_some();
    let spoke = tried.works.is_some() || refused;
    let answered = spoke || candidate.ping == Some(true);
    let snmp = match () {
        () if tried.works.is_some() => "answered",
        () if refused => "refused",
        () if tried.attempts.is_empty() => "not_tried",
        () => "no_answer",
    };
    let icmp = match candidate.ping {
        Some(true) => "answered",
        Some(false) => "silent",
        None => "not_judged",
    };
    let reason = match (candidate.ping, tried.works.is_some()) {
        _ if answered && device == 0 && (tried.works.is_some() || candidate.ping == Some(true)) => {
            "answers, but is not watched: this probe watches as many devices as its probe.toml allows ([limits] devices)".to_owned()
        }
        (Some(true), false) => format!("answers ping; {}", tried.reason(site)),
        (Some(false), false) => format!("does not answer ping; {}", tried.reason(site)),
        _ => tried.reason(site),
    };
    let candidate = Candidate {
        skip: tried.next,
        attempts: tried.attempts.clone(),
        ..candidate
    };
    let record = (answered || candidate.by_person).then(|| AddressRecord {
        address: candidate.address.to_string(),
        device,
        icmp: icmp.to_owned(),
        snmp: snmp.to_owned(),
        attempts: tried.attempts,
        reason,
        last_seen: if answered {
            clock.now()
        } else {
            Timestamp::default()
        },
    });
    Identified {
        candidate,
        record,
        is_device: device != 0,
        answered,
        next: tried.next,
    }
}

/// How long a device may take to say who it is.
const READ_DEADLINE: Duration = Duration::from_secs(20);
