//! All sites, seen from above.
