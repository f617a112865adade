//! Damaged files: bits flipped, stretches zeroed, ends cut off, of programs that were stopped and of programs that were
//! killed. Nothing loops, nothing wrong is shown, what is lost is a gap, what verifies lives on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farwatch_central::metrics::Pass;
use farwatch_probe::inventory;
use farwatch_probe::spool::{Spool, SpoolError, SpoolLimits};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::session::Stream;
use farwatch_shared::session::sender::Order;
use farwatch_tests::damage::damage;
use farwatch_tests::shim::Shim;
use farwatch_tests::shown::{self, Question, Shown};
use farwatch_tests::{Kill, eventually, world::World};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const SOON: Duration = Duration::from_secs(60);
const DEVICES: usize = 4;
const PROBE_FILES: [&str; 3] = ["spool.db", "spool.db-wal", "spool.db-shm"];

/// Directories of both programs as they lay there, and what was true.
struct Base {
    dir: tempfile::TempDir,
    question: Question,
    /// What Central showed of the undamaged directory.
    truth: Shown,
    now: Timestamp,
}

impl Base {
    /// Runs both programs for a while, an hour goes by meanwhile; ends them.
    async fn make(shim: &Shim, net: u8, how: Kill) -> Self {
        let hands = shim.hands("clock").unwrap();
        let envs = (hands.envs(), hands.envs());
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let mut world = World::under(dir, net, envs, |site| site.devices(DEVICES))
            .await
            .unwrap();
        let from = Clock::system().now();
        world.devices_up(DEVICES, SOON).await;
        committed(&world, 300).await;
        hands.sleep(Duration::from_secs(3_600));
        committed(&world, 500).await;
        // An hour is sealed once nothing of it has come for a minute.
        let mut sealed = false;
        for step in 1..=8 {
            hands.sleep(Duration::from_secs(100));
            committed(&world, 500 + step * 100).await;
            sealed = std::fs::read_dir(root.join("central/days"))
                .unwrap()
                .count()
                > 2;
            if sealed {
                break;
            }
        }
        assert!(sealed, "no hour was sealed");
        world.central.sign_in().await.unwrap();
        committed(&world, 900).await;
        let probe: ProbeId = world.probe_id().await.unwrap().parse().unwrap();
        world.probe.end(how);
        world.central.end(how);
        let base = tempfile::tempdir().unwrap();
        super::copy_tree(&root, base.path()).unwrap();
        let question = Question {
            probe,
            devices: u32::try_from(DEVICES).unwrap() + 2,
            metrics: [
                "ifHCInOctets",
                "ifInOctets",
                "ifOperStatus",
                "rtt",
                "sysUpTime",
            ]
            .map(str::to_owned)
            .to_vec(),
            from: from.plus_ms(-120_000),
            to: from.plus_ms(2 * 3_600_000),
        };
        let now = Clock::system().now().plus_ms(hands.off_ms());
        let whole = tempfile::tempdir().unwrap();
        super::copy_tree(&base.path().join("central"), &whole.path().join("central")).unwrap();
        let central = shown::open(&whole.path().join("central"), Clock::manual(now))
            .await
            .unwrap();
        central.metrics.pass(Pass::Due).await.unwrap();
        let truth = shown::ask(&central, &question).await.unwrap();
        assert!(truth.values.len() > 150, "{}", truth.values.len());
        Self {
            dir: base,
            question,
            truth,
            now,
        }
    }

