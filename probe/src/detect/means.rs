//! One way of asking a device: what it was last heard by, and whether that has failed.

use farwatch_shared::clock::Timestamp;

use super::{Moment, RETRY_MS, Seen};

/// Ping, or SNMP, of one device.
#[derive(Clone, Debug)]
pub(super) struct Means {
    /// Whether it is asked at all.
    judged: bool,
    /// Whether it ever worked: only then can it fail.
    worked: bool,
    /// Silences in a row.
    silences: u32,
    failing_since_ms: i64,
    heard_ms: i64,
    heard_at: Timestamp,
    /// Answers that it will not say.
    refusal: Option<String>,
    /// Silences before this are not counted: the device has only just come back.
    forgiven_until_ms: i64,
}

impl Means {
    pub(super) fn new(asked: Option<bool>) -> Self {
        Self {
            judged: asked.is_some(),
            worked: asked.unwrap_or(false),
            silences: 0,
            failing_since_ms: i64::MIN,
            heard_ms: i64::MIN,
            heard_at: Timestamp::default(),
            refusal: None,
            forgiven_until_ms: i64::MIN,
        }
    }

    pub(super) fn set(&mut self, asked: Option<bool>) {
        self.judged = asked.is_some();
        match asked {
            Some(worked) => self.worked |= worked,
            None => self.worked = false,
        }
    }

    /// Takes what was seen; says when to ask again, if that is needed to be sure.
    pub(super) fn take(&mut self, seen: Seen<'_>, now: Moment) -> Option<i64> {
        match seen {
            Seen::Answer | Seen::Refusal(_) => {
                self.judged = true;
                self.silences = 0;
                self.heard_ms = now.boot_ms;
                self.heard_at = now.wall;
                if let Seen::Refusal(why) = seen {
                    self.refusal = Some(why.to_owned());
                } else {
                    self.refusal = None;
                    self.worked = true;
                }
                None
            }
            Seen::Silence if now.boot_ms < self.forgiven_until_ms => None,
            Seen::Silence => {
                if self.silences == 0 {
                    self.failing_since_ms = now.boot_ms;
                }
                self.silences = self.silences.saturating_add(1);
                self.refusal = None;
                (self.silences <= RETRIES).then_some(now.boot_ms + RETRY_MS)
            }
        }
    }

    /// Forgets the failure for a while: whatever comes back needs a moment for all of it.
    pub(super) fn forgive(&mut self, now_ms: i64) {
        self.silences = 0;
        self.refusal = None;
        self.forgiven_until_ms = now_ms + GRACE_MS;
    }

    pub(super) const fn is_judged(&self) -> bool {
        self.judged
    }

    /// Whether its failing says anything of the device.
    pub(super) const fn counts(&self) -> bool {
        self.judged && self.worked
    }

    /// Failed: silent after every retry.
    pub(super) const fn failed(&self) -> bool {
        self.counts() && self.silences > RETRIES
    }

    /// Silent, retries not yet used up.
    pub(super) const fn is_failing(&self) -> bool {
        self.counts() && self.silences > 0 && self.silences <= RETRIES
    }

    /// Was heard in this process's life, and not silent since.
    pub(super) const fn answers(&self) -> bool {
        self.counts() && self.heard_ms > self.failing_since_ms
    }

    pub(super) const fn refuses(&self) -> bool {
        self.counts() && self.refusal.is_some()
    }

    pub(super) const fn heard_ms(&self) -> i64 {
        self.heard_ms
    }

    pub(super) const fn heard_at(&self) -> Timestamp {
        self.heard_at
    }

    pub(super) const fn failing_since_ms(&self) -> i64 {
        self.failing_since_ms
    }

    /// Whether it should be asked because another means fell silent at `now_ms` and this one has not been heard since.
    pub(super) const fn is_older_than_failure(&self, now_ms: i64) -> bool {
        self.counts()
            && self.silences == 0
            && self.heard_ms < now_ms
            && now_ms >= self.forgiven_until_ms
    }

    pub(super) fn why(&self, word: &str) -> String {
        match &self.refusal {
            Some(refusal) => format!("{word}: {refusal}"),
            None => format!("no answer to {} by {word}", tries(self.silences)),
        }
    }
}

fn tries(silences: u32) -> String {
    if silences > RETRIES + 1 {
        format!("{} tries and more", RETRIES + 1)
    } else {
        format!("{silences} tries")
    }
}

/// Tries after the first silence.
pub(super) const RETRIES: u32 = 3;
/// How long the other means may stay silent after a device came back: an agent starts after the stack that pings.
const GRACE_MS: i64 = 60_000;
