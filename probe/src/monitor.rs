//! What is watched, when, and what it says.
//!
//! - [`schedule`] when what is due
//! - [`plan`] what is read from a device;  [`layout`] which columns that makes
//! - [`poll`] one device, once;  [`ping_round`] every device by ICMP
//! - [`readings`] a device's sensors, storage and processors;  [`gauge`] their columns
//! - [`pending`] read and not yet durable;  [`keep`] makes it durable
//! - [`work`] the loop that owns it all
//!
//! One task owns inventory, schedule, states and readings; polls run beside it, as many as [`work::Load`] allows, and
//! report to it. A device costs no task while nobody asks it.

pub mod gauge;
pub mod keep;
pub mod layout;
pub mod pending;
pub mod ping_round;
pub mod plan;
pub mod poll;
pub mod readings;
pub mod schedule;
pub mod work;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::model::{DeviceNo, DeviceState};
use farwatch_shared::wire::message::batch::{AddressRecord, DeviceRecord};
use farwatch_shared::wire::message::session::{DeviceNow, InterfaceNow};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::site::Site;
use crate::detect::{Detector, Moment};
use crate::discovery::sweep::Place;
use crate::inventory::Found;
use crate::inventory::facts::Around;

/// What others ask of the monitor.
#[derive(Debug)]
pub(crate) enum Command {
    Site(Arc<Site>),
    Found(Box<Found>, oneshot::Sender<DeviceNo>),
    Around(DeviceNo, Box<Around>),
    Addresses(Vec<AddressRecord>, Option<Place>),
    Known(Vec<IpAddr>, oneshot::Sender<Vec<Option<Known>>>),
    Forget(Vec<DeviceNo>),
    Listing(oneshot::Sender<Listing>),
    Restore(Vec<DeviceRecord>, u32, oneshot::Sender<()>),
    OffSince(Timestamp),
}

/// What discovery wants to know of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The device that has it.
    pub device: DeviceNo,
    /// It is where that device is asked.
    pub is_primary: bool,
    /// It answers SNMP; by this credential.
    pub credential: Option<String>,
    /// It ever spoke v3: no weaker version is tried.
    pub speaks_v3: bool,
}

/// All devices, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// An array of [`Listed`], as JSON.
    pub text: String,
    /// How many devices answer to each credential.
    pub credentials: BTreeMap<String, usize>,
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            text: "[]".to_owned(),
            credentials: BTreeMap::new(),
        }
    }
}

/// A device as `farwatch-probe status` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed<'a> {
    /// Its number here.
    pub device: u32,
    /// Where it is asked.
    pub address: &'a str,
    /// Its name.
    pub name: &'a str,
    /// [`DeviceState`] in words.
    pub state: &'a str,
    /// Since when, RFC 3339; empty where that is not known.
    pub since: String,
    /// Why.
    pub reason: &'a str,
    /// `none`, `v1`, `v2c`, `v3`.
    pub snmp: &'a str,
    /// Name of the credential that works.
    pub credential: &'a str,
    /// Its maker.
    pub vendor: &'a str,
    /// Interfaces polled.
    pub interfaces: usize,
}

/// Figures that change all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Devices watched.
    pub devices: u32,
    /// Of them, those that answer.
    pub up: u32,
    /// Polls finished since start.
    pub polls_total: u64,
    /// Polls that did not finish in time, or could not start.
    pub polls_overran_total: u64,
    /// Samples read since start.
    pub samples_total: u64,
    /// Devices with more interfaces than are watched of one.
    pub devices_too_wide: u32,
    /// Times that a device was found and not watched, because there are as many as there may be.
    pub turned_away_total: u64,
}

/// The handle of the monitor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor {
    commands: mpsc::Sender<Command>,
    totals: watch::Receiver<Totals>,
    detector: Arc<Mutex<Detector>>,
    highest: Arc<AtomicU32>,
    clock: Clock,
}

impl Monitor {
    /// From here on the site is worked like this.
    pub async fn set_site(&self, site: Arc<Site>) {
        self.send(Command::Site(site)).await;
    }

    /// Discovery met something. Returns which device it is; `None` when the monitor has ended.
    ///
    /// `None`: it is not watched, there are as many devices as there may be.
    pub async fn found(&self, found: Found) -> Option<DeviceNo> {
        let (tell, answer) = oneshot::channel();
        self.send(Command::Found(Box::new(found), tell)).await;
        answer.await.ok()
    }

    /// Discovery learnt who is around a device.
    pub async fn around(&self, device: DeviceNo, around: Around) {
        self.send(Command::Around(device, Box::new(around))).await;
    }

    /// Discovery learnt something of addresses, and is at this place.
    pub async fn addresses(&self, records: Vec<AddressRecord>, place: Option<Place>) {
        self.send(Command::Addresses(records, place)).await;
    }

    /// What is known of these addresses, in their order.
    pub async fn known(&self, addresses: Vec<IpAddr>) -> Vec<Option<Known>> {
        let (tell, answer) = oneshot::channel();
        let none = vec![None; addresses.len()];
        self.send(Command::Known(addresses, tell)).await;
        answer.await.unwrap_or(none)
    }

    /// A person asked to forget these devices.
    pub async fn forget(&self, devices: Vec<DeviceNo>) {
        self.send(Command::Forget(devices)).await;
    }

    /// All current states, from memory.
    #[must_use]
    pub fn states(&self) -> (Vec<DeviceNow>, Vec<InterfaceNow>) {
        let now = Moment {
            wall: self.clock.now(),
            boot_ms: self.clock.boot_ms(),
        };
        work::lock(&self.detector).snapshot(now)
    }

    /// The highest device number ever given here.
    #[must_use]
    pub fn highest_device_no(&self) -> u32 {
        self.highest.load(Ordering::Relaxed)
    }

    /// All devices, for people.
    pub async fn listing(&self) -> Listing {
        let (tell, answer) = oneshot::channel();
        self.send(Command::Listing(tell)).await;
        answer.await.unwrap_or_default()
    }

    /// Takes over what Central knows of this probe's devices; numbers go on above `highest`.
    pub async fn restore(&self, records: Vec<DeviceRecord>, highest: u32) {
        let (tell, answer) = oneshot::channel();
        self.send(Command::Restore(records, highest, tell)).await;
        let _ = answer.await;
    }

    /// Nothing was sampled since then although there were devices to ask: the store that knew them was lost.
    pub async fn off_since(&self, from: Timestamp) {
        self.send(Command::OffSince(from)).await;
    }

    /// The figures now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.totals.borrow()
    }

    async fn send(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::debug!("the monitor has ended");
        }
    }
}

/// Whether a state is one in which a device is alive.
const fn is_alive(state: DeviceState) -> bool {
    matches!(state, DeviceState::Up | DeviceState::Degraded)
}

/// Commands that may wait: discovery waits when the monitor is busy.
const COMMANDS: usize = 256;
