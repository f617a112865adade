//! All states, in parts that fit a frame.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::session::sender::Marks;
use farwatch_shared::wire;
use farwatch_shared::wire::message::session::SnapshotPart;

use super::States;

/// Bytes of states in one part; the part's other fields fit beside them in a frame.
const PART_BYTES: usize = 56 * 1024;

/// The parts of a snapshot, in order; at least one, for a site without devices too.
pub(super) fn parts(states: States, marks: &Marks, at: Timestamp) -> Vec<SnapshotPart> {
    let empty = SnapshotPart {
        lease: marks.lease,
        part: 0,
        parts: 0,
        epoch: marks.epoch,
        events_from_seq: marks.events_from_seq,
        samples_from_seq: marks.samples_from_seq,
        at,
        devices: Vec::new(),
        interfaces: Vec::new(),
    };
    let mut parts = vec![empty.clone()];
    let mut bytes = 0;
    let mut part_for = |size: usize, parts: &mut Vec<SnapshotPart>| {
        if bytes + size > PART_BYTES {
            parts.push(empty.clone());
            bytes = 0;
        }
        bytes += size;
        parts.len() - 1
    };
    for device in states.devices {
        let at = part_for(wire::encode(&device).len(), &mut parts);
        parts[at].devices.push(device);
    }
    for interface in states.interfaces {
        let at = part_for(wire::encode(&interface).len(), &mut parts);
        parts[at].interfaces.push(interface);
    }
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    for (number, part) in (0..).zip(&mut parts) {
        (part.part, part.parts) = (number, count);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use farwatch_shared::model::{DeviceNo, Epoch, InstanceNo};
    use farwatch_shared::wire::codec::FRAME_LIMIT;
    use farwatch_shared::wire::message::session::{DeviceNow, InterfaceNow};

    const MARKS: Marks = Marks {
        lease: 7,
        epoch: Epoch::new(3, 9),
        events_from_seq: 4,
        samples_from_seq: 5,
    };

    #[test]
    fn nothing_is_one_empty_part() {
        let parts = parts(States::default(), &MARKS, Timestamp(1));
        assert_eq!((parts.len(), parts[0].parts, parts[0].lease), (1, 1, 7));
    }

    #[test]
    fn ten_thousand_devices_come_in_parts_that_fit_and_lose_nobody() {
        let devices = (1..=10_000)
            .map(|no| DeviceNow {
                device: DeviceNo(no),
                state: 0,
                since: Timestamp(i64::MAX),
                reason: "no answer to 4 pings, and SNMP silent too".to_owned(),
                behind: DeviceNo(no),
                uptime_ms: i64::MAX,
                last_ping: Timestamp(i64::MAX),
                last_snmp: Timestamp(i64::MAX),
            })
            .collect();
        let interfaces = (1..=40_000)
            .map(|no| InterfaceNow {
                device: DeviceNo(no),
                instance: InstanceNo(no),
                admin: 1,
                oper: 1,
                since: Timestamp(i64::MAX),
            })
            .collect();
        let parts = parts(
            States {
                devices,
                interfaces,
            },
            &MARKS,
            Timestamp(1),
        );
        let seen: Vec<u32> = parts
            .iter()
            .flat_map(|p| &p.devices)
            .map(|d| d.device.0)
            .collect();
        assert!(seen.into_iter().eq(1..=10_000));
        assert_eq!(
            parts.iter().map(|p| p.interfaces.len()).sum::<usize>(),
            40_000
        );
        for (number, part) in (0..).zip(&parts) {
            assert_eq!((part.part, part.parts as usize), (number, parts.len()));
            assert!(wire::encode(part).len() <= FRAME_LIMIT);
        }
    }
}
