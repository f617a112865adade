//! Polls many devices by SNMP as fast as they answer, and says what it took.
//!
//! `poll_fleet PORT DEVICES CYCLES AT_ONCE`: devices on 127.1.0.1 and on, v2c community `public`; from each 24 rows of ten
//! columns and four scalars, 244 values. The devices are not ours to make: a responder has to be there.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for the terminal of its author"
)]

use std::{net::Ipv4Addr, sync::Arc, time::Instant};

use farwatch_probe::snmp::{Auth, Engine, EngineConfig, Limits, Plan, Rows, TablePlan, Target};
use farwatch_shared::oid::{Index, Oid};
use futures::{StreamExt, stream};

const IF_ENTRY: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 2, 2, 1]);
const IF_X_ENTRY: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1]);
const SYSTEM: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1]);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments[at].parse::<u32>().unwrap();
    let (port, devices, cycles, at_once) = (
        arguments[0].parse::<u16>().unwrap(),
        number(1),
        number(2),
        number(3),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(
        port,
        devices,
        cycles,
        usize::try_from(at_once).unwrap(),
    ));
}

async fn run(port: u16, devices: u32, cycles: u32, at_once: usize) {
    let engine = Engine::bind(EngineConfig::default()).unwrap();
    let auth = Arc::new(Auth::v2c("public"));
    let plan = Plan {
        scalars: [1, 2, 3, 5].map(|n| SYSTEM.child(n).child(0)).to_vec(),
        tables: vec![TablePlan {
            columns: [6, 10, 15]
                .map(|n| IF_X_ENTRY.child(n))
                .into_iter()
                .chain([5, 7, 8, 13, 14, 19, 20].map(|n| IF_ENTRY.child(n)))
                .collect(),
            rows: Rows::Known((1..=24).map(Index::from).collect()),
        }],
    };
    let start = Instant::now();
    let (mut values, mut requests, mut failed, mut slowest) =
        (0_u64, 0_u64, 0_u64, std::time::Duration::ZERO);
    let polls = (0..cycles).flat_map(|_| 0..devices).map(|device| {
        let address = (Ipv4Addr::from(0x7f01_0001 + device), port).into();
        let target = Target {
            address,
            auth: Arc::clone(&auth),
        };
        let (engine, plan) = (&engine, &plan);
        async move { engine.read(&target, plan, Limits::default()).await }
    });
    let mut polls = stream::iter(polls).buffer_unordered(at_once);
    while let Some(outcome) = polls.next().await {
        match outcome {
            Ok(reading) if reading.cut.is_none() => {
                let cells: usize = reading.tables[0]
                    .columns
                    .iter()
                    .map(|column| column.cells.len())
                    .sum();
                values += (cells + reading.scalars.len()) as u64;
                requests += u64::from(reading.cost.requests);
                slowest = slowest.max(reading.cost.duration);
            }
            _ => failed += 1,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let polled = f64::from(devices) * f64::from(cycles);
    println!(
        "devices={polled} values={values} requests={requests} failed={failed} seconds={seconds:.3} slowest={slowest:?} \
         devices_per_s={:.0} values_per_s={:.0}",
        polled / seconds,
        values as f64 / seconds
    );
    println!("{:?}", engine.stats());
}
