//! What was read and is not durable yet: raw, because only durable readings are counted from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{
    Anchor, DeviceNo, GapReason, GapRun, Layout, LayoutNo, ProbeGap, SampleBatch, Scrape,
};

use super::gauge::Gauge;
use super::layout::{self, Columns, Layouts, Port, Rhythm, Shapes};
use crate::increase::{Counters, Readings};

/// One poll of one device, as it was read.
#[derive(Clone, Debug)]
pub struct PollReading {
    /// Whose.
    pub device: DeviceNo,
    /// Its columns.
    pub ports: Arc<[Port]>,
    /// Its slots.
    pub rhythm: Rhythm,
    /// Its slot.
    pub slot_s: i64,
    /// When it was read, ms after the slot.
    pub offset_ms: i32,
    /// When, on the boot-time clock.
    pub at_ms: i64,
    /// `sysUpTime`.
    pub uptime_ticks: Option<u32>,
    /// One per column.
    pub raw: Vec<Option<i64>>,
    /// One per port.
    pub discontinuity: Vec<Option<u32>>,
    /// Why columns are missing, where some are.
    pub missing: GapReason,
}

/// One echo request's outcome.
#[derive(Clone, Copy, Debug)]
pub struct PingReading {
    /// Whose.
    pub device: DeviceNo,
    /// Its slots.
    pub rhythm: Rhythm,
    /// Its slot.
    pub slot_s: i64,
    /// When it was sent, ms after the slot.
    pub offset_ms: i32,
    /// Round-trip time; `None` is no answer, which is a value too.
    pub rtt_us: Option<i64>,
}

/// One reading of a device's sensors, storage and processors.
#[derive(Clone, Debug)]
pub struct GaugeReading {
    /// Whose.
    pub device: DeviceNo,
    /// Its columns.
    pub gauges: Arc<[Gauge]>,
    /// Its slots.
    pub rhythm: Rhythm,
    /// Its slot.
    pub slot_s: i64,
    /// When it was read, ms after the slot.
    pub offset_ms: i32,
    /// One per column.
    pub values: Vec<Option<i64>>,
}

/// Slots of which nothing is known.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Whose.
    pub device: DeviceNo,
    /// Which poll.
    pub columns: Columns,
    /// Its slots.
    pub rhythm: Rhythm,
    /// The first.
    pub first_slot_s: i64,
    /// How many.
    pub slots: u32,
    /// Why.
    pub reason: GapReason,
}

#[derive(Clone, Debug)]
enum Item {
    Poll(PollReading),
    Ping(PingReading),
    Gauges(GaugeReading),
    Missing(Missing),
}

/// All that waits for the next batch, in the order it happened.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    items: Vec<Item>,
    probe_gaps: Vec<ProbeGap>,
    values: usize,
}

/// What a batch is made of, and what counts once it is durable.
#[derive(Debug, Default)]
pub struct Built {
    /// The batch.
    pub batch: SampleBatch,
    /// What the layouts it names look like.
    pub shapes: Shapes,
    /// Those of them that Central has not been told of.
    pub new: Vec<Layout>,
    /// The readings that count from then on.
    pub counters: HashMap<DeviceNo, (Arc<[Port]>, Counters)>,
    /// Earliest slot in it.
    pub from: Timestamp,
    /// Latest moment in it.
    pub to: Timestamp,
}

impl Pending {
    /// A poll was read.
    pub fn poll(&mut self, reading: PollReading) {
        self.values += reading.raw.len();
        self.items.push(Item::Poll(reading));
    }

    /// An echo request was answered, or not.
    pub fn ping(&mut self, reading: PingReading) {
        self.values += 2;
        self.items.push(Item::Ping(reading));
    }

    /// Sensors, storage and processors were read.
    pub fn gauges(&mut self, reading: GaugeReading) {
        self.values += reading.values.len();
        self.items.push(Item::Gauges(reading));
    }

    /// Slots passed without a reading. One that continues the last is joined to it.
    pub fn missing(&mut self, missing: Missing) {
        self.values += 1;
        self.items.push(Item::Missing(missing));
    }

    /// The probe did not run.
    pub fn probe_gap(&mut self, gap: ProbeGap) {
        self.values += 1;
        self.probe_gaps.push(gap);
    }

