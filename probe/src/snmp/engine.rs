//! The SNMP engine: a few shared sockets, one table of requests under way for each, and what is known of every device.

mod columns;
mod exchange;
#[cfg(any(test, feature = "fuzz"))]
pub(super) mod fuzz;
mod link;
mod peer;
mod read;
mod secure;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use farwatch_shared::oid::Oid;
use tokio::{sync::Semaphore, task::JoinSet};
use tracing::{debug, warn};

use self::{exchange::Call, link::Link, peer::Peer, socket::Family};
use super::{
    Limits, Target,
    error::{GetError, WalkError},
    plan::{Plan, Reading, Rows, TablePlan, Walk},
    stats::{Counters, Stats},
    value::VarBind,
};

/// How an [`Engine`] is set up.
#[derive(Debug, Clone, Copy)]
pub struct EngineConfig {
    /// Sockets for each address family.
    pub sockets: usize,
    /// Asked for each socket. The kernel gives no more than `net.core.rmem_max`.
    pub receive_buffer_bytes: usize,
    /// Requests under way to one device, 1 to 4. Walks are one at a time whatever this says.
    pub requests_per_device: usize,
    /// Requests under way in all; the others wait their turn within their deadlines. An answer held in the socket's
    /// buffer takes 2.3 kB of the kernel's, a waiting request some 500 bytes of ours.
    pub requests_under_way: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            sockets: 2,
            receive_buffer_bytes: 4 << 20,
            requests_per_device: 1,
            requests_under_way: 8192,
        }
    }
}

/// A cheap handle. The sockets close when the last one is dropped.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    v4: Vec<Arc<Link>>,
    /// Empty where the system has no IPv6.
    v6: Vec<Arc<Link>>,
    peers: Mutex<HashMap<SocketAddr, Arc<Peer>>>,
    under_way: Semaphore,
    /// Password hashing at once: it must not take the cores from polling.
    deriving: Semaphore,
    /// The next salt for encryption (RFC 3826 §3.1.1.1): from a random start, never twice.
    salt: AtomicU64,
    requests_per_device: usize,
    counters: Arc<Counters>,
    /// The tasks of the links, which end with this.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the sockets. Needs a tokio runtime around it; fails only when there is no IPv4 UDP at all.
    pub fn bind(config: EngineConfig) -> io::Result<Self> {
        let counters = Arc::<Counters>::default();
        let mut tasks = JoinSet::new();
        let mut open = |family| -> io::Result<Vec<Arc<Link>>> {
            (0..config.sockets.max(1))
                .map(|_| {
                    let link = Arc::new(Link::bind(
                        family,
                        config.receive_buffer_bytes,
                        Arc::clone(&counters),
                    )?);
                    tasks.spawn(Arc::clone(&link).run_receiving());
                    tasks.spawn(Arc::clone(&link).run_sending());
                    Ok(link)
                })
                .collect()
        };
        let v4 = open(Family::V4)?;
        let v6 = open(Family::V6).unwrap_or_else(|error| {
            debug!(%error, "no SNMP over IPv6 here");
            Vec::new()
        });
        warn_of_small_buffer(&v4, config.receive_buffer_bytes);
        Ok(Self {
            inner: Arc::new(Inner {
                v4,
                v6,
                peers: Mutex::default(),
                under_way: Semaphore::new(config.requests_under_way),
                deriving: Semaphore::new(2),
                salt: AtomicU64::new(rand::random()),
                requests_per_device: config.requests_per_device.clamp(1, 4),
                counters,
                _tasks: tasks,
            }),
        })
    }

    /// The values of these instances, in their order. A missing one has one of the three exceptions as its value.
    pub async fn get(
        &self,
        target: &Target,
        oids: &[Oid],
        limits: Limits,
    ) -> Result<Vec<VarBind>, GetError> {
        Call::new(self, target, limits)?.get(oids).await
    }

    /// For each name, the first instance after it. At the end of everything the name itself and `EndOfMibView`.
    pub async fn get_next(
        &self,
        target: &Target,
        oids: &[Oid],
        limits: Limits,
    ) -> Result<Vec<VarBind>, GetError> {
        Call::new(self, target, limits)?.get_next(oids).await
    }

    /// One GETBULK as it stands: no planning, no learning. A v1 device is asked by GETNEXT, for one row.
    pub async fn get_bulk(
        &self,
        target: &Target,
        oids: &[Oid],
        max_repetitions: u16,
        limits: Limits,
    ) -> Result<Vec<VarBind>, GetError> {
        Call::new(self, target, limits)?
            .get_bulk(oids, max_repetitions)
            .await
    }

    /// Everything under `root`, in order. What was read stays when the walk is cut: see [`Walk::cut`].
    pub async fn walk(
        &self,
        target: &Target,
        root: &Oid,
        limits: Limits,
    ) -> Result<Walk, WalkError> {
        Call::new(self, target, limits)?.walk(root).await
    }

    /// These columns of a table, all rows.
    pub async fn table(
        &self,
        target: &Target,
        columns: &[Oid],
        limits: Limits,
    ) -> Result<Reading, WalkError> {
        let plan = Plan {
            scalars: Vec::new(),
            tables: vec![TablePlan {
                columns: columns.to_vec(),
                rows: Rows::All,
            }],
        };
        self.read(target, &plan, limits).await
    }

    /// Whatever a plan names, with the fewest requests.
    pub async fn read(
        &self,
        target: &Target,
        plan: &Plan,
        limits: Limits,
    ) -> Result<Reading, WalkError> {
        Call::new(self, target, limits)?.read(plan).await
    }

    /// Whether a credential works, by asking for sysUpTime; and if not, why.
    ///
    /// Where a device meets a wrong priv password with silence, as most do, it is asked once more without encryption:
    /// an answer to that tells the two apart.
    pub async fn check(&self, target: &Target, limits: Limits) -> Result<(), GetError> {
        Call::new(self, target, limits)?.check().await
    }

    /// Drops what is remembered of a device: its request sizes, its SNMPv3 engine and keys.
    pub fn forget(&self, address: SocketAddr) {
        self.peers().remove(&canonical(address));
    }

    /// The SNMPv3 engine id that a device gave, once it has. Two devices with one engine id are a fault worth telling.
    #[must_use]
    pub fn engine_id(&self, address: SocketAddr) -> Option<Arc<[u8]>> {
        let peer = self.peers().get(&canonical(address)).cloned();
        peer.and_then(|peer| peer.engine_id())
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.inner.counters.snapshot();
        stats.under_way = self
            .inner
            .v4
            .iter()
            .chain(&self.inner.v6)
            .map(|link| link.under_way())
            .sum();
        stats.devices = self.peers().len();
        stats
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Peer>>> {
        self.inner
            .peers
            .lock()
            .expect("nothing panics while it holds the peers")
    }

    fn peer(&self, address: SocketAddr) -> Result<KeptPeer, GetError> {
        let address = canonical(address);
        let links = if address.is_ipv4() {
            &self.inner.v4
        } else {
            &self.inner.v6
        };
        if links.is_empty() {
            let source = io::Error::from(io::ErrorKind::AddrNotAvailable);
            return Err(GetError::Send {
                target: address,
                source,
            });
        }
        let mut peers = self.peers();
        let peer = peers.entry(address).or_insert_with(|| {
            let link = &links[spread(address) % links.len()];
            Arc::new(Peer::new(
                address,
                Arc::clone(link),
                self.inner.requests_per_device,
            ))
        });
        Ok(KeptPeer {
            engine: self.clone(),
            peer: Arc::clone(peer),
        })
    }

    fn next_salt(&self) -> u64 {
        self.inner.salt.fetch_add(1, Relaxed)
    }
}

