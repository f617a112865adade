//! The link, both ends in one process over real QUIC on loopback: join, session, acks, cuts, echoes.

mod hall;
mod hostile;
mod sessions;
