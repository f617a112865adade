//! The probes as they are now: who is connected, when each was last heard, what it said of itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::link::Transport;
use farwatch_shared::wire::message::session::Status;
use rusqlite::Connection;

use crate::scope::ProbeScope;
use crate::store::presence::SILENT_MS;

/// A probe is late when nothing was heard for this long.
pub(crate) const LATE_AFTER_MS: i64 = 30_000;

/// One probe now.
#[derive(Clone, Debug)]
pub struct ProbeNow {
    /// Whose.
    pub customer: CustomerId,
    /// Where.
    pub site: SiteId,
    /// Any frame counts.
    pub last_heard: Option<Timestamp>,
    /// Start of the running session.
    pub connected_since: Option<Timestamp>,
    /// Which connection that is, so that an old one leaving cannot mark the new one gone.
    pub connection: u64,
    /// From which address.
    pub peer: String,
    /// What carries the running session; `None` before the first.
    pub transport: Option<Transport>,
    /// What it last said of itself, and when.
    pub status: Option<(Timestamp, Status)>,
    /// Offset of its clock measured in this session, ms (positive: the probe is behind).
    pub clock_offset_ms: Option<i64>,
    /// The offset could not be measured in the same boot.
    pub clock_approximate: bool,
    /// Whether the watch has already called it silent.
    pub silent: bool,
    /// The last moment at which the states of its devices were known to be current: a session counts from its snapshot
    /// on, since what was shown before may have changed while nobody heard.
    pub states_as_of: Option<Timestamp>,
    /// Whether the running session has brought its snapshot.
    current: bool,
}

/// Where a session comes from.
#[derive(Clone, Copy, Debug)]
pub struct CameFrom<'a> {
    /// The address.
    pub peer: &'a str,
    /// What carries it.
    pub transport: Transport,
}

/// All probes, by id.
#[derive(Debug, Default)]
pub struct Probes {
    now: Mutex<Known>,
    /// `None`: times are taken as they are given.
    clock: Option<Clock>,
}

#[derive(Debug, Default)]
struct Known {
    probes: HashMap<ProbeId, ProbeNow>,
    /// Wall clock minus boot-time clock when these times were last right, ms.
    base_ms: i64,
}

/// A wall clock that is further from where it was was set; less is its own unsteadiness.
const WAS_SET_MS: i64 = 1_000;

