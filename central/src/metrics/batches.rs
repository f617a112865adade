//! Sets of batches of one probe: which of them an hour holds.

use std::collections::BTreeMap;

use farwatch_shared::model::Epoch;
use farwatch_shared::session::SeqSet;
use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::{Reader, put};

/// Batches by epoch and seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BatchSet(BTreeMap<Epoch, SeqSet>);

impl BatchSet {
    pub(super) fn contains(&self, epoch: Epoch, seq: u64) -> bool {
        self.0.get(&epoch).is_some_and(|seqs| seqs.contains(seq))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of one epoch.
    pub(super) fn of(&self, epoch: Epoch) -> Option<&SeqSet> {
        self.0.get(&epoch)
    }

    pub(super) fn insert(&mut self, epoch: Epoch, seq: u64) {
        self.0.entry(epoch).or_default().insert(seq, seq);
    }

    pub(super) fn remove(&mut self, epoch: Epoch, seq: u64) {
        if let Some(seqs) = self.0.get_mut(&epoch) {
            seqs.remove(seq, seq);
        }
    }

    /// As a day file keeps it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(self.0.len() as u64, &mut out);
        for (epoch, seqs) in &self.0 {
            put(epoch.0, &mut out);
            put(seqs.ranges().len() as u64, &mut out);
            let mut before = 0;
            for (from, to) in seqs.ranges() {
                put(from - before, &mut out);
                put(to - from, &mut out);
                before = *to;
            }
        }
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader(bytes);
        let mut set = Self::default();
        for _ in 0..from.count(2)? {
            let epoch = Epoch(from.uint()?);
            let mut seqs = SeqSet::default();
            let mut at = 0_u64;
            for _ in 0..from.count(2)? {
                let first = at.saturating_add(from.uint()?);
                at = first.saturating_add(from.uint()?);
                seqs.insert(first, at);
            }
            set.0.insert(epoch, seqs);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_back_from_its_bytes() {
        let mut set = BatchSet::default();
        for (epoch, seq) in [(7, 1), (7, 2), (7, 9), (u64::MAX, 4), (8, 1 << 60)] {
            set.insert(Epoch(epoch), seq);
        }
        let back = BatchSet::from_bytes(&set.to_bytes()).unwrap();
        assert_eq!(back, set);
        assert!(back.contains(Epoch(7), 9) && !back.contains(Epoch(7), 3));
        assert!(BatchSet::from_bytes(&[0xff; 9]).is_err());
    }
}
