//! Devices: the list, one device, and what people change of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use farwatch_shared::model::{DeviceNo, InstanceNo};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::discovery::Accepted;
use super::error::ApiError;
use super::extract::{Body, IdOf, Params, line, text};
use super::guard::Routes;
use super::probes::Anchors;
use super::tell;
use super::{Central, source};
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::addresses::address_key;
use crate::store::devices::{
    self, DeviceChange, DeviceFilter, DeviceRow, Listed, Names, Newest, Whole, natural_key,
};
use crate::store::page::{Page, PageQuery};
use crate::store::value::{Change, Counts, Id, State as StateWord, Time, words};
use crate::store::{addresses, customers, sites, strips};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(list_devices))
        .add(Permission::Install, routes!(add_device))
        .add(Permission::See, routes!(get_device))
        .add(Permission::Operate, routes!(update_device))
        .add(Permission::Install, routes!(forget_device))
        .add(Permission::See, routes!(list_neighbours))
}

words! {
    /// The order of the list.
    pub(super) enum DeviceSort {
        /// Worst first, then by name.
        State => "state",
        /// As people read names: `sw2` before `sw10`.
        Name => "name",
        /// Slowest first.
        Rtt => "rtt",
        /// By address.
        Address => "address",
    }
}

/// Which devices, in which order.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeviceQuery {
    /// Only of this customer.
    customer_id: Option<Id>,
    /// Only of this site.
    site_id: Option<Id>,
    /// Only in this state.
    state: Option<StateWord>,
    /// In name, address, vendor, model or role.
    q: Option<String>,
    /// The order; worst first by default.
    #[param(inline)]
    sort: Option<DeviceSort>,
    /// How many items, at most 10,000; 200 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Devices, and how many are in each state whatever state was asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DevicePage {
    /// In the order that was asked for.
    items: Vec<DeviceRow>,
    /// Ask with `after` = this for more; `null` at the end.
    #[schema(required)]
    next: Option<String>,
    /// Devices of the whole list.
    total: u64,
    /// Devices per state over the filter without `state`.
    counts: Counts,
}

/// What memory knows of a device's newest values.
pub(super) fn newest(central: &Central, sources: &[(ProbeId, DeviceNo)]) -> Newest {
    let mut newest = Newest::default();
    for source in sources.iter().copied().map(source) {
        let last = |metric| central.metrics.last_of(source, metric, InstanceNo(0));
        if let Some(loss) = last("loss_ratio")
            && newest.at.is_none_or(|at| at < loss.at)
        {
            newest.loss_ratio = Some(loss.value);
            newest.at = Some(loss.at);
            // Without an answer to the newest ping there is no round-trip time now.
            newest.rtt_ms = last("rtt")
                .filter(|rtt| rtt.at >= loss.at)
                .map(|rtt| rtt.value);
        }
        if let Some(uptime) = last("sysUpTime") {
            newest.at = newest.at.max(Some(uptime.at));
            newest.uptime = Some((uptime.value, uptime.at));
        }
    }
    newest
}

/// (rank, key, id): what the list is sorted by and what its cursor holds.
type SortKey = (u64, String, Id);

fn sort_key(sort: DeviceSort, device: &Listed, newest: &Newest) -> SortKey {
    let id = Id::from(device.id);
    match sort {
        DeviceSort::State => (device.state.code().into(), natural_key(&device.name), id),
        DeviceSort::Name => (0, natural_key(&device.name), id),
        DeviceSort::Rtt => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "microseconds of a round trip, clamped"
            )]
            let slowest = newest.rtt_ms.map_or(u64::MAX, |ms| {
                u64::MAX / 2 - (ms.clamp(0.0, 1e9) * 1_000.0) as u64
            });
            (slowest, natural_key(&device.name), id)
        }
        DeviceSort::Address => {
            let (family, number, text) = address_key(&device.address);
            (family.into(), format!("{number:040}{text}"), id)
        }
    }
}

