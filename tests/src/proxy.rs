//! A bad network in user space: a UDP relay that loses, doubles, delays and reorders by a seed, drops what is too large,
//! changes its source port as a NAT does, and blocks one way or both.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// What the network does to each datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Share that is lost, each way.
    pub loss: f64,
    /// Share that comes twice.
    pub duplicate: f64,
    /// Share that is held back for up to [`Self::jitter`] more, and so is overtaken.
    pub reorder: f64,
    /// Every datagram takes this long, each way.
    pub delay: Duration,
    /// The most that a reordered one takes more.
    pub jitter: Duration,
    /// Larger payloads vanish without a word.
    pub largest: Option<usize>,
    /// After so many datagrams from a probe since it began a connection, nothing of that probe passes any more, either way.
    pub first_only: Option<u32>,
    /// Nothing passes from the probe to Central.
    pub blocked_up: bool,
    /// Nothing passes from Central to the probe.
    pub blocked_down: bool,
}

impl Weather {
    /// Everything arrives, at once.
    pub const FAIR: Self = Self {
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        largest: None,
        first_only: None,
        blocked_up: false,
        blocked_down: false,
    };
}

/// The relay: probes dial [`Self::address`], and it passes on to Central.
#[derive(Debug)]
pub struct Proxy {
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Inner {
    front: UdpSocket,
    state: Mutex<State>,
    passed: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    dice: StdRng,
    upstream: Option<SocketAddr>,
    /// Each probe's way out; taken away by a rebind.
    ways: HashMap<SocketAddr, Arc<UdpSocket>>,
    /// Datagrams of each probe since it began a connection.
    since_begun: HashMap<SocketAddr, u32>,
    /// Tasks that bring answers back.
    returns: JoinSet<()>,
    /// Datagrams that are held back.
    later: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Proxy {
    /// Listens on loopback; datagrams vanish until [`Self::forward_to`].
    ///
    /// # Errors
    /// No socket.
    pub async fn open(seed: u64) -> std::io::Result<Self> {
        let inner = Arc::new(Inner {
            front: UdpSocket::bind("127.0.0.1:0").await?,
            state: Mutex::new(State {
                weather: Weather::default(),
                dice: StdRng::seed_from_u64(seed),
                upstream: None,
                ways: HashMap::new(),
                since_begun: HashMap::new(),
                returns: JoinSet::new(),
                later: JoinSet::new(),
            }),
            passed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let relay = Arc::clone(&inner);
        tasks.spawn(async move {
            let mut buffer = vec![0; 65_535];
            loop {
                // A refused datagram of ours comes back as an error of the socket: a lost one, no more.
                if let Ok((length, probe)) = relay.front.recv_from(&mut buffer).await {
                    relay.up(probe, &buffer[..length]).await;
                }
            }
        });
        Ok(Self {
            inner,
            _tasks: tasks,
        })
    }

    /// Where probes dial.
    ///
    /// # Panics
    /// Never: the socket is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.inner.front.local_addr().expect("it is bound")
    }

    /// Where Central is.
    pub fn forward_to(&self, central: SocketAddr) {
        self.inner.state().upstream = Some(central);
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        self.inner.state().weather = weather;
    }

    /// The NAT forgets: from the next datagram on, each probe comes from another port. What is under way back is lost.
    pub fn rebind(&self) {
        let mut state = self.inner.state();
        state.ways.clear();
        state.returns.abort_all();
    }

    /// Datagrams passed on and dropped, both ways together.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (
            self.inner.passed.load(Ordering::Relaxed),
            self.inner.dropped.load(Ordering::Relaxed),
        )
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn up(self: &Arc<Self>, probe: SocketAddr, bytes: &[u8]) {
        let (known, upstream) = {
            let state = self.state();
            (state.ways.get(&probe).cloned(), state.upstream)
        };
        let Some(upstream) = upstream else { return };
        let socket = match known {
            Some(socket) => socket,
            None => match UdpSocket::bind("127.0.0.1:0").await {
                Ok(socket) => self.new_way(probe, Arc::new(socket)),
                Err(_) => return,
            },
        };
        self.count(probe, bytes);
        for after in self.fate(Way::Up, probe, bytes.len()) {
            let (socket, bytes) = (Arc::clone(&socket), bytes.to_vec());
            self.pass(after, async move {
                drop(socket.send_to(&bytes, upstream).await);
            })
            .await;
        }
    }

    fn new_way(self: &Arc<Self>, probe: SocketAddr, socket: Arc<UdpSocket>) -> Arc<UdpSocket> {
        let (relay, back) = (Arc::clone(self), Arc::clone(&socket));
        let mut state = self.state();
        state.ways.insert(probe, Arc::clone(&socket));
        state.returns.spawn(async move {
            let mut buffer = vec![0; 65_535];
            loop {
                let Ok((length, _)) = back.recv_from(&mut buffer).await else {
                    continue;
                };
                for after in relay.fate(Way::Down, probe, length) {
                    let (front, bytes) = (Arc::clone(&relay), buffer[..length].to_vec());
                    relay
                        .pass(after, async move {
                            drop(front.front.send_to(&bytes, probe).await);
                        })
                        .await;
                }
            }
        });
        socket
    }

    /// Now, or later beside everything else.
    async fn pass(&self, after: Duration, send: impl Future<Output = ()> + Send + 'static) {
        if after.is_zero() {
            return send.await;
        }
        let mut state = self.state();
        while state.later.try_join_next().is_some() {}
        state.later.spawn(async move {
            tokio::time::sleep(after).await;
            send.await;
        });
    }

    /// A QUIC Initial with room for no answer yet begins a connection (RFC 9000 §17.2.2: long header, type 0).
    fn count(&self, probe: SocketAddr, bytes: &[u8]) {
        let begins = bytes.first().is_some_and(|first| first & 0xf0 == 0xc0);
        let mut state = self.state();
        let count = state.since_begun.entry(probe).or_default();
        *count = if begins { 1 } else { count.saturating_add(1) };
    }

    /// After how long each copy of a datagram arrives; none when it is lost.
    fn fate(&self, way: Way, probe: SocketAddr, length: usize) -> Vec<Duration> {
        let mut state = self.state();
        let weather = state.weather;
        let begun = state.since_begun.get(&probe).copied().unwrap_or_default();
        let cut = weather.first_only.is_some_and(|first| begun > first);
        let blocked = match way {
            Way::Up => weather.blocked_up,
            Way::Down => weather.blocked_down,
        };
        let lost = state.dice.random_bool(weather.loss);
        if blocked || cut || lost || weather.largest.is_some_and(|most| length > most) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Vec::new();
        }
        self.passed.fetch_add(1, Ordering::Relaxed);
        let copies = 1 + usize::from(state.dice.random_bool(weather.duplicate));
        (0..copies)
            .map(|_| {
                let more = if state.dice.random_bool(weather.reorder) {
                    weather.jitter.mul_f64(state.dice.random())
                } else {
                    Duration::ZERO
                };
                weather.delay + more
            })
            .collect()
    }
}