    /// Everything that waits is this much later, in seconds: the clock that its slots were counted by was set.
    pub fn shift(&mut self, by_s: i64) {
        for item in &mut self.items {
            let slot_s = match item {
                Item::Poll(reading) => &mut reading.slot_s,
                Item::Ping(reading) => &mut reading.slot_s,
                Item::Gauges(reading) => &mut reading.slot_s,
                Item::Missing(missing) => &mut missing.first_slot_s,
            };
            *slot_s = slot_s.saturating_add(by_s);
        }
        for gap in &mut self.probe_gaps {
            // Its beginning is of the time before this process: another clock's, maybe.
            gap.to = gap.to.plus_ms(by_s.saturating_mul(1_000)).max(gap.from);
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.probe_gaps.is_empty()
    }

    /// Values that wait: a batch is closed before it grows beyond what may travel.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.values
    }

    /// Puts what could not be stored back before what came since.
    pub fn put_back(&mut self, mut earlier: Self) {
        std::mem::swap(self, &mut earlier);
        self.values += earlier.values;
        self.items.extend(earlier.items);
        self.probe_gaps.extend(earlier.probe_gaps);
    }

    /// Too much waits for a disk that has no room: what was read is let go, its slots are told as a gap once there is.
    pub fn give_up(&mut self) {
        for item in &mut self.items {
            let (device, columns, rhythm, first_slot_s) = match item {
                Item::Poll(reading) => (
                    reading.device,
                    Columns::Poll(reading.ports.clone()),
                    reading.rhythm,
                    reading.slot_s,
                ),
                Item::Ping(reading) => (
                    reading.device,
                    Columns::Ping,
                    reading.rhythm,
                    reading.slot_s,
                ),
                Item::Gauges(reading) => (
                    reading.device,
                    Columns::Readings(reading.gauges.clone()),
                    reading.rhythm,
                    reading.slot_s,
                ),
                Item::Missing(_) => continue,
            };
            *item = Item::Missing(Missing {
                device,
                columns,
                rhythm,
                first_slot_s,
                slots: 1,
                reason: GapReason::DiskFull,
            });
        }
        self.values = self.items.len();
    }

    /// Turns readings into increases, anchors and gaps. Neither `self` nor `known` changes: until the batch is durable
    /// nothing of it counts.
    #[must_use]
    pub fn build(
        &self,
        layouts: &mut Layouts,
        known: &HashMap<DeviceNo, (Arc<[Port]>, Counters)>,
    ) -> Built {
        let mut built = Built {
            from: Timestamp(i64::MAX),
            to: Timestamp(i64::MIN),
            ..Built::default()
        };
        built.batch.probe_gaps.clone_from(&self.probe_gaps);
        for gap in &self.probe_gaps {
            built.span(gap.from, gap.to);
        }
        for item in &self.items {
            match item {
                Item::Poll(reading) => built.poll(reading, layouts, known),
                Item::Ping(reading) => built.ping(reading, layouts),
                Item::Gauges(reading) => built.gauges(reading, layouts),
                Item::Missing(missing) => built.missing(missing, layouts),
            }
        }
        built
    }
}

impl Built {
    fn poll(
        &mut self,
        reading: &PollReading,
        layouts: &mut Layouts,
        known: &HashMap<DeviceNo, (Arc<[Port]>, Counters)>,
    ) {
        let no = self.layout(
            layouts,
            reading.device,
            reading.rhythm,
            &Columns::Poll(reading.ports.clone()),
            reading.slot_s,
        );
        let before = self
            .counters
            .get(&reading.device)
            .or_else(|| known.get(&reading.device));
        let before = match before {
            Some((ports, counters)) if same(ports, &reading.ports) => Cow::Borrowed(counters),
            Some((ports, counters)) => {
                let (columns, places) = layout::remap(ports, &reading.ports);
                Cow::Owned(counters.remapped(&columns, &places))
            }
            None => {
                let columns = layout::width(&reading.ports);
                Cow::Owned(Counters::new(columns, reading.ports.len()))
            }
        };
        let (next, said) = before.next(
            layout::column_specs(&reading.ports),
            &Readings {
                slot_s: reading.slot_s,
                at_ms: reading.at_ms,
                uptime_ticks: reading.uptime_ticks,
                raw: &reading.raw,
                discontinuity: &reading.discontinuity,
            },
        );
        self.counters
            .insert(reading.device, (reading.ports.clone(), next));
        if !said.missing.is_empty() {
            let gap = GapRun {
                layout: no,
                first_slot_s: reading.slot_s,
                slots: 1,
                reason: reading.missing.code(),
                columns: bitmap(&said.missing),
            };
            self.gap(gap, reading.rhythm);
        }
        self.batch
            .anchors
            .extend(said.anchors.iter().map(|(column, kind, raw)| Anchor {
                layout: no,
                column: *column,
                kind: kind.code(),
                slot_s: reading.slot_s,
                raw: *raw,
            }));
        self.batch.scrapes.push(Scrape {
            layout: no,
            slot_s: reading.slot_s,
            offset_ms: reading.offset_ms,
            span_ms: said.span_ms,
            values: said.values,
            spans: said.spans,
        });
        self.slot(reading.slot_s, reading.offset_ms);
    }

