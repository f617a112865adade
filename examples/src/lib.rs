//! A pretend site: SNMP agents on loopback addresses that behave like the devices of a small company.
//!
//! [`site`] starts and holds the agents, [`device`] is one of them with its knobs, [`plan`] says which devices
//! there are and how they are cabled, [`kind`] what each kind says of itself.
//!
//! Below that: [`mib`] builds what a device answers, [`traffic`] and [`timeline`] say what its counters and its state
//! are at any moment (pure functions of time), [`agent`] answers SNMP, [`usm`] its version 3, [`ber`] the bytes,
//! [`hostile`] everything an agent must never do, and [`truth`] what a checker may compare with.

pub mod agent;
pub mod ber;
mod cabling;
pub mod device;
pub mod hostile;
pub mod kind;
mod mib;
pub mod oid;
pub mod plan;
pub mod site;
pub mod timeline;
pub mod traffic;
pub mod truth;
pub mod usm;
pub mod value;

pub use device::{Counts, Device, Port};
pub use hostile::Hostile;
pub use oid::Oid;
pub use plan::{Access, DeviceSpec};
pub use site::{Builder, Site};
pub use timeline::Timeline;
pub use traffic::Column;
pub use usm::{AuthProtocol, User};
pub use value::Value;
