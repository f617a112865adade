//! Raw readings to increases, anchors and gaps. No I/O: what was read goes in, what may be said comes out.
//!
//! A counter's increase is said only where it is known. Whatever is doubtful (a reset, a restart, a wrap that the line
//! could not have carried) becomes a gap and a new anchor, never a spike and never a zero.

/// How many bits a counter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Counter32: wraps after 2³² − 1.
    Bits32,
    /// Counter64: never wraps within our lives.
    Bits64,
}

impl Width {
    /// As layouts say it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
}

/// A counter as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The device's number.
    pub raw: u64,
    /// When, on the probe's boot-time clock.
    pub at_ms: i64,
}

/// What lies between two readings of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It grew by this much, in its own unit.
    By(u64),
    /// It was reset in between: how much was counted is not known.
    Reset,
    /// No time has passed: nothing can be said.
    NoTime,
}

/// How much a counter grew between two readings of it, while the device says that nothing was interrupted.
///
/// A Counter64 that went down was reset. A Counter32 that went down has wrapped, unless the rate which that implies is
/// above `line_rate` (units a second), or no line rate is known: then it was reset. A growth that no line of this world
/// carries ([`ABSURD_PER_S`]) is a reset too.
///
/// Source: RFC 2578 §7.1.6 and §7.1.10.
#[must_use]
pub fn growth(earlier: Count, later: Count, width: Width, line_rate: Option<f64>) -> Growth {
    let Ok(span_ms) = u64::try_from(later.at_ms.saturating_sub(earlier.at_ms)) else {
        return Growth::NoTime;
    };
    if span_ms == 0 {
        return Growth::NoTime;
    }
    if later.raw >= earlier.raw {
        let by = later.raw - earlier.raw;
        return if per_second(by, span_ms) > ABSURD_PER_S {
            Growth::Reset
        } else {
            Growth::By(by)
        };
    }
    match (width, line_rate) {
        (Width::Bits32, Some(line_rate)) if earlier.raw < WRAP => {
            let by = WRAP - earlier.raw + later.raw;
            if per_second(by, span_ms) <= line_rate {
                Growth::By(by)
            } else {
                Growth::Reset
            }
        }
        _ => Growth::Reset,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is compared, not kept; 53 bits are plenty"
)]
fn per_second(by: u64, span_ms: u64) -> f64 {
    by as f64 * 1_000.0 / span_ms as f64
}

/// `sysUpTime` as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// Hundredths of a second; wraps after 497 days.
    pub ticks: u32,
    /// When, on the probe's boot-time clock.
    pub at_ms: i64,
}

impl Uptime {
    /// Whether the device (or its agent) started again between `self` and `later`.
    ///
    /// One that started since `self` cannot have been up for longer than the time that has passed. A value that went
    /// down but is larger than that is a clock that was set; one that went down where 2³² was due is the wrap that
    /// comes every 497 days. Neither is a restart.
    #[must_use]
    pub fn restarted(self, later: Self) -> bool {
        let elapsed = later.at_ms.saturating_sub(self.at_ms).max(0) / 10;
        let (before, now) = (i64::from(self.ticks), i64::from(later.ticks));
        if now >= before {
            return now + 100 + elapsed / 50 < elapsed;
        }
        let slack = 100 + elapsed / 50;
        let due = before + elapsed - (1 << 32);
        let wrapped = (due - now).abs() <= slack && due >= -slack;
        !wrapped && now <= elapsed + slack
    }
}

/// What the increase of a column depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnSpec {
    /// Its width; `None` is a gauge or a state, which travels as it is.
    pub counter: Option<Width>,
    /// The most it can grow by in a second; `None` where the interface's speed is not known.
    pub line_rate: Option<f64>,
    /// Which of [`Readings::discontinuity`] tells of its breaks; `None` for the device's own columns.
    pub breaks: Option<u32>,
}

/// Everything one poll read of one device, in the order of its layout.
#[derive(Clone, Debug)]
pub struct Readings<'a> {
    /// Slot, unix seconds of the probe's clock.
    pub slot_s: i64,
    /// When, on the probe's boot-time clock.
    pub at_ms: i64,
    /// `sysUpTime`, where it was read.
    pub uptime_ticks: Option<u32>,
    /// One per column.
    pub raw: &'a [Option<i64>],
    /// `ifCounterDiscontinuityTime` per interface, where the agent has it.
    pub discontinuity: &'a [Option<u32>],
}

