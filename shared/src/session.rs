//! Delivery as two state machines without I/O: `now` is passed in, what to do comes out.
//!
//! ```text
//!  probe                                                        Central
//!  spool ──Stock──▶ Sender                                      Receiver ◀──LeaseRow, live rival── probes table, registry
//!          sender.hello() ───────────── Hello ────────────────▶ lease::judge → Accept: store the row, then answer
//!          sender.answer() ◀─────────── HelloAnswer ─────────── committed of both files, lease
//!    Settlements + lease: ONE spool transaction, fsynced
//!    (new_epoch: spool.start_epoch) → fresh Stock
//!          sender.begin(stock) → Marks
//!          SnapshotPart* (events stream) ─────────────────────▶ receiver.snapshot_part → all here: one central.db job
//!                                                                 {lease_confirmed, states}; receiver.confirmed()
//!          Dropped* (events stream) ──────────────────────────▶ ledger::mark_dropped, commit, Ack
//!          sender.next(stream) → Order → spool.read →
//!          Batch* on events | live | backlog ─────────────────▶ receiver.batch → lane, live or late
//!          sender.sent(...)                                       file's writer: ledger::admit + data, ONE transaction
//!          sender.ack() ◀────────────── Ack ─────────────────── only after that commit
//!    Settlement: ONE spool transaction (acked_ms), later pruned
//!    conflicts → spool.rekey; want_layouts → spool.emit_layouts; → sender.refresh(stock)
//!          sender.closed(why) → redial when; a blamed batch → spool.blame, third time set aside
//! ```
//!
//! What holds it together:
//! - A batch counts as delivered only when an `Ack` of this session *decides* it by its seq, or when a hello answer
//!   says it is committed and this very process sent it in a session at whose hello Central did not have it yet. A seq
//!   that Central has from a clone is thus never mistaken for ours: it is sent, compared by crc, and given a new key
//!   when the content differs.
//! - The hello answer is the truth about what Central has. What it lacks is sent again, acknowledged or not; what the
//!   probe no longer holds is declared lost (`Dropped`, `too_old`), so that no hole stays open.
//! - Central reads the live and backlog streams only once the snapshot has confirmed the lease. It answers a hello only
//!   when the probe's earlier session has ended, its jobs at both files included: one writer per lane at a time.

use std::fmt;

pub mod progress;
pub mod receiver;
pub mod sender;
pub mod seqs;
#[cfg(test)]
mod simulation;

pub use progress::{Admit, Progress};
pub use receiver::Receiver;
pub use sender::Sender;
pub use seqs::SeqSet;

/// Ranges above a watermark that Central keeps per lane; at the cap only the lowest hole and neighbours are admitted.
pub const MAX_RANGES: usize = 1_024;
/// Undecided bytes of one session, all three streams: an action never waits behind more.
pub const UNDECIDED_BYTES: u64 = 2 * 1024 * 1024;
/// How long the probe keeps what is acknowledged, ms: 48 h.
pub const REPLAY_WINDOW_MS: i64 = 48 * 3_600 * 1_000;
/// How long the probe keeps what is not acknowledged, ms: 7 days.
pub const UNACKED_WINDOW_MS: i64 = 7 * 24 * 3_600 * 1_000;
/// How long Central keeps the crc of what it committed, ms: as long as any probe may hold the batch, so that each
/// repeat is told from other content under the same key.
pub const CRC_WINDOW_MS: i64 = REPLAY_WINDOW_MS + UNACKED_WINDOW_MS;
/// A batch that was the oldest undecided one at this many closes by Central is set aside.
pub const POISON_CLOSES: u32 = 3;
/// The probe sends a `Status` this often, ms; Central counts on hearing something.
pub const STATUS_INTERVAL_MS: i64 = 5_000;
/// A probe not heard for this long is late, ms.
pub const LATE_AFTER_MS: i64 = 30_000;
/// A probe not heard for this long is silent, its devices `unknown`, ms.
pub const SILENT_AFTER_MS: i64 = 60_000;
/// A clone is told to come back after this, ms.
pub const CLONE_RETRY_MS: u32 = 30_000;
/// One attempt to dial, up to the hello's answer, ms.
pub const ATTEMPT_DEADLINE_MS: i64 = 4_000;
/// Lanes that one hello names at the most: the frame stays under its limit.
pub const HELLO_LANES: usize = 1_000;

/// CRC-32 of a batch's body: tells a repeat from other content under the same key.
#[must_use]
pub fn crc(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}

/// A moment of the boot-time clock, ms ([`crate::clock::Clock::boot_ms`]): never jumps within a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub i64);

impl Tick {
    /// This moment moved by `ms`.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which of the three streams that the probe opens for batches. Greater goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Events older than the session, then samples older than the session, oldest first.
    Backlog,
    /// Samples made since the session's snapshot.
    Live,
    /// Hello, snapshot, status, dropped, and events made since the session's snapshot.
    Events,
}

impl Stream {
    /// First to last in priority.
    pub const ALL: [Self; 3] = [Self::Events, Self::Live, Self::Backlog];
}

/// Why one side ends a session; the code travels as the connection's application close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Nothing was said (also a task that died): the oldest undecided batch is suspected.
    Unsaid,
    /// The program stops in order.
    Shutdown,
    /// A newer session of the same probe took over.
    Superseded,
    /// The probe is revoked.
    Revoked,
    /// Central cannot commit now (disk full, overload).
    Busy,
    /// The other side broke the protocol, or sent what could not be read.
    Protocol,
    /// The hello was refused; the answer says why.
    Refused,
    /// One from a later version.
    Other(u32),
}

impl CloseReason {
    /// The number that travels.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Unsaid => 0,
            Self::Shutdown => 1,
            Self::Superseded => 2,
            Self::Revoked => 3,
            Self::Busy => 4,
            Self::Protocol => 5,
            Self::Refused => 6,
            Self::Other(code) => code,
        }
    }

    /// From the number that travels.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Unsaid,
            1 => Self::Shutdown,
            2 => Self::Superseded,
            3 => Self::Revoked,
            4 => Self::Busy,
            5 => Self::Protocol,
            6 => Self::Refused,
            other => Self::Other(other),
        }
    }

    /// Whether the oldest undecided batch may be what made Central close.
    #[must_use]
    pub const fn blames_a_batch(self) -> bool {
        matches!(self, Self::Unsaid | Self::Protocol)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => f.write_str("unsaid"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Superseded => f.write_str("superseded"),
            Self::Revoked => f.write_str("revoked"),
            Self::Busy => f.write_str("busy"),
            Self::Protocol => f.write_str("protocol"),
            Self::Refused => f.write_str("refused"),
            Self::Other(code) => write!(f, "code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_reason_reads_back_its_code() {
        for code in 0..10 {
            assert_eq!(CloseReason::from_code(code).code(), code);
        }
        assert!(CloseReason::from_code(0).blames_a_batch());
        assert!(!CloseReason::Busy.blames_a_batch());
    }
}
