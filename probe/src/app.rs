//! Puts the parts together. The only file that knows them all.
//!
//! ```text
//! document (file, Central) ─▶ steering ─▶ Site ─▶ discovery ─▶ monitor ─▶ keeper ─▶ spool ─▶ uplink ─▶ Central
//!                                            └───────────────────▲  ▲──── engine, pinger
//! ```

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::lifecycle::Lifecycle;
use farwatch_shared::session::sender::Limits;
use farwatch_shared::wire::message::session::Status;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::site::Site;
use crate::discovery::rounds::{self, Request, Rounds};
use crate::discovery::{Progress, own};
use crate::icmp::{BindError, PingConfig, Pinger};
use crate::identity::{Identity, Place};
use crate::inventory::copy::Copying;
use crate::inventory::store;
use crate::monitor::keep::Keeper;
use crate::monitor::layout::PORTS_LIMIT;
use crate::monitor::ping_round::Echo;
use crate::monitor::work::{self, Working};
use crate::monitor::{Listing, Monitor, Totals};
use crate::profile::folder;
use crate::snmp::{Engine, EngineConfig, Snmp};
use crate::spool::{Opened, Spool, SpoolError};
use crate::status;
use crate::steering::Steering;
use crate::uplink::{Source, States, Uplink, UplinkHandle, Wish};

/// The running probe.
#[derive(Debug)]
pub struct App;

impl App {
    /// Starts every part; they end with the lifecycle.
    ///
    /// # Errors
    /// What is wrong with this machine or its files, in words for whoever runs it.
    pub async fn start(config: Config, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let clock = Clock::system();
        prepare_dir(&config.data_dir)?;
        let lock = lock(&config.data_dir)?;
        let mut identity = Identity::load(&config.data_dir)
            .context("this probe's identity")?
            .context("this probe has not joined yet: farwatch-probe join TOKEN (Central shows one under \"Add a probe\")")?;
        identity.settle_proxy(&config.proxy);
        let place = identity.place().clone();
        let (spool, opened) =
            Spool::open(&config.data_dir, config.spool, clock.clone()).context("the spool")?;
        let stored = spool.reading(store::load).await.context("the inventory")?;
        let is_complete = stored.is_complete;
        let sweep_place = spool
            .reading(store::sweep)
            .await
            .context("the sweep's place")?;

        let engine = Engine::bind(EngineConfig::default()).context("the SNMP sockets")?;
        let snmp: Arc<dyn Snmp> = Arc::new(engine);
        let (echo, icmp_problem) = open_echo();
        let pings = echo.is_some();

        let notices = Notices::default();
        notices.extend(icmp_problem);
        notices.extend(opened.set_aside.as_ref().map(|path| {
            format!(
                "the spool's file was damaged and is set aside as {}; what Central had not received of it is lost",
                path.display()
            )
        }));

        let profiles = Arc::new(folder::library(&config.profiles));
        let (follow, followed) = mpsc::channel(rounds::FOLLOW);
        let (requests, requested) = mpsc::channel(rounds::REQUESTS);
        let (keeper, keeping) = Keeper::new(spool.clone());
        let (monitor, working) = Working::new(work::Parts {
            clock: clock.clone(),
            keeper: keeper.clone(),
            spool: spool.clone(),
            snmp: snmp.clone(),
            profiles: profiles.clone(),
            echo: echo.clone(),
            own: own::addresses,
            stored,
            last_tick: opened.last_tick,
            load: work::Load {
                devices: config.limits.devices,
                polls_at_once: config.limits.polls_at_once,
            },
            first_hop: config.first_hop,
            follow,
        });
        let (site_out, site) = watch::channel(Arc::<Site>::default());
        let (rounds, progress) = Rounds::new(rounds::Parts {
            clock: clock.clone(),
            snmp,
            profiles,
            echo,
            monitor: monitor.clone(),
            own: own::addresses,
            site: site.clone(),
            follow: followed,
            requests: requested,
            place: sweep_place,
        });
        let source = Vitals {
            monitor: monitor.clone(),
            progress: progress.clone(),
            site: site.clone(),
            notices: notices.clone(),
        };
        let (uplink, handle, wishes) = Uplink::new(
            identity,
            spool.clone(),
            Arc::new(source),
            Limits::default(),
            config.udp_retry,
            clock.clone(),
        );
        let copying = Copying {
            data_dir: config.data_dir.clone(),
            probe: place.probe_id,
            spool: spool.clone(),
            changed: keeping.changes(),
        };
        let steering = Steering {
            data_dir: config.data_dir.clone(),
            narrow: config.narrow.clone(),
            own: own::networks,
            probe: place.probe_id,
            uplink: handle.clone(),
            monitor: monitor.clone(),
            site: site_out,
            is_complete,
            born: opened.is_new.then_some(opened.known_from),
        };
        let answering = Answering {
            place,
            opened,
            monitor: monitor.clone(),
            pings,
            progress,
            site,
            notices,
            uplink: handle,
            spool: spool.clone(),
            started: clock.now(),
            clock: clock.clone(),
        };

        let drain = lifecycle.drain();
        lifecycle.spawn("keep", keeping.run());
        lifecycle.spawn("copy", run_to_end(copying.run(drain.clone())));
        lifecycle.spawn("monitor", stopping(working, keeper, drain.clone(), lock));
        lifecycle.spawn("discovery", run_to_end(rounds.run(drain.clone())));
        lifecycle.spawn("steering", run_to_end(steering.run(drain.clone())));
        lifecycle.spawn(
            "wishes",
            run_to_end(grant(wishes, monitor, requests, drain.clone())),
        );
        lifecycle.spawn("uplink", uplink.run(drain.clone()));
        lifecycle.spawn("upkeep", upkeep(spool, drain.clone()));
        lifecycle.spawn(
            "status",
            run_to_end(tell(config.data_dir, answering, drain.clone())),
        );
        lifecycle.spawn("watchdog", run_to_end(watchdog(drain)));
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
        tracing::info!("{} watches", crate::uplink::PROGRAM);
        Ok(())
    }
}

