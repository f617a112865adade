//! What is watched, when, and what it says.

pub mod layout;
pub mod plan;
pub mod schedule;
