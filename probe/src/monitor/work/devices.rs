//! Which devices are watched: the site as Central describes it, what discovery meets, what people forget.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{DeviceNo, GapReason, PollGroup};

use super::super::keep::News;
use super::super::schedule::{Key, Work};
use super::super::{Command, Known, Listed, Listing, is_alive};
use super::{Working, lock};
use crate::config::site::Site;
use crate::detect::{By, Outcome, Seen};
use crate::inventory::facts::Around;
use crate::inventory::store::StateRow;
use crate::inventory::{Found, Private, topology};

impl Working {
    pub(super) async fn command(&mut self, command: Command) {
        match command {
            Command::Site(site) => self.set_site(site).await,
            Command::Found(found, tell) => {
                if self.inventory.at(found.address).is_none()
                    && self.inventory.len() >= self.load.devices
                {
                    self.totals.turned_away_total += 1;
                    return;
                }
                let whole = found.snmp.as_ref().is_none_or(|snmp| snmp.facts.whole);
                let no = self.observe(*found).await;
                self.was_read(no, whole);
                let _ = tell.send(no);
            }
            Command::Around(no, around) => self.around(no, *around).await,
            Command::Addresses(addresses, sweep) => {
                let news = News {
                    addresses,
                    sweep,
                    ..News::default()
                };
                self.keeper.news(news).await;
            }
            Command::Known(addresses, tell) => {
                let known = addresses.iter().map(|address| self.known(*address));
                let _ = tell.send(known.collect());
            }
            Command::Forget(devices) => {
                let mut retired = Vec::new();
                for no in devices {
                    if self.inventory.retire(no, self.clock.now()) {
                        retired.push(no);
                    }
                }
                self.unwatch(&retired);
                self.store_devices(&retired, Vec::new(), Vec::new()).await;
            }
            Command::Listing(tell) => {
                let _ = tell.send(self.listing());
            }
            Command::Restore(records, highest, tell) => {
                for record in records {
                    if self.inventory.any(DeviceNo(record.device)).is_none() {
                        self.inventory.restore(record, Private::default());
                    }
                }
                self.inventory.floor(highest);
                let all: Vec<_> = self.inventory.iter().map(|device| device.no).collect();
                self.store_rows(&all).await;
                // Their slots are worked from the next second on.
                self.restored = Some(Timestamp::from_secs(self.clock.now().secs() + 1));
                self.watch_all(all).await;
                let _ = tell.send(());
            }
            Command::OffSince(from) => match self.begun {
                None => self.off_since = Some((from, false)),
                Some(begun) => {
                    let to = self.restored.map_or(begun, |restored| restored.max(begun));
                    self.was_off(from, to, GapReason::ProbeOff);
                }
            },
        }
    }

    pub(super) fn known(&self, address: IpAddr) -> Option<Known> {
        let device = self.inventory.at(address)?;
        Some(Known {
            device: device.no,
            is_primary: device.address == address,
            credential: device.has_snmp().then(|| device.record.credential.clone()),
            speaks_v3: device.private.speaks_v3,
        })
    }

    pub(super) fn listing(&self) -> Listing {
        let states = lock(&self.detector);
        let mut listing = Listing::default();
        listing.text.clear();
        for device in self.inventory.iter() {
            let state = states.told(device.no);
            let listed = Listed {
                device: device.no.0,
                address: &device.record.address,
                name: device.name(),
                state: state.map_or("unknown", |(state, ..)| state.as_str()),
                since: state.map_or_else(String::new, |(_, since, _)| since.to_string()),
                reason: state.map_or("", |(.., reason)| reason),
                snmp: &device.record.snmp,
                credential: &device.record.credential,
                vendor: device.record.vendor.as_str(),
                interfaces: device.private.ports.len(),
            };
            listing
                .text
                .push(if listing.text.is_empty() { '[' } else { ',' });
            let json = serde_json::to_string(&listed).expect("texts and numbers are JSON");
            listing.text.push_str(&json);
            match listing.credentials.get_mut(listed.credential) {
                Some(count) => *count += 1,
                None => {
                    let credential = listed.credential.to_owned();
                    listing.credentials.insert(credential, 1);
                }
            }
        }
        listing
            .text
            .push_str(if listing.text.is_empty() { "[]" } else { "]" });
        listing
    }