impl Probes {
    /// As central.db has them: none is connected, and each was last heard when it was.
    pub(super) fn load(c: &Connection, clock: &Clock) -> rusqlite::Result<Self> {
        let mut now = HashMap::new();
        let started = clock.now();
        let mut rows = c.prepare("SELECT id, customer_id, site_id, last_heard_ms, peer_address, last_status FROM probes WHERE revoked_ms IS NULL")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            // Nobody was heard in the future: the clock was ahead when it was written.
            let last_heard = row
                .get::<_, Option<Timestamp>>(3)?
                .map(|at| at.min(started));
            let status: String = row.get(5)?;
            let status = serde_json::from_str(&status)
                .ok()
                .zip(last_heard)
                .map(|(status, at)| (at, status));
            let silent = c.query_row(
                "SELECT EXISTS (SELECT 1 FROM incidents WHERE kind = 'probe_silent' AND probe_id = ?1 AND resolved_ms IS NULL)",
                [row.get::<_, ProbeId>(0)?],
                |row| row.get(0),
            )?;
            now.insert(
                row.get(0)?,
                ProbeNow {
                    customer: row.get(1)?,
                    site: row.get(2)?,
                    last_heard,
                    connected_since: None,
                    connection: 0,
                    peer: row.get(4)?,
                    transport: None,
                    status,
                    clock_offset_ms: None,
                    clock_approximate: false,
                    silent,
                    states_as_of: last_heard,
                    current: false,
                },
            );
        }
        Ok(Self {
            now: Mutex::new(Known {
                probes: now,
                base_ms: base_ms(clock),
            }),
            clock: Some(clock.clone()),
        })
    }

    /// A session was accepted.
    pub fn connected(
        &self,
        scope: &ProbeScope,
        connection: u64,
        from: CameFrom<'_>,
        now: Timestamp,
    ) {
        let mut probes = self.lock();
        let probe = probes
            .entry(scope.probe())
            .or_insert_with(|| ProbeNow::new(scope));
        probe.connected_since = Some(now);
        probe.connection = connection;
        from.peer.clone_into(&mut probe.peer);
        probe.transport = Some(from.transport);
        probe.last_heard = Some(now);
        probe.silent = false;
        probe.current = false;
    }

    /// The running session's snapshot is committed: what is shown of its devices is true from now on.
    pub fn snapshot_committed(&self, probe: ProbeId, now: Timestamp) {
        if let Some(probe) = self.lock().get_mut(&probe) {
            probe.current = true;
            probe.hear(now);
        }
    }

    /// A frame came. Cheap: called for each.
    pub fn heard(&self, probe: ProbeId, now: Timestamp) {
        if let Some(probe) = self.lock().get_mut(&probe) {
            probe.hear(now);
        }
    }

    /// The probe says how it is.
    pub fn status(&self, probe: ProbeId, status: Status, now: Timestamp) {
        if let Some(probe) = self.lock().get_mut(&probe) {
            probe.status = Some((now, status));
            probe.hear(now);
        }
    }

    /// The clock was measured.
    pub fn clock(&self, probe: ProbeId, offset_ms: i64, approximate: bool) {
        if let Some(probe) = self.lock().get_mut(&probe) {
            (probe.clock_offset_ms, probe.clock_approximate) = (Some(offset_ms), approximate);
        }
    }

    /// A connection ended; nothing happens when a newer one has taken its place.
    pub fn disconnected(&self, probe: ProbeId, connection: u64) {
        if let Some(probe) = self.lock().get_mut(&probe)
            && probe.connection == connection
        {
            probe.connected_since = None;
            probe.current = false;
        }
    }

    /// A probe was revoked or deleted.
    pub fn forget(&self, probe: ProbeId) {
        self.lock().remove(&probe);
    }

    /// One probe now.
    #[must_use]
    pub fn get(&self, probe: ProbeId) -> Option<ProbeNow> {
        self.lock().get(&probe).cloned()
    }

    /// Every probe now.
    #[must_use]
    pub fn all(&self) -> Vec<(ProbeId, ProbeNow)> {
        self.lock()
            .iter()
            .map(|(id, probe)| (*id, probe.clone()))
            .collect()
    }

    /// Probes that have fallen silent and were not yet called so; they are from now on.
    pub(crate) fn newly_silent(&self, now: Timestamp) -> Vec<(ProbeId, ProbeNow)> {
        let mut probes = self.lock();
        let fallen = probes.iter_mut().filter(|(_, probe)| {
            !probe.silent && probe.last_heard.is_some() && probe.silent_at(now)
        });
        fallen
            .map(|(id, probe)| {
                probe.silent = true;
                (*id, probe.clone())
            })
            .collect()
    }

    /// The mark was not written: say it again next time.
    pub(crate) fn not_yet_silent(&self, probe: ProbeId) {
        if let Some(probe) = self.lock().get_mut(&probe) {
            probe.silent = false;
        }
    }

    /// When somebody has set the wall clock, every moment remembered here moves with it: how long ago a probe was heard
    /// is what counts, and a clock that is set back must not keep a silent probe's devices green, nor one that is set
    /// forward call everybody silent.
    fn lock(&self) -> MappedGuard<'_> {
        let mut known = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clock) = &self.clock {
            let base_ms = base_ms(clock);
            let moved = base_ms.saturating_sub(known.base_ms);
            if moved.saturating_abs() > WAS_SET_MS {
                known.base_ms = base_ms;
                known
                    .probes
                    .values_mut()
                    .for_each(|probe| probe.shift(moved));
            }
        }
        MappedGuard(known)
    }
}

fn base_ms(clock: &Clock) -> i64 {
    clock.now().ms().saturating_sub(clock.boot_ms())
}

/// The map under its lock.
struct MappedGuard<'a>(std::sync::MutexGuard<'a, Known>);

impl std::ops::Deref for MappedGuard<'_> {
    type Target = HashMap<ProbeId, ProbeNow>;
    fn deref(&self) -> &Self::Target {
        &self.0.probes
    }
}

