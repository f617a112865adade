//! How far a batch may reach and how much an hour may take: no probe, whatever it sends, fills Central's disk with files
//! or one hour without end. A batch beyond that is kept raw, set aside, and its time is a gap.

use std::collections::{BTreeMap, BTreeSet};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{Epoch, GapReason, LayoutNo, SampleBatch};

use super::gaps::Gap;
use super::schema::{DAY_MS, day_of, hour_of};
use super::state::EpochLayouts;
use super::{Inner, MetricsError};

/// Days that one batch may have polls in. A batch is closed after five seconds; a clock that is set within it makes two.
const DAYS_OF_A_BATCH: usize = 4;
/// Polls this far ahead of Central's clock are of a clock that is wrong.
const AHEAD_MS: i64 = 2 * DAY_MS;
/// Days further ahead than that which may have a file, over all probes: should Central's own clock be wrong, what it has
/// is still kept.
const DAYS_AHEAD: usize = 8;
/// Polls of one hour of one probe: 10,000 devices, each pinged every two seconds and polled every ten, twice over.
pub(super) const POLLS_OF_AN_HOUR: u64 = 40_000_000;
/// Hours of a batch whose gaps are told apart.
const GAPS: usize = 16;

/// Why a batch is set aside although it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// More days than a batch can have.
    Days,
    /// Older than samples are kept.
    Old,
    /// Too many days ahead of now have a file already.
    Ahead,
    /// An hour has as many polls as it may have.
    Full,
}

impl Beyond {
    pub(super) const fn reason(self) -> GapReason {
        match self {
            Self::Old => GapReason::TooOld,
            Self::Days | Self::Ahead | Self::Full => GapReason::Quarantined,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Days => "a batch has polls in more days than a batch can have; it is set aside",
            Self::Old => "a batch is older than samples are kept; it is set aside",
            Self::Ahead => {
                "a batch is of a day far ahead of now, and enough such days are kept; it is set aside"
            }
            Self::Full => {
                "an hour of a probe has as many polls as it may have; a batch is set aside"
            }
        }
    }
}

/// What a batch has of one hour.
struct Reach {
    polls: u64,
    first_ms: i64,
    last_ms: i64,
}

impl Inner {
    /// Whether a batch stays within bounds; else why not, and the gaps instead of it.
    pub(super) fn beyond(
        &self,
        probe: ProbeId,
        key: (Epoch, u64),
        batch: &SampleBatch,
        layouts: &EpochLayouts,
        correction_ms: i64,
    ) -> Result<Option<(Beyond, Vec<Gap>)>, MetricsError> {
        let reach = reach(batch, layouts, correction_ms);
        let Some(beyond) = self.judge(probe, &reach)? else {
            return Ok(None);
        };
        tracing::warn!(probe.id = %probe, batch.seq = key.1, "{}", beyond.words());
        let gap = |first_ms: i64, last_ms: i64| {
            Gap::of_time(
                Timestamp(first_ms),
                Timestamp(last_ms.saturating_add(1)),
                beyond.reason(),
                Some(key),
            )
        };
        let mut gaps: Vec<Gap> = reach
            .values()
            .take(GAPS)
            .map(|hour| gap(hour.first_ms, hour.last_ms))
            .collect();
        if let (true, Some(hour), Some(last)) = (
            reach.len() > GAPS,
            reach.values().nth(GAPS),
            reach.values().next_back(),
        ) {
            gaps.push(gap(hour.first_ms, last.last_ms));
        }
        Ok(Some((beyond, gaps)))
    }

    fn judge(
        &self,
        probe: ProbeId,
        reach: &BTreeMap<i64, Reach>,
    ) -> Result<Option<Beyond>, MetricsError> {
        let days: BTreeSet<i64> = reach.keys().map(|hour| day_of(*hour)).collect();
        if days.len() > DAYS_OF_A_BATCH {
            return Ok(Some(Beyond::Days));
        }
        let now = self.clock.now();
        let kept = i64::from(self.settings.raw_days.max(1)).saturating_mul(DAY_MS);
        let oldest = day_of(hour_of(now.plus_ms(-kept).ms()));
        if days.first().is_some_and(|first| *first < oldest) {
            return Ok(Some(Beyond::Old));
        }
        let ahead = day_of(hour_of(now.plus_ms(AHEAD_MS).ms()));
        if days.last().is_some_and(|last| *last > ahead) {
            let mut held: BTreeSet<i64> =
                self.days.within(ahead + 1, i64::MAX).into_iter().collect();
            for of in self.state().probes.values() {
                let hours = of.hours.range(ahead.saturating_add(1).saturating_mul(24)..);
                held.extend(hours.map(|(hour, _)| day_of(*hour)));
            }
            held.extend(days.range(ahead + 1..));
            if held.len() > DAYS_AHEAD {
                return Ok(Some(Beyond::Ahead));
            }
        }
        for (hour, of) in reach {
            if self.polls(probe, *hour)?.saturating_add(of.polls) > POLLS_OF_AN_HOUR {
                return Ok(Some(Beyond::Full));
            }
        }
        Ok(None)
    }

    /// Polls that an hour of a probe has: in memory, and sealed.
    fn polls(&self, probe: ProbeId, hour: i64) -> Result<u64, MetricsError> {
        let held = {
            let state = self.state();
            state
                .probes
                .get(&probe)
                .and_then(|of| of.hours.get(&hour))
                .map(super::state::Hour::polls)
        };
        match held {
            Some(polls) => Ok(polls),
            None => Ok(self.days.polls(probe, hour)?),
        }
    }
}

fn reach(batch: &SampleBatch, layouts: &EpochLayouts, correction_ms: i64) -> BTreeMap<i64, Reach> {
    let mut reach: BTreeMap<i64, Reach> = BTreeMap::new();
    let mut put = |layout: LayoutNo, slot_s: i64| {
        if layouts.known(layout).is_none() {
            return;
        }
        let at_ms = slot_s.saturating_mul(1_000).saturating_add(correction_ms);
        let hour = reach.entry(hour_of(at_ms)).or_insert(Reach {
            polls: 0,
            first_ms: at_ms,
            last_ms: at_ms,
        });
        hour.polls += 1;
        hour.first_ms = hour.first_ms.min(at_ms);
        hour.last_ms = hour.last_ms.max(at_ms);
    };
    for scrape in &batch.scrapes {
        put(scrape.layout, scrape.slot_s);
    }
    // An anchor without a poll of its slot becomes one.
    for anchor in &batch.anchors {
        put(anchor.layout, anchor.slot_s);
    }
    reach
}
