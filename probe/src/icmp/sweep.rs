//! Many addresses at a given pace, each outcome as soon as it is known.

use std::{
    collections::{VecDeque, hash_map::Entry},
    io,
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use nix::errno::Errno;
use tokio::time::{Instant, sleep_until};

use super::{
    Key, Mailbox, PingOutcome, Sent, Shared, Told, UnderWay,
    packet::{ECHO_OCTETS, Echo},
    socket::BATCH,
};

/// How fast requests leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    PerSecond(u32),
    /// As fast as they can be sent and their replies received.
    FlatOut,
}

impl Default for Pace {
    /// What no network minds.
    fn default() -> Self {
        Self::PerSecond(100)
    }
}

/// Requests under way in one sweep. Waiting ones take 100 bytes each; a sweep flat out over dead addresses is bound by it.
const AT_ONCE: usize = 32_768;

/// Addresses being asked. See [`Pinger::sweep`](super::Pinger::sweep).
pub struct Sweep<I> {
    shared: Arc<Shared>,
    addresses: I,
    /// Addresses taken so far.
    taken: usize,
    exhausted: bool,
    pace: Pace,
    timeout: Duration,
    /// When the next request may leave.
    next_at: Instant,
    mailbox: Arc<Mailbox>,
    /// In the order they were sent, so in the order they expire. The first has the number `first`.
    waiting: VecDeque<Waiting>,
    first: usize,
    ready: VecDeque<(usize, Ipv4Addr, PingOutcome)>,
    /// Not told yet.
    unanswered: usize,
    /// The last of those taken, which the kernel had no room for yet.
    unsent: VecDeque<Request>,
}

/// An echo request and where it goes.
type Request = (Ipv4Addr, [u8; ECHO_OCTETS]);

struct Waiting {
    key: Key,
    expires: Instant,
    /// Told already.
    done: bool,
    /// An ICMP error that came meanwhile: what the outcome will be if nothing better does.
    error: Option<PingOutcome>,
}

impl<I: Iterator<Item = Ipv4Addr>> Sweep<I> {
    pub(super) fn new(shared: Arc<Shared>, addresses: I, pace: Pace, timeout: Duration) -> Self {
        Self {
            shared,
            addresses,
            taken: 0,
            exhausted: false,
            pace,
            timeout,
            next_at: Instant::now(),
            mailbox: Arc::default(),
            waiting: VecDeque::new(),
            first: 0,
            ready: VecDeque::new(),
            unanswered: 0,
            unsent: VecDeque::new(),
        }
    }

    /// Addresses asked so far.
    pub const fn asked(&self) -> usize {
        self.taken
    }

    /// The next outcome; `None` when there are no more. Can be dropped while it waits, and asked again.
    pub async fn next(&mut self) -> Option<(Ipv4Addr, PingOutcome)> {
        loop {
            if let Some((_, address, outcome)) = self.step().await? {
                return Some((address, outcome));
            }
        }
    }

    /// The same with the number of the address instead of itself, from 0.
    pub(super) async fn next_numbered(&mut self) -> Option<(usize, PingOutcome)> {
        loop {
            if let Some((number, _, outcome)) = self.step().await? {
                return Some((number, outcome));
            }
        }
    }

    /// Something to tell; or something was done, and it is worth looking again. `None` at the end.
    async fn step(&mut self) -> Option<Option<(usize, Ipv4Addr, PingOutcome)>> {
        if let Some(outcome) = self.ready.pop_front() {
            return Some(Some(outcome));
        }
        self.take_answers();
        self.expire();
        let may_send = self.send();
        if !self.ready.is_empty() {
            return Some(None);
        }
        if self.exhausted && self.unanswered == 0 {
            return None;
        }
        let next_send = match may_send {
            Next::At(at) => Some(at),
            Next::Writable => {
                let writable = self.shared.socket.writable();
                let _ = tokio::time::timeout(SEND_PAUSE, writable).await; // its errors come up in the next send
                return Some(None);
            }
            Next::Now => {
                tokio::task::yield_now().await; // lets the replies in
                return Some(None);
            }
            Next::Never => None,
        };
        let wake = self
            .waiting
            .front()
            .map(|first| first.expires)
            .into_iter()
            .chain(next_send)
            .min();
        match wake {
            Some(at) => tokio::select! {
                () = self.mailbox.arrived.notified() => {}
                () = sleep_until(at) => {}
            },
            None => self.mailbox.arrived.notified().await,
        }
        Some(None)
    }

