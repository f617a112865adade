//! What profiles make of a device: which apply, what to ask, and what the answers say.
//!
//! ```text
//! ask: system group, what selectors ask for → profiles → plan → answers → evaluate → Known
//! ```
//!
//! - [`folder`] where profiles lie
//! - [`answers`] what a device answered, by OID
//! - [`ask`] from a device to its answers
//! - `plan` what a device's profiles ask for
//! - `cell` one value as text or number, as a profile wants it
//! - `row` one row of a table: names, conditions, columns
//! - [`watch`] the same again, values only
//! - [`report`] what came of it, for programs;  [`command`] `profile test`, `profile lint`
//! - [`known`] what came of it;  [`evaluate`] how

pub mod answers;
pub mod ask;
mod cell;
pub mod command;
pub mod evaluate;
pub mod folder;
pub mod known;
mod plan;
pub mod report;
mod row;
#[cfg(test)]
mod tests;
pub mod watch;
