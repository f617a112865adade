//! A set of seqs as ranges: what is done, held, acknowledged, missing.

/// Seqs as inclusive ranges, ascending, never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqSet {
    ranges: Vec<(u64, u64)>,
}

impl SeqSet {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// One range, both ends inclusive; nothing when `to < from`.
    #[must_use]
    pub fn of(from: u64, to: u64) -> Self {
        let mut set = Self::new();
        set.insert(from, to);
        set
    }

    /// The ranges, ascending, never touching.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many seqs; as many as a `u64` can say where it is all of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().fold(0, |count: u64, (from, to)| {
            count.saturating_add((to - from).saturating_add(1))
        })
    }

    /// The lowest.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|range| range.0)
    }

    /// The highest.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|range| range.1)
    }

    /// Whether `seq` is in it.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.range_at(seq).is_some()
    }

    /// The range that holds `seq`.
    #[must_use]
    pub fn range_at(&self, seq: u64) -> Option<(u64, u64)> {
        let after = self.ranges.partition_point(|range| range.0 <= seq);
        let range = *self.ranges.get(after.checked_sub(1)?)?;
        (seq <= range.1).then_some(range)
    }

    /// Adds `from..=to`; joins what touches. Nothing when `to < from`.
    pub fn insert(&mut self, from: u64, to: u64) {
        if to < from {
            return;
        }
        // The usual case: the highest range grows by one.
        if let Some(last) = self.ranges.last_mut()
            && from > last.0
            && from <= last.1.saturating_add(1)
        {
            last.1 = last.1.max(to);
            return;
        }
        let first = self
            .ranges
            .partition_point(|range| range.1.saturating_add(1) < from);
        let past = self
            .ranges
            .partition_point(|range| range.0 <= to.saturating_add(1));
        if first == past {
            self.ranges.insert(first, (from, to));
        } else {
            let joined = (
                from.min(self.ranges[first].0),
                to.max(self.ranges[past - 1].1),
            );
            self.ranges.splice(first..past, [joined]);
        }
    }

    /// Takes `from..=to` out.
    pub fn remove(&mut self, from: u64, to: u64) {
        if to < from {
            return;
        }
        let first = self.ranges.partition_point(|range| range.1 < from);
        let past = self.ranges.partition_point(|range| range.0 <= to);
        if first >= past {
            return;
        }
        let (low, high) = (self.ranges[first].0, self.ranges[past - 1].1);
        let before = (low < from).then(|| (low, from - 1));
        let after = (high > to).then(|| (to + 1, high));
        self.ranges
            .splice(first..past, before.into_iter().chain(after));
    }

    /// Adds everything of `other`.
    pub fn extend(&mut self, other: &Self) {
        for &(from, to) in &other.ranges {
            self.insert(from, to);
        }
    }

    /// Takes everything of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        let (Some(low), Some(high)) = (self.first(), self.last()) else {
            return;
        };
        let first = other.ranges.partition_point(|range| range.1 < low);
        for &(from, to) in &other.ranges[first..] {
            if from > high {
                break;
            }
            self.remove(from, to);
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Self::new();
        let (mut a, mut b) = (
            self.ranges.iter().peekable(),
            other.ranges.iter().peekable(),
        );
        while let (Some(&&left), Some(&&right)) = (a.peek(), b.peek()) {
            out.insert(left.0.max(right.0), left.1.min(right.1));
            if left.1 <= right.1 {
                a.next();
            } else {
                b.next();
            }
        }
        out
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.subtract(other);
        out
    }

    /// The lowest seq at or above `from` that is not in it.
    #[must_use]
    pub fn next_absent(&self, from: u64) -> u64 {
        self.range_at(from)
            .map_or(from, |range| range.1.saturating_add(1))
    }

    /// The lowest seq at or above `from` that is in it.
    #[must_use]
    pub fn next_present(&self, from: u64) -> Option<u64> {
        let at = self.ranges.partition_point(|range| range.1 < from);
        self.ranges.get(at).map(|range| range.0.max(from))
    }
}

impl FromIterator<u64> for SeqSet {
    fn from_iter<I: IntoIterator<Item = u64>>(seqs: I) -> Self {
        let mut set = Self::new();
        for seq in seqs {
            set.insert(seq, seq);
        }
        set
    }
}

impl FromIterator<(u64, u64)> for SeqSet {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut set = Self::new();
        for (from, to) in ranges {
            set.insert(from, to);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn plain(set: &SeqSet) -> BTreeSet<u64> {
        set.ranges()
            .iter()
            .flat_map(|&(from, to)| from..=to)
            .collect()
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_set(steps in prop::collection::vec((any::<bool>(), 1u64..60, 0u64..12), 0..40), other in prop::collection::vec((1u64..60, 0u64..9), 0..6)) {
            let mut set = SeqSet::new();
            let mut model = BTreeSet::new();
            for (add, from, len) in steps {
                let to = from + len;
                if add {
                    set.insert(from, to);
                    model.extend(from..=to);
                } else {
                    set.remove(from, to);
                    model.retain(|seq| !(from..=to).contains(seq));
                }
                prop_assert_eq!(plain(&set), model.clone());
                for pair in set.ranges().windows(2) {
                    prop_assert!(pair[0].1 + 1 < pair[1].0, "touching ranges {:?}", set);
                }
            }
            let other: SeqSet = other.into_iter().map(|(from, len)| (from, from + len)).collect();
            let theirs = plain(&other);
            prop_assert_eq!(plain(&set.intersection(&other)), model.intersection(&theirs).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(plain(&set.without(&other)), model.difference(&theirs).copied().collect::<BTreeSet<_>>());
            for seq in 0..80 {
                prop_assert_eq!(set.contains(seq), model.contains(&seq));
                prop_assert_eq!(set.next_absent(seq), (seq..).find(|s| !model.contains(s)).unwrap());
                prop_assert_eq!(set.next_present(seq), model.range(seq..).next().copied());
            }
            prop_assert_eq!(set.count(), model.len() as u64);
        }
    }

    #[test]
    fn all_there_are_can_be_counted() {
        assert_eq!(SeqSet::of(0, u64::MAX).count(), u64::MAX);
        assert_eq!(SeqSet::of(1, 3).count(), 3);
    }
}
