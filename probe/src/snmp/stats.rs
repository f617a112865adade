//! What the engine counts: nothing is dropped without its reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a datagram, or a request, came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// No SNMP message, or one that lies about its lengths.
    Malformed,
    /// An answer to nothing under way: late, repeated, or invented.
    UnknownId,
    /// The right id from an address or port that was not asked.
    WrongSource,
    /// Another SNMP version than was asked in.
    WrongVersion,
    /// A v3 message of another engine, or for another user.
    WrongEngineOrUser,
    WrongDigest,
    /// A v3 message at a lower security level than was asked at.
    WrongLevel,
    Undecryptable,
    /// A v3 message too old, or of an earlier start of its engine.
    OutsideTimeWindow,
    /// A defect of ours, met by one datagram and survived.
    DecoderPanicked,
    /// The operating system would not send a request.
    NotSent,
}

impl Dropped {
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::UnknownId,
        Self::WrongSource,
        Self::WrongVersion,
        Self::WrongEngineOrUser,
        Self::WrongDigest,
        Self::WrongLevel,
        Self::Undecryptable,
        Self::OutsideTimeWindow,
        Self::DecoderPanicked,
        Self::NotSent,
    ];

    /// As it stands in counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownId => "unknown_id",
            Self::WrongSource => "wrong_source",
            Self::WrongVersion => "wrong_version",
            Self::WrongEngineOrUser => "wrong_engine_or_user",
            Self::WrongDigest => "wrong_digest",
            Self::WrongLevel => "wrong_level",
            Self::Undecryptable => "undecryptable",
            Self::OutsideTimeWindow => "outside_time_window",
            Self::DecoderPanicked => "decoder_panicked",
            Self::NotSent => "not_sent",
        }
    }
}

/// The engine's counters at one moment; all count from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Datagrams, those sent again included.
    pub sent_total: u64,
    pub sent_again_total: u64,
    pub received_total: u64,
    /// Datagrams that answered a request.
    pub accepted_total: u64,
    /// Requests that no attempt got an answer to.
    pub timed_out_total: u64,
    /// SNMPv3 engines asked who they are.
    pub discoveries_total: u64,
    /// Times that an engine's clock was taken over from its report.
    pub resynchronized_total: u64,
    /// Requests under way now.
    pub under_way: usize,
    /// Devices of which something is remembered.
    pub devices: usize,
    dropped: [u64; Dropped::ALL.len()],
}

impl Stats {
    #[must_use]
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped[reason as usize]
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) sent_again: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) discoveries: AtomicU64,
    pub(crate) resynchronized: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

impl Counters {
    pub(crate) fn dropped(&self, reason: Dropped) {
        self.dropped[reason as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            sent_total: self.sent.load(Relaxed),
            sent_again_total: self.sent_again.load(Relaxed),
            received_total: self.received.load(Relaxed),
            accepted_total: self.accepted.load(Relaxed),
            timed_out_total: self.timed_out.load(Relaxed),
            discoveries_total: self.discoveries.load(Relaxed),
            resynchronized_total: self.resynchronized.load(Relaxed),
            under_way: 0,
            devices: 0,
            dropped: self.dropped.each_ref().map(|counter| counter.load(Relaxed)),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}
