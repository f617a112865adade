//! Thousands of devices behind one socket: each address of 127/8 that is asked answers as a device of its own.
//!
//! SNMPv2c, community `public`: GET, GETNEXT, GETBULK (RFC 3416 §4.2). One thread; requests come many to a system call,
//! replies leave from the address that was asked, after the delay that stands for the network between.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use farwatch_shared::oid::Oid;
use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg,
    setsockopt, sockopt,
};

use super::mib::{self, Device, Mib};

/// The devices; they fall silent when this is dropped.
#[derive(Debug)]
pub(crate) struct Responder {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Answers at `port` of every loopback address, each reply `delay` late.
    ///
    /// # Errors
    /// The port is taken.
    pub(crate) fn start(port: u16, interfaces: u32, delay: Duration) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
        socket.set_read_timeout(Some(TURN))?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        for size in [32 << 20, 4 << 20] {
            if setsockopt(&socket, sockopt::RcvBufForce, &size)
                .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &size))
                .is_ok()
            {
                break;
            }
        }
        let over = Arc::new(AtomicBool::new(false));
        let mut answering = Answering {
            socket,
            mib: Mib::switch(interfaces),
            delay,
            started: Instant::now(),
            over: over.clone(),
            late: VecDeque::new(),
        };
        let thread = std::thread::Builder::new()
            .name("responder".to_owned())
            .spawn(move || answering.run())?;
        Ok(Self {
            over,
            thread: Some(thread),
        })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Answering {
    socket: UdpSocket,
    mib: Mib,
    delay: Duration,
    started: Instant,
    over: Arc<AtomicBool>,
    /// In the order they are due, for all wait as long.
    late: VecDeque<(Instant, Reply)>,
}

struct Reply {
    to: SockaddrIn,
    device: Ipv4Addr,
    octets: Vec<u8>,
}

impl Answering {
    fn run(&mut self) {
        let mut octets = vec![0_u8; BATCH * SLOT];
        while !self.over.load(Ordering::Relaxed) {
            let asked = receive(&self.socket, &mut octets).unwrap_or_default();
            let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0);
            let due = Instant::now() + self.delay;
            for (from, device, request) in asked {
                let asked = Device {
                    address: device,
                    ms,
                };
                let Some(octets) = answer(&self.mib, asked, &request) else {
                    continue;
                };
                let reply = Reply {
                    to: from,
                    device,
                    octets,
                };
                if self.delay.is_zero() {
                    self.send(&reply);
                } else {
                    self.late.push_back((due, reply));
                }
            }
            let now = Instant::now();
            while let Some((_, reply)) = self.late.pop_front_if(|(due, _)| *due <= now) {
                self.send(&reply);
            }
        }
    }

    fn send(&self, reply: &Reply) {
        let from = in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr {
                s_addr: u32::from(reply.device).to_be(),
            },
            ipi_addr: in_addr { s_addr: 0 },
        };
        // One that is lost is asked for again.
        let _ = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&reply.octets)],
            &[ControlMessage::Ipv4PacketInfo(&from)],
            MsgFlags::empty(),
            Some(&reply.to),
        );
    }
}

type Asked = (SockaddrIn, Ipv4Addr, Vec<u8>);

fn receive(socket: &UdpSocket, octets: &mut [u8]) -> nix::Result<Vec<Asked>> {
    let mut slots: Vec<[IoSliceMut<'_>; 1]> = octets
        .chunks_mut(SLOT)
        .map(|slot| [IoSliceMut::new(slot)])
        .collect();
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, Some(cmsg_space!(in_pktinfo)));
    let messages = recvmmsg(
        socket.as_raw_fd(),
        &mut headers,
        slots.iter_mut(),
        MsgFlags::MSG_WAITFORONE,
        None,
    )?;
    let mut asked = Vec::with_capacity(BATCH);
    for message in messages {
        let device = message.cmsgs()?.find_map(|cmsg| match cmsg {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)))
            }
            _ => None,
        });
        let octets: Vec<u8> = message.iovs().flatten().copied().collect();
        if let (Some(from), Some(device)) = (message.address, device) {
            asked.push((from, device, octets));
        }
    }
    Ok(asked)
}

