//! What this probe was told: `probe.toml` here, the site's document from Central.

pub mod site;
