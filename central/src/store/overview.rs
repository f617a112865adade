//! What is wrong now, per customer and site, worst first.

use std::collections::HashMap;
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, SiteId};
use farwatch_shared::model::DeviceState;
use rusqlite::Connection;
use serde::Serialize;
use utoipa::ToSchema;

use super::devices::{DeviceFilter, Listed, listed};
use super::presence::{DevicePresence, Heard};
use super::strips::{Day, DayCache};
use super::value::{Counts, Id, State, Time, count};
use super::{customers, sites};
use crate::scope::Scope;

/// One customer in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CustomerRow {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// For people.
    pub note: String,
    /// When it was made.
    pub created_at: Time,
    /// The worst state of its devices; `up` without devices.
    pub state: State,
    /// Sites.
    pub sites: u64,
    /// Devices.
    pub devices: u64,
    /// Devices per state.
    pub counts: Counts,
    /// As of a device: the worst per half hour.
    pub strip: String,
    /// Share of the known time of the last 24 h in which its devices answered.
    #[schema(required)]
    pub availability_24h: Option<f64>,
}

/// One site in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteRow {
    /// Its id.
    pub id: Id,
    /// Whose.
    pub customer_id: Id,
    /// Whose, by name.
    pub customer_name: String,
    /// Its name.
    pub name: String,
    /// IANA name of its time zone.
    pub time_zone: String,
    /// For people.
    pub note: String,
    /// When it was made.
    pub created_at: Time,
    /// The worst state of its devices; `up` without devices.
    pub state: State,
    /// Probes that are not revoked.
    pub probes: u64,
    /// Devices.
    pub devices: u64,
    /// Devices per state.
    pub counts: Counts,
    /// As of a device: the worst per half hour.
    pub strip: String,
    /// Share of the known time of the last 24 h in which its devices answered.
    #[schema(required)]
    pub availability_24h: Option<f64>,
}

/// All devices of a scope, read once, with their states and days.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The devices.
    pub devices: Vec<Listed>,
    /// Who was heard when.
    pub presence: DevicePresence,
    days: Arc<HashMap<DeviceId, Day>>,
}

/// What many devices are together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    counts: Counts,
    day: Day,
}

impl Sum {
    fn state(&self) -> State {
        State(self.counts.worst().unwrap_or(DeviceState::Up))
    }
}

impl Fleet {
    /// Reads them.
    ///
    /// # Errors
    /// SQLite's.
    pub fn read(
        c: &Connection,
        scope: &Scope,
        which: DeviceFilter,
        heard: &Heard,
        days: &DayCache,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let presence = DevicePresence::read(c, heard)?;
        let devices = listed(c, scope, which, &presence, now)?;
        let days = days.get(c, now)?;
        Ok(Self {
            devices,
            presence,
            days,
        })
    }

    /// The last 24 hours of a device.
    #[must_use]
    pub fn day(&self, device: DeviceId) -> Option<&Day> {
        self.days.get(&device)
    }

    /// Devices per state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for device in &self.devices {
            counts.add(device.state);
        }
        counts
    }

    fn sums<K: Eq + std::hash::Hash>(&self, key: impl Fn(&Listed) -> K) -> HashMap<K, Sum> {
        let mut sums: HashMap<K, Sum> = HashMap::new();
        for device in &self.devices {
            let sum = sums.entry(key(device)).or_default();
            sum.counts.add(device.state);
            let day = self.day(device.id).copied().unwrap_or_default();
            sum.day.merge(&day.with_now(device.state));
        }
        sums
    }

    /// Every customer of the scope, worst first, then by name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn customers(&self, c: &Connection, scope: &Scope) -> rusqlite::Result<Vec<CustomerRow>> {
        let sums: HashMap<CustomerId, Sum> = self.sums(|device| device.customer);
        let site_counts: HashMap<CustomerId, u64> = c
            .prepare_cached("SELECT customer_id, count(*) FROM sites GROUP BY customer_id")?
            .query_map([], |row| Ok((row.get(0)?, count(row, 1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut rows: Vec<CustomerRow> = customers::list(c, scope)?
            .into_iter()
            .map(|customer| {
                let sum = sums.get(&customer.id).copied().unwrap_or_default();
                CustomerRow {
                    id: customer.id.into(),
                    name: customer.name,
                    note: customer.note,
                    created_at: customer.created_at,
                    state: sum.state(),
                    sites: site_counts.get(&customer.id).copied().unwrap_or(0),
                    devices: sum.counts.total(),
                    counts: sum.counts,
                    strip: sum.day.strip(),
                    availability_24h: sum.day.availability(),
                }
            })
            .collect();
        rows.sort_by_cached_key(|row| (row.state, row.name.to_lowercase()));
        Ok(rows)
    }

    /// Every site of the scope (of one customer), worst first, then by name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sites(
        &self,
        c: &Connection,
        scope: &Scope,
        customer: Option<CustomerId>,
    ) -> rusqlite::Result<Vec<SiteRow>> {
        let sums: HashMap<SiteId, Sum> = self.sums(|device| device.site);
        let mut rows: Vec<SiteRow> = sites::list(c, scope, customer)?
            .into_iter()
            .map(|site| {
                let sum = sums.get(&site.id).copied().unwrap_or_default();
                SiteRow {
                    id: site.id.into(),
                    customer_id: site.customer_id.into(),
                    customer_name: site.customer_name,
                    name: site.name,
                    time_zone: site.time_zone,
                    note: site.note,
                    created_at: site.created_at,
                    state: sum.state(),
                    probes: site.probes,
                    devices: sum.counts.total(),
                    counts: sum.counts,
                    strip: sum.day.strip(),
                    availability_24h: sum.day.availability(),
                }
            })
            .collect();
        rows.sort_by_cached_key(|row| (row.state, row.name.to_lowercase()));
        Ok(rows)
    }
}
