//! SNMPv3: messages (RFC 3412) and the user-based security model (RFC 3414, RFC 3826, RFC 7860).
//!
//! Ours throughout. What it makes sure of: the digest has the length its protocol gives it and is compared in constant
//! time; boots and time are within range before anything is reckoned with them, and change only by a message that was
//! authenticated or in a discovery that we began; a message is read only after it is known to be true.

pub(crate) mod clock;
pub(crate) mod key;
pub(crate) mod message;
pub(crate) mod report;
pub(crate) mod session;
