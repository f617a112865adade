//! Who was heard when: what makes a state `unknown`.

use std::collections::HashMap;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{DeviceId, ProbeId};
use farwatch_shared::model::{DeviceNo, DeviceState};
use rusqlite::Connection;

/// After this long without a word from the probe, its devices are `unknown`.
pub const SILENT_MS: i64 = 60_000;

/// Until when each probe's states are known to be current. What memory knows takes the place of what the table knows: it
/// follows the clock when that is set.
#[derive(Clone, Debug, Default)]
pub struct Heard(pub HashMap<ProbeId, Timestamp>);

/// For each device, when any of its probes was last heard, and its number there.
#[derive(Clone, Debug, Default)]
pub struct DevicePresence {
    of: HashMap<DeviceId, Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    heard: Timestamp,
    sources: Vec<(ProbeId, DeviceNo)>,
}

impl DevicePresence {
    /// Reads which probe watches which device, and when it was last heard.
    ///
    /// # Errors
    /// SQLite's.
    pub fn read(c: &Connection, live: &Heard) -> rusqlite::Result<Self> {
        let mut probes = HashMap::new();
        let mut statement = c.prepare_cached("SELECT id, last_heard_ms, revoked_ms FROM probes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: ProbeId = row.get(0)?;
            let stored: Option<Timestamp> = row.get(1)?;
            let revoked: Option<Timestamp> = row.get(2)?;
            let heard = match revoked {
                Some(_) => Timestamp(0),
                None => live.0.get(&id).copied().or(stored).unwrap_or_default(),
            };
            probes.insert(id, heard);
        }
        let mut of: HashMap<DeviceId, Known> = HashMap::new();
        let mut statement = c.prepare_cached(
            "SELECT device_id, probe_id, device_no FROM device_numbers INDEXED BY device_numbers_by_device",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let device: DeviceId = row.get(0)?;
            let probe: ProbeId = row.get(1)?;
            let at = probes.get(&probe).copied().unwrap_or_default();
            let known = of.entry(device).or_default();
            known.heard = known.heard.max(at);
            known.sources.push((probe, row.get(2)?));
        }
        Ok(Self { of })
    }

    /// When any probe of this device was last heard.
    #[must_use]
    pub fn heard(&self, device: DeviceId) -> Timestamp {
        self.of
            .get(&device)
            .map_or(Timestamp(0), |known| known.heard)
    }

    /// Which probes watch it, under which number.
    #[must_use]
    pub fn sources(&self, device: DeviceId) -> &[(ProbeId, DeviceNo)] {
        self.of.get(&device).map_or(&[], |known| &known.sources)
    }

    /// The state to show: muted by a person, else unknown when its probe is silent, else what the probe said.
    #[must_use]
    pub fn state(
        &self,
        device: DeviceId,
        said: DeviceState,
        muted_until: Option<Timestamp>,
        now: Timestamp,
    ) -> DeviceState {
        if muted_until.is_some_and(|until| until > now) {
            return DeviceState::Maintenance;
        }
        if now.since(self.heard(device)) >= SILENT_MS {
            return DeviceState::Unknown;
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_probe_makes_its_devices_unknown_and_a_mute_wins() {
        let device = DeviceId::generate();
        let presence = DevicePresence {
            of: HashMap::from([(
                device,
                Known {
                    heard: Timestamp(100_000),
                    sources: Vec::new(),
                },
            )]),
        };
        let state = |muted, now| presence.state(device, DeviceState::Up, muted, Timestamp(now));
        assert_eq!(state(None, 159_999), DeviceState::Up);
        assert_eq!(state(None, 160_000), DeviceState::Unknown);
        assert_eq!(
            state(Some(Timestamp(170_000)), 160_001),
            DeviceState::Maintenance
        );
        assert_eq!(state(Some(Timestamp(150_000)), 150_000), DeviceState::Up);
    }
}
