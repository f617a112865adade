//! A socket, what is to be sent on it, and the requests under way on it.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tracing::warn;

use super::{
    peer::Peer,
    socket::{BatchSocket, Family, Inbox},
};
use crate::snmp::{
    auth::Version,
    ber::BerError,
    message::Datagram,
    pdu::{Answer, PduKind},
    stats::{Counters, Dropped, count},
    v3::{
        clock::Stamp,
        message::{Message, flag},
        report::Reason,
        session::{Distrust, Session, read_scoped},
    },
};

#[derive(Debug)]
pub(crate) struct Link {
    socket: BatchSocket,
    table: Mutex<HashMap<i32, UnderWay>>,
    /// Bounded by the requests under way: each has at most one datagram waiting here.
    queue: Mutex<Vec<Outgoing>>,
    queued: Notify,
    counters: Arc<Counters>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct UnderWay {
    to: SocketAddr,
    expects: Expects,
    answer: oneshot::Sender<Received>,
}

/// What an answer has to be to be ours.
#[derive(Debug, Clone)]
pub(crate) enum Expects {
    Community(Version),
    /// Any report: an engine telling who it is.
    Discovery,
    Secured(Arc<Session>, Arc<Peer>),
}

impl Expects {
    const fn version(&self) -> Version {
        match self {
            Self::Community(version) => *version,
            Self::Discovery | Self::Secured(..) => Version::V3,
        }
    }
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Received {
    Answer {
        answer: Answer,
        octets: usize,
    },
    /// The same of v1 or v2c, to be read by whom it is for: thousands of values are then in use where they are made.
    Unread(Unread),
    Discovered {
        engine_id: Box<[u8]>,
        stamp: Stamp,
    },
    /// SNMPv3 says why not. When it is authenticated, the clock has been put right already.
    Report {
        reason: Reason,
        authenticated: bool,
    },
    NotSent(io::Error),
}

/// A message of v1 or v2c, known by its id, its address and its port.
#[derive(Debug)]
pub(crate) struct Unread(Box<[u8]>);

impl Unread {
    /// The answer, and how many octets it took.
    pub(crate) fn read(&self, counters: &Counters) -> Result<(Answer, usize), BerError> {
        let read = || match Datagram::read(&self.0)? {
            Datagram::Community { mut pdu, .. } => Answer::read(&mut pdu),
            Datagram::V3(_) => Err(BerError::OutOfRange),
        };
        // a defect that one device's datagram meets must not end its poll without an outcome
        let answer = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            counters.dropped(Dropped::DecoderPanicked);
            Err(BerError::Defect)
        });
        Ok((answer?, self.0.len()))
    }
}

#[derive(Debug)]
struct Outgoing {
    to: SocketAddr,
    id: i32,
    octets: Arc<[u8]>,
}

/// A place in the table, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: i32,
    pub(crate) answer: oneshot::Receiver<Received>,
    link: Arc<Link>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.link.table().remove(&self.id);
    }
}

