#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of a test"
)]

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

fn count(raw: u64, at_s: i64) -> Count {
    Count {
        raw,
        at_ms: at_s * 1_000,
    }
}

fn up(ticks: u32, at_s: i64) -> Uptime {
    Uptime {
        ticks,
        at_ms: at_s * 1_000,
    }
}

#[test]
fn a_counter64_that_went_down_was_reset() {
    assert_eq!(
        growth(count(500, 0), count(100, 60), Width::Bits64, Some(1e9)),
        Growth::Reset
    );
    assert_eq!(
        growth(count(500, 0), count(700, 60), Width::Bits64, None),
        Growth::By(200)
    );
}

#[test]
fn a_counter32_wraps_only_as_fast_as_its_line() {
    let (before, after) = (count(WRAP - 1_000, 0), count(500, 60));
    assert_eq!(
        growth(before, after, Width::Bits32, Some(12_500_000.0)),
        Growth::By(1_500)
    );
    assert_eq!(
        growth(before, after, Width::Bits32, Some(20.0)),
        Growth::Reset
    );
    assert_eq!(growth(before, after, Width::Bits32, None), Growth::Reset);
    // 4 GB in a minute is no wrap on a 100 Mbit/s line
    assert_eq!(
        growth(
            count(1_000, 0),
            count(500, 60),
            Width::Bits32,
            Some(12_500_000.0)
        ),
        Growth::Reset
    );
}

#[test]
fn a_petabit_spike_is_a_reset_and_no_time_is_no_growth() {
    assert_eq!(
        growth(count(0, 0), count(u64::MAX, 60), Width::Bits64, None),
        Growth::Reset
    );
    assert_eq!(
        growth(count(0, 5), count(9, 5), Width::Bits64, None),
        Growth::NoTime
    );
    assert_eq!(
        growth(count(0, 5), count(9, 4), Width::Bits64, None),
        Growth::NoTime
    );
}

#[test]
fn the_wrap_of_uptime_after_497_days_is_no_restart() {
    assert!(!up(u32::MAX - 2_000, 0).restarted(up(4_000, 60)));
    assert!(
        up(u32::MAX - 200_000, 0).restarted(up(4_000, 60)),
        "2³² was not due yet"
    );
}

#[test]
fn a_restart_is_an_uptime_no_longer_than_the_time_since() {
    assert!(up(100_000, 0).restarted(up(3_000, 60)));
    assert!(
        up(1_000, 0).restarted(up(360_000, 86_400)),
        "up for an hour, last seen a day ago"
    );
    assert!(!up(100_000, 0).restarted(up(106_000, 60)));
    assert!(
        !up(100_000, 0).restarted(up(99_000, 60)),
        "its clock was set back"
    );
    assert!(
        !up(100_000, 0).restarted(up(100_200, 60)),
        "it was asleep, and goes on"
    );
}

#[test]
fn a_missed_poll_widens_the_span_of_its_column_alone() {
    let columns = [ColumnSpec {
        counter: Some(Width::Bits64),
        line_rate: None,
        breaks: None,
    }; 3];
    let read = |at: i64, raw: &[Option<i64>]| {
        let raw = raw.to_vec();
        (at, raw)
    };
    let mut state = Counters::new(3, 0);
    let mut all = Vec::new();
    for (at, raw) in [
        read(60, &[Some(10), Some(10), Some(10)]),
        read(120, &[Some(20), None, Some(15)]),
        read(180, &[Some(25), Some(40), Some(16)]),
    ] {
        let (next, said) = state.next(
            columns.iter().copied(),
            &Readings {
                slot_s: at,
                at_ms: at * 1_000,
                uptime_ticks: None,
                raw: &raw,
                discontinuity: &[],
            },
        );
        state = next;
        all.push(said);
    }
    assert_eq!(all[0].values, vec![None, None, None]);
    assert_eq!(all[0].anchors.len(), 3);
    assert!(
        all[0].missing.is_empty(),
        "an anchor covers a first reading"
    );
    assert_eq!(all[1].values, vec![Some(10), None, Some(5)]);
    assert_eq!(all[1].missing, vec![1]);
    assert_eq!(all[2].values, vec![Some(5), Some(30), Some(1)]);
    assert_eq!(
        (all[2].span_ms, all[2].spans.clone()),
        (60_000, vec![(1, 120_000)])
    );
}

#[test]
fn a_reading_that_was_not_made_durable_is_not_counted_from() {
    let columns = [ColumnSpec {
        counter: Some(Width::Bits64),
        line_rate: None,
        breaks: None,
    }];
    let read = |state: &Counters, at: i64, raw: i64| {
        state.next(
            columns.iter().copied(),
            &Readings {
                slot_s: at,
                at_ms: at * 1_000,
                uptime_ticks: None,
                raw: &[Some(raw)],
                discontinuity: &[],
            },
        )
    };
    let (durable, _) = read(&Counters::new(1, 0), 60, 100);
    let (_lost, _) = read(&durable, 120, 150);
    let (_, said) = read(&durable, 180, 210);
    assert_eq!((said.values[0], said.span_ms), (Some(110), 120_000));
}

