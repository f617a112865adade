//! The snapshot's parts, until all are there.

use super::Broken;
use crate::wire::message::session::SnapshotPart;

/// Parts of one snapshot at the most: 4,096 × 64 KiB is far beyond 10,000 devices.
const MAX_PARTS: u32 = 4_096;
/// Devices and interfaces held at the most while parts are missing.
const MAX_ROWS: usize = 4_000_000;

/// What a part brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotStep {
    /// More to come.
    More,
    /// All of it: one job confirms the lease and applies the states, then [`super::Receiver::confirmed`].
    Complete(Vec<SnapshotPart>),
}

/// Collects the parts, which come in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembly {
    lease: u64,
    parts: Vec<SnapshotPart>,
    rows: usize,
}

impl Assembly {
    /// For the snapshot under this lease.
    #[must_use]
    pub const fn new(lease: u64) -> Self {
        Self {
            lease,
            parts: Vec::new(),
            rows: 0,
        }
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// [`Broken::Snapshot`] when it is not the next, or not of this snapshot.
    pub fn take(&mut self, part: SnapshotPart) -> Result<SnapshotStep, Broken> {
        if part.lease != self.lease {
            return Err(Broken::Snapshot("another lease"));
        }
        if part.parts == 0 || part.parts > MAX_PARTS {
            return Err(Broken::Snapshot("too many parts"));
        }
        if part.part as usize != self.parts.len() {
            return Err(Broken::Snapshot("out of order"));
        }
        if let Some(first) = self.parts.first()
            && (
                first.parts,
                first.epoch,
                first.events_from_seq,
                first.samples_from_seq,
            ) != (
                part.parts,
                part.epoch,
                part.events_from_seq,
                part.samples_from_seq,
            )
        {
            return Err(Broken::Snapshot("parts disagree"));
        }
        self.rows += part.devices.len() + part.interfaces.len();
        if self.rows > MAX_ROWS {
            return Err(Broken::Snapshot("too many rows"));
        }
        let whole = part.part + 1 == part.parts;
        self.parts.push(part);
        Ok(if whole {
            SnapshotStep::Complete(std::mem::take(&mut self.parts))
        } else {
            SnapshotStep::More
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::Epoch;

    fn part(part: u32, parts: u32) -> SnapshotPart {
        SnapshotPart {
            lease: 3,
            part,
            parts,
            epoch: Epoch(9),
            events_from_seq: 5,
            samples_from_seq: 6,
            at: Timestamp(0),
            devices: Vec::new(),
            interfaces: Vec::new(),
        }
    }

    #[test]
    fn it_is_complete_with_its_last_part() {
        let mut assembly = Assembly::new(3);
        assert_eq!(assembly.take(part(0, 2)), Ok(SnapshotStep::More));
        assert_eq!(
            assembly.take(part(1, 2)),
            Ok(SnapshotStep::Complete(vec![part(0, 2), part(1, 2)]))
        );
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let mut assembly = Assembly::new(3);
        let foreign = SnapshotPart {
            lease: 2,
            ..part(0, 2)
        };
        assert!(assembly.take(foreign).is_err());
        assert!(assembly.take(part(1, 2)).is_err(), "out of order");
        assert!(assembly.take(part(0, 5_000)).is_err(), "too many");
        assembly.take(part(0, 2)).unwrap();
        let other = SnapshotPart {
            epoch: Epoch(8),
            ..part(1, 2)
        };
        assert!(assembly.take(other).is_err(), "parts disagree");
    }
}
