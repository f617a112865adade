//! Sensors, storage and processors: when they are found out, when read, and what Central is told of them.

use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{DeviceNo, GapReason};
use farwatch_shared::wire::encode;
use farwatch_shared::wire::message::batch::ReadingsRecord;
use sha2::{Digest as _, Sha256};

use super::super::gauge::Telling;
use super::super::keep::News;
use super::super::pending::GaugeReading;
use super::super::readings::{self, Measured, ReadingsAnswer, ReadingsJob};
use super::super::schedule::Key;
use super::{Done, INVENTORY_DEADLINE, Working};
use crate::detect::Moment;
use crate::inventory::store::Told;
use crate::snmp::Cost;

/// What is known of one device.
#[derive(Debug, Default)]
pub(super) struct Measuring {
    /// What it measures; `None` until it was asked.
    measured: Option<Arc<Measured>>,
    /// When that was found out, boot-time clock, ms.
    found_ms: i64,
    /// What asking it has cost since its last reading.
    pub(super) spent: Cost,
}

impl Working {
    /// What a device is known to measure.
    pub(super) fn measured(&self, no: DeviceNo) -> Option<&Arc<Measured>> {
        self.measuring.get(&no)?.measured.as_ref()
    }

    pub(super) fn start_readings(&mut self, key: Key, slot_s: i64) {
        self.under_way.insert((slot_s, key));
        let no = key.device;
        let target = self.target(no);
        let Some((target, _)) = target.filter(|_| !self.states().snmp_failed(no)) else {
            self.under_way.remove(&(slot_s, key));
            self.schedule.finished(key);
            let reason = match self.may_ask(no) {
                true => GapReason::NoResponse,
                false => GapReason::NotPermitted,
            };
            self.missed(key, slot_s, 1, reason);
            return;
        };
        let now_ms = self.clock.boot_ms();
        let again_ms = i64::from(self.site.inventory_interval_s) * 1_000;
        let measuring = self.measuring.entry(no).or_default();
        let age_ms = now_ms - measuring.found_ms;
        let known = measuring
            .measured
            .clone()
            .filter(|measured| age_ms < again_ms && (measured.whole || age_ms < AGAIN_MS));
        let job = ReadingsJob {
            target,
            known,
            spent: std::mem::take(&mut measuring.spent),
            deadline: self.site.poll_deadline(),
            first_deadline: INVENTORY_DEADLINE,
        };
        let (snmp, profiles) = (self.snmp.clone(), self.profiles.clone());
        let (clock, ways) = (self.clock.clone(), self.ways.clone());
        self.jobs.spawn(async move {
            // The engine keeps each deadline; this is for the day when it does not.
            let read = readings::read(&*snmp, &profiles, &ways, &job);
            let answer = tokio::time::timeout(INVENTORY_DEADLINE * 3, read)
                .await
                .unwrap_or(None);
            Done::Measured {
                key,
                slot_s,
                answer: answer.map(Box::new),
                at: Moment {
                    wall: clock.now(),
                    boot_ms: clock.boot_ms(),
                },
            }
        });
    }

    pub(super) async fn was_measured(
        &mut self,
        key: Key,
        slot_s: i64,
        answer: Option<Box<ReadingsAnswer>>,
        at: Moment,
    ) {
        let no = key.device;
        if self.inventory.get(no).is_none() {
            return;
        }
        if !self.may_ask(no) {
            return self.missed(key, slot_s, 1, GapReason::NotPermitted);
        }
        let Some(mut answer) = answer else {
            return self.missed(key, slot_s, 1, GapReason::NoResponse);
        };
        if let Some(telling) = answer.telling.take() {
            self.take_measured(no, &answer.measured, telling, at).await;
        }
        let Some(measured) = self.measured(no) else {
            return;
        };
        if !Arc::ptr_eq(measured, &answer.measured) {
            // What was read in part is no better than what is known: its columns stay.
            return self.missed(key, slot_s, 1, GapReason::Partial);
        }
        let gauges = measured.described.gauges.clone();
        self.totals.samples_total += answer.values.iter().flatten().count() as u64;
        let slot = Timestamp::from_secs(slot_s);
        self.pending.gauges(GaugeReading {
            device: no,
            gauges,
            rhythm: self.rhythm(key),
            slot_s,
            offset_ms: i32::try_from(at.wall.since(slot)).unwrap_or(0),
            values: answer.values,
        });
    }

    /// Takes over what a device was found to measure, and tells Central where that is news.
    async fn take_measured(
        &mut self,
        no: DeviceNo,
        found: &Arc<Measured>,
        telling: Telling,
        at: Moment,
    ) {
        let measuring = self.measuring.entry(no).or_default();
        measuring.found_ms = at.boot_ms;
        if !found.whole && measuring.measured.is_some() {
            return;
        }
        measuring.measured = Some(found.clone());
        let record = telling.record(no, at.wall);
        let told = Told {
            print: print_of(&record),
            at: at.wall,
        };
        let is_known = match self.told.get(&no) {
            Some(before) => before.print == told.print && at.wall.since(before.at) < TELL_AGAIN_MS,
            None => record.readings.is_empty(),
        };
        if is_known {
            return;
        }
        self.told.insert(no, told);
        self.keeper
            .news(News {
                readings: vec![record],
                told: vec![(no, told)],
                ..News::default()
            })
            .await;
    }
}

/// Tells whether a record says the same as another, whenever it was made.
fn print_of(record: &ReadingsRecord) -> u64 {
    let timeless = ReadingsRecord {
        at: Timestamp::default(),
        ..record.clone()
    };
    let digest = Sha256::digest(encode(&timeless));
    u64::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}

/// What could not be read whole is tried again after this.
const AGAIN_MS: i64 = 600_000;
/// What has not changed is told again after a day: Central may have lost it.
const TELL_AGAIN_MS: i64 = 24 * 3_600_000;