/// Makes the data directory if it is not there, and keeps others out of it.
///
/// # Errors
/// It cannot be made, or belongs to somebody else.
pub fn prepare_dir(dir: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("the data directory {}", dir.display()))?;
    let meta = std::fs::metadata(dir)?;
    if !meta.is_dir() {
        bail!("{} is no directory", dir.display());
    }
    if meta.mode() & 0o077 != 0 {
        make_private(dir, 0o700).with_context(|| {
            format!(
                "{} is open to others and cannot be closed: chown it to the probe's user, chmod 700",
                dir.display()
            )
        })?;
    }
    Ok(())
}

/// Sets a file's mode.
///
/// # Errors
/// The file system's.
pub fn make_private(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Two probes on one directory would tear each other's spool.
fn lock(dir: &Path) -> anyhow::Result<Flock<File>> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        anyhow::anyhow!("another farwatch-probe runs in {} ({errno})", dir.display())
    })
}

fn open_echo() -> (Option<Arc<dyn Echo>>, Option<String>) {
    match Pinger::bind(PingConfig::default()) {
        Ok(pinger) => (Some(Arc::new(pinger)), None),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "no ICMP: devices are judged by SNMP alone");
            let why = match &error {
                BindError::NotPermitted { .. } => {
                    "this probe may not send pings (it needs CAP_NET_RAW, or its group in net.ipv4.ping_group_range): \
                     devices without SNMP are not seen"
                        .to_owned()
                }
                other => Chain(other).to_string(),
            };
            (None, Some(why))
        }
    }
}

/// The monitor, then everything that it read on disk, then the lock.
async fn stopping(
    working: Working,
    keeper: Keeper,
    drain: CancellationToken,
    lock: Flock<File>,
) -> Result<(), work::BrokenStore> {
    let _ = &keeper; // the keeper ends when the last handle is gone: not before the monitor
    let outcome = working.run(drain).await;
    drop(keeper);
    drop(lock);
    outcome
}

