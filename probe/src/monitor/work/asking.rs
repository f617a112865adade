//! What is due is asked: pings, polls, inventories, and the cheap question to who is down.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::model::{DeviceNo, GapReason};
use tokio::time::Instant;

use super::super::layout::{Columns, Rhythm};
use super::super::pending::Missing;
use super::super::ping_round::PingJob;
use super::super::poll::{PollJob, PollOutcome};
use super::super::schedule::{Due, Key, Work};
use super::super::{ping_round, poll, schedule};
use super::{Done, INVENTORY_DEADLINE, VOLLEY, VOLLEY_EVERY, Working};
use crate::detect::{By, Moment};
use crate::inventory::around::around;
use crate::inventory::who::who;
use crate::snmp::{Limits, Target};

impl Working {
    pub(super) fn start(&mut self, due: Vec<Due>) {
        let mut pings = Vec::new();
        for due in due {
            match due {
                Due::Run { key, slot_s } => match key.work {
                    Work::Ping => self.start_ping(key, slot_s, &mut pings),
                    Work::Poll | Work::Readings => {
                        self.under_way.insert((slot_s, key));
                        self.waiting_polls.push_back((key, slot_s));
                    }
                    Work::Inventory => self.start_inventory(key.device),
                },
                Due::Missed {
                    key,
                    first_slot_s,
                    slots,
                } => self.missed(key, first_slot_s, slots, GapReason::Overran),
            }
        }
        self.send_pings(pings);
        if self.may_start() {
            self.start_waiting();
        }
    }

    /// Whether a poll waits, and only for its volley.
    pub(super) fn may_start(&self) -> bool {
        !self.waiting_polls.is_empty() && self.jobs.len() < self.load.polls_at_once
    }

    /// Starts polls that wait, as many as may be under way and leave in one volley.
    pub(super) fn start_waiting(&mut self) {
        let now = Instant::now();
        if now >= self.volley_at {
            self.volley = VOLLEY;
            self.volley_at = now + VOLLEY_EVERY;
        }
        while self.volley > 0
            && self.may_start()
            && let Some((key, slot_s)) = self.waiting_polls.pop_front()
        {
            self.volley -= 1;
            if key.work == Work::Readings {
                self.start_readings(key, slot_s);
            } else {
                self.start_poll(key, slot_s);
            }
        }
    }

    /// Slots of this work passed without a reading.
    pub(super) fn missed(&mut self, key: Key, first_slot_s: i64, slots: u32, reason: GapReason) {
        let columns = match key.work {
            Work::Ping if self.judged_by_ping(key.device) => Columns::Ping,
            Work::Poll => {
                let device = self.inventory.get(key.device);
                Columns::Poll(device.map_or_else(Arc::default, |d| d.private.ports.clone()))
            }
            Work::Readings => match self.measured(key.device) {
                Some(measured) => Columns::Readings(measured.described.gauges.clone()),
                None => return,
            },
            _ => return,
        };
        if reason == GapReason::Overran {
            self.totals.polls_overran_total += u64::from(slots);
        }
        self.pending.missing(Missing {
            device: key.device,
            columns,
            rhythm: self.rhythm(key),
            first_slot_s,
            slots,
            reason,
        });
    }

    pub(super) fn rhythm(&self, key: Key) -> Rhythm {
        let interval_s = match key.work {
            Work::Ping => self.site.icmp_interval_s,
            Work::Poll => self.site.poll_interval_s,
            Work::Readings => self.site.readings_interval_s(),
            Work::Inventory => self.site.inventory_interval_s,
        };
        Rhythm {
            interval_s,
            phase_s: schedule::phase(key, interval_s),
        }
    }

    pub(super) fn start_ping(&mut self, key: Key, slot_s: i64, pings: &mut Vec<PingJob>) {
        let Some(device) = self.inventory.get(key.device) else {
            return;
        };
        let (address, has_snmp) = (device.address, device.has_snmp());
        if !self.site.allows(address) {
            self.schedule.finished(key);
            self.missed(key, slot_s, 1, GapReason::NotPermitted);
        } else if self.judges(address) {
            self.under_way.insert((slot_s, key));
            pings.push(PingJob {
                device: key.device,
                address,
                slot_s: Some(slot_s),
            });
        } else if has_snmp {
            // Where ICMP says nothing, SNMP is asked as often: one cheap question.
            self.start_check(key.device, true);
        } else {
            self.schedule.finished(key);
        }
    }

    pub(super) fn send_pings(&mut self, jobs: Vec<PingJob>) {
        let Some(echo) = self.echo.clone().filter(|_| !jobs.is_empty()) else {
            return;
        };
        let sent = self.now();
        let interval = Duration::from_secs(self.site.icmp_interval_s.into());
        self.jobs.spawn(async move {
            Done::Pinged {
                answers: ping_round::round(&*echo, &jobs, interval).await,
                sent,
            }
        });
    }

