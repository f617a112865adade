//! The power goes: whatever a disk that honours flush may then hold, nothing acknowledged is lost and every store opens.
//!
//! Both programs run for a while under the shim, which writes down each write and each sync; meanwhile the test notes
//! what is durable at the probe and what Central has acknowledged. Then the trace is cut at random places, what was not
//! synced is lost, torn and reordered by a seed, and the programs' own code opens what is left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farwatch_central::metrics::Pass;
use farwatch_probe::identity::Identity;
use farwatch_probe::inventory;
use farwatch_probe::spool::{Spool, SpoolLimits, SpoolReport, report_of_file};
use farwatch_shared::clock::Clock;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{Epoch, Lane};
use farwatch_shared::session::SeqSet;
use farwatch_shared::session::sender::Order;
use farwatch_tests::disk::{Disk, Fate, Trace};
use farwatch_tests::shim::{Shim, is_loaded};
use farwatch_tests::shown::{self, Question, Shown};
use farwatch_tests::{Kill, world::World};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const SOON: Duration = Duration::from_secs(60);
const DEVICES: usize = 4;
const METRICS: [&str; 7] = [
    "ifHCInOctets",
    "ifHCOutOctets",
    "ifInOctets",
    "ifOperStatus",
    "rtt",
    "loss_ratio",
    "sysUpTime",
];

/// What was true at a moment, and how long the traces were right after it.
#[derive(Debug)]
struct Mark {
    probe_bytes: u64,
    central_bytes: u64,
    report: SpoolReport,
}

type Key = (Epoch, u8, u64);

/// A batch: the crc of its body (`None`: the body is damaged), earliest and latest time, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    crc: Option<u32>,
    from: i64,
    to: i64,
}

