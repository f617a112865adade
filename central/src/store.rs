//! central.db: one file per noun, customer first in every query.

pub mod inbound;