    fn ping(&mut self, reading: &PingReading, layouts: &mut Layouts) {
        let no = self.layout(
            layouts,
            reading.device,
            reading.rhythm,
            &Columns::Ping,
            reading.slot_s,
        );
        // A device that does not answer is no gap: all is lost, and no time was taken.
        let loss = if reading.rtt_us.is_some() { 0 } else { 1_000 };
        self.batch.scrapes.push(Scrape {
            layout: no,
            slot_s: reading.slot_s,
            offset_ms: reading.offset_ms,
            span_ms: 0,
            values: vec![reading.rtt_us, Some(loss)],
            spans: Vec::new(),
        });
        self.slot(reading.slot_s, reading.offset_ms);
    }

    fn gauges(&mut self, reading: &GaugeReading, layouts: &mut Layouts) {
        let no = self.layout(
            layouts,
            reading.device,
            reading.rhythm,
            &Columns::Readings(reading.gauges.clone()),
            reading.slot_s,
        );
        let missing = (0..).zip(&reading.values).filter(|(_, v)| v.is_none());
        let missing: Vec<u16> = missing.map(|(column, _)| column).collect();
        if !missing.is_empty() {
            let gap = GapRun {
                layout: no,
                first_slot_s: reading.slot_s,
                slots: 1,
                reason: GapReason::Partial.code(),
                columns: bitmap(&missing),
            };
            self.gap(gap, reading.rhythm);
        }
        self.batch.scrapes.push(Scrape {
            layout: no,
            slot_s: reading.slot_s,
            offset_ms: reading.offset_ms,
            span_ms: 0,
            values: reading.values.clone(),
            spans: Vec::new(),
        });
        self.slot(reading.slot_s, reading.offset_ms);
    }

    fn missing(&mut self, missing: &Missing, layouts: &mut Layouts) {
        let no = self.layout(
            layouts,
            missing.device,
            missing.rhythm,
            &missing.columns,
            missing.first_slot_s,
        );
        let gap = GapRun {
            layout: no,
            first_slot_s: missing.first_slot_s,
            slots: missing.slots,
            reason: missing.reason.code(),
            columns: Vec::new(),
        };
        self.gap(gap, missing.rhythm);
        let last = missing.first_slot_s
            + i64::from(missing.slots.saturating_sub(1)) * i64::from(missing.rhythm.interval_s);
        self.slot(missing.first_slot_s, 0);
        self.slot(last, 0);
    }

    /// Adds a gap, joined to one that it continues.
    fn gap(&mut self, gap: GapRun, rhythm: Rhythm) {
        let continued = self.batch.gaps.iter_mut().rev().find(|run| {
            run.layout == gap.layout && run.reason == gap.reason && run.columns == gap.columns
        });
        match continued {
            Some(run)
                if run.first_slot_s + i64::from(run.slots) * i64::from(rhythm.interval_s)
                    == gap.first_slot_s =>
            {
                run.slots += gap.slots;
            }
            _ => self.batch.gaps.push(gap),
        }
    }

    fn layout(
        &mut self,
        layouts: &mut Layouts,
        device: DeviceNo,
        rhythm: Rhythm,
        columns: &Columns,
        slot_s: i64,
    ) -> LayoutNo {
        let (no, shape, new) = layouts.ensure(device, rhythm, columns, slot_s);
        self.new.extend(new);
        self.shapes.insert(no, shape);
        no
    }

    fn slot(&mut self, slot_s: i64, offset_ms: i32) {
        let at = Timestamp::from_secs(slot_s);
        self.span(at, at.plus_ms(i64::from(offset_ms).max(0)));
    }

    fn span(&mut self, from: Timestamp, to: Timestamp) {
        self.from = self.from.min(from);
        self.to = self.to.max(to);
    }
}