/// Everything that the cuts are judged by.
#[derive(Debug)]
struct Recording {
    _dir: tempfile::TempDir,
    probe: Trace,
    central: Trace,
    /// Where in the probe's trace joining was over, and in Central's.
    joined: (u64, u64),
    marks: Vec<Mark>,
    /// Every batch that was made, by key.
    made: BTreeMap<Key, Made>,
    truth: Shown,
    question: Question,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_power_cut_leaves_on_the_disk_nothing_acknowledged_is_lost() {
    let Some(shim) = Shim::build() else { return };
    let seed = super::seed();
    let recording = record(&shim).await;
    let began = std::time::Instant::now();
    let cuts = super::scaled(150);
    let (mut wrong, mut lied) = (Vec::new(), 0);
    let places = |trace: &Trace, dice: &mut StdRng| {
        // A quarter of them while everything is made for the first time.
        let early = trace.len() / 5;
        let mut at: Vec<usize> = (0..cuts)
            .map(|at| dice.random_range(0..=if at % 4 == 0 { early } else { trace.len() }))
            .collect();
        at.sort_unstable();
        at
    };
    let mut dice = StdRng::seed_from_u64(seed);
    let mut disk = Disk::new(&recording.probe);
    for at in places(&recording.probe, &mut dice) {
        disk.play_to(at);
        let (fate, seed) = (*Fate::ALL.choose(&mut dice).unwrap(), dice.random());
        let dir = super::scratch();
        disk.image(fate, seed, dir.path()).unwrap();
        for problem in probe_is_whole(&recording, at, dir.path()).await {
            wrong.push(format!(
                "probe, step {at} of {}, {fate:?}: {problem}",
                recording.probe.len()
            ));
        }
    }
    let mut disk = Disk::new(&recording.central);
    for at in places(&recording.central, &mut dice) {
        disk.play_to(at);
        let (fate, seed) = (*Fate::ALL.choose(&mut dice).unwrap(), dice.random());
        let dir = super::scratch();
        disk.image(fate, seed, dir.path()).unwrap();
        for problem in central_is_whole(&recording, at, dir.path()).await {
            wrong.push(format!(
                "Central, step {at} of {}, {fate:?}: {problem}",
                recording.central.len()
            ));
        }
    }
    println!(
        "{} cuts in {:?} of {} and {} steps, {} marks, {} values",
        2 * cuts,
        began.elapsed(),
        recording.probe.len(),
        recording.central.len(),
        recording.marks.len(),
        recording.truth.values.len()
    );
    assert!(
        wrong.is_empty(),
        "{} problems:\n{}",
        wrong.len(),
        wrong
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );

    // The rig itself: a disk that lies about flushing must be found out.
    let Recording { probe, central, .. } = recording;
    let recording = Recording {
        probe: probe.with_lying_disk(),
        central: central.with_lying_disk(),
        ..recording
    };
    for share in 5..10 {
        let dir = super::scratch();
        let mut disk = Disk::new(&recording.probe);
        let at = recording.probe.len() * share / 10;
        disk.play_to(at);
        disk.image(Fate::Lost, 0, dir.path()).unwrap();
        lied += usize::from(!probe_is_whole(&recording, at, dir.path()).await.is_empty());
        let dir = super::scratch();
        let mut disk = Disk::new(&recording.central);
        let at = recording.central.len() * share / 10;
        disk.play_to(at);
        disk.image(Fate::Lost, 0, dir.path()).unwrap();
        lied += usize::from(
            !central_is_whole(&recording, at, dir.path())
                .await
                .is_empty(),
        );
    }
    assert_eq!(lied, 10, "a lying disk goes unnoticed");
}

async fn record(shim: &Shim) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    let hands = shim.hands("clock").unwrap();
    let traces = (
        kept.path().join("central.trace"),
        kept.path().join("probe.trace"),
    );
    let mut envs = (
        shim.tracing(&traces.0, &root.join("central")),
        shim.tracing(&traces.1, &root.join("probe")),
    );
    envs.0.extend(hands.envs());
    envs.1.extend(hands.envs());
    let mut world = World::under(dir, 60, envs, |site| site.devices(DEVICES))
        .await
        .unwrap();
    let joined = (length(&traces.1), length(&traces.0));
    let from = Clock::system().now();
    let mut marks = Vec::new();
    world.devices_up(DEVICES, SOON).await;
    is_loaded(world.probe.process().unwrap().id()).unwrap();
    is_loaded(world.central.process().unwrap().id()).unwrap();
    watch(&world, &traces, &mut marks, Duration::from_secs(6)).await;
    // An hour goes by: hours are sealed into day files, raw batches go.
    hands.sleep(Duration::from_secs(3_600));
    watch(&world, &traces, &mut marks, Duration::from_secs(3)).await;
    hands.sleep(Duration::from_secs(100));
    watch(&world, &traces, &mut marks, Duration::from_secs(7)).await;
    world.probe.end(Kill::Hard);
    world.probe.start(&[]).unwrap();
    world.central.end(Kill::Hard);
    world.central.restart(&[]).await.unwrap();
    watch(&world, &traces, &mut marks, Duration::from_secs(6)).await;
    world.central.sign_in().await.unwrap();
    world.devices_up(DEVICES, SOON).await;
    world.ledgers_agree(SOON).await;
    let probe_id: ProbeId = world.probe_id().await.unwrap().parse().unwrap();
    world.end();
    assert!(
        std::fs::read_dir(root.join("central/days"))
            .unwrap()
            .count()
            > 0,
        "no hour was sealed"
    );

    let truth_dir = kept.path().join("truth");
    super::copy_tree(&root.join("central"), &truth_dir).unwrap();
    let question = Question {
        probe: probe_id,
        devices: u32::try_from(DEVICES).unwrap() + 4,
        metrics: METRICS.map(str::to_owned).to_vec(),
        from: from.plus_ms(-60_000),
        to: from.plus_ms(2 * 3_600_000),
    };
    let clock = Clock::manual(from.plus_ms(3_900_000));
    let central = shown::open(&truth_dir, clock).await.unwrap();
    let truth = shown::ask(&central, &question).await.unwrap();
    assert!(truth.values.len() > 500, "{} values", truth.values.len());
    let made = made(&root.join("probe")).await;
    Recording {
        probe: Trace::read(&traces.1, &root.join("probe")).unwrap(),
        central: Trace::read(&traces.0, &root.join("central")).unwrap(),
        joined,
        marks,
        made,
        truth,
        question,
        _dir: kept,
    }
}