    fn take_answers(&mut self) {
        for (number, told) in self.mailbox.take() {
            let Some(waiting) = number
                .checked_sub(self.first)
                .and_then(|at| self.waiting.get_mut(at))
            else {
                continue; // expired meanwhile
            };
            match told {
                _ if waiting.done => {}
                Told::Reply { rtt } => {
                    waiting.done = true;
                    self.unanswered -= 1;
                    self.ready
                        .push_back((number, waiting.key.0, PingOutcome::Reply { rtt }));
                }
                Told::Error { from, code } => {
                    waiting.error = Some(PingOutcome::Unreachable { from, code })
                }
            }
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(first) = self
            .waiting
            .pop_front_if(|first| first.done || first.expires <= now)
        {
            let number = self.first;
            self.first += 1;
            if !first.done {
                self.shared.table().remove(&first.key);
                self.unanswered -= 1;
                self.ready.push_back((
                    number,
                    first.key.0,
                    first.error.unwrap_or(PingOutcome::Timeout),
                ));
            }
        }
    }

    /// Sends what the pace allows now.
    fn send(&mut self) -> Next {
        if !self.unsent.is_empty() {
            return self.send_unsent();
        }
        if self.exhausted {
            return Next::Never;
        }
        let now = Instant::now();
        let room = AT_ONCE.saturating_sub(self.waiting.len()).min(BATCH);
        if room == 0 {
            return Next::Never; // until something is answered or expires
        }
        let (due, interval) = match self.pace {
            Pace::FlatOut => (BATCH, Duration::ZERO),
            Pace::PerSecond(rate) => {
                let interval = Duration::from_secs(1) / rate.max(1);
                // who was not asked for a while does not make up for it
                self.next_at = self.next_at.max(now.checked_sub(CATCH_UP).unwrap_or(now));
                if now < self.next_at {
                    return Next::At(self.next_at);
                }
                let behind = (now - self.next_at).as_nanos() / interval.as_nanos().max(1);
                (usize::try_from(behind).unwrap_or(BATCH) + 1, interval)
            }
        };
        let taken = self.take_batch(due.min(room), now);
        self.next_at += interval * taken;
        self.send_unsent()
    }

    fn send_unsent(&mut self) -> Next {
        while !self.unsent.is_empty() {
            match self.shared.socket.try_send(self.unsent.make_contiguous()) {
                Ok(sent) => {
                    self.shared.counters.sent.fetch_add(sent as u64, Relaxed);
                    self.unsent.drain(..sent);
                }
                Err(error) if is_full(&error) => return Next::Writable,
                Err(error) => {
                    self.not_sent(
                        self.taken - self.unsent.len(),
                        error.raw_os_error().unwrap_or_default(),
                    );
                    self.unsent.pop_front();
                }
            }
        }
        match self.pace {
            Pace::FlatOut if self.taken.is_multiple_of(self.shared.socket.burst()) => {
                Next::At(Instant::now() + BREATH)
            }
            Pace::FlatOut => Next::Now,
            Pace::PerSecond(_) => Next::At(self.next_at),
        }
    }

    /// Enters the next addresses into the table, to be sent at once.
    fn take_batch(&mut self, count: usize, now: Instant) -> u32 {
        let sent = Sent::now();
        let mut table = self.shared.table();
        let mut taken = 0;
        while self.unsent.len() < count {
            let Some(address) = self.addresses.next() else {
                self.exhausted = true;
                break;
            };
            let mut seq: u16 = rand::random();
            let place = loop {
                match table.entry((address, seq)) {
                    Entry::Vacant(place) => break place,
                    Entry::Occupied(_) => seq = seq.wrapping_add(1),
                }
            };
            let echo = Echo {
                identifier: self.shared.socket.identifier(),
                seq,
                token: rand::random(),
            };
            let (to, number) = (Arc::clone(&self.mailbox), self.taken);
            place.insert(UnderWay {
                token: echo.token,
                sent,
                to,
                number,
            });
            let expires = now + self.timeout;
            self.waiting.push_back(Waiting {
                key: (address, seq),
                expires,
                done: false,
                error: None,
            });
            self.unsent.push_back((address, echo.write()));
            self.taken += 1;
            self.unanswered += 1;
            taken += 1;
        }
        taken
    }

    fn not_sent(&mut self, number: usize, errno: i32) {
        let Some(waiting) = number
            .checked_sub(self.first)
            .and_then(|at| self.waiting.get_mut(at))
        else {
            return;
        };
        waiting.done = true;
        self.unanswered -= 1;
        self.shared.table().remove(&waiting.key);
        self.ready
            .push_back((number, waiting.key.0, PingOutcome::NotSent { errno }));
    }
}

/// When to send next.
enum Next {
    At(Instant),
    /// At once, after others had their turn.
    Now,
    /// When the kernel's buffer has room again.
    Writable,
    Never,
}

/// What a late timer may make up for: a few milliseconds of the pace.
const CATCH_UP: Duration = Duration::from_millis(10);
/// Flat out, the pause after a burst in which the replies are let in.
const BREATH: Duration = Duration::from_millis(1);
/// How long to wait for room at most.
const SEND_PAUSE: Duration = Duration::from_millis(5);

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

impl<I> Drop for Sweep<I> {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        for waiting in self.waiting.iter().filter(|waiting| !waiting.done) {
            table.remove(&waiting.key);
        }
    }
}

impl<I> std::fmt::Debug for Sweep<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweep")
            .field("taken", &self.taken)
            .field("unanswered", &self.unanswered)
            .finish_non_exhaustive()
    }
}
