//! Finds a decoder by its name, so that each file in `fuzz_targets` is one line.

use std::sync::OnceLock;

pub use farwatch_shared::fuzz::Target;

/// Decoders of what both programs share.
pub fn shared() -> Vec<Target> {
    farwatch_shared::fuzz::targets()
}

/// Decoders of the probe.
pub fn probe() -> Vec<Target> {
    farwatch_probe::fuzz::targets()
}

/// Decoders of Central.
pub fn central() -> Vec<Target> {
    farwatch_central::fuzz::targets()
}

/// Runs one decoder on one input.
pub fn run(all: fn() -> Vec<Target>, name: &str, bytes: &[u8]) {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let mut all = all().into_iter();
        all.find(|target| target.name == name).expect("a target of this name")
    });
    if bytes.len() <= target.longest {
        (target.read)(bytes);
    }
}