/// Notes what is durable, several times a second.
async fn watch(world: &World, traces: &(PathBuf, PathBuf), marks: &mut Vec<Mark>, time: Duration) {
    let until = tokio::time::Instant::now() + time;
    let mut every = tokio::time::interval(Duration::from_millis(120));
    while tokio::time::Instant::now() < until {
        every.tick().await;
        // First what is true, then how much of the traces had been written by then.
        if let Ok(report) = report_of_file(&world.probe.dir) {
            marks.push(Mark {
                probe_bytes: length(&traces.1),
                central_bytes: length(&traces.0),
                report,
            });
        }
    }
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |meta| meta.len())
}

async fn made(dir: &Path) -> BTreeMap<Key, Made> {
    let copy = super::scratch();
    std::fs::copy(dir.join("spool.db"), copy.path().join("spool.db")).unwrap();
    let (spool, _) = Spool::open(copy.path(), SpoolLimits::default(), Clock::system()).unwrap();
    batches(&spool).await.unwrap()
}

/// Every batch that is held.
async fn batches(spool: &Spool) -> anyhow::Result<BTreeMap<Key, Made>> {
    let mut all = BTreeMap::new();
    for lane in spool.stock().await?.lanes {
        for &(from_seq, to_seq) in lane.held.ranges() {
            let read = spool
                .read(Order {
                    stream: farwatch_shared::session::Stream::Backlog,
                    epoch: lane.epoch,
                    lane: lane.lane,
                    from_seq,
                    to_seq,
                    max_bytes: u64::MAX,
                })
                .await?;
            for of in &read.batches {
                let made = Made {
                    crc: Some(of.crc),
                    from: of.from.ms(),
                    to: of.to.ms(),
                };
                all.insert((of.epoch, of.lane, of.seq), made);
            }
            for of in &read.damaged {
                let made = Made {
                    crc: None,
                    from: 0,
                    to: 0,
                };
                all.insert((of.epoch, of.lane.code(), of.seq), made);
            }
        }
    }
    Ok(all)
}

async fn probe_is_whole(recording: &Recording, at: usize, dir: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let has_happened = |bytes: u64| recording.probe.steps_at(bytes) <= at;
    match Identity::load(dir) {
        Ok(Some(_)) => {}
        Ok(None) if !has_happened(recording.joined.0) => return problems,
        Ok(None) => problems.push("the identity is gone".to_owned()),
        Err(error) => problems.push(format!("the identity: {error:?}")),
    }
    if !dir.exists() {
        return problems;
    }
    let last = recording
        .marks
        .iter()
        .rev()
        .find(|mark| has_happened(mark.probe_bytes));
    let opened = Spool::open(dir, SpoolLimits::default(), Clock::system());
    let (spool, opened) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            problems.push(format!("the spool does not open: {error:?}"));
            return problems;
        }
    };
    if let Some(aside) = opened.set_aside {
        problems.push(format!("the spool was set aside as {}", aside.display()));
    }
    if let Err(error) = spool.reading(inventory::store::load).await {
        problems.push(format!("the inventory: {error:?}"));
    }
    match batches(&spool).await {
        Err(error) => problems.push(format!("batches cannot be read: {error:?}")),
        Ok(batches) => {
            for (key, made) in batches {
                if recording.made.get(&key).is_some_and(|known| *known != made) {
                    problems.push(format!("{key:?} is {made:?}, and was not"));
                }
            }
        }
    }
    let Some(last) = last else { return problems };
    match spool.ledger().await {
        Err(error) => problems.push(format!("the ledger: {error:?}")),
        Ok(now) => {
            if now.lease < last.report.lease {
                problems.push(format!(
                    "the lease went back from {} to {}",
                    last.report.lease, now.lease
                ));
            }
            for was in &last.report.lanes {
                let Some(lane) = now
                    .lanes
                    .iter()
                    .find(|lane| (&lane.epoch, lane.lane) == (&was.epoch, was.lane))
                else {
                    problems.push(format!("{}/{} is gone", was.epoch, was.lane));
                    continue;
                };
                let held: SeqSet = set(&lane.held);
                let missing = set(&was.held).without(&held);
                if !missing.is_empty() || lane.next_seq < was.next_seq {
                    problems.push(format!(
                        "{}/{}: {missing:?} is lost, next {} was {}",
                        was.epoch, was.lane, lane.next_seq, was.next_seq
                    ));
                }
            }
        }
    }
    problems
}

