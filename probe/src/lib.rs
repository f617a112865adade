//! One customer site, seen from inside.
