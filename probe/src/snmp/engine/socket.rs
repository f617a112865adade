//! One unconnected UDP socket: datagrams out and in, many to a system call.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, sendmmsg,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use crate::snmp::message::MAX_DATAGRAM;

/// Datagrams in one system call. More gains nothing measurable.
pub(crate) const BATCH: usize = 64;

/// A socket of one address family.
#[derive(Debug)]
pub(crate) struct BatchSocket {
    socket: UdpSocket,
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Room for one batch, each datagram of the largest size. Only pages that were written to take memory.
pub(crate) struct Inbox {
    octets: Vec<u8>,
    received: Vec<(SocketAddr, usize)>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            octets: vec![0; BATCH * MAX_DATAGRAM],
            received: Vec::with_capacity(BATCH),
        }
    }

    /// The datagrams of the last batch and where they came from.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let slots = self.octets.chunks(MAX_DATAGRAM);
        self.received
            .iter()
            .zip(slots)
            .map(|(&(from, length), slot)| (from, &slot[..length]))
    }
}

impl BatchSocket {
    /// On a port of the operating system's choosing. Asks for a receive buffer of `receive_octets`; the kernel may give
    /// less (`net.core.rmem_max`): see [`BatchSocket::receive_buffer`].
    pub(crate) fn bind(family: Family, receive_octets: usize) -> io::Result<Self> {
        let (domain, any) = match family {
            Family::V4 => (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            Family::V6 => (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let socket = Socket::new(
            domain,
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        if family == Family::V6 {
            socket.set_only_v6(true)?;
        }
        socket.set_recv_buffer_size(receive_octets)?;
        socket.bind(&any.into())?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            family,
        })
    }

    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        socket2::SockRef::from(&self.socket).recv_buffer_size()
    }

    /// Waits for datagrams and takes up to [`BATCH`] of them. Can be dropped while it waits.
    pub(crate) async fn receive(&self, inbox: &mut Inbox) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            let taken = self
                .socket
                .try_io(Interest::READABLE, || match self.family {
                    Family::V4 => receive_batch::<SockaddrIn>(self.socket.as_raw_fd(), inbox),
                    Family::V6 => receive_batch::<SockaddrIn6>(self.socket.as_raw_fd(), inbox),
                });
            match taken {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Sends as many of the first [`BATCH`] datagrams as the kernel takes, at least one; says how many.
    ///
    /// An error belongs to the first datagram alone.
    pub(crate) async fn send(&self, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
        loop {
            let sent = self
                .socket
                .try_io(Interest::WRITABLE, || match self.family {
                    Family::V4 => send_batch::<SockaddrIn>(self.socket.as_raw_fd(), datagrams),
                    Family::V6 => send_batch::<SockaddrIn6>(self.socket.as_raw_fd(), datagrams),
                });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.writable().await?
                }
                other => return other,
            }
        }
    }
}

/// The two address types of nix, as one.
trait Address: SockaddrLike + Copy {
    fn from_std(address: SocketAddr) -> Option<Self>;
    fn to_std(self) -> SocketAddr;
}

impl Address for SockaddrIn {
    fn from_std(address: SocketAddr) -> Option<Self> {
        match address {
            SocketAddr::V4(address) => Some(address.into()),
            SocketAddr::V6(_) => None,
        }
    }

    fn to_std(self) -> SocketAddr {
        SocketAddr::V4(self.into())
    }
}

impl Address for SockaddrIn6 {
    fn from_std(address: SocketAddr) -> Option<Self> {
        match address {
            SocketAddr::V6(address) => Some(address.into()),
            SocketAddr::V4(_) => None,
        }
    }

    fn to_std(self) -> SocketAddr {
        SocketAddr::V6(self.into())
    }
}

fn receive_batch<A: Address>(socket: i32, inbox: &mut Inbox) -> io::Result<()> {
    inbox.received.clear();
    let mut slots: Vec<[IoSliceMut<'_>; 1]> = inbox
        .octets
        .chunks_mut(MAX_DATAGRAM)
        .map(|slot| [IoSliceMut::new(slot)])
        .collect();
    let mut headers = MultiHeaders::<A>::preallocate(BATCH, None);
    let messages = recvmmsg(
        socket,
        &mut headers,
        slots.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    for message in messages {
        let from = message
            .address
            .expect("recvmmsg names every sender")
            .to_std();
        inbox.received.push((from, message.bytes));
    }
    Ok(())
}

fn send_batch<A: Address>(socket: i32, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
    let datagrams = &datagrams[..datagrams.len().min(BATCH)];
    let slices: Vec<[IoSlice<'_>; 1]> = datagrams
        .iter()
        .map(|(_, octets)| [IoSlice::new(octets)])
        .collect();
    let addresses: Vec<Option<A>> = datagrams.iter().map(|&(to, _)| A::from_std(to)).collect();
    let mut headers = MultiHeaders::<A>::preallocate(datagrams.len(), None);
    let sent = sendmmsg(
        socket,
        &mut headers,
        slices.iter(),
        &addresses,
        [],
        MsgFlags::MSG_DONTWAIT,
    )?;
    Ok(sent.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn there_and_back(family: Family, local: std::net::IpAddr) {
        let (a, b) = (
            BatchSocket::bind(family, 1 << 20).unwrap(),
            BatchSocket::bind(family, 1 << 20).unwrap(),
        );
        let to = SocketAddr::new(local, b.socket.local_addr().unwrap().port());
        let messages: Vec<Vec<u8>> = (0..150_u8)
            .map(|i| vec![i; usize::from(i) * 40 + 1])
            .collect();
        let mut left: Vec<(SocketAddr, &[u8])> = messages
            .iter()
            .map(|octets| (to, octets.as_slice()))
            .collect();
        while !left.is_empty() {
            let sent = a.send(&left).await.unwrap();
            left.drain(..sent);
        }
        let (mut inbox, mut received) = (Inbox::new(), Vec::new());
        while received.len() < messages.len() {
            b.receive(&mut inbox).await.unwrap();
            for (from, octets) in inbox.datagrams() {
                assert_eq!(
                    from,
                    SocketAddr::new(local, a.socket.local_addr().unwrap().port())
                );
                received.push(octets.to_vec());
            }
        }
        assert_eq!(received, messages);
    }

    #[tokio::test]
    async fn batches_arrive_whole_and_in_order() {
        there_and_back(Family::V4, Ipv4Addr::LOCALHOST.into()).await;
    }

    #[tokio::test]
    async fn the_same_over_ipv6() {
        if std::net::UdpSocket::bind("[::1]:0").is_err() {
            println!("skipped: no IPv6 here");
            return;
        }
        there_and_back(Family::V6, Ipv6Addr::LOCALHOST.into()).await;
    }
}