    pub(super) async fn set_site(&mut self, site: Arc<Site>) {
        for problem in &site.problems {
            tracing::warn!("the site's configuration: {problem}");
        }
        self.site = site;
        self.begin();
        let all = self.inventory.iter().map(|device| device.no).collect();
        self.watch_all(all).await;
    }

    async fn watch_all(&mut self, devices: Vec<DeviceNo>) {
        let mut left = Outcome::default();
        for no in devices {
            self.watch(no, false);
            self.read_first(no);
            left.extend(self.leave_if_outside(no));
        }
        self.tell(left).await;
    }

    /// A device outside the site's ranges stays known and is not asked: its slots become gaps that say so.
    pub(super) fn leave_if_outside(&mut self, no: DeviceNo) -> Outcome {
        if self.may_ask(no) {
            return Outcome::default();
        }
        let now = self.now();
        self.states().not_asked(no, OUTSIDE, now)
    }

    /// Whether a device's address lies where the site lets us ask.
    pub(super) fn may_ask(&self, no: DeviceNo) -> bool {
        self.inventory
            .get(no)
            .is_some_and(|device| self.site.allows(device.address))
    }

    /// What Central sent back has no columns yet: they are read before anything else.
    fn read_first(&mut self, no: DeviceNo) {
        let unread = self
            .inventory
            .get(no)
            .is_some_and(|device| device.private == Private::default());
        if unread {
            self.start_reread(no);
        }
    }

    /// What could not be read whole is read again, later and later: a device in trouble is not asked in a hurry.
    pub(super) fn was_read(&mut self, no: DeviceNo, whole: bool) {
        if whole {
            self.rereads.tries.remove(&no);
            return;
        }
        let tries = self.rereads.tries.entry(no).or_default();
        if *tries < REREADS {
            let wait_ms = REREAD_MS << *tries;
            *tries += 1;
            let at = self.clock.boot_ms() + wait_ms;
            self.rereads.due.push(Reverse((at, no)));
        }
    }

    /// Starts what is due of that.
    pub(super) fn reread(&mut self) {
        let now_ms = self.clock.boot_ms();
        while let Some(Reverse((at, no))) = self.rereads.due.peek().copied()
            && at <= now_ms
        {
            self.rereads.due.pop();
            self.start_reread(no);
        }
    }

    fn start_reread(&mut self, device: DeviceNo) {
        let key = Key {
            device,
            work: Work::Inventory,
        };
        if self.schedule.contains(key) && self.schedule.begin(key) {
            self.start_inventory(device);
        }
    }

    /// Takes what was met at an address: stored, told, scheduled.
    pub(super) async fn observe(&mut self, found: Found) -> DeviceNo {
        let by_snmp = found.snmp.is_some();
        let detector = self.detector.clone();
        let seen = self.inventory.observe(found, |no| {
            lock(&detector)
                .state(no)
                .is_some_and(|state| !is_alive(state))
        });
        for instance in &seen.gone {
            self.states().forget_interface(seen.device, *instance);
        }
        self.unwatch(&seen.retired);
        self.watch(seen.device, seen.new || seen.changed.contains(&seen.device));
        let mut events = seen.events;
        let mut states = Vec::new();
        if seen.new {
            // It has just answered: what was found is up, and is told so in one breath.
            let by = if by_snmp { By::Snmp } else { By::Ping };
            let now = self.now();
            let out = self.states().seen(seen.device, by, Seen::Answer, now);
            if let (Some(state), Some(event)) =
                (self.states().remember(seen.device), events.first_mut())
                && !out.changed.is_empty()
            {
                event.state = state.state.code();
                states.push(StateRow::of(seen.device, &state));
            }
            tracing::info!(
                device.no = seen.device.0,
                "{}",
                events.first().map_or("", |event| event.text.as_str())
            );
        }
        if seen.new || !seen.changed.is_empty() {
            self.topology_is_old = true;
            self.store_devices(&seen.changed, events, states).await;
        }
        seen.device
    }

