//! One customer site, seen from inside.

pub mod icmp;
pub mod snmp;