/// The reply to a request; `None` for what is none, or not for us.
fn answer(mib: &Mib, device: Device, request: &[u8]) -> Option<Vec<u8>> {
    let mut message = Reader(Reader(request).take(0x30)?);
    let version = message.take(0x02)?;
    let community = message.take(0x04)?;
    if version != [1] || community != b"public" {
        return None;
    }
    let kind = *message.0.first()?;
    let mut pdu = Reader(message.take(kind)?);
    let id = pdu.take(0x02)?;
    let (second, third) = (number(pdu.take(0x02)?), number(pdu.take(0x02)?));
    let mut list = Reader(pdu.take(0x30)?);
    let mut names = Vec::new();
    while !list.0.is_empty() {
        names.push(Oid::from_ber(Reader(list.take(0x30)?).take(0x06)?).ok()?);
    }
    let mut bindings = Vec::with_capacity(SLOT);
    match kind {
        0xa0 => {
            for name in &names {
                let found = mib.find(name).ok().and_then(|place| mib.row(place));
                put(
                    &mut bindings,
                    name,
                    device,
                    found.map(|row| &row.1),
                    NO_SUCH_INSTANCE,
                );
            }
        }
        0xa1 => bulk(mib, device, &names, 0, 1, &mut bindings),
        0xa5 => bulk(mib, device, &names, second, third, &mut bindings),
        _ => return None,
    }
    Some(seal(community, id, &bindings))
}

/// GETBULK, cut where the reply would outgrow a packet.
fn bulk(mib: &Mib, device: Device, names: &[Oid], once: usize, rows: usize, out: &mut Vec<u8>) {
    let next = |name: &Oid| mib.find(name).map_or_else(|place| place, |place| place + 1);
    let (single, many) = names.split_at(once.min(names.len()));
    let mut put_row = |place: usize, name: &Oid| -> bool {
        let before = out.len();
        match mib.row(place) {
            Some((oid, cell)) => put(out, oid, device, Some(cell), END_OF_VIEW),
            None => put(out, name, device, None, END_OF_VIEW),
        }
        let fits = out.len() <= ROOM;
        if !fits {
            out.truncate(before);
        }
        fits
    };
    for name in single {
        if !put_row(next(name), name) {
            return;
        }
    }
    let places: Vec<usize> = many.iter().map(next).collect();
    for row in 0..rows {
        for (place, name) in places.iter().zip(many) {
            if !put_row(place + row, name) {
                return;
            }
        }
    }
}

fn put(out: &mut Vec<u8>, oid: &Oid, device: Device, cell: Option<&mib::Cell>, missing: u8) {
    let start = out.len();
    out.extend([0x30, 0]); // a varbind of ours is shorter than 128 octets
    mib::tlv(0x06, oid.as_ber(), out);
    match cell {
        Some(cell) => cell.write(device, out),
        None => out.extend([missing, 0]),
    }
    let length = u8::try_from(out.len() - start - 2).expect("less than 128");
    out[start + 1] = length;
}

fn seal(community: &[u8], id: &[u8], bindings: &[u8]) -> Vec<u8> {
    let mut pdu = Vec::with_capacity(bindings.len() + 24);
    mib::tlv(0x02, id, &mut pdu);
    pdu.extend([0x02, 1, 0, 0x02, 1, 0]); // noError
    mib::tlv(0x30, bindings, &mut pdu);
    let mut message = Vec::with_capacity(pdu.len() + 24);
    message.extend([0x02, 1, 1]); // SNMPv2c
    mib::tlv(0x04, community, &mut message);
    mib::tlv(0xa2, &pdu, &mut message);
    let mut whole = Vec::with_capacity(message.len() + 4);
    mib::tlv(0x30, &message, &mut whole);
    whole
}

fn number(octets: &[u8]) -> usize {
    octets
        .iter()
        .fold(0, |n: usize, octet| n << 8 | usize::from(*octet))
        .min(1_000)
}

/// Tag, length, value; one after another.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&[found, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 | 0x82 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0, |n, o| n << 8 | usize::from(*o)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }
}

/// Requests in one system call.
const BATCH: usize = 64;
/// Octets of a request at the most.
const SLOT: usize = 1_500;
/// Octets of a reply's varbinds: with the rest they stay under 1,400.
const ROOM: usize = 1_340;
/// How long nothing may come before the late ones are looked at.
const TURN: Duration = Duration::from_millis(1);
const NO_SUCH_INSTANCE: u8 = 0x81;
const END_OF_VIEW: u8 = 0x82;

/// Loopback networks that hold exactly the first `count` addresses from 127.1.0.0 on.
pub(crate) fn ranges(count: u32) -> Vec<String> {
    let mut at = u32::from(Ipv4Addr::new(127, 1, 0, 0));
    let mut left = count;
    let mut nets = Vec::new();
    while left > 0 {
        let bits = left.ilog2().min(at.trailing_zeros());
        nets.push(format!("{}/{}", Ipv4Addr::from(at), 32 - bits));
        at += 1 << bits;
        left -= 1 << bits;
    }
    nets
}

/// Where the device of a number is asked.
pub(crate) fn address(number: u32, port: u16) -> SocketAddrV4 {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 0));
    SocketAddrV4::new(Ipv4Addr::from(first + number), port)
}
