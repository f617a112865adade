//! Starts the devices, each on an address of its own, and keeps them answering.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::cabling;
use crate::device::{Device, Options};
use crate::hostile::{From, Reply};
use crate::plan::{self, DeviceSpec};
use crate::timeline::Timeline;
use crate::usm::User;

/// A running site. Its devices fall silent when it is dropped.
#[derive(Debug)]
pub struct Site {
    devices: Vec<Device>,
    clock: Arc<SiteClock>,
    port: u16,
    /// One task per device; aborted when this is dropped.
    tasks: JoinSet<()>,
}

/// What a site will be like.
#[derive(Clone, Debug)]
pub struct Builder {
    first: Ipv4Addr,
    port: u16,
    specs: Vec<DeviceSpec>,
    zoo: bool,
    timeline: Timeline,
    seed: u64,
    open_for: Duration,
}

/// The site's own time: seconds since it opened.
#[derive(Debug)]
pub(crate) struct SiteClock {
    started: Instant,
    open_for: Duration,
    advanced_ms: AtomicU64,
}

impl SiteClock {
    pub(crate) fn now(&self) -> f64 {
        let advanced = Duration::from_millis(self.advanced_ms.load(Ordering::Relaxed));
        (self.started.elapsed() + self.open_for + advanced).as_secs_f64()
    }
}

impl Site {
    /// A company of forty devices from 127.30.0.1 on, port 1161, where nothing happens by itself.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            first: Ipv4Addr::new(127, 30, 0, 1),
            port: 1161,
            specs: plan::company(40),
            zoo: false,
            timeline: Timeline::quiet(),
            seed: 1,
            open_for: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device at a place in the list, from 0.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn device(&self, place: usize) -> &Device {
        &self.devices[place]
    }

    #[must_use]
    pub fn device_at(&self, address: Ipv4Addr) -> Option<&Device> {
        self.devices
            .iter()
            .find(|device| device.address() == address)
    }

    #[must_use]
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.devices.iter().map(Device::address).collect()
    }

    /// The UDP port that all of them answer at.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Seconds since the site opened.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.clock.now()
    }

    /// Lets time pass at the devices: counters grow, the programme goes on.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("less than ages");
        self.clock.advanced_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Ends it and waits until its addresses are free.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Builder {
    /// The first device's address; the others follow it.
    #[must_use]
    pub fn first(mut self, first: Ipv4Addr) -> Self {
        self.first = first;
        self
    }

    /// 0 takes a port that is free at every address.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A company of this many devices.
    #[must_use]
    pub fn devices(mut self, count: usize) -> Self {
        self.specs = plan::company(count);
        self
    }

    /// These devices and no others.
    #[must_use]
    pub fn only(mut self, specs: Vec<DeviceSpec>) -> Self {
        self.specs = specs;
        self
    }

    /// One device more.
    #[must_use]
    pub fn and(mut self, spec: DeviceSpec) -> Self {
        self.specs.push(spec);
        self
    }

    /// Whether hostile agents stand behind the devices, one of each sort, at the addresses that follow.
    #[must_use]
    pub fn zoo(mut self, zoo: bool) -> Self {
        self.zoo = zoo;
        self
    }

    #[must_use]
    pub fn timeline(mut self, timeline: Timeline) -> Self {
        self.timeline = timeline;
        self
    }

    /// Gives every version 3 device this user instead of `monitor`.
    #[must_use]
    pub fn user(mut self, user: &User) -> Self {
        for spec in self
            .specs
            .iter_mut()
            .filter(|spec| !spec.access.users.is_empty())
        {
            spec.access.users = vec![user.clone()];
        }
        self
    }

    /// The same seed gives the same site.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// For how long it has been open already: devices that outlive this program.
    #[must_use]
    pub fn open_for(mut self, open_for: Duration) -> Self {
        self.open_for = open_for;
        self
    }

    /// Where the devices will be.
    #[must_use]
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        let zoo = if self.zoo { plan::zoo().len() } else { 0 };
        let first = u32::from(self.first);
        (first..)
            .take(self.specs.len() + zoo)
            .map(Ipv4Addr::from)
            .collect()
    }

    /// Starts every device; from then on they answer.
    ///
    /// # Errors
    /// If an address cannot be bound; the message names it.
    pub async fn start(mut self) -> io::Result<Site> {
        if self.zoo {
            self.specs.extend(plan::zoo());
        }
        let wired = Arc::new(cabling::wire(
            self.specs,
            self.first,
            self.seed,
            &self.timeline,
        ));
        let addresses: Vec<Ipv4Addr> = wired.iter().map(|device| device.address).collect();
        let sockets = bind_all(&addresses, self.port)?;
        let port = sockets.first().map_or(Ok(self.port), |socket| {
            socket.local_addr().map(|address| address.port())
        })?;
        let clock = Arc::new(SiteClock {
            started: Instant::now(),
            open_for: self.open_for,
            advanced_ms: AtomicU64::new(0),
        });
        let options = Options {
            seed: self.seed,
            timeline: self.timeline,
        };
        let elsewhere = u32::from(self.first)
            .wrapping_add(u32::try_from(wired.len()).expect("fewer than addresses"));
        let mut tasks = JoinSet::new();
        let mut devices = Vec::with_capacity(wired.len());
        for (place, socket) in sockets.into_iter().enumerate() {
            let device = Device::new(&wired, place, port, Arc::clone(&clock), &options);
            let voice = Voice::new(
                socket,
                device.address(),
                Ipv4Addr::from(elsewhere),
                device.hostile().is_some(),
            )?;
            tasks.spawn(serve(device.clone(), voice));
            devices.push(device);
        }
        tokio::task::yield_now().await;
        Ok(Site {
            devices,
            clock,
            port,
            tasks,
        })
    }
}

