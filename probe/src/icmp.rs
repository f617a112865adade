//! ICMP echo: does an address answer, and how fast.
//!
//! One socket for all addresses, many datagrams to a system call, times taken by the kernel. IPv4 is ours throughout:
//! `surge-ping` starts its clock after the send, cannot compare what comes back with what was sent, and takes an ICMP
//! error for an answer. Single pings over IPv6 are its.

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod packet;
mod socket;
mod sweep;
mod v6;

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use tokio::{
    sync::{Notify, OnceCell},
    task::JoinSet,
    time::Instant,
};
use tracing::{info, warn};

pub use self::sweep::{Pace, Sweep};
use self::{
    packet::{Reply, TOKEN_OCTETS},
    socket::{EchoSocket, Inbox},
};

/// What became of one echo request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingOutcome {
    /// The address itself answered, with what we sent.
    Reply {
        rtt: Duration,
    },
    Timeout,
    /// Nothing but this came within the time. It never ends the wait: anybody can send it.
    Unreachable {
        /// Who says so: a router, or our own host.
        from: Ipv4Addr,
        /// RFC 792: 0 network, 1 host, 2 protocol, 3 port, 13 forbidden …; 255 for "time to live exceeded".
        code: u8,
    },
    /// The operating system would not send it: no route, or a broadcast address.
    NotSent {
        errno: i32,
    },
}

impl PingOutcome {
    #[must_use]
    pub const fn rtt(self) -> Option<Duration> {
        match self {
            Self::Reply { rtt } => Some(rtt),
            _ => None,
        }
    }

    #[must_use]
    pub const fn is_reply(self) -> bool {
        matches!(self, Self::Reply { .. })
    }
}

/// Which kind of socket to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SocketKind {
    /// Unprivileged where the system allows it, else raw.
    #[default]
    Any,
    /// `SOCK_DGRAM`: the kernel gives us only replies to our own requests; ICMP errors are not seen.
    Datagram,
    /// `SOCK_RAW`: needs `CAP_NET_RAW`, and sees everybody's ICMP.
    Raw,
}

#[derive(Debug, Clone, Copy)]
pub struct PingConfig {
    pub kind: SocketKind,
    /// The default of most systems holds some 256 replies.
    pub receive_buffer_bytes: usize,
}

impl Default for PingConfig {
    fn default() -> Self {
        Self {
            kind: SocketKind::Any,
            receive_buffer_bytes: 4 << 20,
        }
    }
}

