//! What happens at the site and when: pure functions of the time since it opened.

use std::time::Duration;

/// Something that begins, lasts and ends, again and again. Times are seconds since the site opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cycle {
    first: f64,
    every: f64,
    lasts: f64,
}

impl Cycle {
    /// `None` when it never happens: `every` or `lasts` is zero.
    #[must_use]
    pub fn new(first: Duration, every: Duration, lasts: Duration) -> Option<Self> {
        let (first, every, lasts) = (
            first.as_secs_f64(),
            every.as_secs_f64(),
            lasts.as_secs_f64(),
        );
        (every > 0.0 && lasts > 0.0).then(|| Self {
            first,
            every,
            lasts: lasts.min(every * 0.9),
        })
    }

    /// Whether it is under way.
    #[must_use]
    pub fn during(&self, at: f64) -> bool {
        self.turn(at)
            .is_some_and(|turn| at < self.start(turn) + self.lasts)
    }

    /// When it last ended.
    #[must_use]
    pub fn last_end(&self, at: f64) -> Option<f64> {
        self.ended(at)
            .checked_sub(1)
            .map(|turn| self.start(turn) + self.lasts)
    }

    /// How often it has ended.
    #[must_use]
    pub fn ended(&self, at: f64) -> u32 {
        self.turn(at - self.lasts).map_or(0, |turn| turn + 1)
    }

    /// For how many seconds it has been under way, all turns together.
    #[must_use]
    pub fn seconds_inside(&self, at: f64) -> f64 {
        self.turn(at).map_or(0.0, |turn| {
            f64::from(turn) * self.lasts + (at - self.start(turn)).min(self.lasts)
        })
    }

    /// When it last began or ended.
    #[must_use]
    pub fn last_edge(&self, at: f64) -> Option<f64> {
        let turn = self.turn(at)?;
        let end = self.start(turn) + self.lasts;
        Some(if at < end { self.start(turn) } else { end })
    }

    /// Every beginning (`true`) and end (`false`) after `from`, up to and with `to`.
    #[must_use]
    pub fn edges(&self, from: f64, to: f64) -> Vec<(f64, bool)> {
        let Some(last) = self.turn(to) else {
            return Vec::new();
        };
        let first = self.turn(from).unwrap_or(0);
        let both = (first..=last).flat_map(|turn| {
            [
                (self.start(turn), true),
                (self.start(turn) + self.lasts, false),
            ]
        });
        both.filter(|(at, _)| *at > from && *at <= to).collect()
    }

    fn start(&self, turn: u32) -> f64 {
        self.first + f64::from(turn) * self.every
    }

    fn turn(&self, at: f64) -> Option<u32> {
        let turns = ((at - self.first) / self.every).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be a small whole number"
        )]
        (turns >= 0.0 && turns < f64::from(u32::MAX)).then_some(turns as u32)
    }
}

/// The site's programme: what goes wrong by itself.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// One switch reboots: silent for the time it takes, then its counters and `sysUpTime` start at zero.
    pub reboot: Option<Cycle>,
    /// One access point cannot be reached for a while, and comes back as it was.
    pub outage: Option<Cycle>,
    /// One port of a switch loses its link and finds it again.
    pub flap: Option<Cycle>,
    /// The share of requests that one access point loses, 0 to 1.
    pub lossy_share: f64,
}

impl Timeline {
    /// Nothing happens unless a knob is turned.
    #[must_use]
    pub fn quiet() -> Self {
        Self {
            reboot: None,
            outage: None,
            flap: None,
            lossy_share: 0.0,
        }
    }
}

impl Default for Timeline {
    /// A demo's: within its first two minutes a viewer has seen everything once.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            reboot: Cycle::new(seconds(90), seconds(300), seconds(10)),
            outage: Cycle::new(seconds(60), seconds(240), seconds(45)),
            flap: Cycle::new(seconds(75), seconds(180), seconds(40)),
            lossy_share: 0.2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle() -> Cycle {
        let seconds = Duration::from_secs;
        Cycle::new(seconds(60), seconds(100), seconds(10)).unwrap()
    }

    #[test]
    fn a_cycle_is_under_way_from_its_start_to_its_end() {
        assert!(!cycle().during(59.9));
        assert!(cycle().during(60.0));
        assert!(cycle().during(69.9));
        assert!(!cycle().during(70.0));
        assert!(cycle().during(165.0));
    }

    #[test]
    fn ends_and_time_inside_are_counted() {
        assert_eq!(cycle().last_end(69.0), None);
        assert_eq!(cycle().last_end(70.0), Some(70.0));
        assert_eq!((cycle().ended(169.0), cycle().ended(170.0)), (1, 2));
        assert!((cycle().seconds_inside(165.0) - 15.0).abs() < 1e-9);
        assert!((cycle().seconds_inside(300.0) - 30.0).abs() < 1e-9);
        assert_eq!(cycle().last_edge(65.0), Some(60.0));
        assert_eq!(cycle().last_edge(100.0), Some(70.0));
    }

    #[test]
    fn each_edge_is_told_once_however_time_is_cut() {
        let whole = cycle().edges(0.0, 500.0);
        assert_eq!(whole.len(), 10);
        let pieces: Vec<_> = (0..1000)
            .flat_map(|n| cycle().edges(f64::from(n) * 0.5, f64::from(n + 1) * 0.5))
            .collect();
        assert_eq!(whole, pieces);
    }

    #[test]
    fn a_cycle_without_period_or_length_never_happens() {
        assert_eq!(
            Cycle::new(Duration::ZERO, Duration::ZERO, Duration::from_secs(1)),
            None
        );
        assert_eq!(
            Cycle::new(Duration::ZERO, Duration::from_secs(1), Duration::ZERO),
            None
        );
    }
}
