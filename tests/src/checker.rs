//! Is everything that was durable at the probe shown once by Central, or covered by a gap? Believes neither.
//!
//! Two independent looks: the ledgers of both sides against each other (no batch lost, none twice), and the raw series
//! that the API serves against themselves and the devices' true counters (spans tile the time, every missing slot lies
//! in a gap, anchors equal the sum of increases).

use std::collections::BTreeMap;

use serde_json::Value;

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What must not be; empty when all is well.
    pub problems: Vec<String>,
    /// Samples seen.
    pub samples: u64,
    /// Gaps seen, by reason.
    pub gaps: BTreeMap<String, u64>,
    /// Anchors whose sum was checked.
    pub anchors: u64,
}

impl Found {
    /// Adds another look's findings.
    pub fn and(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.samples += other.samples;
        self.anchors += other.anchors;
        for (reason, count) in other.gaps {
            *self.gaps.entry(reason).or_default() += count;
        }
    }
}

/// One counter or gauge as `metrics/range?raw=true` serves it.
#[derive(Clone, Debug, Default)]
pub struct RawSeries {
    /// Who it is, for the report.
    pub name: String,
    /// (at, ms; span, ms; increase).
    pub increases: Vec<(i64, i64, i64)>,
    /// (at, ms; raw; kind).
    pub anchors: Vec<(i64, u64, String)>,
    /// (from, until, reason), ms.
    pub gaps: Vec<(i64, i64, String)>,
}

impl RawSeries {
    /// Reads one member of `series`.
    #[must_use]
    pub fn read(name: &str, series: &Value) -> Self {
        let list = |key: &str| series[key].as_array().cloned().unwrap_or_default();
        Self {
            name: name.to_owned(),
            increases: list("increases")
                .iter()
                .map(|i| (int(&i[0]), int(&i[1]), int(&i[2])))
                .collect(),
            anchors: list("anchors")
                .iter()
                .map(|a| {
                    (
                        int(&a[0]),
                        a[1].as_u64().unwrap_or_default(),
                        a[2].as_str().unwrap_or_default().to_owned(),
                    )
                })
                .collect(),
            gaps: list("gaps")
                .iter()
                .map(|g| {
                    (
                        int(&g["from"]),
                        int(&g["to"]),
                        g["reason"].as_str().unwrap_or_default().to_owned(),
                    )
                })
                .collect(),
        }
    }

    /// Looks at a counter that is polled every `interval_ms` and whose device had `truth` when polling ended, if known.
    #[must_use]
    pub fn check_counter(&self, interval_ms: i64, truth: Option<u64>) -> Found {
        let mut found = Found {
            samples: self.increases.len() as u64,
            ..Found::default()
        };
        let mut problem = |text: String| found.problems.push(format!("{}: {text}", self.name));
        for pair in self.increases.windows(2) {
            let [(before, _, _), (at, span, _)] = [pair[0], pair[1]];
            if at <= before {
                problem(format!("two increases at {at}: doubled, or out of order"));
            }
            let anchored = self
                .anchors
                .iter()
                .any(|(a, _, kind)| *a > before && *a <= at && kind != "hourly");
            if !anchored && (at - span - before).abs() > SPAN_TOLERANCE_MS {
                problem(format!(
                    "the increase at {at} covers {span} ms, the one before was at {before}: {} ms nobody covers",
                    at - span - before
                ));
            }
        }
        // Every reading, an anchor of a start included, fills its slot.
        let mut readings: Vec<i64> = self
            .increases
            .iter()
            .map(|(at, ..)| *at)
            .chain(self.anchors.iter().map(|(at, ..)| *at))
            .collect();
        readings.sort_unstable();
        readings.dedup();
        // A reading may come late in its slot (a retry takes a second), so slots are compared, not times. All slots of a
        // device fall on one second of the interval: the one that most readings have.
        let mut seconds = BTreeMap::<i64, u32>::new();
        for at in &readings {
            *seconds
                .entry(at.div_euclid(1_000) * 1_000 % interval_ms)
                .or_default() += 1;
        }
        let phase = seconds
            .iter()
            .max_by_key(|(_, count)| **count)
            .map_or(0, |(phase, _)| *phase);
        let slot_of = |at: i64| (at - phase).div_euclid(interval_ms) * interval_ms + phase;
        for pair in readings.windows(2) {
            let mut slot = slot_of(pair[0]) + interval_ms;
            while slot < slot_of(pair[1]) {
                let covered = self.gaps.iter().any(|(from, to, _)| {
                    slot >= from - interval_ms && slot <= to + interval_ms / 2
                });
                if !covered {
                    problem(format!(
                        "nothing at {slot} (between {} and {}) and no gap says why",
                        pair[0], pair[1]
                    ));
                    break;
                }
                slot += interval_ms;
            }
        }
        for pair in self.anchors.windows(2) {
            let ((from, raw, _), (at, next, kind)) = (&pair[0], &pair[1]);
            if kind != "hourly" {
                continue;
            }
            found.anchors += 1;
            let sum = self.sum(*from, *at);
            if raw.wrapping_add(sum) != *next {
                found.problems.push(format!(
                    "{}: anchor {raw} at {from} plus {sum} is not the anchor {next} at {at}",
                    self.name
                ));
            }
        }
        if let (Some(truth), Some((from, raw, _))) = (truth, self.anchors.last()) {
            found.anchors += 1;
            let shown = raw.wrapping_add(self.sum(*from, i64::MAX));
            if shown != truth {
                found.problems.push(format!(
                    "{}: the device says {truth}, Central {shown}",
                    self.name
                ));
            }
        }
        for (.., reason) in &self.gaps {
            *found.gaps.entry(reason.clone()).or_default() += 1;
        }
        found
    }