fn set(ranges: &[(u64, u64)]) -> SeqSet {
    let mut set = SeqSet::default();
    for &(from, to) in ranges {
        set.insert(from, to);
    }
    set
}

async fn central_is_whole(recording: &Recording, at: usize, dir: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let has_happened = |bytes: u64| recording.central.steps_at(bytes) <= at;
    let clock = Clock::manual(recording.question.from.plus_ms(3_900_000));
    let central = match shown::open(dir, clock).await {
        Ok(central) => central,
        Err(error) => return vec![format!("Central does not open: {error:?}")],
    };
    let names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .chain(std::fs::read_dir(dir.join("days")).into_iter().flatten())
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("damaged"))
        .collect();
    if !names.is_empty() {
        problems.push(format!("set aside: {names:?}"));
    }
    if !has_happened(recording.joined.1) {
        return problems;
    }
    let probe = recording.question.probe;
    let known = central
        .store
        .read(move |c| {
            c.query_row(
                "SELECT count(*) FROM probes WHERE id = ?1",
                [probe],
                |row| row.get::<_, i64>(0),
            )
        })
        .await;
    if !matches!(known, Ok(1)) {
        problems.push(format!("the probe that joined: {known:?}"));
    }
    // Every other time hours are sealed by what runs next, before anybody looks.
    if at.is_multiple_of(2)
        && let Err(error) = central.metrics.pass(Pass::Due).await
    {
        problems.push(format!("sealing: {error:?}"));
    }
    let shown = match shown::ask(&central, &recording.question).await {
        Ok(shown) => shown,
        Err(error) => {
            problems.push(format!("nothing is shown: {error:?}"));
            return problems;
        }
    };
    problems.extend(
        shown
            .wrong_against(&recording.truth.values)
            .into_iter()
            .take(3),
    );
    let Some(last) = recording
        .marks
        .iter()
        .rev()
        .find(|mark| has_happened(mark.central_bytes))
    else {
        return problems;
    };
    let mut acked: Vec<Made> = Vec::new();
    for lane in &last.report.lanes {
        let code = if lane.lane == "events" {
            Lane::Events
        } else {
            Lane::Samples
        }
        .code();
        let epoch = u64::from_str_radix(&lane.epoch, 16).unwrap();
        let lost = set(&lane.acked).without(&shown.seqs(epoch, code));
        if !lost.is_empty() {
            problems.push(format!(
                "{}/{}: {lost:?} was acknowledged and is lost",
                lane.epoch, lane.lane
            ));
        }
        for &(from, to) in &lane.acked {
            acked.extend(
                (from..=to).filter_map(|seq| recording.made.get(&(Epoch(epoch), code, seq))),
            );
        }
    }
    // A value that only acknowledged batches can hold must be there.
    let covers = |made: &&Made, at: i64| made.from <= at && at <= made.to;
    let absent = recording.truth.values.keys().find(|key| {
        let among =
            |all: &mut dyn Iterator<Item = &Made>| all.filter(|made| covers(made, key.3)).count();
        let acked = among(&mut acked.iter());
        acked > 0
            && acked == among(&mut recording.made.values())
            && !shown.values.contains_key(*key)
    });
    if let Some(absent) = absent {
        problems.push(format!("{absent:?} was acknowledged and is not shown"));
    }
    problems
}
