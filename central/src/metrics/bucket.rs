//! Samples to points: pure functions over time.

use farwatch_shared::model::Metric;

use super::query::Point;
use super::rollup::Cell;
use super::shape::scaled;

/// One sample of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Its slot, ms, Central's time.
    pub(super) slot_ms: i64,
    /// When it was read.
    pub(super) at_ms: i64,
    /// What an increase covers, ms; 0 is "not known".
    pub(super) span_ms: u32,
    /// As it was sent.
    pub(super) raw: i64,
    /// Scaled: the value, or the increase.
    pub(super) value: f64,
}

/// What a roll-up says of one series in one step, scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rolled {
    /// Start of the step, ms.
    pub(super) at_ms: i64,
    /// Of values, or of increases.
    sum: f64,
    /// How many values, or how many seconds are covered.
    weight: f64,
    min: f64,
    max: f64,
    last: f64,
}

impl Rolled {
    #[expect(clippy::cast_precision_loss, reason = "weights are small numbers")]
    pub(super) fn of(at_ms: i64, cell: &Cell, metric: &Metric, counter: bool) -> Self {
        let value = |raw: i64| {
            if counter {
                Cell::rate(raw)
            } else {
                scaled(metric, raw)
            }
        };
        Self {
            at_ms,
            sum: scaled(metric, cell.sum),
            weight: cell.weight as f64 / if counter { 1_000.0 } else { 1.0 },
            min: value(cell.min),
            max: value(cell.max),
            last: value(cell.last),
        }
    }
}

/// How values of a metric are drawn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Increases: a rate per second over the time they cover.
    Rate,
    /// Values: their mean.
    Mean,
    /// States: the last one; the extremes beside it.
    Last,
}

/// One point per sample in `[from, to)`.
pub(super) fn each(samples: &[Sample], how: How, from: i64, to: i64) -> Vec<Point> {
    samples
        .iter()
        .filter(|sample| (from..to).contains(&sample.slot_ms))
        .filter_map(|sample| {
            let value = match how {
                How::Rate if sample.span_ms == 0 => return None,
                How::Rate => per_s(sample),
                How::Mean | How::Last => sample.value,
            };
            Some(Point {
                at_ms: sample.slot_ms,
                mean: value,
                min: value,
                max: value,
            })
        })
        .collect()
}

/// One point per step in `[from, to)` that holds anything; steps begin at multiples of `step_ms`.
pub(super) fn steps(
    samples: &[Sample],
    rolled: &[Rolled],
    how: How,
    from: i64,
    to: i64,
    step_ms: i64,
) -> Vec<Point> {
    let mut sums = Steps::new(from, to, step_ms);
    // By time, for the sake of what is last.
    let mut rolled = rolled.iter().peekable();
    for sample in samples {
        while let Some(one) = rolled.next_if(|one| one.at_ms <= sample.slot_ms) {
            sums.add(one, how);
        }
        match how {
            How::Rate => sums.spread(sample),
            How::Mean | How::Last => sums.drop_in(sample, how),
        }
    }
    for one in rolled {
        sums.add(one, how);
    }
    sums.points()
}

fn per_s(sample: &Sample) -> f64 {
    sample.value / (f64::from(sample.span_ms) / 1_000.0)
}

#[derive(Clone, Copy)]
struct Sum {
    /// Of values, or of increases.
    sum: f64,
    /// How many values, or how many seconds are covered.
    weight: f64,
    min: f64,
    max: f64,
}

struct Steps {
    from: i64,
    to: i64,
    step: i64,
    first: i64,
    sums: Vec<Option<Sum>>,
}

impl Steps {
    fn new(from: i64, to: i64, step_ms: i64) -> Self {
        let step = step_ms.max(1);
        let first = from.div_euclid(step);
        let last = to.saturating_sub(1).div_euclid(step);
        let count = usize::try_from(last - first + 1).unwrap_or(0);
        Self {
            from,
            to,
            step,
            first,
            sums: vec![None; count],
        }
    }

    fn at(&mut self, step: i64) -> Option<&mut Option<Sum>> {
        let index = usize::try_from(step - self.first).ok()?;
        self.sums.get_mut(index)
    }

    fn add(&mut self, rolled: &Rolled, how: How) {
        let at = rolled.at_ms.max(self.from);
        let (sum, weight) = match how {
            How::Last => (rolled.last, 1.0),
            How::Rate | How::Mean => (rolled.sum, rolled.weight),
        };
        let Some(place) = self.at(at.div_euclid(self.step)) else {
            return;
        };
        match place {
            None => {
                *place = Some(Sum {
                    sum,
                    weight,
                    min: rolled.min,
                    max: rolled.max,
                });
            }
            Some(place) => {
                if how == How::Last {
                    place.sum = sum;
                } else {
                    place.sum += sum;
                    place.weight += weight;
                }
                place.min = place.min.min(rolled.min);
                place.max = place.max.max(rolled.max);
            }
        }
    }

    fn drop_in(&mut self, sample: &Sample, how: How) {
        if !(self.from..self.to).contains(&sample.slot_ms) {
            return;
        }
        let value = sample.value;
        let Some(sum) = self.at(sample.slot_ms.div_euclid(self.step)) else {
            return;
        };
        match sum {
            None => {
                *sum = Some(Sum {
                    sum: value,
                    weight: 1.0,
                    min: value,
                    max: value,
                });
            }
            Some(sum) => {
                if how == How::Last {
                    sum.sum = value;
                } else {
                    sum.sum += value;
                    sum.weight += 1.0;
                }
                sum.min = sum.min.min(value);
                sum.max = sum.max.max(value);
            }
        }
    }