/// Devices, worst first.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", operation_id = "list_devices", params(DeviceQuery), responses((status = 200, body = DevicePage)))]
async fn list_devices(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<DeviceQuery>,
) -> Result<Json<DevicePage>, ApiError> {
    let which = DeviceFilter {
        customer: query.customer_id.map(CustomerId::from),
        site: query.site_id.map(SiteId::from),
    };
    let sort = query.sort.unwrap_or(DeviceSort::State);
    let q = query.q.as_deref().unwrap_or_default().trim().to_lowercase();
    let page = PageQuery {
        limit: query.limit,
        after: query.after,
    };
    let (app, now) = (central.clone(), central.now());
    central
        .fleet(&scope, which, move |c, scope, mut fleet| {
            let hidden = match (which.customer, which.site) {
                (Some(customer), _) if customers::get(c, scope, customer)?.is_none() => true,
                (_, Some(site)) => sites::get(c, scope, site)?.is_none(),
                _ => false,
            };
            if hidden {
                return Ok(None);
            }
            if !q.is_empty() {
                fleet.devices.retain(|device| device.matches(&q));
            }
            let counts = fleet.counts();
            if let Some(StateWord(only)) = query.state {
                fleet.devices.retain(|device| device.state == only);
            }
            let mut keyed: Vec<(SortKey, Listed, Newest)> = std::mem::take(&mut fleet.devices)
                .into_iter()
                .map(|device| {
                    let newest = newest(&app, fleet.presence.sources(device.id));
                    (sort_key(sort, &device, &newest), device, newest)
                })
                .collect();
            keyed.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
            let page = Page::of_sorted(keyed, &page, |(key, ..)| key.clone());
            let names = Names::read(c)?;
            let page = page.map(|(_, device, newest)| {
                let day = fleet.day(device.id).copied();
                DeviceRow::new(device, &names, day.as_ref(), newest, now)
            });
            Ok(Some(DevicePage {
                items: page.items,
                next: page.next,
                total: page.total,
                counts,
            }))
        })
        .await?
        .map(Json)
        .ok_or(ApiError::NotFound)
}

/// One address of a device.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeviceAddress {
    /// The address.
    address: String,
    /// Whether it is the one that is polled.
    primary: bool,
    /// `answered`, `silent`, `not_judged`.
    icmp: String,
    /// `answered`, `no_answer`, `not_tried`, `refused`.
    snmp: String,
    /// Where it is known from.
    source: String,
}

/// One calendar day (UTC).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeviceDay {
    /// `2026-11-23`
    day: String,
    /// Worst state; `unknown` where nothing is known.
    state: StateWord,
    /// Share of the known time in which it answered.
    #[schema(required)]
    availability: Option<f64>,
}

/// What tells this device from others.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeviceEvidence {
    /// `engine_id`, `serial`, `chassis_mac`, `address`, `sys_name`.
    kind: String,
    /// As the device says it.
    value: String,
    /// When it was last seen.
    at: Time,
}

/// What one poll costs.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct DevicePoll {
    /// Seconds between two polls.
    interval_s: u32,
    /// Requests.
    requests: u32,
    /// Values asked for.
    varbinds: u32,
    /// Milliseconds.
    duration_ms: u32,
}