/// The sockets that a device speaks through: its own and, if it cheats, others.
struct Voice {
    own: Arc<UdpSocket>,
    other_port: Option<Arc<UdpSocket>>,
    other_address: Option<Arc<UdpSocket>>,
}

impl Voice {
    fn new(
        own: UdpSocket,
        address: Ipv4Addr,
        elsewhere: Ipv4Addr,
        hostile: bool,
    ) -> io::Result<Self> {
        let extra = |address| {
            hostile
                .then(|| bind(SocketAddrV4::new(address, 0)).map(Arc::new))
                .transpose()
        };
        Ok(Self {
            own: Arc::new(own),
            other_port: extra(address)?,
            other_address: extra(elsewhere)?,
        })
    }

    fn socket(&self, from: From) -> &Arc<UdpSocket> {
        match from {
            From::Own => &self.own,
            From::OtherPort => self.other_port.as_ref().unwrap_or(&self.own),
            From::OtherAddress => self.other_address.as_ref().unwrap_or(&self.own),
        }
    }
}

/// Answers until it is aborted. Replies that are due later wait in tasks of their own, at most [`LATE_AT_ONCE`].
async fn serve(device: Device, voice: Voice) {
    let mut buffer = vec![0; 65_535];
    let mut late = JoinSet::new();
    loop {
        // A refused datagram of ours comes back as an error of the socket: nothing to do about it.
        let Ok((length, manager)) = voice.own.recv_from(&mut buffer).await else {
            continue;
        };
        while late.try_join_next().is_some() {}
        for reply in device.hear(&buffer[..length]) {
            let socket = voice.socket(reply.from);
            if reply.after.is_zero() {
                send(socket, &reply, manager).await;
            } else if late.len() < LATE_AT_ONCE {
                let socket = Arc::clone(socket);
                late.spawn(async move {
                    tokio::time::sleep(reply.after).await;
                    send(&socket, &reply, manager).await;
                });
            }
        }
    }
}

/// A manager that has gone is no reason to stop.
async fn send(socket: &UdpSocket, reply: &Reply, manager: SocketAddr) {
    drop(socket.send_to(&reply.bytes, manager).await);
}

fn bind_all(addresses: &[Ipv4Addr], port: u16) -> io::Result<Vec<UdpSocket>> {
    if port != 0 {
        return addresses
            .iter()
            .map(|address| bind(SocketAddrV4::new(*address, port)))
            .collect();
    }
    let mut last = io::Error::other("a site without devices");
    for _ in 0..FREE_PORT_TRIES {
        let Some((first, rest)) = addresses.split_first() else {
            return Ok(Vec::new());
        };
        let first = bind(SocketAddrV4::new(*first, 0))?;
        let port = first.local_addr()?.port();
        let rest: io::Result<Vec<_>> = rest
            .iter()
            .map(|address| bind(SocketAddrV4::new(*address, port)))
            .collect();
        match rest {
            Ok(rest) => return Ok(std::iter::once(first).chain(rest).collect()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).map_err(named)?;
    socket.set_nonblocking(true).map_err(named)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER).map_err(named)?;
    socket
        .bind(&SocketAddr::from(address).into())
        .map_err(named)?;
    UdpSocket::from_std(socket.into()).map_err(named)
}

/// Octets. A sweep asks everybody at once; what does not fit is lost, and loss is a knob of its own.
const RECEIVE_BUFFER: usize = 1 << 20;
const FREE_PORT_TRIES: usize = 20;
/// More than this many replies under way at one device means that nobody waits for them any more.
const LATE_AT_ONCE: usize = 1_000;
