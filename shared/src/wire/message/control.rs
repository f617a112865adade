//! The control stream: requests down, progress and outcomes up, many in flight by action id.

use serde::{Deserialize, Serialize};

use crate::wire::Message;

/// Central → probe: answer this at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Chosen by Central; 16 bytes of an [`crate::id::ActionId`].
    pub id: [u8; 16],
    /// At most 1,024 bytes, sent back as they are.
    pub payload: Vec<u8>,
}
impl Message for Echo {
    const TYPE: u16 = 32;
    const VERSION: u16 = 1;
}

/// Probe → Central.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EchoAnswer {
    /// Of the request.
    pub id: [u8; 16],
    /// Of the request.
    pub payload: Vec<u8>,
    /// Microseconds between reading the request and writing this.
    pub held_us: u64,
}
impl Message for EchoAnswer {
    const TYPE: u16 = 33;
    const VERSION: u16 = 1;
}

/// Probe → Central: a request of a type or version that this probe does not know, or one that it refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRefused {
    /// Type of the frame that was refused.
    pub kind: u16,
    /// Version of the frame that was refused.
    pub version: u16,
    /// Why, in words.
    pub reason: String,
}
impl Message for ControlRefused {
    const TYPE: u16 = 34;
    const VERSION: u16 = 1;
}
