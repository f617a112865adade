//! What is watched, when, and what it says.

pub mod schedule;
