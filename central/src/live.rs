//! What is happening now, for pages that are open: changes after a commit become server-sent events.
//!
//! An event says *what* changed, never carries the truth: the page asks the API again. Numbers are monotonic within one
//! run of Central and begin with its start time, so a page that comes back after a restart is told to reload.

mod probes;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use farwatch_shared::model::DeviceNo;
use rusqlite::Connection;
use serde::Serialize;
use tokio::sync::broadcast;

pub use probes::{CameFrom, ProbeNow, Probes};

/// Events that a page may miss and still catch up on by `Last-Event-ID`.
const KEPT: usize = 2_048;
/// Events that may wait for one slow page before it is told to reload.
const QUEUE: usize = 1_024;

/// One thing that changed inside a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A device's state, record or note.
    Device {
        /// Which.
        device: DeviceId,
    },
    /// A probe's number stands for this device from now on.
    Mapped {
        /// Whose number.
        probe: ProbeId,
        /// The number.
        device_no: u32,
        /// The device.
        device: DeviceId,
    },
    /// Something happened.
    Event {
        /// To which device, when to one.
        device: Option<DeviceId>,
    },
    /// An incident was opened, acknowledged, resolved or commented.
    Incident {
        /// Its number.
        incident: i64,
        /// `open`, `acknowledged`, `resolved`.
        state: &'static str,
    },
    /// A probe connected, fell silent, or is back.
    Probe {
        /// Which.
        probe: ProbeId,
    },
    /// Discovery found out something.
    Discovery,
    /// The site's configuration has a new revision.
    Config,
}

/// What one transaction changed, at one site of one customer. To be published after the commit, or dropped with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    customer: CustomerId,
    site: SiteId,
    changes: Vec<Change>,
}

impl Effects {
    /// Nothing yet.
    #[must_use]
    pub const fn new(customer: CustomerId, site: SiteId) -> Self {
        Self {
            customer,
            site,
            changes: Vec::new(),
        }
    }

    /// Adds a change, once.
    pub fn push(&mut self, change: Change) {
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    /// What changed.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether an incident was opened or resolved, so that the outbox has something to send.
    #[must_use]
    pub fn has_incidents(&self) -> bool {
        self.changes
            .iter()
            .any(|change| matches!(change, Change::Incident { .. }))
    }
}

/// One event as a page receives it.
#[derive(Clone, Debug)]
pub struct LiveEvent {
    /// Greater than any before.
    pub id: u64,
    /// The event's name: `device`, `values`, `incident`, `probe`, `event`, `discovery`, `config`.
    pub name: &'static str,
    /// Its data.
    pub data: serde_json::Value,
    /// Whose. A page sees it only when its scope does.
    pub customer: CustomerId,
    /// Where.
    pub site: SiteId,
}

/// What a page gets first.
#[derive(Debug)]
pub struct Subscription {
    /// Newest number at the moment of subscribing.
    pub seq: u64,
    /// Events missed since `Last-Event-ID`, in order; `None` when too many or from another run: the page must reload.
    pub missed: Option<Vec<LiveEvent>>,
    /// Events from here on; lagging behind means reload.
    pub events: broadcast::Receiver<LiveEvent>,
}

/// The hub between commits and open pages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    sender: broadcast::Sender<LiveEvent>,
    kept: Mutex<Kept>,
    /// (probe, number) → device, so that a commit of samples can say whose values are new.
    numbers: Mutex<HashMap<(ProbeId, u32), DeviceId>>,
    probes: Probes,
}

#[derive(Debug)]
struct Kept {
    next: u64,
    events: VecDeque<LiveEvent>,
}

