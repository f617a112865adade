//! What came back becomes samples, states and records.

use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{DeviceNo, GapReason, InstanceNo};

use super::super::layout::Port;
use super::super::pending::{PingReading, PollReading};
use super::super::ping_round::{PingJob, Pinged};
use super::super::poll::{PollAnswer, PollOutcome};
use super::super::schedule::{Key, Work};
use super::Working;
use crate::detect::{By, Moment, Outcome, Seen};
use crate::inventory::facts::{Around, Facts};
use crate::inventory::{Found, FoundSnmp, facts, interfaces};

impl Working {
    pub(super) async fn polled(
        &mut self,
        key: Key,
        slot_s: i64,
        ports: Arc<[Port]>,
        outcome: PollOutcome,
        at: Moment,
    ) {
        self.totals.polls_total += 1;
        let device = key.device;
        if self.inventory.get(device).is_none() {
            return;
        }
        if !self.may_ask(device) {
            self.missed(key, slot_s, 1, GapReason::NotPermitted);
            return;
        }
        match outcome {
            PollOutcome::Silent => {
                self.missed(key, slot_s, 1, GapReason::NoResponse);
                let out = self.states().seen(device, By::Snmp, Seen::Silence, at);
                self.tell(out).await;
            }
            PollOutcome::Refused(why) => {
                self.missed(key, slot_s, 1, GapReason::NoResponse);
                let out = self
                    .states()
                    .seen(device, By::Snmp, Seen::Refusal(&why), at);
                self.tell(out).await;
            }
            PollOutcome::Read(answer) => self.read(key, slot_s, ports, *answer, at).await,
        }
    }

    pub(super) async fn read(
        &mut self,
        key: Key,
        slot_s: i64,
        ports: Arc<[Port]>,
        mut answer: PollAnswer,
        at: Moment,
    ) {
        let no = key.device;
        let mut out = self.states().seen(no, By::Snmp, Seen::Answer, at);
        if let Some(ticks) = answer.uptime_ticks {
            out.extend(self.states().uptime(no, ticks, at));
            self.uptimes.insert(no, ticks);
        }
        if let Some((rows, changed)) = answer.rows.take() {
            self.rows_read_again(no, &ports, rows, changed, &mut answer)
                .await;
        }
        if let Some(device) = self.inventory.get(no) {
            for (instance, admin, oper) in &answer.states {
                let told = self.states().interface(
                    no,
                    *instance,
                    || device.interface_name(*instance),
                    *admin,
                    *oper,
                    at,
                );
                out.extend(told);
            }
        }
        self.totals.samples_total += answer.raw.iter().flatten().count() as u64;
        let slot = Timestamp::from_secs(slot_s);
        self.pending.poll(PollReading {
            device: no,
            ports,
            rhythm: self.rhythm(key),
            slot_s,
            offset_ms: i32::try_from(at.wall.since(slot)).unwrap_or(0),
            at_ms: at.boot_ms,
            uptime_ticks: answer.uptime_ticks,
            raw: answer.raw,
            discontinuity: answer.discontinuity,
            missing: if answer.overran {
                GapReason::Overran
            } else {
                GapReason::Partial
            },
        });
        self.totals.polls_overran_total += u64::from(answer.overran);
        self.measuring.entry(no).or_default().spent += answer.spent;
        if self.inventory.poll_cost(no, answer.cost) {
            self.store_devices(&[no], Vec::new(), Vec::new()).await;
        }
        self.tell(out).await;
    }

    /// The interface table may have been renumbered: values whose index means another interface now are taken back.
    pub(super) async fn rows_read_again(
        &mut self,
        no: DeviceNo,
        polled: &[Port],
        rows: Vec<facts::InterfaceFacts>,
        changed: Option<u32>,
        answer: &mut PollAnswer,
    ) {
        let Some(device) = self.inventory.get(no) else {
            return;
        };
        let matched = interfaces::match_interfaces(&device.interfaces(), &rows);
        let moved = polled.iter().any(|port| {
            matched
                .ports
                .iter()
                .find(|now| now.instance == port.instance)
                .is_none_or(|now| now.if_index != port.if_index)
        });
        if moved {
            answer.distrust();
        }
        let gone: Vec<_> = matched
            .records
            .iter()
            .filter(|record| !record.present)
            .map(|record| InstanceNo(record.instance))
            .collect();
        for instance in gone {
            self.states().forget_interface(no, instance);
        }
        if self
            .inventory
            .renumbered(no, matched, changed, self.clock.now())
        {
            self.store_devices(&[no], Vec::new(), Vec::new()).await;
        }
    }

    pub(super) async fn pinged(&mut self, answers: Vec<(PingJob, Pinged)>, sent: Moment) {
        let mut all = Outcome::default();
        let seen_at = self.now();
        let sent = self.moment_now(sent);
        for (mut job, pinged) in answers {
            let key = Key {
                device: job.device,
                work: Work::Ping,
            };
            job.slot_s = job.slot_s.map(|slot_s| self.slot_now(slot_s, key));
            if let Some(slot_s) = job.slot_s {
                self.under_way.remove(&(slot_s, key));
                self.schedule.finished(key);
            }
            if self.inventory.get(job.device).is_none() {
                continue;
            }
            let pinged = match pinged {
                _ if !self.may_ask(job.device) => Pinged::NotPermitted,
                pinged => pinged,
            };
            let (seen, rtt_us) = match pinged {
                Pinged::Answer { rtt_us } => (Seen::Answer, Some(rtt_us)),
                Pinged::Silence => (Seen::Silence, None),
                Pinged::NotPermitted => {
                    if let Some(slot_s) = job.slot_s {
                        self.missed(key, slot_s, 1, GapReason::NotPermitted);
                    }
                    continue;
                }
            };
            if let Some(slot_s) = job.slot_s {
                self.totals.samples_total += 1 + u64::from(rtt_us.is_some());
                self.pending.ping(PingReading {
                    device: job.device,
                    rhythm: self.rhythm(key),
                    slot_s,
                    offset_ms: i32::try_from(sent.wall.since(Timestamp::from_secs(slot_s)))
                        .unwrap_or(0),
                    rtt_us,
                });
            }
            all.extend(self.states().seen(job.device, By::Ping, seen, seen_at));
        }
        self.tell(all).await;
    }

    pub(super) async fn inventoried(&mut self, no: DeviceNo, facts: Facts, around: Around) {
        let Some(device) = self.inventory.get(no) else {
            return;
        };
        let found = Found {
            address: device.address,
            ping: None,
            snmp: Some(FoundSnmp {
                port: device.record.snmp_port,
                credential: device.record.credential.clone(),
                version: device.record.snmp.clone(),
                security: device.record.snmp_security.clone(),
                facts,
            }),
            by_person: false,
            at: self.clock.now(),
        };
        let no = self.observe(found).await;
        self.around(no, around).await;
    }
}