/// One device, whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Device {
    /// As in the list.
    #[serde(flatten)]
    row: DeviceRow,
    /// Every name that it has.
    names: Vec<String>,
    /// RFC 3418.
    #[schema(required)]
    sys_name: Option<String>,
    /// RFC 3418.
    #[schema(required)]
    sys_descr: Option<String>,
    /// RFC 3418, dotted.
    #[schema(required)]
    sys_object_id: Option<String>,
    /// RFC 3418.
    #[schema(required)]
    sys_location: Option<String>,
    /// RFC 3418.
    #[schema(required)]
    sys_contact: Option<String>,
    /// Of the chassis.
    #[schema(required)]
    serial: Option<String>,
    /// Of the chassis.
    #[schema(required)]
    mac: Option<String>,
    /// Operating system and version.
    #[schema(required)]
    os: Option<String>,
    /// Every address that it has.
    addresses: Vec<DeviceAddress>,
    /// The probe that watches it.
    #[schema(required)]
    probe_id: Option<Id>,
    /// Its name.
    #[schema(required)]
    probe_name: Option<String>,
    /// What people wrote of it.
    note: String,
    /// What people call it.
    #[schema(required)]
    display_name: Option<String>,
    /// The credential that works.
    #[schema(required)]
    credential_name: Option<String>,
    /// For v3: level and protocols.
    #[schema(required)]
    snmp_security: Option<String>,
    /// When it last answered ping.
    #[schema(required)]
    last_ping_at: Option<Time>,
    /// When it last answered SNMP.
    #[schema(required)]
    last_snmp_at: Option<Time>,
    /// Share of the known time of the last 24 h in which it answered.
    #[schema(required)]
    availability_24h: Option<f64>,
    /// The same over 30 days.
    #[schema(required)]
    availability_30d: Option<f64>,
    /// 30 days, oldest first.
    days: Vec<DeviceDay>,
    /// What tells it from others.
    evidence: Vec<DeviceEvidence>,
    /// The incident that is not over.
    #[schema(required)]
    incident_id: Option<i64>,
    /// When it was found.
    first_seen_at: Time,
    /// What one poll costs.
    #[schema(required)]
    poll: Option<DevicePoll>,
    /// How its counters' anchors agree.
    anchors: Anchors,
}

struct Read {
    row: DeviceRow,
    whole: Whole,
    sources: Vec<(ProbeId, DeviceNo)>,
    day: strips::Day,
    month: Vec<strips::CalendarDay>,
    poll_interval_s: u32,
}

