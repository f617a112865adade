//! Central put together: the only file that knows how the parts are joined.

mod guard;
mod listen;
mod tidy;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use farwatch_shared::clock::Clock;
use farwatch_shared::lifecycle::Lifecycle;
use farwatch_shared::link::Listener;
use farwatch_shared::wire::message::pull::SiteDocument;
use nix::fcntl::{Flock, FlockArg};

use crate::api::{Central, Parts, Settings};
use crate::auth::Auth;
use crate::config::Config;
use crate::control::Registry;
use crate::enroll::Enroll;
use crate::incident::notify::Sender;
use crate::incident::outbox::{Delivery, Outbox};
use crate::incident::watch::Watch;
use crate::ingest::{self, Ingest, PullSource};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::scope::ProbeScope;
use crate::store::strips::DayCache;
use crate::store::{Store, site_config};
use crate::vault::Vault;

/// Requests a second that one address may make: a busy console makes a few, a benchmark on loopback thousands.
const REQUESTS_PER_S: u32 = 2_000;

/// The data directory is ours as long as this lives; the kernel lets go of it when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes it, making the directory (0700) when it is not there.
    ///
    /// # Errors
    /// Another process has it, or the file system says no.
    pub fn take(data_dir: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)?;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(data_dir.join("lock"))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map(|file| Self { _file: file })
            .map_err(|(_, error)| error.into())
    }
}

/// Where the control socket of a data directory is, in few enough bytes for a socket's address.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    /// A long path goes through this handle; it must stay open for as long as the path is used.
    _directory: Option<File>,
}

/// A socket's address holds 107 bytes and an end.
const SOCKET_PATH_BYTES: usize = 100;

impl SocketPath {
    /// Of a data directory.
    ///
    /// # Errors
    /// The directory cannot be opened (only asked for when its path is long).
    pub fn of(data_dir: &Path) -> io::Result<Self> {
        let name = "control.sock";
        let path = data_dir.join(name);
        if path.as_os_str().len() <= SOCKET_PATH_BYTES {
            return Ok(Self {
                path,
                _directory: None,
            });
        }
        let directory = File::open(data_dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
        Ok(Self {
            path,
            _directory: Some(directory),
        })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The user that this process runs as, by name.
#[must_use]
pub fn own_user() -> String {
    user_name(nix::unistd::geteuid())
}

pub(crate) fn user_name(uid: nix::unistd::Uid) -> String {
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {uid}"),
    }
}

/// Opens everything that is in the data directory. The caller holds its [`Lock`].
///
/// # Errors
/// One sentence per cause.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Central> {
    let dir = &config.data_dir;
    let store = Store::open(dir, clock.now()).context("central.db")?;
    let vault = Vault::open(dir).context("the vault's key")?;
    let (metrics_dir, settings, metrics_clock) =
        (dir.clone(), config.retention.metrics(), clock.clone());
    let metrics =
        tokio::task::spawn_blocking(move || Metrics::open(&metrics_dir, settings, metrics_clock))
            .await?
            .context("metrics.db")?;
    let live_clock = clock.clone();
    let live = store.read(move |c| Live::load(c, live_clock)).await?;
    let registry = Registry::default();
    let enroll = Enroll::open(
        dir,
        store.path(),
        store.writer().clone(),
        registry.clone(),
        config.public_addresses.clone(),
        clock.clone(),
    )
    .await
    .context("enrolment")?;
    let console = config.console();
    Ok(Central::new(Parts {
        auth: Auth::new(store.clone(), clock.clone()),
        sender: Sender::new(Arc::new(vault.clone()), console.clone())?,
        metrics,
        live,
        clock: clock.clone(),
        vault,
        enroll,
        registry,
        outbox: Outbox::default(),
        days: DayCache::default(),
        echoed: Mutex::default(),
        drain: tokio_util::sync::CancellationToken::new(),
        started: clock.now(),
        settings: Settings {
            data_dir: dir.clone(),
            console,
            downloads: config.programs_dir.clone(),
            requests_per_s: REQUESTS_PER_S,
        },
        store,
    }))
}

/// The site's document for the probe that pulls it.
#[derive(Clone, Debug)]
struct Documents(Central);

impl PullSource for Documents {
    async fn site_document(&self, scope: &ProbeScope) -> Result<SiteDocument, String> {
        let (scope, vault, now) = (*scope, self.0.vault.clone(), self.0.clock.now());
        self.0
            .store
            .read(move |c| site_config::document_for_probe(c, &scope, &vault, now))
            .await
            .map_err(|error| {
                tracing::error!(probe.id = %scope.probe(), error = %farwatch_shared::error::Chain(&error), "a site's document could not be read");
                "Central could not read the site's configuration".to_owned()
            })
    }
}

/// Ends in an error when a file turns out to be damaged: the process goes down in order, and its next start sets the
/// file aside.
async fn until_damaged(
    damaged: tokio_util::sync::CancellationToken,
    drain: tokio_util::sync::CancellationToken,
) -> Result<(), &'static str> {
    tokio::select! {
        () = drain.cancelled() => Ok(()),
        () = damaged.cancelled() => Err("a file is damaged and is set aside at the next start"),
    }
}

