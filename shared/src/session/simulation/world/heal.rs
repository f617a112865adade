//! No more faults: all that can be delivered is.

use std::collections::BTreeMap;

use super::*;

impl World {
    /// No more faults: all that can be delivered is, within a bounded time.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        note!(self, "the storm is over");
        (self.central_up_at, self.network_up_at, self.disk_full_until) = (0, 0, 0);
        self.weather.faults = 0;
        self.weather.poison = 0;
        let all: Vec<usize> = (0..self.probers.len())
            .filter(|at| !self.probers[*at].gone)
            .collect();
        let mut probes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in all {
            probes.entry(self.probers[at].probe).or_default().push(at);
        }
        // Of several holders one after the other.
        let rounds = probes.values().map(Vec::len).max().unwrap_or(0);
        for round in 0..rounds {
            for holders in probes.values() {
                for (n, at) in holders.iter().enumerate() {
                    if n == round || holders.len() == 1 {
                        self.probers[*at].up_at = 0;
                    } else if n > round || holders.len() > 1 {
                        self.lose_connection(*at);
                        self.probers[*at].process = None;
                        self.probers[*at].up_at = i64::MAX;
                    }
                }
            }
            let ats: Vec<usize> = probes
                .values()
                .filter_map(|holders| holders.get(if holders.len() == 1 { 0 } else { round }))
                .copied()
                .collect();
            self.drain(&ats)?;
        }
        super::super::check::at_rest(self)
    }

    pub(super) fn drain(&mut self, ats: &[usize]) -> Result<(), String> {
        let mut idle = 0;
        for turn in 0..6_000u64 {
            self.quiet = turn > 200;
            let mut moved = false;
            if turn % 16 == 0 {
                self.advance(if turn < 2_000 { 700 } else { 5_000 });
            }
            for at in ats {
                self.prober_step(*at);
            }
            let open: Vec<usize> = self.conns.keys().copied().collect();
            for id in open {
                for _ in 0..6 {
                    self.deliver(id);
                }
            }
            for _ in 0..4 {
                self.central_step();
            }
            moved |= !ats.iter().all(|at| self.is_drained(*at));
            idle = if moved { 0 } else { idle + 1 };
            self.check_always()?;
            if idle > 24 && self.quiet {
                return Ok(());
            }
        }
        let stuck = ats
            .iter()
            .find(|at| !self.is_drained(**at))
            .copied()
            .unwrap_or(0);
        Err(format!(
            "nothing moves any more: {}",
            self.why_not_drained(stuck)
        ))
    }

    pub(super) fn is_drained(&self, at: usize) -> bool {
        let prober = &self.probers[at];
        let Some(process) = &prober.process else {
            return false;
        };
        let settled = prober.spool.rows.values().all(|row| row.acked_ms.is_some());
        process.conn.is_some()
            && process.ops.is_empty()
            && process.sender.is_open()
            && settled
            && prober.spool.dropped.is_empty()
    }

    pub(super) fn why_not_drained(&self, at: usize) -> String {
        let prober = &self.probers[at];
        let waiting: Vec<String> = prober
            .spool
            .rows
            .iter()
            .filter(|(_, row)| row.acked_ms.is_none())
            .map(|(key, _)| key.to_string())
            .take(5)
            .collect();
        let process = prober.process.as_ref();
        format!(
            "#{at} conn {:?} open {:?} undecided {:?} waiting {waiting:?} dropped {:?}",
            process.map(|process| process.conn),
            process.map(|process| process.sender.is_open()),
            process.map(|process| process.sender.undecided()),
            prober.spool.dropped
        )
    }
}
