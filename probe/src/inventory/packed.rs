//! A device's interfaces, packed while nobody looks at them: names and addresses of thousands of ports are most of what
//! an inventory holds, and are looked at once an hour.

use farwatch_shared::wire::message::batch::InterfaceRecord;
use farwatch_shared::wire::{decode, encode};

/// Records of interfaces in a fifth of their room.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn of(interfaces: Vec<InterfaceRecord>) -> Self {
        if interfaces.is_empty() {
            return Self::default();
        }
        Self(encode(&interfaces).into())
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceRecord> {
        if self.0.is_empty() {
            return Vec::new();
        }
        decode(&self.0).expect("it was encoded here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_went_in() {
        let interfaces: Vec<_> = (0..600)
            .map(|i| InterfaceRecord {
                instance: i,
                if_index: u32::MAX - i,
                name: format!("ge-0/0/{i}").as_str().into(),
                mac: "02:5a:00:00:00:01".to_owned(),
                speed_bps: u64::MAX,
                present: i % 2 == 0,
                ..InterfaceRecord::default()
            })
            .collect();
        let packed = Packed::of(interfaces.clone());
        assert!(packed.0.len() < 60 * interfaces.len(), "{}", packed.0.len());
        assert_eq!(packed.interfaces(), interfaces);
        assert_eq!(Packed::of(Vec::new()).interfaces(), Vec::new());
    }
}
