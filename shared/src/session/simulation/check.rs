//! What must be true when all is quiet: every sample shown once or covered by a gap.

use std::collections::BTreeMap;

use super::central::File;
use super::world::World;
use crate::model::Lane;

/// I1, I2, I3, I4 and I8 of the delivery contract.
pub(super) fn at_rest(world: &World) -> Result<(), String> {
    let files = [&world.files.events, &world.files.samples];
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for file in files {
        for ((probe, key), content) in &file.shown {
            let truth = &world.truths.0[usize::try_from(content.id).unwrap()];
            if !truth.aux && truth.probe != *probe {
                return Err(format!(
                    "I8: {key} of probe {} is shown under probe {probe}",
                    truth.probe
                ));
            }
            if truth.poison {
                return Err(format!("{key} cannot be read and is shown"));
            }
            *times.entry(content.id).or_default() += 1;
        }
        in_order(world, file)?;
    }
    for probe in 0..world
        .probers
        .iter()
        .map(|prober| prober.probe + 1)
        .max()
        .unwrap_or(0)
    {
        covered(world, probe, &times)?;
    }
    // The one limit: a batch whose key a third copy has used, and that two copies both hold, gets a new key from each.
    let doubled = |id: u64| world.truths.0[usize::try_from(id).unwrap()].rekeyed > 1;
    if let Some((id, n)) = times.iter().find(|(id, n)| **n > 1 && !doubled(**id)) {
        return Err(format!("I2: id {id} is shown {n} times"));
    }
    undecoded(world)
}

/// I1 and I3.
fn covered(world: &World, probe: usize, times: &BTreeMap<u64, u32>) -> Result<(), String> {
    let mut slots: BTreeMap<i64, i64> = BTreeMap::new();
    let mut cover = |first: i64, last: i64| {
        let end = slots.entry(first).or_insert(last);
        *end = last.max(*end);
    };
    for ((owner, key), content) in &world.files.samples.shown {
        if *owner == probe && key.lane == Lane::Samples {
            cover(content.gap_from, content.slot);
        }
    }
    for &(owner, lane, first, last) in &world.files.samples.gaps {
        if owner == probe && lane == Lane::Samples {
            cover(first, last);
        }
    }
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (first, last) in slots {
        match merged.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    for (id, truth) in world.truths.0.iter().enumerate() {
        if truth.probe != probe || truth.aux || truth.destroyed || times.contains_key(&(id as u64))
        {
            continue;
        }
        let gap = merged
            .iter()
            .any(|range| range.0 <= truth.slot && truth.slot <= range.1);
        // Pruned after its ack, and lost with a backup's restoration.
        let forgotten = truth.pruned && world.restores;
        let excused = match truth.lane {
            Lane::Samples => gap,
            Lane::Events => truth.dropped || forgotten,
        };
        if !excused {
            return Err(format!(
                "I1: id {id} ({}) of probe {probe}, slot {}, is lost",
                truth.lane, truth.slot
            ));
        }
        if truth.lane == Lane::Samples && !truth.dropped && !forgotten {
            return Err(format!(
                "I1: id {id} of probe {probe}, slot {}, lies in a gap but was neither dropped nor pruned",
                truth.slot
            ));
        }
    }
    if merged.len() > 1 {
        return Err(format!(
            "I3: no sample and no gap of probe {probe} between {merged:?}"
        ));
    }
    Ok(())
}

/// I4: within a lane of an epoch the order of seqs is the order of making.
fn in_order(world: &World, file: &File) -> Result<(), String> {
    let twins: Vec<_> = world
        .probers
        .iter()
        .flat_map(|prober| prober.spool.twins.values().copied())
        .collect();
    let mut before = None;
    for ((probe, key), content) in &file.shown {
        let truth = &world.truths.0[usize::try_from(content.id).unwrap()];
        if truth.aux || twins.contains(&key.epoch) || world.states_may_regress {
            continue;
        }
        let at = (*probe, key.epoch, key.lane);
        if let Some((lane, slot)) = before
            && lane == at
            && slot > truth.slot
        {
            return Err(format!(
                "I4: {key} of probe {probe} is older than the one before it"
            ));
        }
        before = Some((at, truth.slot));
    }
    Ok(())
}

/// Every sample that is shown can be read, as long as somebody still has its layout.
fn undecoded(world: &World) -> Result<(), String> {
    for ((probe, key), content) in &world.files.samples.shown {
        let epoch = crate::model::Epoch(content.number);
        let known = world.files.samples.layouts.contains(&(*probe, epoch));
        let held = world.probers.iter().any(|prober| {
            prober.probe == *probe && !prober.gone && prober.spool.layouts.contains(&epoch)
        });
        if key.lane == Lane::Samples && !known && held {
            return Err(format!(
                "{key} of probe {probe} waits for the layout of {epoch} for ever"
            ));
        }
    }
    Ok(())
}
