//! Devices for the inventory, by the way that a probe's records take.

use std::path::Path;

use farwatch_central::metrics::{ClockCorrection, Metrics, Settings};
use farwatch_central::scope::ProbeScope;
use farwatch_central::store::{Store, inbound};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{
    Column, DeviceNo, Epoch, InstanceNo, Lane, Layout, LayoutNo, Metric, SampleBatch, Scrape,
};
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::{
    Batch, DEVICES, DeviceRecord, DevicesBody, InterfaceRecord, LayoutsBody, SAMPLES, layout_hash,
};
use farwatch_shared::wire::{columns, encode};
use farwatch_tests::central::Place;
use rusqlite::params;

use super::feed::Probe;

/// Devices that are pinged and nothing else.
pub(crate) struct Wide {
    scope: ProbeScope,
    count: usize,
}

pub(crate) fn ping(place: &Place, count: usize) -> anyhow::Result<Wide> {
    let scope = ProbeScope::pretended(
        place.customer.parse()?,
        place.site.parse()?,
        ProbeId::generate(),
    );
    Ok(Wide { scope, count })
}

/// Central's files hear of both probes' devices, and of a round-trip time of each that is pinged.
pub(crate) async fn tell(dir: &Path, probe: &Probe, wide: &Wide) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let store = Store::open(dir, now)?;
    let switches = (1..=probe.layouts.len() as u32).map(|no| record(no, "sw", 0, 8, now));
    say(&store, probe.scope, switches.collect(), now).await?;
    let pinged = (1..=wide.count as u32).map(|no| record(no, "host", 1 + no / 250, 0, now));
    say(&store, wide.scope, pinged.collect(), now).await?;

    let metrics = Metrics::open(dir, Settings::default(), Clock::system())?;
    let layouts: std::collections::HashMap<LayoutNo, Layout> = (1..=wide.count as u32)
        .map(|no| (LayoutNo(no), layout(no)))
        .collect();
    let epoch = Epoch::new(1, 1);
    let body = LayoutsBody {
        epoch: epoch.0,
        layouts: layouts
            .values()
            .map(|layout| (layout.clone(), layout_hash(layout)))
            .collect(),
    };
    metrics.put_layouts(&wide.scope, &body).await?;
    let slot_s = now.secs() / 10 * 10;
    for (seq, some) in (1_u64..).zip((1..=wide.count as u32).collect::<Vec<_>>().chunks(5_000)) {
        let samples = SampleBatch {
            scrapes: some
                .iter()
                .map(|no| Scrape {
                    layout: LayoutNo(*no),
                    slot_s,
                    offset_ms: 1,
                    span_ms: 0,
                    values: vec![Some(i64::from(no * 7_919 % 90_001)), Some(0)],
                    spans: Vec::new(),
                })
                .collect(),
            ..SampleBatch::default()
        };
        let body = columns::encode(&samples, &layouts)?;
        let batch = batch(
            Lane::Samples,
            epoch,
            seq,
            (SAMPLES, columns::VERSION),
            body,
            now,
        );
        metrics
            .commit(&wide.scope, ClockCorrection::default(), vec![batch])
            .await?;
    }
    Ok(())
}

async fn say(
    store: &Store,
    scope: ProbeScope,
    devices: Vec<DeviceRecord>,
    now: Timestamp,
) -> anyhow::Result<()> {
    let batches: Vec<Batch> = (1_u64..)
        .zip(devices.chunks(200))
        .map(|(seq, some)| {
            let body = encode(&DevicesBody {
                devices: some.to_vec(),
            });
            batch(Lane::Events, Epoch::new(1, 1), seq, (DEVICES, 1), body, now)
        })
        .collect();
    store
        .writer()
        .write(move |c| {
            c.execute(
                "INSERT INTO probes (id, customer_id, site_id, name, key_hash, created_ms, certificate_not_after_ms)
                 VALUES (?1, ?2, ?3, 'bench', x'00', ?4, ?4)",
                params![scope.probe(), scope.customer(), scope.site(), now],
            )?;
            for batch in &batches {
                let told = inbound::apply_batch(c, &scope, false, batch, ClockCorrection::default(), now);
                told.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

fn record(no: u32, name: &str, block: u32, ports: u32, at: Timestamp) -> DeviceRecord {
    let text = |text: String| DeviceText::from(text);
    DeviceRecord {
        device: no,
        at,
        address: format!(
            "10.{}.{block}.{}",
            if ports > 0 { 1 } else { 2 },
            no % 250 + 1
        ),
        sys_name: text(format!("{name}-{:04}", no - 1)),
        vendor: text("Example".to_owned()),
        role: "switch".to_owned(),
        snmp: if ports > 0 { "v2c" } else { "none" }.to_owned(),
        evidence: vec![("serial".to_owned(), text(format!("{name}{no:06}")))],
        interfaces: (1..=ports)
            .map(|port| InterfaceRecord {
                instance: port,
                if_index: port,
                name: text(format!("Gi1/0/{port}")),
                if_type: 6,
                speed_bps: 1_000_000_000,
                present: true,
                ..InterfaceRecord::default()
            })
            .collect(),
        ..DeviceRecord::default()
    }
}

fn layout(no: u32) -> Layout {
    let metric = |name: &str, unit: &str| Metric {
        name: name.to_owned(),
        kind: 1,
        scale: -3,
        width: 0,
        unit: unit.to_owned(),
    };
    let column = |metric| Column {
        metric,
        instance: InstanceNo(0),
    };
    Layout {
        no: LayoutNo(no),
        device: DeviceNo(no),
        group: 0,
        interval_s: 10,
        phase_s: 0,
        valid_from_s: 0,
        metrics: vec![metric("rtt", "ms"), metric("loss_ratio", "ratio")],
        columns: vec![column(0), column(1)],
    }
}

fn batch(
    lane: Lane,
    epoch: Epoch,
    seq: u64,
    (kind, version): (u16, u16),
    body: Vec<u8>,
    now: Timestamp,
) -> Batch {
    Batch {
        epoch,
        lane: lane.code(),
        seq,
        kind,
        version,
        crc: crc32fast::hash(&body),
        boot_id: String::new(),
        boot_ms: 0,
        closed: now,
        from: now,
        to: now,
        body,
    }
}