/// Why a raw value is sent with a reading.
pub use farwatch_shared::model::AnchorKind;

/// What may be said of one poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// One per column: increases for counters, values for the rest.
    pub values: Vec<Option<i64>>,
    /// What most increases cover, ms; 0 where there is none.
    pub span_ms: u32,
    /// Columns whose increase covers another span.
    pub spans: Vec<(u16, u32)>,
    /// (column, kind, raw).
    pub anchors: Vec<(u16, AnchorKind, u64)>,
    /// Columns that were asked for and are missing, or were reset: to be covered by a gap.
    pub missing: Vec<u16>,
    /// Whether the device started again since the last reading.
    pub restarted: bool,
}

/// The last durable readings of one device's counters.
///
/// [`Counters::next`] does not change it: the new state is put in its place once the batch is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    raw: Vec<u64>,
    known: Vec<Known>,
    at_ms: i64,
    /// Columns last read before `at_ms`.
    older: Vec<(u16, i64)>,
    uptime: Option<Uptime>,
    discontinuity: Vec<Option<u32>>,
    /// Slot from which the next anchors are due.
    anchors_due_s: i64,
}

/// What a column's `raw` is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// Never read.
    #[default]
    Not,
    /// The next increase counts from it.
    Read,
    /// The device reset the counter after it was read: nothing counts from it.
    Broken,
}

impl Counters {
    /// Before the first reading.
    #[must_use]
    pub fn new(columns: usize, interfaces: usize) -> Self {
        Self {
            raw: vec![0; columns],
            known: vec![Known::Not; columns],
            discontinuity: vec![None; interfaces],
            ..Self::default()
        }
    }

    /// The same readings under a changed layout: `columns[i]` is the old place of new column `i`, `interfaces` likewise.
    #[must_use]
    pub fn remapped(&self, columns: &[Option<u16>], interfaces: &[Option<u32>]) -> Self {
        let old = |at: &Option<u16>| at.map(usize::from).filter(|i| *i < self.raw.len());
        Self {
            raw: columns
                .iter()
                .map(|at| old(at).map_or(0, |i| self.raw[i]))
                .collect(),
            known: columns
                .iter()
                .map(|at| old(at).map_or(Known::Not, |i| self.known[i]))
                .collect(),
            at_ms: self.at_ms,
            older: columns
                .iter()
                .enumerate()
                .filter_map(|(new, at)| {
                    let at = (*at)?;
                    let (_, when) = self.older.iter().find(|(column, _)| *column == at)?;
                    Some((u16::try_from(new).ok()?, *when))
                })
                .collect(),
            uptime: self.uptime,
            discontinuity: interfaces
                .iter()
                .map(|at| {
                    let at = usize::try_from((*at)?).ok()?;
                    self.discontinuity.get(at).copied().flatten()
                })
                .collect(),
            anchors_due_s: self.anchors_due_s,
        }
    }