async fn get(central: &Central, scope: &Scope, id: DeviceId) -> Result<Json<Device>, ApiError> {
    let (app, scope, heard, now) = (
        central.clone(),
        scope.clone(),
        central.heard(),
        central.now(),
    );
    let read = central
        .read(move |c| {
            let Some(whole) = devices::get(c, &scope, id)? else {
                return Ok(None);
            };
            let presence = crate::store::presence::DevicePresence::read(c, &heard)?;
            let which = DeviceFilter {
                customer: Some(whole.customer),
                site: Some(whole.site),
            };
            let listed = devices::listed(c, &scope, which, &presence, now)?;
            let Some(listed) = listed.into_iter().find(|device| device.id == id) else {
                return Ok(None);
            };
            let sources = presence.sources(id).to_vec();
            let day = strips::day(c, id, now)?;
            let config = crate::store::site_config::get(c, &scope, whole.site)?;
            let row = DeviceRow::new(
                listed,
                &Names::read(c)?,
                Some(&day),
                newest(&app, &sources),
                now,
            );
            Ok(Some(Read {
                row,
                whole,
                sources,
                day,
                month: strips::calendar(c, id, now, 30)?,
                poll_interval_s: config.map_or(60, |config| config.settings.poll_interval_s),
            }))
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(Json(put_together(central, read)))
}

fn put_together(central: &Central, read: Read) -> Device {
    let Read {
        row,
        whole,
        sources,
        day,
        month,
        poll_interval_s,
    } = read;
    let record = whole.record;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut names: Vec<String> = [record.sys_name.as_str(), record.dns_name.as_str()]
        .into_iter()
        .filter_map(some)
        .collect();
    names.dedup();
    let seen = |address: &str| {
        whole
            .seen
            .iter()
            .find(|(known, ..)| known == address)
            .map_or((String::new(), String::new()), |(_, icmp, snmp)| {
                (icmp.clone(), snmp.clone())
            })
    };
    let mut all = record.addresses.clone();
    if !all.iter().any(|(address, _)| *address == record.address) && !record.address.is_empty() {
        all.insert(0, (record.address.clone(), "polled".to_owned()));
    }
    let addresses = all
        .into_iter()
        .map(|(address, source)| {
            let (icmp, snmp) = seen(&address);
            DeviceAddress {
                primary: address == record.address,
                address,
                icmp,
                snmp,
                source,
            }
        })
        .collect();
    // A snapshot says when a means last worked; what was read since says it too.
    let read_at = |metric| {
        let of = |from: &(ProbeId, DeviceNo)| {
            central
                .metrics
                .last_of(source(*from), metric, InstanceNo(0))
                .map(|value| Time(value.at))
        };
        sources.iter().filter_map(of).max()
    };
    let mut anchors = Anchors::default();
    for (probe, number) in &sources {
        let one = central.metrics.anchors(*probe, Some(*number));
        anchors.checked += one.checked;
        anchors.mismatched += one.mismatched;
        anchors.last_checked_at = anchors.last_checked_at.max(one.last_checked.map(Time));
    }
    let month_available: i64 = month.iter().map(|day| day.available_ms).sum();
    let month_known: i64 = month.iter().map(|day| day.known_ms).sum();
    let (requests, varbinds, duration_ms) = record.poll_cost;
    Device {
        names,
        sys_name: some(record.sys_name.as_str()),
        sys_descr: some(record.sys_descr.as_str()),
        sys_object_id: some(&record.sys_object_id),
        sys_location: some(record.sys_location.as_str()),
        sys_contact: some(record.sys_contact.as_str()),
        serial: some(record.serial.as_str()),
        mac: some(&record.mac),
        os: some(record.os.as_str()),
        addresses,
        probe_id: whole.probe.as_ref().map(|(id, ..)| (*id).into()),
        probe_name: whole.probe.map(|(_, _, name)| name),
        note: whole.note,
        display_name: whole.display_name,
        credential_name: some(&record.credential),
        snmp_security: some(&record.snmp_security),
        last_ping_at: whole.last_ping.max(read_at("rtt")),
        last_snmp_at: whole.last_snmp.max(read_at("sysUpTime")),
        availability_24h: day.availability(),
        availability_30d: strips::ratio(month_available, month_known),
        days: month.iter().map(calendar_day).collect(),
        evidence: whole
            .evidence
            .into_iter()
            .map(|(kind, value, at)| DeviceEvidence { kind, value, at })
            .collect(),
        incident_id: whole.incident,
        first_seen_at: whole.first_seen,
        poll: (requests > 0).then_some(DevicePoll {
            interval_s: poll_interval_s,
            requests,
            varbinds,
            duration_ms,
        }),
        anchors,
        row,
    }
}

fn calendar_day(day: &strips::CalendarDay) -> DeviceDay {
    let text = Timestamp(day.day * 86_400_000).to_string();
    DeviceDay {
        day: text.chars().take(10).collect(),
        state: StateWord(
            day.worst
                .unwrap_or(farwatch_shared::model::DeviceState::Unknown),
        ),
        availability: strips::ratio(day.available_ms, day.known_ms),
    }
}

/// One device.
#[utoipa::path(get, path = "/api/v1/devices/{id}", tag = "devices", operation_id = "get_device", params(("id" = Id, Path)), responses((status = 200, body = Device), (status = 404)))]
async fn get_device(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<DeviceId>,
) -> Result<Json<Device>, ApiError> {
    get(&central, &scope, id).await
}

/// What people change of a device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateDevice {
    /// Their name for it; `null` takes the device's own again.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    display_name: Change<String>,
    /// What they write of it.
    #[serde(default)]
    note: Option<String>,
    /// Quiet until then; `null` ends the quiet.
    #[serde(default)]
    #[schema(value_type = Option<Time>)]
    muted_until: Change<Time>,
}

/// Renames, notes or mutes a device.
#[utoipa::path(patch, path = "/api/v1/devices/{id}", tag = "devices", operation_id = "update_device", params(("id" = Id, Path)), request_body = UpdateDevice, responses((status = 200, body = Device), (status = 404), (status = 422)))]
async fn update_device(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<DeviceId>,
    Body(body): Body<UpdateDevice>,
) -> Result<Json<Device>, ApiError> {
    let now = central.now();
    let change = DeviceChange {
        display_name: match body.display_name {
            Change::Keep => None,
            Change::Set(None) => Some(None),
            Change::Set(Some(name)) if name.trim().is_empty() => Some(None),
            Change::Set(Some(name)) => Some(Some(line("display_name", &name, 200)?)),
        },
        note: body
            .note
            .map(|note| text("note", &note, 10_000))
            .transpose()?,
        muted_until: match body.muted_until {
            Change::Keep => None,
            Change::Set(until) => Some(until.map(|Time(at)| at).filter(|at| *at > now)),
        },
    };
    let acting = scope.clone();
    central
        .write_and_tell(move |c| devices::update(c, &acting, now, id, &change))
        .await?;
    get(&central, &scope, id).await
}

/// Forgets a device: no longer watched, out of every list. Found again, it is a new one.
#[utoipa::path(delete, path = "/api/v1/devices/{id}", tag = "devices", operation_id = "forget_device", params(("id" = Id, Path)), responses((status = 204), (status = 404)))]
async fn forget_device(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<DeviceId>,
) -> Result<StatusCode, ApiError> {
    let now = central.now();
    let (site, sources, effects) = central
        .write(move |c| devices::forget(c, &scope, now, id))
        .await?;
    central.tell(&effects);
    for (probe, number) in sources {
        let mut notice = tell::notice(&central, site).await?;
        notice.forget_devices.push(number);
        central.registry.notify(probe, notice);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// One address to watch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddDevice {
    /// Where.
    site_id: Id,
    /// An IP address; names are not looked up.
    address: String,
    /// Where SNMP is tried; the site's ports by default.
    #[serde(default)]
    snmp_port: Option<u16>,
}

/// Adds one address to what the site's probes watch.
#[utoipa::path(post, path = "/api/v1/devices", tag = "devices", operation_id = "add_device", request_body = AddDevice, responses((status = 202, body = Accepted), (status = 404), (status = 422)))]
async fn add_device(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<AddDevice>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let address: std::net::IpAddr = body
        .address
        .trim()
        .parse()
        .map_err(|_| ApiError::field("address", "write an IP address: 192.0.2.7"))?;
    let (now, site, port) = (
        central.now(),
        SiteId::from(body.site_id),
        body.snmp_port.unwrap_or(0),
    );
    central
        .write(move |c| addresses::add(c, &scope, now, site, address, port))
        .await?;
    let mut notice = tell::notice(&central, site).await?;
    notice.add_addresses.push(address.to_string());
    central.registry.notify_site(site, &notice);
    Ok((StatusCode::ACCEPTED, Json(Accepted {})))
}

/// A neighbour by LLDP or CDP.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Neighbour {
    /// `lldp` or `cdp`.
    protocol: String,
    /// Our port.
    local_port: String,
    /// Its system name.
    remote_name: String,
    /// Its port.
    remote_port: String,
    /// Its chassis id.
    remote_chassis: String,
    /// The device that it is, where it is one of ours.
    #[schema(required)]
    device_id: Option<Id>,
}

/// What is next to a device.
#[utoipa::path(get, path = "/api/v1/devices/{id}/neighbours", tag = "devices", operation_id = "list_neighbours", params(("id" = Id, Path)), responses((status = 200, body = Page<Neighbour>), (status = 404)))]
async fn list_neighbours(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<DeviceId>,
) -> Result<Json<Page<Neighbour>>, ApiError> {
    let found = central
        .read(move |c| {
            let Some(whole) = devices::get(c, &scope, id)? else {
                return Ok(None);
            };
            let known = super::topology::Known::read(c, &scope, whole.site)?;
            let all = whole.record.neighbours.iter().map(|neighbour| Neighbour {
                protocol: neighbour.protocol.clone(),
                local_port: neighbour.local_port.as_str().to_owned(),
                remote_name: neighbour.remote_name.as_str().to_owned(),
                remote_port: neighbour.remote_port.as_str().to_owned(),
                remote_chassis: neighbour.remote_chassis.as_str().to_owned(),
                device_id: known.find(neighbour).map(Into::into),
            });
            Ok(Some(all.collect()))
        })
        .await?;
    Ok(Json(Page::whole(found.ok_or(ApiError::NotFound)?)))
}