/// Whether two devices' ports are the same; mostly they are the very same.
fn same(a: &Arc<[Port]>, b: &Arc<[Port]>) -> bool {
    Arc::ptr_eq(a, b) || **a == **b
}

/// Bit i of byte i/8.
fn bitmap(columns: &[u16]) -> Vec<u8> {
    let mut bits = Vec::new();
    for column in columns.iter().map(|column| usize::from(*column)) {
        if bits.len() <= column / 8 {
            bits.resize(column / 8 + 1, 0);
        }
        bits[column / 8] |= 1 << (column % 8);
    }
    bits
}

#[cfg(test)]
mod tests {
    use farwatch_shared::model::InstanceNo;

    use super::*;

    const RHYTHM: Rhythm = Rhythm {
        interval_s: 60,
        phase_s: 0,
    };

    fn ports() -> Arc<[Port]> {
        [Port {
            instance: InstanceNo(1),
            if_index: 1,
            mask: 1,
            speed_bps: 0,
        }]
        .into()
    }

    fn reading(slot_s: i64, octets: Option<i64>) -> PollReading {
        PollReading {
            device: DeviceNo(1),
            ports: ports(),
            rhythm: RHYTHM,
            slot_s,
            offset_ms: 40,
            at_ms: slot_s * 1_000 + 40,
            uptime_ticks: Some(u32::try_from(slot_s * 100).unwrap()),
            raw: vec![Some(slot_s * 100), octets],
            discontinuity: vec![None],
            missing: GapReason::Partial,
        }
    }

    #[test]
    fn what_was_not_stored_is_counted_again_and_once() {
        let mut layouts = Layouts::default();
        let mut known = HashMap::new();
        let mut pending = Pending::default();
        pending.poll(reading(60, Some(100)));
        let first = pending.build(&mut layouts, &known);
        assert_eq!((first.new.len(), first.batch.anchors.len()), (1, 1));
        known.extend(first.counters);
        let mut pending = Pending::default();
        pending.poll(reading(120, Some(150)));
        let lost = pending.build(&mut layouts, &known);
        assert_eq!(lost.batch.scrapes[0].values[1], Some(50));
        let mut later = Pending::default();
        later.poll(reading(180, Some(180)));
        later.put_back(pending);
        let again = later.build(&mut layouts, &known);
        let grown: Vec<_> = again.batch.scrapes.iter().map(|s| s.values[1]).collect();
        assert_eq!(grown, vec![Some(50), Some(30)]);
        assert!(again.new.is_empty());
    }

    #[test]
    fn missing_columns_are_a_gap_of_their_own_and_runs_are_joined() {
        let mut layouts = Layouts::default();
        let mut pending = Pending::default();
        pending.poll(reading(60, None));
        pending.poll(reading(120, None));
        for first_slot_s in [180, 240] {
            pending.missing(Missing {
                device: DeviceNo(1),
                columns: Columns::Poll(ports()),
                rhythm: RHYTHM,
                first_slot_s,
                slots: 1,
                reason: GapReason::NoResponse,
            });
        }
        let built = pending.build(&mut layouts, &HashMap::new());
        let no = built.batch.scrapes[0].layout;
        let run = |first_slot_s, reason: GapReason, columns: &[u8]| GapRun {
            layout: no,
            first_slot_s,
            slots: 2,
            reason: reason.code(),
            columns: columns.to_vec(),
        };
        assert_eq!(
            built.batch.gaps,
            vec![
                run(60, GapReason::Partial, &[0b10]),
                run(180, GapReason::NoResponse, &[]),
            ]
        );
        assert_eq!(
            (built.from, built.to),
            (Timestamp(60_000), Timestamp(240_000))
        );
    }

    #[test]
    fn an_unanswered_ping_is_a_value() {
        let mut pending = Pending::default();
        for (slot_s, rtt_us) in [(10, Some(420)), (20, None)] {
            pending.ping(PingReading {
                device: DeviceNo(7),
                rhythm: Rhythm {
                    interval_s: 10,
                    phase_s: 0,
                },
                slot_s,
                offset_ms: 3,
                rtt_us,
            });
        }
        let built = pending.build(&mut Layouts::default(), &HashMap::new());
        let values: Vec<_> = built
            .batch
            .scrapes
            .iter()
            .map(|s| s.values.clone())
            .collect();
        assert_eq!(
            values,
            vec![vec![Some(420), Some(0)], vec![None, Some(1_000)]]
        );
        assert!(built.batch.gaps.is_empty());
    }
}