    /// What a poll says, and the readings that count from then on.
    #[must_use]
    pub fn next(
        &self,
        columns: impl IntoIterator<Item = ColumnSpec>,
        now: &Readings<'_>,
    ) -> (Self, Said) {
        let mut next = self.clone();
        let mut said = Said {
            values: vec![None; now.raw.len()],
            ..Said::default()
        };
        let uptime = now.uptime_ticks.map(|ticks| Uptime {
            ticks,
            at_ms: now.at_ms,
        });
        said.restarted =
            matches!((self.uptime, uptime), (Some(before), Some(now)) if before.restarted(now));
        let hourly = self.anchors_due_s != 0 && now.slot_s >= self.anchors_due_s;
        let mut spans = Vec::with_capacity(now.raw.len());
        let mut older = Vec::new();
        for (i, spec) in columns.into_iter().enumerate() {
            let column = u16::try_from(i).expect("a layout has at most 65,535 columns");
            let broken = said.restarted || self.broke(&spec, now);
            let Some(raw) = now.raw.get(i).copied().flatten() else {
                said.missing.push(column);
                if broken && self.known(i) == Known::Read {
                    next.known[i] = Known::Broken;
                } else if self.known(i) == Known::Read {
                    older.push((column, self.read_at(column)));
                }
                continue;
            };
            let Some(width) = spec.counter else {
                said.values[i] = Some(raw);
                continue;
            };
            let raw = raw.cast_unsigned();
            next.raw[i] = raw;
            next.known[i] = Known::Read;
            if self.known(i) == Known::Not {
                said.anchors.push((column, AnchorKind::Start, raw));
                continue;
            }
            let earlier = Count {
                raw: self.raw[i],
                at_ms: self.read_at(column),
            };
            let later = Count {
                raw,
                at_ms: now.at_ms,
            };
            let grown = if broken || self.known(i) == Known::Broken {
                Growth::Reset
            } else {
                growth(earlier, later, width, spec.line_rate)
            };
            match grown {
                Growth::By(by) => {
                    said.values[i] = i64::try_from(by).ok();
                    spans.push((
                        column,
                        u32::try_from(now.at_ms - earlier.at_ms).unwrap_or(u32::MAX),
                    ));
                    if hourly {
                        said.anchors.push((column, AnchorKind::Hourly, raw));
                    }
                }
                Growth::Reset => {
                    said.anchors.push((column, AnchorKind::Reset, raw));
                    said.missing.push(column);
                }
                Growth::NoTime => {
                    // The clock stood still: the earlier reading stays the one that counts.
                    next.raw[i] = earlier.raw;
                    older.push((column, earlier.at_ms));
                    said.missing.push(column);
                }
            }
        }
        said.span_ms = usual(&spans);
        said.spans = spans
            .into_iter()
            .filter(|(_, span)| *span != said.span_ms)
            .collect();
        next.at_ms = now.at_ms;
        next.older = older;
        next.uptime = uptime.or(self.uptime);
        for (kept, seen) in next.discontinuity.iter_mut().zip(now.discontinuity) {
            *kept = seen.or(*kept);
        }
        if self.anchors_due_s == 0 {
            next.anchors_due_s = now.slot_s + ANCHOR_SOON_S;
        } else if hourly {
            next.anchors_due_s = now.slot_s + ANCHOR_EVERY_S;
        }
        (next, said)
    }

    fn known(&self, column: usize) -> Known {
        self.known.get(column).copied().unwrap_or_default()
    }

    fn read_at(&self, column: u16) -> i64 {
        self.older
            .iter()
            .find(|(older, _)| *older == column)
            .map_or(self.at_ms, |(_, at_ms)| *at_ms)
    }

    /// Whether the interface says that its counters were interrupted (RFC 2863, `ifCounterDiscontinuityTime`).
    fn broke(&self, spec: &ColumnSpec, now: &Readings<'_>) -> bool {
        let Some(i) = spec.breaks.and_then(|i| usize::try_from(i).ok()) else {
            return false;
        };
        let before = self.discontinuity.get(i).copied().flatten();
        let seen = now.discontinuity.get(i).copied().flatten();
        matches!((before, seen), (Some(before), Some(seen)) if before != seen)
    }
}

/// The span that most columns share; 0 where there is none.
fn usual(spans: &[(u16, u32)]) -> u32 {
    // Columns of one poll nearly always share one span; the first that has a majority over the rest is found in one pass.
    let mut candidate = 0;
    let mut lead = 0_u32;
    for (_, span) in spans {
        if lead == 0 {
            candidate = *span;
        }
        if *span == candidate {
            lead += 1;
        } else {
            lead -= 1;
        }
    }
    candidate
}

/// Counter32's modulus.
const WRAP: u64 = 1 << 32;
/// Units a second beyond which a growth is a fault of the agent: 100 Tbit/s in octets.
pub const ABSURD_PER_S: f64 = 1.25e13;
/// How often each counter's raw value is sent as a proof.
pub const ANCHOR_EVERY_S: i64 = 3_600;
/// The first proof comes this soon after the first reading: whoever has just plugged a probe in sees that it holds.
pub const ANCHOR_SOON_S: i64 = 60;

#[cfg(test)]
mod tests;
