//! What goes wrong.

use std::collections::BTreeSet;

use super::*;

impl World {
    pub(super) fn fault(&mut self) {
        let at = self.rng.index(self.probers.len());
        match self.rng.below(14) {
            0..3 => self.lose_connection(at),
            3..5 => self.crash_probe(at),
            5..7 => self.crash_central(),
            7 => self.network_up_at = self.now + self.rng.below(90_000).cast_signed(),
            8 if self.weather.full_disks => {
                self.disk_full_until = self.now + self.rng.below(30_000).cast_signed();
                note!(self, "disk full until {}", self.disk_full_until);
            }
            9 => {
                let prober = &self.probers[at];
                if self.weather.rollbacks {
                    self.spool_copies.push((at, prober.spool.clone()));
                }
                if let Some(process) = &prober.process
                    && (self.weather.clones || self.weather.rollbacks)
                {
                    let copy = (at, prober.spool.clone(), process.clone());
                    self.vm_copies.push(copy);
                }
                if self.weather.restores {
                    self.backups.push(self.files.clone());
                }
                note!(self, "copies are made");
            }
            10 if self.weather.rollbacks => self.roll_back(at),
            11 if self.weather.clones => self.clone_or_end(at),
            12 if self.weather.restores => self.restore_central(),
            13 if self.weather.rollbacks && self.rng.one_in(3) => {
                note!(self, "the spool of #{at} is deleted");
                self.crash_probe(at);
                self.probers[at].spool = Spool::default();
                self.destroy(self.probers[at].probe);
            }
            _ => {}
        }
    }

    pub(super) fn lose_connection(&mut self, at: usize) {
        let Some(id) = self.probers[at]
            .process
            .as_ref()
            .and_then(|process| process.conn)
        else {
            return;
        };
        note!(self, "the connection of #{at} is lost");
        if let Some(conn) = self.conns.get_mut(&id) {
            // What was under way may still arrive, up to some point.
            for queue in &mut conn.up {
                let kept = self.rng.index(queue.len() + 1);
                queue.truncate(kept);
            }
        }
        self.probe_closed(at, Closed::Lost);
    }

    pub(super) fn crash_probe(&mut self, at: usize) {
        self.lose_connection(at);
        note!(self, "#{at} crashes");
        let down = self.rng.below(60_000).cast_signed();
        self.probers[at].process = None;
        self.probers[at].up_at = self.now + down;
    }

    pub(super) fn crash_central(&mut self) {
        note!(self, "Central crashes");
        self.zombies.clear();
        let ids: Vec<usize> = self.conns.keys().copied().collect();
        for id in ids {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.session = None;
                conn.closed.get_or_insert(None);
                for queue in &mut conn.down {
                    let kept = self.rng.index(queue.len() + 1);
                    queue.truncate(kept);
                }
            }
        }
        self.central_up_at = self.now + self.rng.below(40_000).cast_signed();
    }

    pub(super) fn roll_back(&mut self, at: usize) {
        let probe = self.probers[at].probe;
        if self.rng.one_in(2) {
            let copies: Vec<usize> = (0..self.spool_copies.len())
                .filter(|n| self.spool_copies[*n].0 == at)
                .collect();
            if !copies.is_empty() {
                let copy = self.spool_copies[copies[self.rng.index(copies.len())]]
                    .1
                    .clone();
                self.crash_probe(at);
                self.probers[at].spool = copy;
                note!(
                    self,
                    "#{at} is rolled back, lease {}",
                    self.probers[at].spool.lease
                );
            }
        } else {
            let copies: Vec<usize> = (0..self.vm_copies.len())
                .filter(|n| self.vm_copies[*n].0 == at)
                .collect();
            if !copies.is_empty() {
                let (_, spool, process) =
                    self.vm_copies[copies[self.rng.index(copies.len())]].clone();
                self.lose_connection(at);
                self.resume(at, spool, process);
                note!(
                    self,
                    "#{at} is resumed from a snapshot, lease {}",
                    self.probers[at].spool.lease
                );
            }
        }
        self.destroy(probe);
    }

    pub(super) fn resume(&mut self, at: usize, spool: Spool, process: Process) {
        let conn = process.conn;
        self.probers[at].spool = spool;
        self.probers[at].process = Some(Process {
            conn: None,
            ..process
        });
        if conn.is_some() {
            self.probe_closed(at, Closed::Lost);
        }
    }

    /// A second holder of the same identity begins, or one of two ends for good.
    pub(super) fn clone_or_end(&mut self, at: usize) {
        let probe = self.probers[at].probe;
        let others = self
            .probers
            .iter()
            .filter(|other| other.probe == probe && !other.gone);
        if others.count() > 1 {
            if self.rng.one_in(4) {
                self.crash_probe(at);
                self.probers[at].gone = true;
                self.probers[at].spool = Spool::default();
                note!(self, "#{at} is gone for good");
                self.destroy(probe);
            }
            return;
        }
        let Some((_, spool, process)) = self
            .vm_copies
            .iter()
            .rev()
            .find(|copy| copy.0 == at)
            .cloned()
        else {
            return;
        };
        let twin = self.probers.len();
        self.probers.push(Prober {
            probe,
            spool: Spool::default(),
            process: None,
            gone: false,
            up_at: 0,
        });
        self.resume(twin, spool, process);
        note!(self, "#{twin} is a clone of #{at}");
    }

    pub(super) fn restore_central(&mut self) {
        if self.backups.is_empty() {
            return;
        }
        self.crash_central();
        let (one, other) = (
            self.rng.index(self.backups.len()),
            self.rng.index(self.backups.len()),
        );
        match self.rng.below(3) {
            0 => self.files.events = self.backups[one].events.clone(),
            1 => self.files.samples = self.backups[one].samples.clone(),
            _ => {
                self.files.events = self.backups[one].events.clone();
                self.files.samples = self.backups[other].samples.clone();
            }
        }
        note!(self, "Central is restored from backups {one}, {other}");
    }

    /// What no living store holds cannot be sent again by anybody.
    pub(super) fn destroy(&mut self, probe: usize) {
        let held: BTreeSet<u64> = self
            .probers
            .iter()
            .filter(|prober| prober.probe == probe && !prober.gone)
            .flat_map(|prober| prober.spool.rows.values().map(|row| row.content.id))
            .collect();
        for (id, truth) in self.truths.0.iter_mut().enumerate() {
            if truth.probe == probe && !held.contains(&(id as u64)) {
                truth.destroyed = true;
            }
        }
    }
}
