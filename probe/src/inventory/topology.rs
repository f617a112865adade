//! Who stands before whom, as seen from the probe: LLDP and CDP neighbours, counted from the first hop.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use farwatch_shared::model::DeviceNo;

use super::Inventory;

/// The parents of each device: all neighbours that are one step nearer to `first_hop`.
///
/// Without a first hop, or for devices that no chain of neighbours joins to it, nothing is known and nobody is blamed.
#[must_use]
pub fn parents(
    inventory: &Inventory,
    first_hop: Option<DeviceNo>,
) -> BTreeMap<DeviceNo, Vec<DeviceNo>> {
    let Some(first_hop) = first_hop.filter(|no| inventory.get(*no).is_some()) else {
        return BTreeMap::new();
    };
    let links = links(inventory);
    let mut depth = BTreeMap::from([(first_hop, 0_u32)]);
    let mut ahead = VecDeque::from([first_hop]);
    let mut parents: BTreeMap<DeviceNo, Vec<DeviceNo>> = BTreeMap::new();
    while let Some(at) = ahead.pop_front() {
        let here = depth[&at];
        for next in links.get(&at).into_iter().flatten() {
            match depth.get(next) {
                None => {
                    depth.insert(*next, here + 1);
                    parents.insert(*next, vec![at]);
                    ahead.push_back(*next);
                }
                Some(there) if *there == here + 1 => {
                    parents.entry(*next).or_default().push(at);
                }
                Some(_) => {}
            }
        }
    }
    parents
}

/// Every pair of neighbours, both ways. A neighbour is recognised by its chassis MAC, its management address, or a name
/// that only one device has.
fn links(inventory: &Inventory) -> BTreeMap<DeviceNo, BTreeSet<DeviceNo>> {
    let mut by_mac = HashMap::new();
    let mut by_name: HashMap<&str, Option<DeviceNo>> = HashMap::new();
    for device in inventory.iter() {
        if !device.record.mac.is_empty() {
            by_mac.insert(device.record.mac.as_str(), device.no);
        }
        if !device.record.sys_name.is_empty() {
            by_name
                .entry(device.record.sys_name.as_str())
                .and_modify(|no| *no = None)
                .or_insert(Some(device.no));
        }
    }
    let mut links: BTreeMap<DeviceNo, BTreeSet<DeviceNo>> = BTreeMap::new();
    for device in inventory.iter() {
        for neighbour in &device.record.neighbours {
            let by_address = || {
                let address = neighbour.remote_address.parse().ok()?;
                Some(inventory.at(address)?.no)
            };
            let other = by_mac
                .get(neighbour.remote_chassis.as_str())
                .copied()
                .or_else(by_address)
                .or_else(|| {
                    by_name
                        .get(neighbour.remote_name.as_str())
                        .copied()
                        .flatten()
                });
            if let Some(other) = other.filter(|other| *other != device.no) {
                links.entry(device.no).or_default().insert(other);
                links.entry(other).or_default().insert(device.no);
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use farwatch_shared::text::DeviceText;
    use farwatch_shared::wire::message::batch::{DeviceRecord, NeighbourRecord};

    use super::*;
    use crate::inventory::Private;

    fn site(cables: &[(u32, u32)], devices: u32) -> Inventory {
        let mut inventory = Inventory::default();
        for no in 1..=devices {
            let neighbours = cables
                .iter()
                .filter(|(from, _)| *from == no)
                .map(|(_, to)| NeighbourRecord {
                    protocol: "lldp".to_owned(),
                    remote_name: DeviceText::from(format!("sw{to}")),
                    ..NeighbourRecord::default()
                })
                .collect();
            inventory.restore(
                DeviceRecord {
                    device: no,
                    address: format!("10.0.0.{no}"),
                    sys_name: DeviceText::from(format!("sw{no}")),
                    neighbours,
                    ..DeviceRecord::default()
                },
                Private::default(),
            );
        }
        inventory
    }

    fn of(parents: &BTreeMap<DeviceNo, Vec<DeviceNo>>, no: u32) -> Vec<u32> {
        parents
            .get(&DeviceNo(no))
            .map(|of| of.iter().map(|no| no.0).collect())
            .unwrap_or_default()
    }

    #[test]
    fn parents_are_one_step_nearer_to_the_first_hop() {
        // 1 is the gateway; 2 and 3 hang from it and are joined; 4 hangs from both; 5 from 4; 6 from nobody
        let inventory = site(&[(1, 2), (3, 1), (2, 3), (4, 2), (4, 3), (4, 5)], 6);
        let parents = parents(&inventory, Some(DeviceNo(1)));
        assert_eq!(of(&parents, 1), Vec::<u32>::new());
        assert_eq!(of(&parents, 2), vec![1]);
        assert_eq!(of(&parents, 3), vec![1]);
        assert_eq!(of(&parents, 4), vec![2, 3]);
        assert_eq!(of(&parents, 5), vec![4]);
        assert_eq!(of(&parents, 6), Vec::<u32>::new());
    }

    #[test]
    fn without_a_first_hop_nobody_is_blamed() {
        let inventory = site(&[(1, 2)], 2);
        assert!(parents(&inventory, None).is_empty());
        assert!(parents(&inventory, Some(DeviceNo(9))).is_empty());
    }
}