    pub(super) fn start_poll(&mut self, key: Key, slot_s: i64) {
        self.under_way.insert((slot_s, key));
        let Some((target, device)) = self.target(key.device) else {
            self.under_way.remove(&(slot_s, key));
            self.schedule.finished(key);
            self.missed(key, slot_s, 1, GapReason::NotPermitted);
            self.not_asked(key.device);
            return;
        };
        let job = PollJob {
            device: key.device,
            target,
            ports: device.ports,
            table_changed: device.table_changed,
            uptime_before: self.uptimes.get(&key.device).copied(),
            cheap_first: self.states().snmp_failed(key.device),
            deadline: self.site.poll_deadline(),
        };
        let (snmp, clock) = (self.snmp.clone(), self.clock.clone());
        self.jobs.spawn(async move {
            // The engine keeps the deadline; this is for the day when it does not.
            let limit = job.deadline + Duration::from_secs(2);
            let outcome = tokio::time::timeout(limit, poll::poll(&*snmp, &job))
                .await
                .unwrap_or(PollOutcome::Silent);
            Done::Polled {
                key,
                slot_s,
                ports: job.ports,
                outcome,
                at: Moment {
                    wall: clock.now(),
                    boot_ms: clock.boot_ms(),
                },
            }
        });
    }

    /// A device that may not be asked any more must not look well for ever.
    pub(super) fn not_asked(&mut self, device: DeviceNo) {
        if !self.may_ask(device) {
            return; // it was told when the ranges changed
        }
        let at = self.now();
        let why = "its credential is not in the site's configuration any more".to_owned();
        self.jobs.spawn(async move {
            Done::Checked {
                device,
                scheduled: false,
                outcome: Err(PollOutcome::Refused(why)),
                at,
            }
        });
    }

    /// Where a device is asked; `None` when its credential is gone, or it may not be asked.
    pub(super) fn target(&self, no: DeviceNo) -> Option<(Target, crate::inventory::Private)> {
        let device = self.inventory.get(no)?;
        let credential = self.site.credential(&device.record.credential)?;
        self.site.allows(device.address).then(|| {
            (
                Target {
                    address: SocketAddr::new(device.address, device.record.snmp_port),
                    auth: credential.auth.clone(),
                },
                device.private.clone(),
            )
        })
    }

    pub(super) fn start_inventory(&mut self, no: DeviceNo) {
        let key = Key {
            device: no,
            work: Work::Inventory,
        };
        let Some((target, _)) = self.target(no).filter(|_| !self.states().snmp_failed(no)) else {
            self.schedule.finished(key);
            return;
        };
        let (snmp, profiles) = (self.snmp.clone(), self.profiles.clone());
        self.jobs.spawn(async move {
            let limits = Limits::default().with_deadline(INVENTORY_DEADLINE);
            let read = async {
                let facts = who(&*snmp, &profiles, &target, limits).await.ok()?;
                if facts.is_empty() {
                    return None;
                }
                let around = around(&*snmp, &target, limits, &facts.interfaces)
                    .await
                    .unwrap_or_default();
                Some(Box::new((facts, around)))
            };
            let read = tokio::time::timeout(INVENTORY_DEADLINE * 3, read)
                .await
                .unwrap_or(None);
            Done::Inventoried { device: no, read }
        });
    }

    pub(super) fn start_checks(&mut self) {
        let now_ms = self.clock.boot_ms();
        let mut pings = Vec::new();
        while let Some(Reverse((at, device, by))) = self.checks.peek().copied() {
            if at > now_ms {
                break;
            }
            self.checks.pop();
            match by {
                By::Ping => {
                    if let Some(known) = self.inventory.get(device)
                        && self.judges(known.address)
                        && self.site.allows(known.address)
                    {
                        pings.push(PingJob {
                            device,
                            address: known.address,
                            slot_s: None,
                        });
                    }
                }
                By::Snmp => self.start_check(device, false),
            }
        }
        self.send_pings(pings);
    }

    pub(super) fn start_check(&mut self, device: DeviceNo, scheduled: bool) {
        let Some((target, _)) = self.target(device) else {
            if scheduled {
                self.schedule.finished(Key {
                    device,
                    work: Work::Ping,
                });
            }
            return;
        };
        let (snmp, clock) = (self.snmp.clone(), self.clock.clone());
        self.jobs.spawn(async move {
            let outcome = poll::check(&*snmp, &target).await;
            Done::Checked {
                device,
                scheduled,
                outcome,
                at: Moment {
                    wall: clock.now(),
                    boot_ms: clock.boot_ms(),
                },
            }
        });
    }
}