#[test]
fn an_interface_that_broke_is_reset_alone() {
    let columns = [0, 1].map(|i| ColumnSpec {
        counter: Some(Width::Bits64),
        line_rate: None,
        breaks: Some(i),
    });
    let read = |state: &Counters, at: i64, breaks: [u32; 2]| {
        state.next(
            columns.iter().copied(),
            &Readings {
                slot_s: at,
                at_ms: at * 1_000,
                uptime_ticks: None,
                raw: &[Some(at), Some(at)],
                discontinuity: &breaks.map(Some),
            },
        )
    };
    let (state, _) = read(&Counters::new(2, 2), 60, [0, 0]);
    let (state, said) = read(&state, 120, [0, 77]);
    assert_eq!(said.values, vec![Some(60), None]);
    assert_eq!(
        said.anchors,
        vec![(0, AnchorKind::Hourly, 120), (1, AnchorKind::Reset, 120)]
    );
    assert_eq!(said.missing, vec![1]);
    assert_eq!(
        read(&state, 180, [0, 77]).1.values,
        vec![Some(60), Some(60)]
    );
}

#[test]
fn a_changed_layout_keeps_what_was_read() {
    let spec = ColumnSpec {
        counter: Some(Width::Bits64),
        line_rate: None,
        breaks: None,
    };
    let (state, _) = Counters::new(2, 0).next(
        [spec; 2],
        &Readings {
            slot_s: 60,
            at_ms: 60_000,
            uptime_ticks: None,
            raw: &[Some(5), Some(70)],
            discontinuity: &[],
        },
    );
    let state = state.remapped(&[Some(1), None], &[]);
    let (_, said) = state.next(
        [spec; 2],
        &Readings {
            slot_s: 120,
            at_ms: 120_000,
            uptime_ticks: None,
            raw: &[Some(75), Some(9)],
            discontinuity: &[],
        },
    );
    assert_eq!(said.values, vec![Some(5), None]);
    assert_eq!(
        said.anchors,
        vec![(0, AnchorKind::Hourly, 75), (1, AnchorKind::Start, 9)]
    );
}

#[test]
fn a_proof_is_sent_after_a_minute_and_then_every_hour() {
    let spec = ColumnSpec {
        counter: Some(Width::Bits64),
        line_rate: None,
        breaks: None,
    };
    let mut state = Counters::new(1, 0);
    let mut sent = Vec::new();
    for at in (0..8_000).step_by(10) {
        let (next, said) = state.next(
            [spec],
            &Readings {
                slot_s: at,
                at_ms: at * 1_000,
                uptime_ticks: None,
                raw: &[Some(at)],
                discontinuity: &[],
            },
        );
        state = next;
        sent.extend(said.anchors.iter().map(|(_, kind, _)| (at, *kind)));
    }
    let hourly = |at| (at, AnchorKind::Hourly);
    assert_eq!(
        sent,
        [
            (0, AnchorKind::Start),
            hourly(60),
            hourly(3_660),
            hourly(7_260)
        ]
    );
}

#[test]
fn a_column_that_missed_the_restart_does_not_count_across_it() {
    let spec = ColumnSpec {
        counter: Some(Width::Bits64),
        line_rate: None,
        breaks: None,
    };
    let read = |state: &Counters, at: i64, uptime: u32, raw: Option<i64>| {
        state.next(
            [spec],
            &Readings {
                slot_s: at,
                at_ms: at * 1_000,
                uptime_ticks: Some(uptime),
                raw: &[raw],
                discontinuity: &[],
            },
        )
    };
    let (state, _) = read(&Counters::new(1, 0), 60, 500_000, Some(100));
    let (state, said) = read(&state, 120, 1_000, None);
    assert!(said.restarted);
    let (state, said) = read(&state, 180, 7_000, Some(400));
    assert_eq!(said.values, vec![None], "400 is no growth of 300");
    assert_eq!(said.anchors, vec![(0, AnchorKind::Reset, 400)]);
    assert_eq!(
        read(&state, 240, 13_000, Some(450)).1.values,
        vec![Some(50)]
    );
}

/// A device as it really is, against which every word is checked.
struct Truth {
    width: Width,
    line_rate: u64,
    /// Everything ever counted, never reset.
    total: u128,
    /// `total` when the counter was last zero.
    zero: u128,
    /// Moment of the last start, ms.
    started_ms: i64,
    discontinuity: u32,
    /// How often it was reset.
    resets: u32,
}