    /// An increase belongs to all the time it covers, in equal parts.
    fn spread(&mut self, sample: &Sample) {
        if sample.span_ms == 0 {
            return;
        }
        let rate = per_s(sample);
        let begin = sample
            .at_ms
            .saturating_sub(i64::from(sample.span_ms))
            .max(self.from);
        let end = sample.at_ms.min(self.to);
        let mut at = begin;
        while at < end {
            let step = at.div_euclid(self.step);
            let until = ((step + 1) * self.step).min(end);
            #[expect(
                clippy::cast_precision_loss,
                reason = "a span of at most 50 days in ms is exact"
            )]
            let seconds = (until - at) as f64 / 1_000.0;
            if let Some(sum) = self.at(step) {
                let part = sum.get_or_insert(Sum {
                    sum: 0.0,
                    weight: 0.0,
                    min: rate,
                    max: rate,
                });
                part.sum += rate * seconds;
                part.weight += seconds;
                part.min = part.min.min(rate);
                part.max = part.max.max(rate);
            }
            at = until;
        }
    }

    fn points(self) -> Vec<Point> {
        let (first, step) = (self.first, self.step);
        self.sums
            .into_iter()
            .zip(first..)
            .filter_map(|(sum, index)| {
                let sum = sum?;
                Some(Point {
                    at_ms: index * step,
                    mean: sum.sum / sum.weight,
                    min: sum.min,
                    max: sum.max,
                })
            })
            .collect()
    }
}

/// Seconds between points: what was asked for, or the least of a list of good ones that gives at most 600 points.
pub(super) fn choose_step(asked_s: Option<u32>, from: i64, to: i64, interval_s: u32) -> u32 {
    const GOOD: [u32; 18] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
        86_400,
    ];
    let interval_s = interval_s.max(1);
    let seconds = u64::try_from((to - from).max(0) / 1_000).unwrap_or(0);
    let least = |most: u64| {
        u32::try_from(seconds.div_ceil(most))
            .unwrap_or(u32::MAX)
            .max(interval_s)
    };
    // A step asked for that would give more points than a list may have is widened.
    let least = asked_s
        .filter(|step| *step > 0)
        .map_or_else(|| least(600), |step| step.max(least(10_000)));
    if asked_s == Some(least) || least == interval_s {
        return least;
    }
    GOOD.into_iter()
        .find(|good| *good >= least)
        .unwrap_or_else(|| least.div_ceil(86_400).saturating_mul(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: i64, span_s: u32, value: f64) -> Sample {
        Sample {
            slot_ms: at_s * 1_000,
            at_ms: at_s * 1_000,
            span_ms: span_s * 1_000,
            raw: 0,
            value,
        }
    }

    #[test]
    fn an_increase_is_spread_over_the_time_it_covers_also_past_missed_polls() {
        let samples = [
            sample(60, 60, 600.0),
            // Two polls were missed: 180 s at 20 a second.
            sample(240, 180, 3_600.0),
        ];
        let points = steps(&samples, &[], How::Rate, 0, 240_000, 60_000);
        let means: Vec<(i64, f64)> = points.iter().map(|p| (p.at_ms, p.mean)).collect();
        assert_eq!(
            means,
            [(0, 10.0), (60_000, 20.0), (120_000, 20.0), (180_000, 20.0)]
        );
        let total: f64 = means.iter().map(|(_, mean)| mean * 60.0).sum();
        assert!((total - 4_200.0).abs() < 1e-6, "nothing is made up or lost");
        assert_eq!(each(&samples, How::Rate, 0, 240_001)[1].mean, 20.0);
    }

    #[test]
    fn a_step_shows_mean_and_extremes_and_an_empty_one_nothing() {
        let samples: Vec<Sample> = [(0, 1.0), (10, 5.0), (20, 3.0), (70, 7.0)]
            .map(|(at, value)| sample(at, 0, value))
            .into();
        let points = steps(&samples, &[], How::Mean, 0, 180_000, 30_000);
        assert_eq!(points.len(), 2);
        assert_eq!(
            (points[0].mean, points[0].min, points[0].max),
            (3.0, 1.0, 5.0)
        );
        assert_eq!((points[1].at_ms, points[1].mean), (60_000, 7.0));
        assert_eq!(
            steps(&samples, &[], How::Last, 0, 30_000, 30_000)[0].mean,
            3.0
        );
        assert!(steps(&[], &[], How::Mean, 0, 0, 1).is_empty());
    }

    #[test]
    fn a_step_is_chosen_so_that_at_most_600_points_come() {
        let hour = 3_600_000;
        for (hours, interval, expected) in [
            (1, 60, 60),
            (1, 10, 10),
            (24, 60, 300),
            (24 * 7, 60, 1_800),
            (24 * 90, 60, 21_600),
            (24 * 365 * 2, 60, 172_800),
        ] {
            let step = choose_step(None, 0, hours * hour, interval);
            assert_eq!(step, expected, "{hours} h");
            assert!(hours * 3_600 / i64::from(step) <= 600);
        }
        assert_eq!(
            choose_step(Some(7), 0, hour, 60),
            60,
            "no finer than it is polled"
        );
        assert_eq!(choose_step(Some(90), 0, hour, 60), 90);
        assert!(choose_step(Some(1), 0, 24 * 365 * hour, 1) >= 3_154);
    }
}
