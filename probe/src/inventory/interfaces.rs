//! Who an interface is, whatever its `ifIndex` is today.

use std::collections::{BTreeSet, HashMap, HashSet};

use farwatch_shared::model::InstanceNo;
use farwatch_shared::wire::message::batch::InterfaceRecord;

use super::facts::InterfaceFacts;
use crate::monitor::layout::{PORTS_LIMIT, Port};

/// What came of a reading of the interface table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// All interfaces ever known, those that are gone marked so; by instance.
    pub records: Vec<InterfaceRecord>,
    /// Those that are polled, by instance.
    pub ports: Vec<Port>,
    /// How many more could be polled than one device may have.
    pub left_out: u32,
    /// Interfaces that were there before and are at another index now.
    pub moved: usize,
}

/// Finds for each row of the device's table the interface it is, by `ifName`, then by description, MAC and alias; what
/// is left is new, and gets the next instance number. Numbers are never used twice.
///
/// A key counts only where it is unique on both sides: a stack of ports without names is told apart by its indexes.
#[must_use]
pub fn match_interfaces(known: &[InterfaceRecord], seen: &[InterfaceFacts]) -> Matched {
    let mut found: HashMap<usize, usize> = HashMap::new(); // row of `seen` → place in `known`
    let mut taken: HashSet<usize> = HashSet::new();
    type Keys = (
        fn(&InterfaceRecord) -> String,
        fn(&InterfaceFacts) -> String,
    );
    let rounds: [Keys; 5] = [
        (
            |r| r.name.as_str().to_owned(),
            |f| f.name.as_str().to_owned(),
        ),
        (
            |r| key(&[r.descr.as_str(), &r.mac]),
            |f| key(&[f.descr.as_str(), &f.mac]),
        ),
        (
            |r| r.descr.as_str().to_owned(),
            |f| f.descr.as_str().to_owned(),
        ),
        (|r| typed(&r.mac, r.if_type), |f| typed(&f.mac, f.if_type)),
        (
            |r| r.alias.as_str().to_owned(),
            |f| f.alias.as_str().to_owned(),
        ),
    ];
    for (of_known, of_seen) in rounds {
        let free_known = unique(
            known
                .iter()
                .enumerate()
                .filter(|(i, _)| !taken.contains(i))
                .map(|(i, record)| (of_known(record), i)),
        );
        let free_seen = unique(
            seen.iter()
                .enumerate()
                .filter(|(i, _)| !found.contains_key(i))
                .map(|(i, facts)| (of_seen(facts), i)),
        );
        for (name, row) in free_seen {
            if let Some(place) = free_known.get(&name)
                && agree(&known[*place], &seen[row])
            {
                found.insert(row, *place);
                taken.insert(*place);
            }
        }
    }
    // Last: the same index with nothing that speaks against it.
    for (row, facts) in seen.iter().enumerate() {
        if found.contains_key(&row) {
            continue;
        }
        let same_index = known.iter().enumerate().find(|(i, record)| {
            !taken.contains(i)
                && record.if_index == facts.if_index
                && record.if_type == facts.if_type
                && record.name.as_str() == facts.name.as_str()
        });
        if let Some((place, _)) = same_index {
            found.insert(row, place);
            taken.insert(place);
        }
    }
    assemble(known, seen, &found)
}

fn assemble(
    known: &[InterfaceRecord],
    seen: &[InterfaceFacts],
    found: &HashMap<usize, usize>,
) -> Matched {
    let mut next = known
        .iter()
        .map(|record| record.instance)
        .max()
        .unwrap_or(0);
    let mut out = Matched::default();
    let mut here = BTreeSet::new();
    for (row, facts) in seen.iter().enumerate() {
        let instance = match found.get(&row) {
            Some(place) => {
                let record = &known[*place];
                out.moved += usize::from(record.present && record.if_index != facts.if_index);
                record.instance
            }
            None if out.ports.len() >= PORTS_LIMIT => {
                out.left_out += u32::from(facts.mask != 0);
                continue;
            }
            None => {
                next += 1;
                next
            }
        };
        here.insert(instance);
        out.records.push(InterfaceRecord {
            instance,
            if_index: facts.if_index,
            name: facts.name.clone(),
            descr: facts.descr.clone(),
            alias: facts.alias.clone(),
            mac: facts.mac.clone(),
            if_type: facts.if_type,
            speed_bps: facts.speed_bps,
            present: true,
        });
        if facts.mask == 0 {
            continue;
        }
        if out.ports.len() >= PORTS_LIMIT {
            out.left_out += 1;
            continue;
        }
        out.ports.push(Port {
            instance: InstanceNo(instance),
            if_index: facts.if_index,
            mask: facts.mask,
            speed_bps: facts.speed_bps,
        });
    }
    let gone = known
        .iter()
        .filter(|record| !here.contains(&record.instance))
        .map(|record| InterfaceRecord {
            present: false,
            ..record.clone()
        });
    out.records.extend(gone);
    out.records.sort_by_key(|record| record.instance);
    out.ports.sort_by_key(|port| port.instance);
    out
}

/// Two names that both are given must not differ.
fn agree(record: &InterfaceRecord, facts: &InterfaceFacts) -> bool {
    record.name.is_empty() || facts.name.is_empty() || record.name.as_str() == facts.name.as_str()
}