impl Link {
    pub(crate) fn bind(
        family: Family,
        receive_octets: usize,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let socket = BatchSocket::bind(family, receive_octets)?;
        Ok(Self {
            socket,
            table: Mutex::default(),
            queue: Mutex::default(),
            queued: Notify::new(),
            counters,
        })
    }

    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        self.socket.receive_buffer()
    }

    pub(crate) fn under_way(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<i32, UnderWay>> {
        self.table
            .lock()
            .expect("nothing panics while it holds the table")
    }

    /// A random id that no other request under way on this socket has.
    pub(crate) fn enter(self: &Arc<Self>, to: SocketAddr, expects: Expects) -> Ticket {
        let (sender, answer) = oneshot::channel();
        let mut table = self.table();
        loop {
            let id = rand::random_range(1..i32::MAX);
            if let Entry::Vacant(free) = table.entry(id) {
                free.insert(UnderWay {
                    to,
                    expects,
                    answer: sender,
                });
                return Ticket {
                    id,
                    answer,
                    link: Arc::clone(self),
                };
            }
        }
    }

    /// A request with an id of the caller's choosing.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn enter_as(self: &Arc<Self>, id: i32, to: SocketAddr, expects: Expects) -> Ticket {
        let (sender, answer) = oneshot::channel();
        let under_way = UnderWay {
            to,
            expects,
            answer: sender,
        };
        self.table().insert(id, under_way);
        Ticket {
            id,
            answer,
            link: Arc::clone(self),
        }
    }

    /// Hands a datagram to the sending task.
    pub(crate) fn send(&self, to: SocketAddr, id: i32, octets: Arc<[u8]>) {
        self.queue
            .lock()
            .expect("nothing panics while it holds the queue")
            .push(Outgoing { to, id, octets });
        self.queued.notify_one();
    }

    /// Sends what is queued, as many datagrams to a system call as have gathered meanwhile.
    pub(crate) async fn run_sending(self: Arc<Self>) {
        let mut batch = Vec::new();
        loop {
            self.queued.notified().await;
            std::mem::swap(
                &mut batch,
                &mut *self
                    .queue
                    .lock()
                    .expect("nothing panics while it holds the queue"),
            );
            let datagrams: Vec<(SocketAddr, &[u8])> =
                batch.iter().map(|out| (out.to, &*out.octets)).collect();
            let mut sent = 0;
            while sent < datagrams.len() {
                match self.socket.send(&datagrams[sent..]).await {
                    Ok(more) => {
                        count(&self.counters.sent, more);
                        sent += more;
                    }
                    Err(error) => {
                        self.not_sent(&batch[sent], error);
                        sent += 1;
                    }
                }
            }
            batch.clear();
        }
    }

    fn not_sent(&self, outgoing: &Outgoing, error: io::Error) {
        self.counters.dropped(Dropped::NotSent);
        // a full buffer in the kernel, or a firewall's moment: the next attempt will do
        let passing = matches!(
            error.raw_os_error().map(nix::errno::Errno::from_raw),
            Some(nix::errno::Errno::ENOBUFS | nix::errno::Errno::EPERM)
        );
        if !passing && let Some(request) = self.table().remove(&outgoing.id) {
            let _ = request.answer.send(Received::NotSent(error)); // whoever asked may be gone
        }
    }

    /// Receives for ever, and gives each answer to whom it belongs.
    pub(crate) async fn run_receiving(self: Arc<Self>) {
        let mut inbox = Inbox::new();
        loop {
            if let Err(error) = self.socket.receive(&mut inbox).await {
                warn!(%error, "an SNMP socket could not receive");
                tokio::time::sleep(RECEIVE_PAUSE).await;
                continue;
            }
            let now = Instant::now();
            for (from, octets) in inbox.datagrams() {
                count(&self.counters.received, 1);
                // a defect that one device's datagram meets must not end the others' answers
                let outcome = catch_unwind(AssertUnwindSafe(|| self.receive(from, octets, now)));
                match outcome.unwrap_or(Err(Dropped::DecoderPanicked)) {
                    Ok(()) => count(&self.counters.accepted, 1),
                    Err(reason) => self.counters.dropped(reason),
                }
            }
            // those just woken send their next requests together
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn receive(
        &self,
        from: SocketAddr,
        octets: &[u8],
        now: Instant,
    ) -> Result<(), Dropped> {
        let datagram = Datagram::read(octets).map_err(|_| Dropped::Malformed)?;
        let id = datagram.id();
        let expects = {
            let table = self.table();
            let request = table.get(&id).ok_or(Dropped::UnknownId)?;
            if request.to.ip() != from.ip() || request.to.port() != from.port() {
                return Err(Dropped::WrongSource);
            }
            request.expects.clone()
        };
        if expects.version() != datagram.version() {
            return Err(Dropped::WrongVersion);
        }
        let received = match (datagram, expects) {
            (Datagram::Community { .. }, _) => Received::Unread(Unread(octets.into())),
            (Datagram::V3(message), Expects::Secured(session, peer)) => {
                self.open(&message, &session, &peer, octets.len(), now)?
            }
            (Datagram::V3(message), _) => discovered(&message)?,
        };
        // it may have been given up meanwhile
        let request = self.table().remove(&id).ok_or(Dropped::UnknownId)?;
        request
            .answer
            .send(received)
            .map_err(|_| Dropped::UnknownId)
    }

    fn open(
        &self,
        message: &Message<'_>,
        session: &Session,
        peer: &Peer,
        octets: usize,
        now: Instant,
    ) -> Result<Received, Dropped> {
        let opened = match session.open(message) {
            Ok(opened) => opened,
            Err(Distrust::OtherEngineOrUser) => return Err(Dropped::WrongEngineOrUser),
            Err(Distrust::WrongDigest) => return Err(Dropped::WrongDigest),
            Err(Distrust::WrongLevel) => return Err(Dropped::WrongLevel),
            Err(Distrust::Undecryptable) => return Err(Dropped::Undecryptable),
            Err(Distrust::Malformed(_)) => return Err(Dropped::Malformed),
        };
        if opened.answer.kind == PduKind::Report {
            let reason = opened
                .answer
                .varbinds
                .first()
                .map_or(Reason::Other, |v| Reason::from_counter(&v.oid));
            if opened.authenticated {
                if reason == Reason::NotInTimeWindow {
                    peer.resynchronize(session.engine_id(), message.stamp, now);
                    count(&self.counters.resynchronized, 1);
                } else if !peer.is_timely(session.engine_id(), message.stamp, now) {
                    return Err(Dropped::OutsideTimeWindow);
                }
            }
            return Ok(Received::Report {
                reason,
                authenticated: opened.authenticated,
            });
        }
        if opened.authenticated && !peer.is_timely(session.engine_id(), message.stamp, now) {
            return Err(Dropped::OutsideTimeWindow);
        }
        Ok(Received::Answer {
            answer: opened.answer,
            octets,
        })
    }
}

/// An engine's name and time, from its report to a message that named none.
fn discovered(message: &Message<'_>) -> Result<Received, Dropped> {
    if message.flags & (flag::AUTH | flag::PRIV) != 0 {
        return Err(Dropped::WrongLevel);
    }
    let answer = read_scoped(message.data.clone()).map_err(|_| Dropped::Malformed)?;
    if answer.kind != PduKind::Report
        || message.engine_id.is_empty()
        || message.engine_id.len() > MAX_ENGINE_ID
    {
        return Err(Dropped::Malformed);
    }
    Ok(Received::Discovered {
        engine_id: message.engine_id.into(),
        stamp: message.stamp,
    })
}

/// RFC 3411 has 32; some devices do not.
const MAX_ENGINE_ID: usize = 64;
/// A socket that fails at once, again and again, must not take a whole core.
const RECEIVE_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
