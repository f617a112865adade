//! Who is at this site: what answers, what it is, who is next to whom.

pub mod sweep;