fn typed(mac: &str, if_type: u32) -> String {
    if mac.is_empty() {
        String::new()
    } else {
        key(&[mac, &if_type.to_string()])
    }
}

fn key(parts: &[&str]) -> String {
    if parts.iter().any(|part| part.is_empty()) {
        String::new()
    } else {
        parts.join("\u{0}")
    }
}

/// Keys that occur once and are not empty.
fn unique(keys: impl Iterator<Item = (String, usize)>) -> HashMap<String, usize> {
    let mut seen: HashMap<String, Option<usize>> = HashMap::new();
    for (key, at) in keys.filter(|(key, _)| !key.is_empty()) {
        seen.entry(key)
            .and_modify(|place| *place = None)
            .or_insert(Some(at));
    }
    seen.into_iter()
        .filter_map(|(key, at)| Some((key, at?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(if_index: u32, name: &str, descr: &str, mac: &str) -> InterfaceFacts {
        InterfaceFacts {
            if_index,
            name: name.into(),
            descr: descr.into(),
            mac: mac.to_owned(),
            if_type: 6,
            mask: 1,
            ..InterfaceFacts::default()
        }
    }

    fn instances(matched: &Matched) -> Vec<(u32, u32, bool)> {
        matched
            .records
            .iter()
            .map(|record| (record.instance, record.if_index, record.present))
            .collect()
    }

    #[test]
    fn an_interface_keeps_its_number_when_its_index_moves() {
        let first = match_interfaces(
            &[],
            &[
                row(1, "lo", "lo", ""),
                row(2, "eth0", "eth0", "aa"),
                row(3, "eth1", "eth1", "bb"),
            ],
        );
        let second = match_interfaces(
            &first.records,
            &[
                row(1, "lo", "lo", ""),
                row(7, "eth1", "eth1", "bb"),
                row(9, "eth0", "eth0", "aa"),
            ],
        );
        assert_eq!(
            instances(&second),
            vec![(1, 1, true), (2, 9, true), (3, 7, true)]
        );
        assert_eq!(second.moved, 2);
        assert_eq!(second.ports[1].if_index, 9);
    }

    #[test]
    fn indexes_that_were_swapped_do_not_swap_histories() {
        let first = match_interfaces(&[], &[row(1, "a", "x", ""), row(2, "b", "x", "")]);
        let second = match_interfaces(
            &first.records,
            &[row(2, "a", "x", ""), row(1, "b", "x", "")],
        );
        assert_eq!(instances(&second), vec![(1, 2, true), (2, 1, true)]);
    }

    #[test]
    fn one_that_is_gone_stays_known_and_comes_back() {
        let first = match_interfaces(&[], &[row(1, "a", "", ""), row(2, "b", "", "")]);
        let without = match_interfaces(&first.records, &[row(2, "b", "", ""), row(3, "c", "", "")]);
        assert_eq!(
            instances(&without),
            vec![(1, 1, false), (2, 2, true), (3, 3, true)]
        );
        assert_eq!(without.ports.len(), 2);
        let again = match_interfaces(&without.records, &[row(8, "a", "", "")]);
        assert_eq!(instances(&again)[0], (1, 8, true));
    }

    #[test]
    fn ports_without_names_are_told_apart_by_what_they_have() {
        let first = match_interfaces(
            &[],
            &[
                row(1, "", "port", "aa"),
                row(2, "", "port", "bb"),
                row(3, "", "port", ""),
            ],
        );
        let second = match_interfaces(
            &first.records,
            &[
                row(5, "", "port", "bb"),
                row(6, "", "port", "aa"),
                row(3, "", "port", ""),
            ],
        );
        assert_eq!(
            instances(&second),
            vec![(1, 6, true), (2, 5, true), (3, 3, true)]
        );
    }

    #[test]
    fn a_renamed_port_is_another_one() {
        let first = match_interfaces(&[], &[row(1, "eth0", "", "aa")]);
        let second = match_interfaces(&first.records, &[row(1, "uplink", "", "bb")]);
        assert_eq!(instances(&second), vec![(1, 1, false), (2, 1, true)]);
    }

    proptest! {
        /// Whatever the order and the indexes: who has a name of its own keeps its number for ever.
        #[test]
        fn named_interfaces_never_change_their_number(
            shuffles in prop::collection::vec(
                (prop::collection::vec(any::<bool>(), 12), any::<u64>()), 1..12,
            ),
        ) {
            let mut records = Vec::new();
            let mut numbers: HashMap<String, u32> = HashMap::new();
            for (present, salt) in shuffles {
                let mut rows: Vec<_> = present
                    .iter()
                    .enumerate()
                    .filter(|(_, here)| **here)
                    .map(|(i, _)| {
                        let index = (salt.wrapping_mul(i as u64 * 2 + 1) % 10_000) as u32;
                        row(index, &format!("port{i}"), "Ethernet", "")
                    })
                    .collect();
                rows.sort_by_key(|row| row.if_index);
                let matched = match_interfaces(&records, &rows);
                for record in &matched.records {
                    let number = *numbers
                        .entry(record.name.as_str().to_owned())
                        .or_insert(record.instance);
                    prop_assert_eq!(number, record.instance);
                }
                let mut seen: Vec<_> = matched.records.iter().map(|record| record.instance).collect();
                seen.dedup();
                prop_assert_eq!(seen.len(), matched.records.len());
                records = matched.records;
            }
        }
    }
}
