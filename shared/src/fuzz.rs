//! Every decoder of bytes from outside as one function, with valid examples.
//!
//! The mutation loops (`tests/bytes`) and libFuzzer (`tests/fuzz`) run them. Only with the feature `fuzz`, which no
//! released program has.
//!
//! - [`mutate`] one valid input, changed
//! - [`message`] frames and messages
//! - [`samples`] bodies of samples
//! - [`session`] both halves of delivery, fed by the other side
//! - [`identity`] tokens, names and certificates

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: a broken promise is a panic"
)]

pub mod identity;
pub mod message;
pub mod mutate;
pub mod samples;
pub mod session;

pub use mutate::mutated;

/// One decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As its file in `tests/fuzz/fuzz_targets` is called.
    pub name: &'static str,
    /// Reads bytes as the product does, and panics when what comes out breaks a promise: it does not travel back, or a
    /// string or a list is longer than it may be. True when the bytes were valid.
    pub read: fn(&[u8]) -> bool,
    /// Valid inputs.
    pub examples: fn() -> Vec<Vec<u8>>,
    /// The longest input that the product hands to it, in bytes.
    pub longest: usize,
    /// What reading may take at its peak, in bytes.
    pub memory: Memory,
    /// How much of the processor one input may take at the most, ms: far above what any takes.
    pub longest_ms: u32,
    /// How many times as long as an ordinary one it takes; so many times fewer inputs are tried.
    pub cost: u32,
}

/// A limit of memory: so much for any input, and so much for each byte of it.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// For any input.
    pub fixed: usize,
    /// For each byte.
    pub per_byte: usize,
}

impl Target {
    /// A decoder of at most a frame, that keeps little more than it reads.
    #[must_use]
    pub const fn new(
        name: &'static str,
        read: fn(&[u8]) -> bool,
        examples: fn() -> Vec<Vec<u8>>,
    ) -> Self {
        Self {
            name,
            read,
            examples,
            longest: crate::wire::codec::FRAME_LIMIT,
            memory: Memory {
                fixed: 256 * 1024,
                per_byte: 64,
            },
            longest_ms: 250,
            cost: 1,
        }
    }

    /// Another longest input.
    #[must_use]
    pub const fn longest(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// Another limit of memory.
    #[must_use]
    pub const fn memory(self, fixed: usize, per_byte: usize) -> Self {
        Self {
            memory: Memory { fixed, per_byte },
            ..self
        }
    }

    /// Another limit of time, where more than a decoder runs.
    #[must_use]
    pub const fn within_ms(self, longest_ms: u32) -> Self {
        Self { longest_ms, ..self }
    }

    /// A decoder that takes `cost` times as long.
    #[must_use]
    pub const fn cost(self, cost: u32) -> Self {
        Self { cost, ..self }
    }
}

/// Every decoder of this package.
#[must_use]
pub fn targets() -> Vec<Target> {
    [
        message::TARGETS,
        samples::TARGETS,
        session::TARGETS,
        identity::TARGETS,
    ]
    .concat()
}