/// A peer in use. One that has never answered is not kept afterwards: a sweep would fill the memory with the silent.
#[derive(Debug)]
struct KeptPeer {
    engine: Engine,
    peer: Arc<Peer>,
}

impl Deref for KeptPeer {
    type Target = Arc<Peer>;

    fn deref(&self) -> &Arc<Peer> {
        &self.peer
    }
}

impl Drop for KeptPeer {
    fn drop(&mut self) {
        if self.peer.has_answered() {
            return;
        }
        let mut peers = self.engine.peers();
        // the map's and ours: nobody else asks this one
        if Arc::strong_count(&self.peer) == 2
            && let Entry::Occupied(entry) = peers.entry(self.peer.address)
            && Arc::ptr_eq(entry.get(), &self.peer)
        {
            entry.remove();
        }
    }
}

/// One device, one key: `::ffff:10.0.0.1` is 10.0.0.1. A link-local address keeps its scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

/// Which socket a device is asked through: always the same one, so that a firewall sees one conversation.
fn spread(address: SocketAddr) -> usize {
    let low = match address.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    };
    usize::from(low) + usize::from(address.port())
}

fn warn_of_small_buffer(links: &[Arc<Link>], asked: usize) {
    if let Some(Ok(given)) = links.first().map(|link| link.receive_buffer())
        && given < asked
    {
        warn!(
            asked_bytes = asked,
            given_bytes = given,
            "the kernel gives SNMP sockets a small receive buffer: many answers at once will be lost and asked for again \
             (raise net.core.rmem_max)"
        );
    }
}
