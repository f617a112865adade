//! The samples codec and the metrics store, in figures.
//!
//! `cargo bench -p farwatch-central --bench metrics --profile dev -- [codec|store]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench measures and prints; nothing depends on it"
)]

mod codec;
mod samples;

fn main() {
    let what = std::env::args().nth(1).unwrap_or_default();
    if what != "store" {
        codec::run();
    }
}
