//! One customer site, seen from inside.

pub mod snmp;