/// Series checked by this test: more with `FARWATCH_SERIES=10000000`.
fn series() -> u64 {
    std::env::var("FARWATCH_SERIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000)
}

#[test]
fn no_rate_above_the_line_and_no_false_restart_in_many_series() {
    for seed in 0..series() {
        one_series(seed);
    }
}

fn one_series(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let width = if rng.random() {
        Width::Bits32
    } else {
        Width::Bits64
    };
    // 32 bits are only asked of lines that cannot wrap twice between two polls
    let line_rate = match width {
        Width::Bits32 => rng.random_range(100..5_000_000),
        Width::Bits64 => rng.random_range(100..50_000_000_000),
    };
    let mut now_ms: i64 = rng.random_range(0..1_000_000);
    let mut truth = Truth {
        width,
        line_rate,
        total: u128::from(rng.random::<u64>() >> rng.random_range(8..60)),
        zero: 0,
        // sometimes close to the 497-day wrap
        started_ms: if rng.random() {
            now_ms - rng.random_range(0..10_000_000)
        } else {
            now_ms - (1_i64 << 32) * 10 + rng.random_range(0..2_000_000)
        },
        discontinuity: 0,
        resets: 0,
    };
    let knows_speed = rng.random_bool(0.9);
    let spec = ColumnSpec {
        counter: Some(width),
        line_rate: knows_speed.then_some(line_rate as f64),
        breaks: Some(0),
    };
    let mut state = Counters::new(1, 1);
    let mut last: Option<(u128, u32, i64)> = None; // total, resets, at of the last durable reading
    let mut proof: Option<u128> = None; // anchor before plus all increases since
    let mut slot_s = 0;
    let mut asked_resets = 0;
    for _ in 0..rng.random_range(5..40) {
        let step_ms = 60_000 + rng.random_range(-2_000..2_000);
        let load = rng.random_range(0.0..1.0);
        // a restart in the very minutes of the 497-day wrap looks exactly like the wrap
        let up_for = (now_ms - truth.started_ms) / 10 % (1 << 32);
        let near_wrap = !(100_000..(1 << 32) - 100_000).contains(&up_for)
            && now_ms - truth.started_ms > 1 << 32;
        let reset = !near_wrap && rng.random_bool(0.05);
        let broke = !reset && rng.random_bool(0.03);
        if reset || broke {
            truth.grow(step_ms / 2, load);
            truth.zero = truth.total;
            truth.resets += 1;
            if reset {
                truth.started_ms = now_ms + step_ms / 2;
                truth.discontinuity = 0;
            } else {
                truth.discontinuity += 1 + rng.random_range(0..1_000);
            }
            truth.grow(step_ms - step_ms / 2, load);
        } else {
            truth.grow(step_ms, load);
        }
        now_ms += step_ms;
        slot_s += 60;
        if rng.random_bool(0.1) {
            continue; // nobody asked
        }
        let missing = rng.random_bool(0.1);
        let readings_raw = [(!missing).then(|| truth.shown().cast_signed())];
        let (next, said) = state.next(
            [spec],
            &Readings {
                slot_s,
                at_ms: now_ms,
                uptime_ticks: Some(truth.uptime(now_ms)),
                raw: &readings_raw,
                discontinuity: &[Some(truth.discontinuity)],
            },
        );
        if rng.random_bool(0.1) {
            continue; // the batch was not made durable
        }
        state = next;
        if said.restarted {
            assert!(
                truth.resets > asked_resets,
                "seed {seed}: a restart that never was"
            );
        }
        asked_resets = truth.resets;
        if missing {
            assert!(said.values[0].is_none() && said.anchors.is_empty() && said.missing == [0]);
            continue;
        }
        let interrupted = last.is_some_and(|(_, resets, _)| resets != truth.resets);
        if let Some(value) = said.values[0] {
            let (total, _, at) = last.expect("an increase needs an earlier reading");
            assert!(!interrupted, "seed {seed}: an increase across a reset");
            assert_eq!(
                u128::from(value.cast_unsigned()),
                truth.total - total,
                "seed {seed}: not what was counted"
            );
            assert_eq!(i64::from(said.span_ms), now_ms - at, "seed {seed}");
            assert!(
                value as f64 * 1_000.0 / f64::from(said.span_ms) <= line_rate as f64 + 1.0,
                "seed {seed}: faster than its line"
            );
            proof = proof.map(|sum| sum + u128::from(value.cast_unsigned()));
        } else {
            assert!(
                said.anchors.len() == 1,
                "seed {seed}: neither an increase nor an anchor"
            );
            if width == Width::Bits64 && last.is_some() {
                assert!(interrupted, "seed {seed}: a gap for nothing");
            }
        }
        for (_, kind, raw) in said.anchors {
            if kind == AnchorKind::Hourly {
                let modulus = match width {
                    Width::Bits32 => 1 << 32,
                    Width::Bits64 => 1_u128 << 64,
                };
                assert_eq!(
                    proof.expect("hourly anchors follow a first one") % modulus,
                    u128::from(raw),
                    "seed {seed}: the proof does not hold"
                );
            }
            proof = Some(u128::from(raw));
        }
        last = Some((truth.total, truth.resets, now_ms));
    }
}

impl Truth {
    fn grow(&mut self, ms: i64, load: f64) {
        // whole seconds only, so that jitter never lifts the rate above the line
        self.total += (self.line_rate as f64 * load * (ms as f64 / 1_000.0)) as u128;
    }

    fn shown(&self) -> u64 {
        let count = self.total - self.zero;
        match self.width {
            Width::Bits32 => (count % (1 << 32)) as u64,
            Width::Bits64 => count as u64,
        }
    }

    fn uptime(&self, now_ms: i64) -> u32 {
        (((now_ms - self.started_ms) / 10) % (1 << 32)) as u32
    }
}
