//! What is watched, when, and what it says.

pub mod keep;
pub mod layout;
pub mod pending;
pub mod ping_round;
pub mod plan;
pub mod poll;
pub mod schedule;
