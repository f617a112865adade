//! Whose fault it is that a device is silent: its own, its parent's, or that of the way into the site.

use std::collections::BTreeSet;

use farwatch_shared::model::{DeviceNo, DeviceState};

use super::{By, Detector, Moment, Outcome, RETRY_MS};

/// Whose fault a silence is.
pub(super) enum Blame {
    Itself,
    Parent(DeviceNo),
    /// Nothing at this site answers: the probe's own cable, or what the whole site hangs on.
    Way,
    /// Others are being asked.
    Unclear,
}

/// What is known of the way from the probe into the site.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    /// When any device was last heard, boot-time clock, ms.
    heard_ms: Option<i64>,
    /// Devices that wait until somebody else is heard.
    waiting: BTreeSet<DeviceNo>,
    /// It is what devices are unreachable for.
    is_cut: bool,
    /// When witnesses were asked, boot-time clock, ms.
    asked_ms: Option<i64>,
}

/// Why a device is unreachable when nothing is heard of anything.
pub(super) const WAY: &str =
    "nothing at this site answers: the probe's own cable, or what the whole site hangs on";
/// So many devices are asked before the way is blamed, spread over all.
const WITNESSES: usize = 50;
/// They are not asked more often than this.
const ASK_EVERY_MS: i64 = 2_000;

impl Detector {
    /// Whose fault it is that a device is silent.
    pub(super) fn blame(&mut self, no: DeviceNo, now: Moment, out: &mut Outcome) -> Blame {
        if self.parents.get(&no).is_none_or(Vec::is_empty) {
            return self.blame_way(no, now, out);
        }
        let (Some(device), Some(parents)) = (self.devices.get(&no), self.parents.get(&no)) else {
            return Blame::Itself;
        };
        let since_ms = device.silent_since_ms();
        let mut cause = None;
        let mut unheard = Vec::new();
        for (parent_no, parent) in parents
            .iter()
            .filter_map(|no| Some((*no, self.devices.get(no)?)))
            .filter(|(_, parent)| parent.ping.is_judged() || parent.snmp.is_judged())
        {
            match parent.state {
                DeviceState::Down if parent.is_dead() => cause = Some(parent_no),
                DeviceState::Unreachable if parent.is_dead() => cause = Some(parent.behind),
                _ if parent.last_heard_ms() > since_ms => return Blame::Itself,
                _ => unheard.push((parent_no, parent)),
            }
        }
        if unheard.is_empty() {
            return match cause {
                None => Blame::Itself,
                Some(DeviceNo(0)) => Blame::Way,
                Some(parent) => Blame::Parent(parent),
            };
        }
        if device.held_until_ms.is_some_and(|at| at <= now.boot_ms) {
            return Blame::Itself;
        }
        if device.held_until_ms.is_none() {
            for (parent_no, parent) in unheard {
                let by = if parent.ping.is_judged() {
                    By::Ping
                } else {
                    By::Snmp
                };
                out.ask(parent_no, by, now.boot_ms);
            }
        }
        Blame::Unclear
    }

    /// What a device's news mean for those behind it.
    pub(super) fn judge_children(
        &mut self,
        no: DeviceNo,
        was_dead: bool,
        now: Moment,
        out: &mut Outcome,
    ) {
        let mut ahead = vec![no];
        let mut visited = vec![no];
        while let Some(parent) = ahead.pop() {
            let dead = self
                .devices
                .get(&parent)
                .is_some_and(|device| device.is_dead());
            for child in self.children.get(&parent).cloned().unwrap_or_default() {
                let Some(device) = self.devices.get_mut(&child) else {
                    continue;
                };
                let before = device.state;
                if device.held_until_ms.is_some() {
                    self.judge(child, now, out);
                } else if was_dead && !dead && before == DeviceState::Unreachable {
                    // Its way is open again: it is asked anew before anything is said of it.
                    for (means, by) in [(&mut device.ping, By::Ping), (&mut device.snmp, By::Snmp)]
                    {
                        if means.failed() {
                            means.forgive(now.boot_ms);
                            out.ask(child, by, now.boot_ms + RETRY_MS);
                        }
                    }
                }
                let after = self.devices.get(&child).map(|device| device.state);
                if after != Some(before) && !visited.contains(&child) {
                    visited.push(child);
                    ahead.push(child);
                }
            }
        }
    }

    /// A device without parents is silent. If others that hang on nothing known are silent with it, it is not the cause.
    fn blame_way(&mut self, no: DeviceNo, now: Moment, out: &mut Outcome) -> Blame {
        let Some(device) = self.devices.get(&no) else {
            return Blame::Itself;
        };
        let since_ms = device.silent_since_ms();
        let hold = device.held_until_ms;
        if self.way.heard_ms.is_some_and(|heard| heard > since_ms) {
            return Blame::Itself;
        }
        if self.way.is_cut {
            return Blame::Way;
        }
        let witnesses: Vec<_> = self
            .devices
            .iter()
            .filter(|(other, witness)| {
                **other != no
                    && witness.state != DeviceState::Down
                    && (witness.ping.counts() || witness.snmp.counts())
                    && self.parents.get(other).is_none_or(Vec::is_empty)
            })
            .map(|(other, witness)| (*other, witness.ping.counts()))
            .collect();
        if witnesses.is_empty() {
            return Blame::Itself;
        }
        match hold {
            Some(at) if at <= now.boot_ms => {
                self.way.waiting.remove(&no);
                self.way.is_cut = true;
                return Blame::Way;
            }
            _ if self
                .way
                .asked_ms
                .is_some_and(|at| now.boot_ms - at < ASK_EVERY_MS) => {}
            _ => {
                self.way.asked_ms = Some(now.boot_ms);
                let step = witnesses.len().div_ceil(WITNESSES);
                for (other, by_ping) in witnesses.into_iter().step_by(step) {
                    let by = if by_ping { By::Ping } else { By::Snmp };
                    out.ask(other, by, now.boot_ms);
                }
            }
        }
        self.way.waiting.insert(no);
        Blame::Unclear
    }

    /// Somebody was heard. Who only waited for that is judged; after an outage of the way itself, everybody whose silence
    /// it explains is asked anew before anything is said of them.
    pub(super) fn way_is_open(&mut self, now: Moment, out: &mut Outcome) {
        self.way.heard_ms = Some(now.boot_ms);
        let waiting = std::mem::take(&mut self.way.waiting);
        if !std::mem::take(&mut self.way.is_cut) {
            for no in waiting {
                self.judge(no, now, out);
            }
            return;
        }
        for (no, device) in &mut self.devices {
            let explained = device.state == DeviceState::Unreachable && device.behind.0 == 0;
            if !explained && !waiting.contains(no) {
                continue;
            }
            device.held_until_ms = None;
            for (means, by) in [(&mut device.ping, By::Ping), (&mut device.snmp, By::Snmp)] {
                if means.failed() {
                    means.forgive(now.boot_ms);
                    out.ask(*no, by, now.boot_ms + RETRY_MS);
                }
            }
        }
    }
}