impl Live {
    /// Starts with what central.db knows.
    ///
    /// # Errors
    /// The store's own.
    pub fn load(c: &Connection, clock: Clock) -> rusqlite::Result<Self> {
        let (sender, _) = broadcast::channel(QUEUE);
        // Ids of a later run are greater than all ids of this one, unless the clock went back by the length of a run.
        let next = clock.now().ms().max(1).cast_unsigned() * 1_000;
        let mut numbers = HashMap::new();
        let mut rows = c.prepare("SELECT probe_id, device_no, device_id FROM device_numbers")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            numbers.insert((row.get(0)?, row.get(1)?), row.get(2)?);
        }
        let probes = Probes::load(c, &clock)?;
        let kept = Mutex::new(Kept {
            next,
            events: VecDeque::with_capacity(KEPT),
        });
        Ok(Self {
            inner: Arc::new(Inner {
                clock,
                sender,
                kept,
                numbers: Mutex::new(numbers),
                probes,
            }),
        })
    }

    /// The probes as they are now.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.inner.probes
    }

    /// Tells open pages what a commit has changed.
    pub fn publish(&self, effects: &Effects) {
        for change in &effects.changes {
            let (name, data) = match change {
                Change::Device { device } => ("device", serde_json::json!({ "id": device })),
                Change::Mapped {
                    probe,
                    device_no,
                    device,
                } => {
                    lock(&self.inner.numbers).insert((*probe, *device_no), *device);
                    continue;
                }
                Change::Event { device } => ("event", serde_json::json!({ "device_id": device })),
                Change::Incident { incident, state } => (
                    "incident",
                    serde_json::json!({ "id": incident, "state": state }),
                ),
                Change::Probe { probe } => ("probe", serde_json::json!({ "id": probe })),
                Change::Discovery => ("discovery", serde_json::json!({ "site_id": effects.site })),
                Change::Config => ("config", serde_json::json!({ "site_id": effects.site })),
            };
            self.send(effects.customer, effects.site, name, data);
        }
    }

    /// Tells open pages that these devices of a probe have new values.
    pub fn publish_values(
        &self,
        customer: CustomerId,
        site: SiteId,
        probe: ProbeId,
        devices: impl IntoIterator<Item = DeviceNo>,
    ) {
        let mut ids: Vec<DeviceId> = {
            let numbers = lock(&self.inner.numbers);
            devices
                .into_iter()
                .filter_map(|no| numbers.get(&(probe, no.0)).copied())
                .collect()
        };
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            self.send(
                customer,
                site,
                "values",
                serde_json::json!({ "site_id": site, "device_ids": ids }),
            );
        }
    }

    /// The device that a probe's number stands for.
    #[must_use]
    pub fn device_of(&self, probe: ProbeId, no: DeviceNo) -> Option<DeviceId> {
        lock(&self.inner.numbers).get(&(probe, no.0)).copied()
    }

    /// Events from now on, and those after `last` when they are still here.
    #[must_use]
    pub fn subscribe(&self, last: Option<u64>) -> Subscription {
        // Under one lock with sending, so that no event falls between the kept ones and the receiver.
        let kept = lock(&self.inner.kept);
        let events = self.inner.sender.subscribe();
        let seq = kept.next - 1;
        let missed = match last {
            None => Some(Vec::new()),
            Some(last) if last == seq => Some(Vec::new()),
            Some(last) => {
                let whole = kept
                    .events
                    .front()
                    .is_some_and(|first| first.id <= last.saturating_add(1))
                    && last < seq;
                whole.then(|| {
                    kept.events
                        .iter()
                        .filter(|event| event.id > last)
                        .cloned()
                        .collect()
                })
            }
        };
        Subscription {
            seq,
            missed,
            events,
        }
    }

    /// Central's time, for pages that measure their own clock against it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn send(&self, customer: CustomerId, site: SiteId, name: &'static str, data: impl Serialize) {
        let data = serde_json::to_value(data).expect("plain data is JSON");
        let mut kept = lock(&self.inner.kept);
        let event = LiveEvent {
            id: kept.next,
            name,
            data,
            customer,
            site,
        };
        kept.next += 1;
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(event.clone());
        // Nobody listening is no error.
        let _ = self.inner.sender.send(event);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(include_str!("store/migrations/0001_first_light.sql"))
            .unwrap();
        Live::load(&c, Clock::manual(Timestamp(1_000))).unwrap()
    }

    fn effects(devices: usize) -> Effects {
        let mut effects = Effects::new(CustomerId::generate(), SiteId::generate());
        for _ in 0..devices {
            effects.push(Change::Device {
                device: DeviceId::generate(),
            });
        }
        effects
    }

    #[test]
    fn a_page_that_comes_back_gets_exactly_what_it_missed() {
        let live = live();
        live.publish(&effects(3));
        let first = live.subscribe(None);
        live.publish(&effects(2));
        let again = live.subscribe(Some(first.seq));
        let ids: Vec<u64> = again.missed.unwrap().iter().map(|event| event.id).collect();
        assert_eq!(ids, [first.seq + 1, first.seq + 2]);
    }

    #[test]
    fn a_page_that_missed_too_much_or_comes_from_another_run_must_reload() {
        let live = live();
        let first = live.subscribe(None);
        live.publish(&effects(KEPT + 10));
        assert!(live.subscribe(Some(first.seq)).missed.is_none());
        assert!(
            live.subscribe(Some(7)).missed.is_none(),
            "an id of an older run"
        );
        assert!(
            live.subscribe(Some(u64::MAX)).missed.is_none(),
            "an id of the future"
        );
    }

    #[test]
    fn values_are_published_under_the_devices_ids() {
        let live = live();
        let (probe, device) = (ProbeId::generate(), DeviceId::generate());
        let mut mapped = effects(0);
        mapped.push(Change::Mapped {
            probe,
            device_no: 7,
            device,
        });
        live.publish(&mapped);
        let mut page = live.subscribe(None).events;
        live.publish_values(
            CustomerId::generate(),
            SiteId::generate(),
            probe,
            [DeviceNo(7), DeviceNo(7), DeviceNo(8)],
        );
        let event = page.try_recv().unwrap();
        assert_eq!(event.data["device_ids"], serde_json::json!([device]));
        assert!(page.try_recv().is_err());
    }
}