async fn run_to_end(task: impl Future<Output = ()>) -> Result<(), std::convert::Infallible> {
    task.await;
    Ok(())
}

/// Does what people asked for at Central.
async fn grant(
    mut wishes: mpsc::Receiver<Wish>,
    monitor: Monitor,
    requests: mpsc::Sender<Request>,
    drain: CancellationToken,
) {
    while let Some(Some(wish)) = drain.run_until_cancelled(wishes.recv()).await {
        match wish {
            Wish::Discover => {
                let _ = requests.try_send(Request::Now);
            }
            Wish::Add(texts) => {
                let addresses: Vec<IpAddr> =
                    texts.iter().filter_map(|text| text.parse().ok()).collect();
                let _ = requests.try_send(Request::Look(addresses));
            }
            Wish::Forget(devices) => monitor.forget(devices).await,
        }
    }
    drain.cancelled().await;
}

/// Keeps the spool within its bounds.
async fn upkeep(spool: Spool, drain: CancellationToken) -> Result<(), SpoolError> {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while drain.run_until_cancelled(every.tick()).await.is_some() {
        match spool.maintain().await {
            Ok(()) => {}
            Err(error @ SpoolError::Damaged(_)) => return Err(error),
            Err(error) => tracing::warn!(error = %Chain(&error), "the spool could not be tidied"),
        }
    }
    Ok(())
}

/// Tells systemd that the loops still turn, where it wants to know.
async fn watchdog(drain: CancellationToken) {
    let mut usec = 0;
    if sd_notify::watchdog_enabled(false, &mut usec) && usec > 0 {
        let mut every = tokio::time::interval(Duration::from_micros(usec / 2));
        while drain.run_until_cancelled(every.tick()).await.is_some() {
            let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
        }
    }
    drain.cancelled().await;
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
}

/// Sentences about this probe that stay true until it is started again.
#[derive(Clone, Debug, Default)]
struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    fn extend(&self, sentences: impl IntoIterator<Item = String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(sentences);
    }

    /// Those, what is wrong with the site's document, and what is too much for this probe.
    fn with(&self, site: &Site, totals: &Totals) -> Vec<String> {
        let mut all = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        all.extend(site.problems.iter().take(16).cloned());
        if totals.devices_too_wide > 0 {
            all.push(format!(
                "devices with more interfaces than the {PORTS_LIMIT} that are watched of one device: {}",
                totals.devices_too_wide
            ));
        }
        if totals.turned_away_total > 0 {
            all.push(format!(
                "more devices were found than this probe may watch ([limits] devices in probe.toml): {} are watched",
                totals.devices
            ));
        }
        if site.poll_interval_s == 0 {
            all.push(
                "the site's configuration has not come from Central yet: nothing is watched"
                    .to_owned(),
            );
        }
        all
    }
}

/// What the uplink tells Central of this probe.
struct Vitals {
    monitor: Monitor,
    progress: watch::Receiver<Progress>,
    site: watch::Receiver<Arc<Site>>,
    notices: Notices,
}

impl Source for Vitals {
    fn states(&self) -> States {
        let (devices, interfaces) = self.monitor.states();
        States {
            devices,
            interfaces,
        }
    }

    fn highest_device_no(&self) -> u32 {
        self.monitor.highest_device_no()
    }

    fn vitals(&self, status: &mut Status) {
        let totals = self.monitor.totals();
        status.devices = totals.devices;
        status.polls_total = totals.polls_total;
        status.polls_overran_total = totals.polls_overran_total;
        status.rss_bytes = rss_bytes();
        let site = self.site.borrow().clone();
        status.config_revision = site.revision;
        status.notices.extend(self.notices.with(&site, &totals));
        let progress = self.progress.borrow().clone();
        progress.state.clone_into(&mut status.discovery_state);
        status.discovery_range = progress.range;
        status.discovery_swept = progress.swept;
        status.discovery_to_sweep = progress.to_sweep;
        status.discovery_answered = progress.answered;
        status.discovery_identified = progress.identified;
        status.discovery_started = progress.started;
        status.discovery_finished = progress.finished;
    }
}