    pub(super) async fn around(&mut self, no: DeviceNo, around: Around) {
        let candidates: Vec<IpAddr> = around
            .candidates()
            .filter(|address| {
                self.site.scope.allows(*address) && self.inventory.at(*address).is_none()
            })
            .collect();
        if !candidates.is_empty() && self.follow.try_send(candidates).is_err() {
            tracing::debug!("discovery is busy: these addresses are met again in an hour");
        }
        if self.inventory.around(no, around, self.clock.now()) {
            self.topology_is_old = true;
            self.store_devices(&[no], Vec::new(), Vec::new()).await;
        }
    }

    /// Schedules a device, and asks it at once when it is new or has new ways to be asked.
    pub(super) fn watch(&mut self, no: DeviceNo, at_once: bool) {
        let Some(device) = self.inventory.get(no) else {
            return;
        };
        let (address, has_snmp, ping_worked) = (
            device.address,
            device.has_snmp(),
            device.private.ping_worked,
        );
        let now = self.now();
        let judged = self.judges(address);
        let ping = judged.then_some(ping_worked);
        let snmp = has_snmp.then_some(true);
        let remembered = self.remembered.remove(&no);
        self.states().add(no, ping, snmp, remembered, now);
        let second = now.wall.secs();
        let site = self.site.clone();
        if site.poll_interval_s == 0 {
            return; // no document yet: nothing is asked
        }
        let key = |work| Key { device: no, work };
        if !judged {
            self.layouts.forget(no, PollGroup::Ping);
        }
        if judged || has_snmp {
            self.schedule
                .set(key(Work::Ping), site.icmp_interval_s, second);
        }
        if has_snmp {
            let is_new = !self.schedule.contains(key(Work::Poll));
            self.schedule
                .set(key(Work::Poll), site.poll_interval_s, second);
            self.schedule
                .set(key(Work::Inventory), site.inventory_interval_s, second);
            self.schedule
                .set(key(Work::Readings), site.readings_interval_s(), second);
            for work in [Work::Poll, Work::Readings] {
                if at_once && is_new && self.schedule.begin(key(work)) {
                    let slot_s = self.schedule.current_slot(key(work), second);
                    let slot_s = slot_s.unwrap_or(second);
                    self.under_way.insert((slot_s, key(work)));
                    self.waiting_polls.push_back((key(work), slot_s));
                }
            }
        }
        if at_once && judged {
            self.checks.push(Reverse((now.boot_ms, no, By::Ping)));
        }
    }

    pub(super) fn unwatch(&mut self, devices: &[DeviceNo]) {
        for no in devices {
            for work in [Work::Ping, Work::Poll, Work::Readings, Work::Inventory] {
                self.schedule.remove(Key { device: *no, work });
            }
            self.states().remove(*no);
            self.counters.remove(no);
            self.uptimes.remove(no);
            self.measuring.remove(no);
            self.rereads.tries.remove(no);
            self.layouts.forget(*no, PollGroup::Ping);
            self.layouts.forget(*no, PollGroup::Poll);
            self.layouts.forget(*no, PollGroup::Readings);
            self.topology_is_old = true;
        }
    }

    /// Whether an address is judged by ICMP: not the probe's own, and not where the system does not let us.
    pub(super) fn judges(&self, address: IpAddr) -> bool {
        self.echo.is_some() && !address.to_canonical().is_loopback() && !self.own.contains(&address)
    }

    pub(super) fn judged_by_ping(&self, no: DeviceNo) -> bool {
        self.inventory
            .get(no)
            .is_some_and(|device| self.judges(device.address))
    }

    pub(super) fn learn_topology(&mut self) {
        self.topology_is_old = false;
        let first = self
            .first_hop
            .or_else(crate::discovery::own::gateway)
            .and_then(|address| self.inventory.at(address))
            .map(|device| device.no);
        self.states()
            .set_parents(topology::parents(&self.inventory, first));
    }
}

/// Why a device that left the site's ranges is unknown.
const OUTSIDE: &str = "not asked: its address is outside the site's ranges";

/// Devices whose tables could not be read whole.
#[derive(Debug, Default)]
pub(super) struct Rereads {
    /// When to try again, boot-time ms.
    due: BinaryHeap<Reverse<(i64, DeviceNo)>>,
    /// How often it was tried.
    tries: HashMap<DeviceNo, u32>,
}

/// The first new try comes after this; each further one after twice as long.
const REREAD_MS: i64 = 60_000;
/// So many: from then on only the ordinary inventory.
const REREADS: u32 = 5;
