//! Both programs, real sockets, a pretend site: what a customer's network would see.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod blocked;
mod first_light;
mod hostile;
mod install;
mod kills;
mod notify;
mod operate;
mod outages;
mod profiles;
mod ranges;
mod readings;
mod snmpd;
mod trust;
mod weather;
mod wire;