/// What `farwatch-probe status` is told.
struct Answering {
    place: Place,
    opened: Opened,
    monitor: Monitor,
    /// Whether the system lets it.
    pings: bool,
    progress: watch::Receiver<Progress>,
    site: watch::Receiver<Arc<Site>>,
    notices: Notices,
    uplink: UplinkHandle,
    spool: Spool,
    started: Timestamp,
    clock: Clock,
}

/// Keeps the status file new, for whoever asks while Central cannot be reached.
async fn tell(data_dir: PathBuf, answering: Answering, drain: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(2));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = Ok(());
    let mut listing = (Instant::now(), Arc::new(answering.monitor.listing().await));
    while drain.run_until_cancelled(every.tick()).await.is_some() {
        // Thousands of devices are named less often: it is for people.
        let age = Duration::from_millis(2 * u64::from(answering.monitor.totals().devices));
        if listing.0.elapsed() >= age.min(LISTED_AT_LEAST) {
            listing = (Instant::now(), Arc::new(answering.monitor.listing().await));
        }
        let (at, devices) = (data_dir.clone(), listing.1.clone());
        let status = answering.status(&devices).await;
        let kept =
            tokio::task::spawn_blocking(move || status::keep(&at, &status, &devices.text)).await;
        let kept = kept.map_err(|_| ()).and_then(|kept| kept.map_err(|_| ()));
        if kept.is_err() && told.is_ok() {
            tracing::warn!("the status file cannot be written; the probe goes on");
        }
        told = kept;
    }
}

impl Answering {
    async fn status(&self, listing: &Listing) -> Value {
        let totals = self.monitor.totals();
        let progress = self.progress.borrow().clone();
        let site = self.site.borrow().clone();
        let link = self.uplink.status();
        let now = self.clock.now();
        let time = |at: Timestamp| (at.ms() != 0).then(|| at.to_string());
        json!({
            "at": now.to_string(),
            "at_ms": now.ms(),
            "program": crate::uplink::PROGRAM,
            "probe": {
                "id": self.place.probe_id.to_string(),
                "name": self.place.probe_name,
                "site": self.place.site_name,
                "customer": self.place.customer_name,
            },
            "started": self.started.to_string(),
            "epoch": self.spool.epoch().to_string(),
            "connected": link.connected,
            "transport": (!link.transport.is_empty()).then_some(&link.transport),
            "central": (!link.address.is_empty()).then_some(&link.address),
            "connected_since": if link.connected { time(link.since) } else { None },
            "last_error": (!link.problem.is_empty()).then_some(&link.problem),
            "link": link,
            "spool": self.spool.status().await.ok(),
            "spool_is_new": self.opened.is_new,
            "pings": self.pings,
            "config_revision": site.revision,
            "credentials": site.credentials.iter().map(|credential| json!({
                "name": credential.name,
                "version": credential.version,
                "devices": listing.credentials.get(&credential.name).copied().unwrap_or(0),
            })).collect::<Vec<_>>(),
            "discovery": {
                "state": progress.state,
                "range": progress.range,
                "swept": progress.swept,
                "to_sweep": progress.to_sweep,
                "answered": progress.answered,
                "identified": progress.identified,
                "started": time(progress.started),
                "finished": time(progress.finished),
            },
            "devices_total": totals.devices,
            "devices_up": totals.up,
            "polls_total": totals.polls_total,
            "polls_overran_total": totals.polls_overran_total,
            "samples_total": totals.samples_total,
            "rss_bytes": rss_bytes(),
            "notices": self.notices.with(&site, &totals),
        })
    }
}

/// The list of devices in the status file is never older than this, and two seconds.
const LISTED_AT_LEAST: Duration = Duration::from_secs(10);

/// Resident memory of this process.
fn rss_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| u64::try_from(bytes).ok());
    pages.unwrap_or(0) * page.unwrap_or(4_096)
}
