use super::facts::InterfaceFacts;
use super::*;

fn at(address: &str) -> Found {
    Found {
        address: address.parse().unwrap(),
        ping: Some(true),
        snmp: None,
        by_person: false,
        at: Timestamp(1_000),
    }
}

fn facts(name: &str, serial: &str, own: &[&str]) -> Facts {
    Facts {
        sys_name: name.into(),
        serial: serial.into(),
        addresses: own.iter().map(|a| a.parse().unwrap()).collect(),
        whole: true,
        ..Facts::default()
    }
}

fn with(address: &str, facts: Facts) -> Found {
    Found {
        snmp: Some(FoundSnmp {
            port: 161,
            credential: "site".to_owned(),
            version: "v2c".to_owned(),
            security: String::new(),
            facts,
        }),
        ..at(address)
    }
}

fn observe(inventory: &mut Inventory, found: Found) -> Observed {
    inventory.observe(found, |_| false)
}

#[test]
fn a_device_that_answers_at_two_addresses_is_one() {
    let mut inventory = Inventory::default();
    let router = || facts("router", "FTX1840A1B2", &["10.0.0.1", "10.0.1.1"]);
    let first = observe(&mut inventory, with("10.0.0.1", router()));
    assert!(first.new);
    let second = observe(&mut inventory, with("10.0.1.1", router()));
    assert_eq!((second.new, second.device), (false, first.device));
    let third = observe(&mut inventory, with("10.9.9.9", router()));
    assert_eq!(third.device, first.device, "its serial tells");
    assert_eq!(inventory.len(), 1);
    assert_eq!(
        inventory.get(first.device).unwrap().record.address,
        "10.0.0.1"
    );
}

#[test]
fn one_known_by_ping_is_absorbed_by_its_owner() {
    let mut inventory = Inventory::default();
    let pinged = observe(&mut inventory, at("10.0.1.1")).device;
    let router = observe(
        &mut inventory,
        with(
            "10.0.0.1",
            facts("router", "FTX1840A1B2", &["10.0.0.1", "10.0.1.1"]),
        ),
    );
    assert_eq!(router.retired, vec![pinged]);
    assert_eq!(inventory.len(), 1);
    let again = observe(&mut inventory, at("10.0.1.1"));
    assert_eq!((again.new, again.device), (false, router.device));
}

#[test]
fn the_same_words_at_another_address_are_another_device() {
    let mut inventory = Inventory::default();
    let a = observe(&mut inventory, with("10.0.0.1", facts("printer", "", &[]))).device;
    let b = observe(&mut inventory, with("10.0.0.2", facts("printer", "", &[]))).device;
    assert_ne!(a, b);
}

#[test]
fn a_replaced_device_gets_a_number_of_its_own() {
    let mut inventory = Inventory::default();
    let old = observe(
        &mut inventory,
        with("10.0.0.1", facts("sw1", "AAAA1111", &[])),
    )
    .device;
    let out = observe(
        &mut inventory,
        with("10.0.0.1", facts("sw1", "BBBB2222", &[])),
    );
    assert!(out.new);
    assert_ne!(out.device, old);
    assert_eq!(out.retired, vec![old]);
    assert_eq!(
        inventory.at("10.0.0.1".parse().unwrap()).unwrap().no,
        out.device
    );
}

#[test]
fn a_device_that_moved_is_asked_where_it_is_now() {
    let mut inventory = Inventory::default();
    let no = observe(
        &mut inventory,
        with("10.0.0.1", facts("ap", "AAAA1111", &[])),
    )
    .device;
    let out = inventory.observe(with("10.0.0.50", facts("ap", "AAAA1111", &[])), |_| true);
    assert_eq!(out.device, no);
    assert_eq!(inventory.get(no).unwrap().record.address, "10.0.0.50");
    assert!(
        out.events
            .iter()
            .any(|event| event.text.as_str().contains("10.0.0.50"))
    );
}

#[test]
fn numbers_are_minted_above_all_that_were_ever_given() {
    let mut inventory = Inventory::default();
    inventory.floor(40);
    assert_eq!(observe(&mut inventory, at("10.0.0.1")).device, DeviceNo(41));
    inventory.floor(17);
    assert!(inventory.retire(DeviceNo(41), Timestamp(5)));
    assert_eq!(
        observe(&mut inventory, at("10.0.0.1")).device,
        DeviceNo(42),
        "a forgotten one that comes back is new"
    );
}

#[test]
fn what_central_sends_back_keeps_its_numbers_and_interfaces() {
    let row = |index: u32, name: &str| InterfaceFacts {
        if_index: index,
        name: name.into(),
        mask: 1,
        ..InterfaceFacts::default()
    };
    let sw = |rows: Vec<InterfaceFacts>| Facts {
        interfaces: rows,
        ..facts("sw1", "AAAA1111", &[])
    };
    let mut inventory = Inventory::default();
    let no = observe(
        &mut inventory,
        with("10.0.0.1", sw(vec![row(1, "a"), row(2, "b")])),
    )
    .device;
    let record = inventory.get(no).unwrap().whole();
    let mut fresh = Inventory::default();
    fresh.restore(record, Private::default());
    let out = observe(
        &mut fresh,
        with("10.0.0.1", sw(vec![row(7, "b"), row(8, "a")])),
    );
    assert_eq!((out.new, out.device), (false, no));
    let ports: Vec<_> = fresh
        .get(no)
        .unwrap()
        .private
        .ports
        .iter()
        .map(|port| (port.instance.0, port.if_index))
        .collect();
    assert_eq!(ports, vec![(1, 8), (2, 7)]);
}

#[test]
fn an_observation_that_says_nothing_new_is_not_told() {
    let mut inventory = Inventory::default();
    let seen = || with("10.0.0.1", facts("sw1", "AAAA1111", &["10.0.0.1"]));
    assert_eq!(observe(&mut inventory, seen()).changed.len(), 1);
    let again = observe(
        &mut inventory,
        Found {
            at: Timestamp(9),
            ..seen()
        },
    );
    assert!(again.changed.is_empty() && again.events.is_empty());
    let renamed = observe(
        &mut inventory,
        with("10.0.0.1", facts("sw2", "AAAA1111", &["10.0.0.1"])),
    );
    assert_eq!(renamed.changed.len(), 1);
    assert_eq!(
        renamed.events[0].text.as_str(),
        "name changed from sw1 to sw2"
    );
}

#[test]
fn a_record_always_fits_into_a_batch() {
    let rows: Vec<_> = (1..5_000)
        .map(|index| InterfaceFacts {
            if_index: index,
            name: format!("port {index} {}", "x".repeat(200)).as_str().into(),
            descr: "y".repeat(200).as_str().into(),
            alias: "z".repeat(200).as_str().into(),
            mask: 0x3fff,
            ..InterfaceFacts::default()
        })
        .collect();
    let all = rows.len();
    let mut inventory = Inventory::default();
    let no = observe(
        &mut inventory,
        with(
            "10.0.0.1",
            Facts {
                interfaces: rows,
                ..facts("big", "AAAA1111", &[])
            },
        ),
    )
    .device;
    let device = inventory.get(no).unwrap();
    assert!(farwatch_shared::wire::encode(&device.whole()).len() <= RECORD_LIMIT_BYTES);
    assert!(device.private.ports.len() <= crate::monitor::layout::PORTS_LIMIT);
    let kept = device.interfaces().len();
    assert!(kept > 50 && device.private.ports.len() <= kept);
    let left_out = usize::try_from(device.private.left_out).unwrap();
    assert_eq!(left_out + device.private.ports.len(), all);
}