impl std::ops::DerefMut for MappedGuard<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0.probes
    }
}

impl ProbeNow {
    /// Whether it has a session over TCP, because its network blocks UDP.
    #[must_use]
    pub fn is_over_tcp(&self) -> bool {
        self.connected_since.is_some() && self.transport == Some(Transport::Tcp)
    }

    fn new(scope: &ProbeScope) -> Self {
        Self {
            customer: scope.customer(),
            site: scope.site(),
            last_heard: None,
            connected_since: None,
            connection: 0,
            peer: String::new(),
            transport: None,
            status: None,
            clock_offset_ms: None,
            clock_approximate: false,
            silent: false,
            states_as_of: None,
            current: false,
        }
    }

    fn shift(&mut self, ms: i64) {
        let times = [
            &mut self.last_heard,
            &mut self.connected_since,
            &mut self.states_as_of,
        ];
        for at in times.into_iter().flatten() {
            *at = at.plus_ms(ms);
        }
        if let Some((at, _)) = &mut self.status {
            *at = at.plus_ms(ms);
        }
    }

    fn hear(&mut self, now: Timestamp) {
        self.last_heard = self.last_heard.max(Some(now));
        if self.current {
            self.states_as_of = self.last_heard;
        }
    }

    /// Whether nothing was heard for [`SILENT_MS`].
    #[must_use]
    pub fn silent_at(&self, now: Timestamp) -> bool {
        self.last_heard
            .is_none_or(|heard| now.since(heard) >= SILENT_MS)
    }

    /// `connected`, `late`, `silent`, `never_connected`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        match self.last_heard {
            None => "never_connected",
            Some(heard) if now.since(heard) >= SILENT_MS => "silent",
            Some(heard) if now.since(heard) >= LATE_AFTER_MS || self.connected_since.is_none() => {
                "late"
            }
            Some(_) => "connected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: CameFrom<'_> = CameFrom {
        peer: "",
        transport: Transport::Udp,
    };

    #[test]
    fn states_are_current_from_the_snapshot_on_not_from_the_hello() {
        let scope = ProbeScope::new(
            CustomerId::generate(),
            SiteId::generate(),
            ProbeId::generate(),
        );
        let probes = Probes::default();
        let as_of = || probes.get(scope.probe()).unwrap().states_as_of;
        probes.connected(&scope, 1, NOWHERE, Timestamp(1_000));
        probes.heard(scope.probe(), Timestamp(2_000));
        assert_eq!(as_of(), None);
        probes.snapshot_committed(scope.probe(), Timestamp(3_000));
        probes.heard(scope.probe(), Timestamp(4_000));
        assert_eq!(as_of(), Some(Timestamp(4_000)));
        probes.disconnected(scope.probe(), 1);
        probes.connected(&scope, 2, NOWHERE, Timestamp(200_000));
        probes.heard(scope.probe(), Timestamp(201_000));
        assert_eq!(as_of(), Some(Timestamp(4_000)));
    }

    #[test]
    fn a_clock_that_is_set_makes_nobody_silent_and_hides_no_silence() {
        let scope = ProbeScope::new(
            CustomerId::generate(),
            SiteId::generate(),
            ProbeId::generate(),
        );
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        let probes = Probes {
            now: Mutex::new(Known {
                probes: HashMap::new(),
                base_ms: base_ms(&clock),
            }),
            clock: Some(clock.clone()),
        };
        probes.connected(&scope, 1, NOWHERE, clock.now());
        for hours in [10 * 8_760, -10 * 8_760, 1, -1] {
            clock.advance(std::time::Duration::from_secs(50));
            clock.set_wall(clock.now().plus_ms(hours * 3_600_000));
            assert_eq!(probes.newly_silent(clock.now()).len(), 0, "{hours} h");
            assert_eq!(
                probes.get(scope.probe()).unwrap().state(clock.now()),
                "late"
            );
            clock.advance(std::time::Duration::from_secs(11));
            assert_eq!(probes.newly_silent(clock.now()).len(), 1, "{hours} h");
            probes.not_yet_silent(scope.probe());
            probes.heard(scope.probe(), clock.now());
        }
    }
}
