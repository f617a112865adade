//! Who is next to whom at a site, by LLDP and CDP.

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::extract::State;
use farwatch_shared::id::{DeviceId, SiteId};
use farwatch_shared::wire::message::batch::{DeviceRecord, NeighbourRecord};
use rusqlite::Connection;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::IdOf;
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::devices::{self, DeviceFilter};
use crate::store::sites;
use crate::store::value::{Id, State as StateWord};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Permission::See, routes!(get_topology))
}

/// A device, or a neighbour that is none of ours.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopologyNode {
    /// `null` for a neighbour that is none of ours.
    #[schema(required)]
    device_id: Option<Id>,
    /// Its name.
    name: String,
    /// Its state; `null` for a neighbour that is none of ours.
    #[schema(required)]
    state: Option<StateWord>,
}

/// A cable, as at least one of its ends says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopologyLink {
    /// Index into the nodes.
    from: usize,
    /// Index into the nodes.
    to: usize,
    /// Port at `from`.
    from_port: String,
    /// Port at `to`.
    to_port: String,
    /// `lldp` or `cdp`.
    protocol: String,
}

/// A site's devices and what connects them.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct Topology {
    /// Devices and their neighbours.
    nodes: Vec<TopologyNode>,
    /// Cables.
    links: Vec<TopologyLink>,
}

/// By what neighbours name the devices of a site.
#[derive(Debug, Default)]
pub(super) struct Known {
    records: Vec<(DeviceId, DeviceRecord)>,
    by_chassis: HashMap<String, DeviceId>,
    by_address: HashMap<String, DeviceId>,
    by_name: HashMap<String, Option<DeviceId>>,
}

impl Known {
    pub(super) fn read(c: &Connection, scope: &Scope, site: SiteId) -> rusqlite::Result<Self> {
        let mut known = Self::default();
        let mut statement = c.prepare_cached(
            "SELECT id, record FROM devices WHERE site_id = ?1 AND forgotten_ms IS NULL AND (?2 IS NULL OR customer_id = ?2) ORDER BY id",
        )?;
        let mut rows = statement.query((site, scope.customer()))?;
        while let Some(row) = rows.next()? {
            let id: DeviceId = row.get(0)?;
            let record: DeviceRecord =
                serde_json::from_str(row.get_ref(1)?.as_str()?).unwrap_or_default();
            let macs = record.interfaces.iter().map(|port| port.mac.as_str());
            for mac in macs
                .chain([record.mac.as_str()])
                .filter(|mac| !mac.is_empty())
            {
                known.by_chassis.entry(mac.to_lowercase()).or_insert(id);
            }
            for (address, _) in &record.addresses {
                known.by_address.entry(address.clone()).or_insert(id);
            }
            known.by_address.entry(record.address.clone()).or_insert(id);
            if !record.sys_name.is_empty() {
                // Two devices of one name are told apart by something else, or not at all.
                known
                    .by_name
                    .entry(record.sys_name.as_str().to_lowercase())
                    .and_modify(|other| *other = None)
                    .or_insert(Some(id));
            }
            known.records.push((id, record));
        }
        Ok(known)
    }

    /// The device that a neighbour is, where it is one of the site's.
    pub(super) fn find(&self, neighbour: &NeighbourRecord) -> Option<DeviceId> {
        let chassis = neighbour.remote_chassis.as_str().to_lowercase();
        let name = neighbour.remote_name.as_str().to_lowercase();
        self.by_chassis
            .get(&chassis)
            .or_else(|| self.by_address.get(&neighbour.remote_address))
            .copied()
            .or_else(|| self.by_name.get(&name).copied().flatten())
    }
}

/// Who is next to whom.
#[utoipa::path(get, path = "/api/v1/sites/{id}/topology", tag = "topology", operation_id = "get_topology", params(("id" = Id, Path)), responses((status = 200, body = Topology), (status = 404)))]
async fn get_topology(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
) -> Result<Json<Topology>, ApiError> {
    let (heard, now) = (central.heard(), central.now());
    let found = central
        .read(move |c| {
            if sites::get(c, &scope, id)?.is_none() {
                return Ok(None);
            }
            let presence = crate::store::presence::DevicePresence::read(c, &heard)?;
            let which = DeviceFilter {
                customer: None,
                site: Some(id),
            };
            let listed = devices::listed(c, &scope, which, &presence, now)?;
            let states = listed
                .into_iter()
                .map(|device| (device.id, (device.name, device.state)));
            let known = Known::read(c, &scope, id)?;
            Ok(Some(draw(&known, &states.collect())))
        })
        .await?;
    found.map(Json).ok_or(ApiError::NotFound)
}

fn draw(
    known: &Known,
    states: &HashMap<DeviceId, (String, farwatch_shared::model::DeviceState)>,
) -> Topology {
    let mut topology = Topology::default();
    let mut index: HashMap<DeviceId, usize> = HashMap::new();
    for (id, record) in &known.records {
        let (name, state) = match states.get(id) {
            Some((name, state)) => (name.clone(), Some(StateWord(*state))),
            None => (record.address.clone(), None),
        };
        index.insert(*id, topology.nodes.len());
        topology.nodes.push(TopologyNode {
            device_id: Some((*id).into()),
            name,
            state,
        });
    }
    let mut strangers: HashMap<String, usize> = HashMap::new();
    let mut drawn = HashSet::new();
    for (id, record) in &known.records {
        for neighbour in &record.neighbours {
            let Some(&from) = index.get(id) else { continue };
            let to = match known.find(neighbour).and_then(|device| index.get(&device)) {
                Some(to) => *to,
                None => {
                    let name = [&neighbour.remote_name, &neighbour.remote_chassis]
                        .into_iter()
                        .find(|text| !text.is_empty())
                        .map_or("unnamed", |text| text.as_str());
                    *strangers.entry(name.to_owned()).or_insert_with(|| {
                        topology.nodes.push(TopologyNode {
                            device_id: None,
                            name: name.to_owned(),
                            state: None,
                        });
                        topology.nodes.len() - 1
                    })
                }
            };
            let ends = |a: usize, b: usize, x: &str, y: &str| (a, b, x.to_owned(), y.to_owned());
            let (local, remote) = (
                neighbour.local_port.as_str(),
                neighbour.remote_port.as_str(),
            );
            // Both ends tell of the same cable: the second one draws nothing.
            if from == to
                || drawn.contains(&ends(to, from, remote, local))
                || !drawn.insert(ends(from, to, local, remote))
            {
                continue;
            }
            topology.links.push(TopologyLink {
                from,
                to,
                from_port: local.to_owned(),
                to_port: remote.to_owned(),
                protocol: neighbour.protocol.clone(),
            });
        }
    }
    topology
}
