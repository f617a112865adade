//! The ICMP socket: echo requests out and replies in, many to a system call, replies stamped by the kernel.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg,
            setsockopt, sockopt,
        },
        time::TimeSpec,
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use super::{
    SocketKind,
    packet::{self, ECHO_OCTETS, Reply},
};

/// Datagrams in one system call.
pub(super) const BATCH: usize = 64;
/// An IPv4 header with options, an ICMP header, and what routers quote (RFC 1812 §4.3.2.3: 576 in all).
const SLOT: usize = 640;

/// What a request may take of the receive buffer: 768 octets for a reply; and, on a raw socket on loopback, as much for
/// the request itself.
const BUFFER_OCTETS: usize = 2 * 768;

pub(super) struct EchoSocket {
    /// An ICMP socket in tokio's UDP clothes: only readiness is used.
    socket: UdpSocket,
    raw: bool,
    /// What our requests are known by; on a datagram socket the kernel's choice.
    identifier: u16,
    burst: usize,
}

/// Room for one batch.
pub(super) struct Inbox {
    octets: Vec<u8>,
    received: Vec<(Ipv4Addr, usize, Option<i128>)>,
}

pub(super) struct Datagram<'a> {
    pub(super) from: Ipv4Addr,
    pub(super) octets: &'a [u8],
    /// When the kernel received it: `CLOCK_REALTIME` in nanoseconds.
    pub(super) stamp_ns: Option<i128>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            octets: vec![0; BATCH * SLOT],
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Whether the socket may hold more.
    pub(super) fn is_full(&self) -> bool {
        self.received.len() == BATCH
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let slots = self.octets.chunks(SLOT);
        self.received
            .iter()
            .zip(slots)
            .map(|(&(from, length, stamp_ns), slot)| Datagram {
                from,
                octets: &slot[..length],
                stamp_ns,
            })
    }
}

impl EchoSocket {
    /// Unprivileged first: the kernel then sorts out what is not ours. The error is that of the last kind tried.
    pub(super) fn open(kind: SocketKind, receive_octets: usize) -> io::Result<Self> {
        match kind {
            SocketKind::Datagram => Self::open_one(false, receive_octets),
            SocketKind::Raw => Self::open_one(true, receive_octets),
            SocketKind::Any => Self::open_one(false, receive_octets)
                .or_else(|_| Self::open_one(true, receive_octets)),
        }
    }

    fn open_one(raw: bool, receive_octets: usize) -> io::Result<Self> {
        let kind = if raw { Type::RAW } else { Type::DGRAM };
        let socket = Socket::new(
            Domain::IPV4,
            kind.nonblocking().cloexec(),
            Some(Protocol::ICMPV4),
        )?;
        socket.set_recv_buffer_size(receive_octets)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let burst = (socket.recv_buffer_size()? / BUFFER_OCTETS / BATCH).clamp(1, 8) * BATCH;
        let identifier = if raw {
            rand::random()
        } else {
            socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())?;
            socket
                .local_addr()?
                .as_socket_ipv4()
                .map_or(0, |local| local.port())
        };
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            raw,
            identifier,
            burst,
        })
    }

    pub(super) const fn kind(&self) -> SocketKind {
        if self.raw {
            SocketKind::Raw
        } else {
            SocketKind::Datagram
        }
    }

    pub(super) const fn kind_name(&self) -> &'static str {
        if self.raw { "raw" } else { "datagram" }
    }

    /// Requests that may be sent at once without losing replies: a multiple of [`BATCH`].
    pub(super) const fn burst(&self) -> usize {
        self.burst
    }

    pub(super) const fn identifier(&self) -> u16 {
        self.identifier
    }

    /// What a received datagram says, when it may concern us.
    pub(super) fn read<'a>(&self, octets: &'a [u8]) -> Option<Reply<'a>> {
        let icmp = if self.raw {
            packet::without_ip_header(octets)?
        } else {
            octets
        };
        packet::read(icmp, self.identifier)
    }

    /// Waits for datagrams and takes up to [`BATCH`] of them. Can be dropped while it waits.
    pub(super) async fn receive(&self, inbox: &mut Inbox) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            match self.socket.try_io(Interest::READABLE, || {
                receive_batch(self.socket.as_raw_fd(), inbox)
            }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Sends as many of the first [`BATCH`] requests as the kernel takes, at least one; says how many.
    ///
    /// An error belongs to the first alone. `WouldBlock`: wait for [`EchoSocket::writable`].
    pub(super) fn try_send(&self, requests: &[(Ipv4Addr, [u8; ECHO_OCTETS])]) -> io::Result<usize> {
        self.socket.try_io(Interest::WRITABLE, || {
            send_batch(self.socket.as_raw_fd(), requests)
        })
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }
}

fn receive_batch(socket: i32, inbox: &mut Inbox) -> io::Result<()> {
    inbox.received.clear();
    let mut slots: Vec<[IoSliceMut<'_>; 1]> = inbox
        .octets
        .chunks_mut(SLOT)
        .map(|slot| [IoSliceMut::new(slot)])
        .collect();
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, Some(cmsg_space!(TimeSpec)));
    let messages = recvmmsg(
        socket,
        &mut headers,
        slots.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    for message in messages {
        let from = message.address.expect("recvmmsg names every sender").ip();
        let stamp_ns = message.cmsgs().ok().and_then(|mut cmsgs| {
            cmsgs.find_map(|cmsg| match cmsg {
                ControlMessageOwned::ScmTimestampns(at) => {
                    Some(i128::from(at.tv_sec()) * 1_000_000_000 + i128::from(at.tv_nsec()))
                }
                _ => None,
            })
        });
        inbox.received.push((from, message.bytes, stamp_ns));
    }
    Ok(())
}

fn send_batch(socket: i32, requests: &[(Ipv4Addr, [u8; ECHO_OCTETS])]) -> io::Result<usize> {
    let requests = &requests[..requests.len().min(BATCH)];
    let slices: Vec<[IoSlice<'_>; 1]> = requests
        .iter()
        .map(|(_, octets)| [IoSlice::new(octets)])
        .collect();
    let addresses: Vec<Option<SockaddrIn>> = requests
        .iter()
        .map(|&(to, _)| Some(SocketAddrV4::new(to, 0).into()))
        .collect();
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(requests.len(), None);
    Ok(sendmmsg(
        socket,
        &mut headers,
        slices.iter(),
        &addresses,
        [],
        MsgFlags::MSG_DONTWAIT,
    )?
    .count())
}