/// A running Central. Keep it for as long as it runs.
#[derive(Debug)]
pub struct App {
    _lock: Lock,
}

impl App {
    /// Opens the data directory and starts every task.
    ///
    /// # Errors
    /// One sentence per cause; nothing keeps running.
    pub async fn start(config: Config, life: &Lifecycle) -> anyhow::Result<Self> {
        let lock = Lock::take(&config.data_dir).with_context(|| {
            format!(
                "{} is in use by another Central, or not ours",
                config.data_dir.display()
            )
        })?;
        let clock = Clock::system();
        let central = open(&config, clock.clone()).await?;
        let writer = central.store.writer().clone();
        let now = clock.now();
        let applied = writer
            .write(move |c| ingest::apply_undecoded(c, now))
            .await?;
        if applied > 0 {
            tracing::info!(
                batches = applied,
                "batches that an older version could not read were applied"
            );
        }
        listen::start(&config, &central, life).await?;
        let authority = central.enroll.authority();
        let credentials = central.enroll.ca().central_credentials()?;
        let listener = Listener::bind(config.listen_probes, credentials, authority.anchors)
            .with_context(|| format!("listen_probes {}", config.listen_probes))?;
        if let Some(door) = config.listen_probes_tcp {
            let credentials = central.enroll.ca().central_credentials()?;
            match listener.tcp_door(door.address, credentials) {
                Ok(door) => life.spawn("probes over TCP", door.run()),
                Err(error) if door.is_chosen => {
                    return Err(error).context(format!("listen_probes_tcp {}", door.address));
                }
                Err(error) => tracing::warn!(
                    "probes whose networks block UDP cannot connect: {} cannot be listened on ({error}); choose another listen_probes_tcp, or \"off\"",
                    door.address
                ),
            }
        }
        let ingest = Ingest::new(
            central.store.path(),
            ingest::Parts {
                writer: writer.clone(),
                enroll: central.enroll.clone(),
                registry: central.registry.clone(),
                live: central.live.clone(),
                outbox: central.outbox.clone(),
                samples: central.metrics.clone(),
                pulls: Documents(central.clone()),
                clock: clock.clone(),
            },
        )?;
        life.spawn("ingest", ingest.run(listener, life.clone()));
        for of in [&writer, central.metrics.writer()] {
            life.spawn("damage", until_damaged(of.damaged().clone(), life.drain()));
        }
        life.spawn("metrics", central.metrics.clone().run(life.drain()));
        let watch = Watch::new(
            writer.clone(),
            central.live.clone(),
            central.outbox.clone(),
            clock.clone(),
        );
        life.spawn("watch", watch.run(life.drain()));
        let delivery = Delivery::new(
            writer,
            central.outbox.clone(),
            central.sender.clone(),
            clock,
        );
        life.spawn("outbox", delivery.run(life.drain()));
        life.spawn(
            "tidy",
            tidy::run(central.clone(), config.retention, life.drain()),
        );
        let drain = life.drain();
        let streams = central.drain.clone();
        life.spawn("streams", async move {
            drain.cancelled().await;
            streams.cancel();
            Ok::<_, io::Error>(())
        });
        tracing::info!(
            probes = %config.listen_probes,
            "Central {} runs; the console is at {}", env!("CARGO_PKG_VERSION"), config.console()
        );
        if let Err(error) = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]) {
            tracing::debug!(%error, "no service manager was told");
        }
        Ok(Self { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_still_has_a_control_socket() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let socket = SocketPath::of(&deep).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(socket.path()).unwrap();
        assert!(deep.join("control.sock").exists());
        let again = SocketPath::of(&deep).unwrap();
        std::os::unix::net::UnixStream::connect(again.path()).unwrap();
    }

    #[test]
    fn one_data_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        assert!(Lock::take(dir.path()).is_err());
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