    fn sum(&self, after: i64, until: i64) -> u64 {
        let inside = self
            .increases
            .iter()
            .filter(|(at, ..)| *at > after && *at <= until);
        inside
            .map(|(.., increase)| increase.cast_unsigned())
            .fold(0, u64::wrapping_add)
    }
}

/// Compares `farwatch-probe spool ledger --json` with `probes/{id}/ledger`: what must not be, in words.
///
/// Every lane of every epoch that made a batch must be committed to its last seq without a hole, with as many samples.
#[must_use]
pub fn ledgers(held: &Value, shown: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let lanes = |ledger: &Value| ledger["lanes"].as_array().cloned().unwrap_or_default();
    let shown = lanes(shown);
    for made in lanes(held) {
        let (epoch, lane, last) = (&made["epoch"], &made["lane"], int(&made["next_seq"]) - 1);
        let name = format!(
            "{}/{}",
            epoch.as_str().unwrap_or("?"),
            lane.as_str().unwrap_or("?")
        );
        if last <= 0 {
            continue;
        }
        let Some(committed) = shown
            .iter()
            .find(|other| other["epoch"] == *epoch && other["lane"] == *lane)
        else {
            problems.push(format!(
                "{name}: the probe made {last} batches, Central knows none"
            ));
            continue;
        };
        if int(&committed["watermark"]) != last
            || committed["ranges"]
                .as_array()
                .is_none_or(|ranges| !ranges.is_empty())
        {
            problems.push(format!(
                "{name}: made up to {last}, committed up to {} and {}",
                committed["watermark"], committed["ranges"]
            ));
        }
        let dropped = made["dropped_totals"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|total| int(&total["samples"]))
            .sum::<i64>();
        if int(&made["samples"]) - dropped != int(&committed["samples"]) {
            problems.push(format!(
                "{name}: {} samples made, {dropped} dropped, {} shown",
                made["samples"], committed["samples"]
            ));
        }
    }
    problems
}

/// Spans are whole milliseconds, readings are shown at theirs.
const SPAN_TOLERANCE_MS: i64 = 2;

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| {
        value.as_f64().map_or(0, |f| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "milliseconds and counters of a test are far below 2^53"
            )]
            let whole = f as i64;
            whole
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> RawSeries {
        RawSeries {
            name: "x".to_owned(),
            increases: (1..10).map(|i| (i * 1_000, 1_000, 5)).collect(),
            anchors: vec![
                (0, 100, "start".to_owned()),
                (9_000, 145, "hourly".to_owned()),
            ],
            gaps: Vec::new(),
        }
    }

    #[test]
    fn a_whole_series_is_fine() {
        assert_eq!(
            good().check_counter(1_000, Some(145)).problems,
            Vec::<String>::new()
        );
    }

    #[test]
    fn ledgers_that_differ_by_a_batch_a_hole_or_a_sample_are_told_apart() {
        let held = serde_json::json!({ "lanes": [{ "epoch": "a", "lane": "samples", "next_seq": 11, "samples": 70, "dropped_totals": [] }] });
        let shown = |watermark: u64, ranges: Value, samples: u64| serde_json::json!({ "lanes": [{ "epoch": "a", "lane": "samples", "watermark": watermark, "ranges": ranges, "samples": samples }] });
        assert!(ledgers(&held, &shown(10, serde_json::json!([]), 70)).is_empty());
        assert_eq!(
            ledgers(&held, &shown(9, serde_json::json!([]), 63)).len(),
            2
        );
        assert_eq!(
            ledgers(&held, &shown(7, serde_json::json!([[9, 10]]), 63)).len(),
            2
        );
        assert_eq!(
            ledgers(&held, &shown(10, serde_json::json!([]), 77)).len(),
            1
        );
        assert_eq!(ledgers(&held, &serde_json::json!({ "lanes": [] })).len(), 1);
    }

    #[test]
    fn a_lost_sample_is_found_three_ways() {
        let mut series = good();
        series.increases.remove(4);
        let found = series.check_counter(1_000, None);
        assert_eq!(found.problems.len(), 3, "{:?}", found.problems);
    }

    #[test]
    fn a_doubled_sample_is_found() {
        let mut series = good();
        series.increases.insert(4, series.increases[4]);
        assert!(!series.check_counter(1_000, None).problems.is_empty());
    }

    #[test]
    fn a_gap_covers_missing_slots_but_not_missing_increase() {
        let mut series = good();
        series.increases.remove(4);
        series.increases[4].1 = 2_000;
        series.increases[4].2 = 10;
        assert!(
            !series.check_counter(1_000, None).problems.is_empty(),
            "the slot is missing without a gap"
        );
        series.gaps.push((5_000, 6_000, "no_response".to_owned()));
        assert_eq!(
            series.check_counter(1_000, Some(145)).problems,
            Vec::<String>::new()
        );
        assert!(
            !series.check_counter(1_000, Some(146)).problems.is_empty(),
            "the device knows better"
        );
    }
}