    /// Every file of Central that holds more than locks and logs.
    fn central_files(&self) -> Vec<PathBuf> {
        let root = self.dir.path().join("central");
        let mut files = Vec::new();
        for directory in [root.clone(), root.join("days")] {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if [".db", "-wal", "-shm", "revocations.log"]
                    .iter()
                    .any(|end| name.ends_with(end))
                {
                    files.push(path.strip_prefix(&root).unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

/// Waits until Central has so many samples.
async fn committed(world: &World, samples: u64) {
    eventually(SOON, "samples were committed", || async {
        let summary = world
            .central
            .cli(&["summary"])
            .map_err(|error| error.to_string())?;
        let now = summary["samples"].as_u64().unwrap_or(0);
        if now >= samples {
            Ok(())
        } else {
            Err(format!("{now} of {samples}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_damaged_the_stores_open_and_show_nothing_wrong() {
    let Some(shim) = Shim::build() else { return };
    let seed = super::seed();
    let mut dice = StdRng::seed_from_u64(seed);
    let bases = [
        Base::make(&shim, 61, Kill::Hard).await,
        Base::make(&shim, 62, Kill::Politely).await,
    ];
    let (mut problems, mut beyond) = (Vec::new(), Vec::new());
    let (mut aside, began) = (0_u64, Instant::now());
    let rounds = super::scaled(60);
    for round in 0..rounds {
        let base = &bases[usize::try_from(round % 2).unwrap()];
        let dir = super::scratch();
        let at = dir.path().join("central");
        super::copy_tree(&base.dir.path().join("central"), &at).unwrap();
        let done = damage(&at, &base.central_files(), &mut dice).unwrap();
        let found = central_bears(base, &at, &mut aside).await;
        let said: Vec<String> = done.iter().map(ToString::to_string).collect();
        // SQLite has no checksum of its pages: a bit of a number that it has no rule for is found by nobody.
        let unseen = said
            .iter()
            .any(|one| one.starts_with("metrics.db:") && one.contains("bits flipped"));
        for found in found {
            if unseen && found.ends_with(&format!("({UNSAID})")) {
                beyond.push(found);
            } else {
                problems.push(format!("Central, {}: {found}", said.join("; ")));
            }
        }

        let at = dir.path().join("probe");
        super::copy_tree(&base.dir.path().join("probe"), &at).unwrap();
        let done = damage(&at, &PROBE_FILES.map(PathBuf::from), &mut dice).unwrap();
        let found = probe_bears(&at, &mut aside).await;
        let said: Vec<String> = done.iter().map(ToString::to_string).collect();
        problems.extend(
            found
                .into_iter()
                .map(|found| format!("probe, {}: {found}", said.join("; "))),
        );
    }
    println!(
        "{} damaged directories in {:?}, {aside} files set aside by name, {} problems, {} with a bit that nothing checks",
        2 * rounds,
        began.elapsed(),
        problems.len(),
        beyond.len()
    );
    assert!(
        beyond.len() as u64 <= 2 + rounds / 50,
        "{}: {beyond:#?}",
        beyond.len()
    );
    assert!(aside > 0, "the damage did nothing");
    assert!(
        problems.is_empty(),
        "{} problems with seed {seed}:\n{}",
        problems.len(),
        problems
            .iter()
            .take(25)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

async fn central_bears(base: &Base, dir: &Path, aside: &mut u64) -> Vec<String> {
    let mut problems = Vec::new();
    let central = match shown::open(dir, Clock::manual(base.now)).await {
        Ok(central) => central,
        Err(error) => {
            return vec![format!(
                "it does not open: {}",
                format!("{error:?}").replace('\n', " ")
            )];
        }
    };
    for pass in 0..2 {
        if let Err(error) = central.metrics.pass(Pass::Due).await {
            problems.push(format!("pass {pass}: {error:?}"));
        }
        match shown::ask(&central, &base.question).await {
            Err(error) => problems.push(format!("question {pass}: {error:?}")),
            Ok(shown) => {
                let wrong = shown.wrong_against(&base.truth.values);
                problems.extend(
                    wrong
                        .into_iter()
                        .take(2)
                        .map(|wrong| format!("wrong: {wrong}")),
                );
                if pass == 1 {
                    let unsaid = unsaid(base, &shown);
                    problems.extend(
                        unsaid
                            .first()
                            .map(|one| format!("{} like {one} ({UNSAID})", unsaid.len())),
                    );
                }
            }
        }
    }
    *aside += farwatch_central::store::rescue::set_aside_in(dir).len() as u64;
    problems
}

/// Marks a complaint of [`unsaid`].
const UNSAID: &str = "unsaid";

/// Values that are gone, are not going to be sent again, and lie in no gap.
fn unsaid(base: &Base, shown: &Shown) -> Vec<String> {
    let before = committed_samples(&base.truth);
    // A ledger that begins anew, or one that went back, is filled again by the probe.
    let sent_again = committed_samples(shown) != before;
    base.truth
        .values
        .keys()
        .filter(|key| !sent_again && !shown.values.contains_key(*key))
        .filter(|key| {
            !shown
                .gaps
                .iter()
                .any(|(device, from, to, _)| *device == key.0 && *from <= key.3 && key.3 <= *to)
        })
        .map(|key| format!("{key:?} is gone and no gap says so"))
        .collect()
}

fn committed_samples(shown: &Shown) -> BTreeSet<(u64, u64)> {
    let samples = farwatch_shared::model::Lane::Samples.code();
    shown
        .committed
        .iter()
        .filter(|lane| lane.lane == samples)
        .map(|lane| (lane.epoch.0, lane.watermark))
        .collect()
}

/// Damage that shows only while the spool is read ends the process; the next start has to be well.
async fn probe_bears(dir: &Path, aside: &mut u64) -> Vec<String> {
    match probe_starts(dir, aside).await {
        Ok(problems) => problems,
        Err(first) => probe_starts(dir, aside)
            .await
            .unwrap_or_else(|again| vec![format!("at two starts: {first:?}, {again:?}")]),
    }
}

async fn probe_starts(dir: &Path, aside: &mut u64) -> Result<Vec<String>, SpoolError> {
    let mut problems = Vec::new();
    let (spool, opened) = match Spool::open(dir, SpoolLimits::default(), Clock::system()) {
        Ok(opened) => opened,
        Err(error) => {
            return Ok(vec![format!(
                "it does not open: {}",
                format!("{error:?}").replace('\n', " ")
            )]);
        }
    };
    *aside += u64::from(opened.set_aside.is_some());
    let inventory = spool.reading(inventory::store::load).await;
    if let Err(error @ SpoolError::Damaged(_)) = inventory {
        return Err(error);
    } else if let Err(error) = inventory {
        problems.push(format!("the inventory: {error:?}"));
    }
    let stock = spool.stock().await?;
    for lane in stock.lanes {
        for &(from_seq, to_seq) in lane.held.ranges() {
            let order = Order {
                stream: Stream::Backlog,
                epoch: lane.epoch,
                lane: lane.lane,
                from_seq,
                to_seq,
                max_bytes: u64::MAX,
            };
            match spool.read(order).await {
                Err(error @ SpoolError::Damaged(_)) => return Err(error),
                Err(error) => problems.push(format!("a batch: {error:?}")),
                Ok(read) => {
                    for key in read.damaged {
                        let gone = spool
                            .set_aside(key, farwatch_shared::model::GapReason::Quarantined)
                            .await;
                        if let Err(error @ SpoolError::Damaged(_)) = gone {
                            return Err(error);
                        } else if let Err(error) = gone {
                            problems.push(format!("setting a batch aside: {error:?}"));
                        }
                    }
                }
            }
        }
    }
    match spool.maintain().await {
        Err(error @ SpoolError::Damaged(_)) => return Err(error),
        Err(error) => problems.push(format!("upkeep: {error:?}")),
        Ok(()) => {}
    }
    Ok(problems)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_programs_start_on_damaged_files_and_watch_on() {
    let seed = super::seed();
    let mut dice = StdRng::seed_from_u64(seed);
    let mut world = World::start(63, |site| site.devices(DEVICES))
        .await
        .unwrap();
    world.devices_up(DEVICES, SOON).await;
    committed(&world, 100).await;
    // What serves when both programs' stores are lost together.
    eventually(SOON, "the inventory was copied", || async {
        let copy = std::fs::metadata(world.probe.dir.join(inventory::copy::FILE));
        copy.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let mut slowest = Duration::ZERO;
    // Once it has forgotten the probe, the copies are the last there is.
    let mut central_is_whole = true;
    for round in 0..super::scaled(4) {
        let how = if round % 2 == 0 {
            Kill::Hard
        } else {
            Kill::Politely
        };
        let which = dice.random_range(0..3);
        let epoch = world.probe.status().unwrap()["epoch"].clone();
        central_is_whole &= which == 0;
        if which != 1 {
            world.probe.end(how);
            let mut files = PROBE_FILES.map(PathBuf::from).to_vec();
            if central_is_whole && which == 0 {
                files.push(PathBuf::from(inventory::copy::FILE));
                files.push(PathBuf::from(farwatch_probe::steering::FILE));
            }
            let done = damage(&world.probe.dir, &files, &mut dice).unwrap();
            println!(
                "{}",
                done.iter()
                    .map(|one| format!("probe: {one}"))
                    .collect::<Vec<_>>()
                    .join("; ")
            );
        }
        if which != 0 {
            world.central.end(how);
            let files = [
                "central.db",
                "central.db-wal",
                "metrics.db",
                "metrics.db-wal",
            ];
            let done = damage(&world.central.dir, &files.map(PathBuf::from), &mut dice).unwrap();
            println!(
                "{}",
                done.iter()
                    .map(|one| format!("Central: {one}"))
                    .collect::<Vec<_>>()
                    .join("; ")
            );
        }
        if which != 0 {
            world.central.restart(&[]).await.unwrap();
        }
        let began = Instant::now();
        if which != 1 {
            world.probe.start(&[]).unwrap();
        }
        polls_again(&mut world, (which != 1).then_some(epoch)).await;
        slowest = slowest.max(began.elapsed());
        assert!(!world.probe.has_ended() && !world.central.has_ended());
    }
    println!("polling was back after {slowest:?} at the most");
    world.end();
}

/// Waits until the probe polls; a process that ends itself because of damage is started again, as a service manager does.
/// `before`: the epoch of the process that was ended.
async fn polls_again(world: &mut World, before: Option<serde_json::Value>) {
    let began = Instant::now();
    let mut starts = 0;
    loop {
        if world.probe.has_ended() {
            starts += 1;
            assert!(starts < 4, "the probe ends again and again");
            world.probe.start(&[]).unwrap();
        }
        if world.central.has_ended() {
            starts += 1;
            assert!(starts < 4, "Central ends again and again");
            world.central.restart(&[]).await.unwrap();
        }
        let polled = world
            .probe
            .status()
            .ok()
            .filter(|status| status["running"] == true)
            .filter(|status| {
                before
                    .as_ref()
                    .is_none_or(|before| status["epoch"] != *before)
            })
            .and_then(|status| status["devices_up"].as_u64());
        if polled == Some(DEVICES as u64) {
            return;
        }
        assert!(began.elapsed() < SOON, "nothing is polled: {polled:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
