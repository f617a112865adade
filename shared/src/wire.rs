//! Every byte that crosses the link: frames, messages, the one codec.

pub mod codec;
pub mod columns;
pub mod message;

pub use codec::{DecodeError, Message, decode, encode};