/// Why there is no ICMP here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The probe goes on without.
    #[error(
        "this process may not send ICMP echo: give the program CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in its \
         systemd unit, or `setcap cap_net_raw+ep`), or let its group into net.ipv4.ping_group_range \
         (`sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"`)"
    )]
    NotPermitted {
        #[source]
        source: io::Error,
    },
    #[error("no ICMP socket can be opened")]
    Open {
        #[source]
        source: io::Error,
    },
}

/// What the engine counts; all from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PingStats {
    pub sent_total: u64,
    pub received_total: u64,
    /// Replies that were accepted.
    pub accepted_total: u64,
    /// Echo replies with our identifier that answer nothing under way: late, repeated or invented.
    pub unknown_total: u64,
    /// Echo replies to a request under way that do not carry its token.
    pub forged_total: u64,
    /// ICMP errors about a request under way.
    pub errors_total: u64,
    pub under_way: usize,
}

/// A cheap handle. The socket closes when the last one is dropped.
#[derive(Clone)]
pub struct Pinger {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    v6: OnceCell<v6::Client>,
    /// The receiving task, which ends with this.
    _task: JoinSet<()>,
}

/// What the receiving task and the senders share.
struct Shared {
    socket: EchoSocket,
    table: Mutex<HashMap<Key, UnderWay>>,
    counters: Counters,
}

/// What a reply is known by. A sequence number may be under way to many addresses at once, so there is no ceiling at
/// 65,536.
type Key = (Ipv4Addr, u16);

/// A request that waits for its reply.
struct UnderWay {
    token: [u8; TOKEN_OCTETS],
    sent: Sent,
    /// Where its reply is to be told, and under which number.
    to: Arc<Mailbox>,
    number: usize,
}

/// When something was sent, by both clocks.
#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    /// `CLOCK_REALTIME` in nanoseconds: the clock of the kernel's stamps.
    wall_ns: i128,
}

/// Where the answers of one sweep arrive. Bounded by what is under way.
#[derive(Default)]
struct Mailbox {
    answers: Mutex<Vec<(usize, Told)>>,
    arrived: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Told {
    Reply { rtt: Duration },
    Error { from: Ipv4Addr, code: u8 },
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    accepted: AtomicU64,
    unknown: AtomicU64,
    forged: AtomicU64,
    errors: AtomicU64,
}

impl Pinger {
    /// Opens the socket. Needs a tokio runtime around it.
    pub fn bind(config: PingConfig) -> Result<Self, BindError> {
        let socket =
            EchoSocket::open(config.kind, config.receive_buffer_bytes).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::PermissionDenied => BindError::NotPermitted { source },
                    _ => BindError::Open { source },
                }
            })?;
        info!(socket = socket.kind_name(), "ICMP echo is ready");
        let shared = Arc::new(Shared {
            socket,
            table: Mutex::default(),
            counters: Counters::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&shared).run_receiving());
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                v6: OnceCell::new(),
                _task: task,
            }),
        })
    }

    /// The kind that was opened.
    #[must_use]
    pub fn kind(&self) -> SocketKind {
        self.inner.shared.socket.kind()
    }

    /// One echo request to one address.
    pub async fn ping(&self, address: IpAddr, timeout: Duration) -> PingOutcome {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mut one = self.sweep(std::iter::once(address), Pace::FlatOut, timeout);
                one.next()
                    .await
                    .map_or(PingOutcome::Timeout, |(_, outcome)| outcome)
            }
            IpAddr::V6(address) => {
                let Ok(client) = self
                    .inner
                    .v6
                    .get_or_try_init(async || v6::Client::open())
                    .await
                else {
                    return PingOutcome::NotSent {
                        errno: nix::errno::Errno::EAFNOSUPPORT as i32,
                    };
                };
                client.ping(address, timeout).await
            }
        }
    }

    /// One echo request to each address, evenly paced. The outcomes stand in the order of the addresses.
    pub async fn round(
        &self,
        addresses: &[IpAddr],
        pace: Pace,
        timeout: Duration,
    ) -> Vec<PingOutcome> {
        let mut outcomes = vec![PingOutcome::Timeout; addresses.len()];
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (at, address) in addresses.iter().enumerate() {
            match address.to_canonical() {
                IpAddr::V4(address) => v4.push((at, address)),
                IpAddr::V6(_) => v6.push(at),
            }
        }
        let mut sweep = self.sweep(
            v4.clone().into_iter().map(|(_, address)| address),
            pace,
            timeout,
        );
        while let Some((number, outcome)) = sweep.next_numbered().await {
            outcomes[v4[number].0] = outcome;
        }
        for chunk in v6.chunks(V6_AT_ONCE) {
            let pings = chunk
                .iter()
                .map(async |&at| (at, self.ping(addresses[at], timeout).await));
            for (at, outcome) in futures::future::join_all(pings).await {
                outcomes[at] = outcome;
            }
        }
        outcomes
    }

    /// Asks address after address, and tells each outcome as soon as it is known, in no order.
    ///
    /// Nothing happens while nobody waits in [`Sweep::next`].
    pub fn sweep<I>(&self, addresses: I, pace: Pace, timeout: Duration) -> Sweep<I>
    where
        I: Iterator<Item = Ipv4Addr>,
    {
        Sweep::new(Arc::clone(&self.inner.shared), addresses, pace, timeout)
    }

    #[must_use]
    pub fn stats(&self) -> PingStats {
        let counters = &self.inner.shared.counters;
        PingStats {
            sent_total: counters.sent.load(Relaxed),
            received_total: counters.received.load(Relaxed),
            accepted_total: counters.accepted.load(Relaxed),
            unknown_total: counters.unknown.load(Relaxed),
            forged_total: counters.forged.load(Relaxed),
            errors_total: counters.errors.load(Relaxed),
            under_way: self.inner.shared.table().len(),
        }
    }
}

impl fmt::Debug for Pinger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinger")
            .field("kind", &self.kind())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A sweep over IPv6 makes no sense; a round may have a handful.
const V6_AT_ONCE: usize = 64;
/// Batches received before others have their turn.
const BATCHES_IN_A_ROW: usize = 16;
/// A socket that fails at once, again and again, must not take a whole core.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

impl Shared {
    fn table(&self) -> MutexGuard<'_, HashMap<Key, UnderWay>> {
        self.table
            .lock()
            .expect("nothing panics while it holds the table")
    }

    /// Receives for ever, and tells each answer to whom it belongs.
    async fn run_receiving(self: Arc<Self>) {
        let mut inbox = Inbox::new();
        let mut in_a_row = 0_usize;
        loop {
            if let Err(error) = self.socket.receive(&mut inbox).await {
                warn!(%error, "the ICMP socket could not receive");
                tokio::time::sleep(RECEIVE_PAUSE).await;
                continue;
            }
            let now = Instant::now();
            let full = inbox.is_full();
            let mut woken: Vec<Arc<Mailbox>> = Vec::new();
            for datagram in inbox.datagrams() {
                self.counters.received.fetch_add(1, Relaxed);
                match self.socket.read(datagram.octets) {
                    Some(Reply::Echo { seq, payload }) => {
                        if let Some(to) =
                            self.answered((datagram.from, seq), payload, now, datagram.stamp_ns)
                            && !woken.iter().any(|seen| Arc::ptr_eq(seen, &to))
                        {
                            woken.push(to);
                        }
                    }
                    Some(Reply::Error { about, seq, code }) => {
                        self.errored((about, seq), datagram.from, code)
                    }
                    None => {}
                }
            }
            woken
                .iter()
                .for_each(|mailbox| mailbox.arrived.notify_one());
            // a full batch means that more is waiting: a raw socket on loopback sees every request besides its reply
            in_a_row = if full { in_a_row + 1 } else { 0 };
            if in_a_row.is_multiple_of(BATCHES_IN_A_ROW) {
                tokio::task::yield_now().await;
            }
        }
    }

    fn answered(
        &self,
        key: Key,
        payload: &[u8],
        now: Instant,
        stamp_ns: Option<i128>,
    ) -> Option<Arc<Mailbox>> {
        let mut table = self.table();
        let Some(request) = table.get(&key) else {
            self.counters.unknown.fetch_add(1, Relaxed);
            return None;
        };
        if !payload.starts_with(&request.token) {
            self.counters.forged.fetch_add(1, Relaxed);
            return None;
        }
        let request = table.remove(&key)?;
        drop(table);
        self.counters.accepted.fetch_add(1, Relaxed);
        request.to.tell(
            request.number,
            Told::Reply {
                rtt: request.sent.rtt(now, stamp_ns),
            },
        );
        Some(request.to)
    }

    /// An ICMP error is remembered, and ends nothing.
    fn errored(&self, key: Key, from: Ipv4Addr, code: u8) {
        if let Some(request) = self.table().get(&key) {
            self.counters.errors.fetch_add(1, Relaxed);
            request.to.tell(request.number, Told::Error { from, code });
        }
    }
}

impl Mailbox {
    fn tell(&self, number: usize, told: Told) {
        self.answers
            .lock()
            .expect("nothing panics while it holds this")
            .push((number, told));
    }

    fn take(&self) -> Vec<(usize, Told)> {
        std::mem::take(
            &mut self
                .answers
                .lock()
                .expect("nothing panics while it holds this"),
        )
    }
}

impl Sent {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            wall_ns: wall_ns(),
        }
    }

    /// By the kernel's stamp, unless the wall clock was set meanwhile: then by when we read the reply.
    fn rtt(self, now: Instant, stamp_ns: Option<i128>) -> Duration {
        let at_most = now.saturating_duration_since(self.at);
        let stamped = stamp_ns
            .and_then(|stamp| u64::try_from(stamp - self.wall_ns).ok())
            .map(Duration::from_nanos);
        stamped.filter(|rtt| *rtt <= at_most).unwrap_or(at_most)
    }
}

/// What the kernel stamps packets with.
fn wall_ns() -> i128 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("every system has this clock");
    i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec())
}

#[cfg(test)]
mod tests;
