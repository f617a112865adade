//! What is known of a device, as `profile test` prints it.

use farwatch_shared::oid::Oid;
use farwatch_shared::profile::model::Fact;
use farwatch_shared::profile::number_text;
use serde_json::{Value as Json, json};

use super::ask::Asked;
use crate::inventory::entity::Entity;
use crate::inventory::facts::{Around, Facts, InterfaceFacts};

/// What was found out of one device.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// The recording's path or the device's address.
    pub name: &'a str,
    /// By its profiles.
    pub asked: &'a Asked,
    /// By what every device tells.
    pub facts: &'a Facts,
    /// Its neighbours.
    pub around: &'a Around,
    /// What it is made of.
    pub entities: &'a [Entity],
}

/// One object, for programs.
#[must_use]
pub fn json(device: &Device<'_>) -> Json {
    let Device {
        name,
        asked,
        facts,
        around,
        entities,
    } = device;
    let known = &asked.known;
    let fact = |fact| known.fact(fact).map(str::to_owned);
    let said = |text: &str, otherwise: Fact| match text.trim() {
        "" => fact(otherwise),
        text => Some(text.to_owned()),
    };
    let id = facts.sys_object_id.as_ref();
    json!({
        "recording": name,
        "sys_object_id": id.map(Oid::to_string),
        "vendor": fact(Fact::Vendor),
        "model": fact(Fact::Model),
        "os": fact(Fact::Os),
        "os_version": fact(Fact::OsVersion),
        "serial": fact(Fact::Serial),
        "chassis_mac": filled(&facts.chassis_mac),
        "role": fact(Fact::Role),
        "name": said(facts.sys_name.as_str(), Fact::Name),
        "location": said(facts.sys_location.as_str(), Fact::Location),
        "uptime_s": facts.uptime_ticks.map(|ticks| f64::from(ticks) / 100.0),
        "interfaces": facts.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "sensors": known.sensors.iter().map(|sensor| json!({
            "kind": sensor.kind.word(),
            "name": sensor.name,
            "value": sensor.value.map(number),
            "unit": (!sensor.unit.is_empty()).then_some(&sensor.unit),
            "status": sensor.status.map(farwatch_shared::profile::model::Status::word),
            "word": sensor.word,
        })).collect::<Vec<_>>(),
        "storage": known.storage.iter().map(|storage| json!({
            "name": storage.name,
            "kind": storage.kind.word(),
            "size_bytes": storage.size_bytes.map(number),
            "used_bytes": storage.used_bytes.map(number),
            "used_percent": storage.used_percent,
        })).collect::<Vec<_>>(),
        "processors": known.processors.iter().map(|processor| json!({
            "name": processor.name,
            "load_ratio": processor.load_ratio,
        })).collect::<Vec<_>>(),
        "entities": entities.iter().map(entity).collect::<Vec<_>>(),
        "neighbours": around.neighbours.iter().map(|neighbour| json!({
            "protocol": neighbour.protocol,
            "local_port": filled(neighbour.local_port.as_str()),
            "remote_name": filled(neighbour.remote_name.as_str()),
            "remote_port": filled(neighbour.remote_port.as_str()),
            "remote_chassis": filled(neighbour.remote_chassis.as_str()),
            "remote_address": filled(&neighbour.remote_address),
        })).collect::<Vec<_>>(),
        "metrics": known.metrics.iter().map(|metric| json!({
            "name": metric.name,
            "value": metric.value.map(number),
            "word": metric.word,
            "unit": metric.unit,
            "tags": metric.tags,
        })).collect::<Vec<_>>(),
        "profiles": known.profiles.iter().map(|(file, why)| json!({ "file": &**file, "why": why })).collect::<Vec<_>>(),
        "cost": {
            "requests": asked.first + asked.cost.requests,
            "varbinds": asked.cost.varbinds,
            "bytes": asked.cost.sent_octets + asked.cost.received_octets,
        },
        "warnings": asked.cut.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A number that is whole is written as one.
fn number(number: f64) -> Json {
    number_text(number)
        .parse::<serde_json::Number>()
        .map_or(Json::Null, Json::Number)
}

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn interface(facts: &InterfaceFacts) -> Json {
    let descr = filled(facts.descr.as_str());
    json!({
        "if_index": facts.if_index,
        "name": filled(facts.name.as_str()).or(descr),
        "descr": descr,
        "alias": filled(facts.alias.as_str()),
        "mac": filled(&facts.mac),
        "speed_bps": facts.speed_bps,
        "admin_status": status(facts.admin),
        "oper_status": status(facts.oper),
    })
}

fn entity(entity: &Entity) -> Json {
    let [hardware, firmware, software] = &entity.revisions;
    json!({
        "index": entity.index,
        "class": entity.class,
        "name": filled(entity.name.as_str()),
        "descr": filled(entity.descr.as_str()),
        "model": filled(entity.model.as_str()),
        "serial": filled(entity.serial.as_str()),
        "manufacturer": filled(entity.manufacturer.as_str()),
        "hardware_revision": filled(hardware.as_str()),
        "firmware_revision": filled(firmware.as_str()),
        "software_revision": filled(software.as_str()),
        "contained_in": entity.contained_in,
    })
}

/// RFC 2863's words.
const fn status(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "up",
        2 => "down",
        3 => "testing",
        4 => "unknown",
        5 => "dormant",
        6 => "notPresent",
        7 => "lowerLayerDown",
        _ => return None,
    })
}
