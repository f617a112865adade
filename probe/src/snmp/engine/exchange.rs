//! One call for one device: requests and their answers, within a deadline.

use std::{sync::Arc, time::Duration};

use farwatch_shared::oid::Oid;
use tokio::time::{Instant, timeout_at};

use super::{
    Engine, KeptPeer,
    link::{Expects, Received, Ticket},
};
use crate::snmp::{
    Limits, Target,
    auth::{Auth, Version},
    ber::BerError,
    error::GetError,
    message::seal_community,
    pdu::{Answer, ErrorStatus, Request, varbind_octets},
    plan::Cost,
    stats::count,
    value::{Value, VarBind},
};

/// What one call to the engine knows and has spent.
pub(crate) struct Call<'a> {
    pub(super) engine: &'a Engine,
    pub(super) peer: KeptPeer,
    pub(super) auth: &'a Auth,
    pub(super) limits: Limits,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) cost: Cost,
}

/// What a datagram may hold to cross any network in one piece: 1,500 less the headers of IPv6, UDP and a tunnel.
const PACKET_OCTETS: usize = 1400;
/// Of that, what is no varbind.
const COMMUNITY_OVERHEAD: usize = 64;
const V3_OVERHEAD: usize = 192;
/// An ordinary value with its tag and length: a counter.
const VALUE_OCTETS: usize = 6;

impl<'a> Call<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        target: &'a Target,
        limits: Limits,
    ) -> Result<Self, GetError> {
        let started = Instant::now();
        Ok(Self {
            engine,
            peer: engine.peer(target.address)?,
            auth: &target.auth,
            limits,
            started,
            deadline: started + limits.deadline,
            cost: Cost::default(),
        })
    }

    pub(super) fn version(&self) -> Version {
        self.auth.version()
    }

    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    pub(super) fn finished_cost(&self) -> Cost {
        Cost {
            duration: self.started.elapsed(),
            ..self.cost
        }
    }

    /// Octets of varbinds that fit into one packet.
    pub(super) fn packet_octets(&self) -> usize {
        PACKET_OCTETS
            - if self.version() == Version::V3 {
                V3_OVERHEAD
            } else {
                COMMUNITY_OVERHEAD
            }
    }

    pub(super) fn timeout(&self, attempts: u32) -> GetError {
        GetError::Timeout {
            target: self.peer.address,
            attempts,
            waited: self.started.elapsed(),
        }
    }

    pub(super) fn refused(&self, status: ErrorStatus, oid: Option<Oid>) -> GetError {
        GetError::Refused {
            target: self.peer.address,
            status,
            oid,
        }
    }

    pub(super) fn malformed(&self, source: BerError) -> GetError {
        GetError::Malformed {
            target: self.peer.address,
            source,
        }
    }

    pub(super) async fn get(&mut self, oids: &[Oid]) -> Result<Vec<VarBind>, GetError> {
        let mut got = Got::new(oids.len());
        self.get_into(oids, &mut got, false).await?;
        Ok(got.into_varbinds(oids))
    }

    /// GETs filled to the packet and to what the device is known to take, until every name has a value.
    ///
    /// A name that the agent refuses is dropped and the others are asked for again: for noSuchName always (v1 knows no
    /// other way), for other errors when `lenient`.
    pub(super) async fn get_into(
        &mut self,
        oids: &[Oid],
        got: &mut Got,
        lenient: bool,
    ) -> Result<(), GetError> {
        let mut pending: Vec<usize> = (0..oids.len()).collect();
        while !pending.is_empty() {
            let size = self.fitting(pending.iter().map(|&at| &oids[at]));
            let names: Vec<Oid> = pending[..size].iter().map(|&at| oids[at].clone()).collect();
            let answer = match self
                .transact(&Request::get(&names), self.limits.attempts)
                .await
            {
                Ok(answer) => answer,
                Err(GetError::Timeout { attempts, .. })
                    if size > 1 && (self.peer.has_answered() || self.limits.attempts > 1) =>
                {
                    if !self.is_alive(&names[0]).await {
                        return Err(self.timeout(attempts + 1));
                    }
                    self.peer.learned().get.shrink_after_silence(size);
                    continue;
                }
                Err(GetError::Malformed { .. }) if size > 1 => {
                    self.peer.learned().get.shrink(size);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let blamed = answer.error_index.checked_sub(1).filter(|&at| at < size);
            match answer.error_status {
                ErrorStatus::NoError => {
                    self.check_names(&names, &answer)?;
                    for (at, varbind) in pending.drain(..size).zip(answer.varbinds) {
                        got.values[at] = Some(varbind.value);
                    }
                    self.peer.learned().get.succeeded(size);
                }
                ErrorStatus::TooBig if size > 1 => self.peer.learned().get.shrink(size),
                status if status == ErrorStatus::NoSuchName || lenient => match (blamed, size) {
                    (Some(at), _) => got.values[pending.remove(at)] = Some(Value::NoSuchInstance),
                    (None, 1) => got.values[pending.remove(0)] = Some(Value::NoSuchInstance),
                    // it does not say which: ask in smaller parts until there is only one
                    (None, _) => self.peer.learned().get.shrink(size),
                },
                status => return Err(self.refused(status, blamed.map(|at| names[at].clone()))),
            }
        }
        Ok(())
    }

    /// How many of the next names fit into one GET.
    pub(super) fn fitting<'o>(&self, names: impl Iterator<Item = &'o Oid>) -> usize {
        let limit = self.peer.learned().get.limit();
        let mut room = self.packet_octets();
        let fits = names.take(limit).take_while(|name| {
            let octets = varbind_octets(name, VALUE_OCTETS);
            let fits = octets <= room;
            room = room.saturating_sub(octets);
            fits
        });
        fits.count().max(1)
    }

    fn check_names(&self, asked: &[Oid], answer: &Answer) -> Result<(), GetError> {
        if answer.varbinds.len() == asked.len()
            && answer
                .varbinds
                .iter()
                .zip(asked)
                .all(|(got, name)| got.oid == *name)
        {
            return Ok(());
        }
        let (asked, answered) = (asked.len(), answer.varbinds.len());
        Err(GetError::Mismatch {
            target: self.peer.address,
            asked,
            answered,
        })
    }

    pub(super) async fn get_next(&mut self, oids: &[Oid]) -> Result<Vec<VarBind>, GetError> {
        let mut varbinds: Vec<Option<VarBind>> = vec![None; oids.len()];
        let mut pending: Vec<usize> = (0..oids.len()).collect();
        while !pending.is_empty() {
            let size = self.fitting(pending.iter().map(|&at| &oids[at]));
            let names: Vec<Oid> = pending[..size].iter().map(|&at| oids[at].clone()).collect();
            let answer = self
                .transact(&Request::get_next(&names), self.limits.attempts)
                .await?;
            let blamed = answer.error_index.checked_sub(1).filter(|&at| at < size);
            match (answer.error_status, blamed) {
                (ErrorStatus::NoError, _) if answer.varbinds.len() == size => {
                    for (at, varbind) in pending.drain(..size).zip(answer.varbinds) {
                        varbinds[at] = Some(varbind);
                    }
                }
                (ErrorStatus::NoError, _) => {
                    let (asked, answered) = (size, answer.varbinds.len());
                    return Err(GetError::Mismatch {
                        target: self.peer.address,
                        asked,
                        answered,
                    });
                }
                (ErrorStatus::TooBig, _) if size > 1 => self.peer.learned().get.shrink(size),
                // how v1 says that nothing follows
                (ErrorStatus::NoSuchName, Some(at)) => {
                    let at = pending.remove(at);
                    varbinds[at] = Some(VarBind::new(oids[at].clone(), Value::EndOfMibView));
                }
                (status, blamed) => {
                    return Err(self.refused(status, blamed.map(|at| names[at].clone())));
                }
            }
        }
        Ok(varbinds.into_iter().flatten().collect())
    }

    pub(super) async fn get_bulk(
        &mut self,
        oids: &[Oid],
        max_repetitions: u16,
    ) -> Result<Vec<VarBind>, GetError> {
        if self.version() == Version::V1 {
            return self.get_next(oids).await;
        }
        let request = Request::get_bulk(0, max_repetitions, oids.to_vec());
        let answer = self.transact(&request, self.limits.attempts).await?;
        match answer.error_status {
            ErrorStatus::NoError => Ok(answer.varbinds),
            status => Err(self.refused(status, None)),
        }
    }

    /// One cheap question, once: whether a device that did not answer a large one is there at all.
    pub(super) async fn is_alive(&mut self, name: &Oid) -> bool {
        self.transact(&Request::get(std::slice::from_ref(name)), 1)
            .await
            .is_ok()
    }

    /// One request and its answer. Whatever it waits for, it waits no longer than the deadline.
    pub(super) async fn transact(
        &mut self,
        request: &Request,
        attempts: u32,
    ) -> Result<Answer, GetError> {
        let (version, community) = match self.auth {
            Auth::V1(community) => (Version::V1, community),
            Auth::V2c(community) => (Version::V2c, community),
            Auth::V3(user) => return self.transact_v3(user, request, attempts).await,
        };
        let (engine, peer) = (self.engine, Arc::clone(&self.peer));
        let _turn = self.turn(&peer.requests).await?;
        let _place = self.turn(&engine.inner.under_way).await?;
        let mut ticket = peer.link.enter(peer.address, Expects::Community(version));
        let message: Arc<[u8]> =
            seal_community(version, community.expose(), request, ticket.id).into();
        match self
            .attempt(&mut ticket, attempts, || Arc::clone(&message))
            .await?
        {
            Received::Unread(message) => match message.read(&self.engine.inner.counters) {
                Ok((answer, octets)) => Ok(self.accept(answer, octets)),
                Err(source) => Err(self.malformed(source)),
            },
            other => Err(self.unexpected(other)),
        }
    }

    /// Sends what `message` makes, again and again, until something is received.
    pub(super) async fn attempt(
        &mut self,
        ticket: &mut Ticket,
        attempts: u32,
        mut message: impl FnMut() -> Arc<[u8]>,
    ) -> Result<Received, GetError> {
        let rtt = self.peer.learned().rtt.unwrap_or_default();
        let patience = self.limits.retry_after.max(rtt * 4);
        let mut tried = 0;
        while tried < attempts.max(1) {
            let now = Instant::now();
            if now >= self.deadline {
                break;
            }
            let octets = message();
            self.cost.requests += 1;
            self.cost.sent_octets += octets.len() as u64;
            if tried > 0 {
                self.cost.sent_again += 1;
                count(&self.engine.inner.counters.sent_again, 1);
            }
            tried += 1;
            self.peer.link.send(self.peer.address, ticket.id, octets);
            if let Ok(received) =
                timeout_at(self.deadline.min(now + patience), &mut ticket.answer).await
            {
                if !matches!(received, Ok(Received::NotSent(_)) | Err(_)) {
                    // an answer after a second attempt may be to either (Karn's rule)
                    self.peer.note_answer((tried == 1).then(|| now.elapsed()));
                }
                return received.map_err(|_| GetError::Stopped);
            }
        }
        count(&self.engine.inner.counters.timed_out, 1);
        Err(self.timeout(tried))
    }

    pub(super) fn accept(&mut self, answer: Answer, octets: usize) -> Answer {
        self.cost.received_octets += octets as u64;
        self.cost.varbinds += u32::try_from(answer.varbinds.len()).unwrap_or(u32::MAX);
        self.peer.note_size(answer.varbinds.len(), octets);
        answer
    }

    pub(super) fn unexpected(&self, received: Received) -> GetError {
        match received {
            Received::NotSent(source) => GetError::Send {
                target: self.peer.address,
                source,
            },
            _ => GetError::Stopped, // the receiving side gives each request only what it expects
        }
    }

    pub(super) async fn turn<'s>(
        &self,
        semaphore: &'s tokio::sync::Semaphore,
    ) -> Result<tokio::sync::SemaphorePermit<'s>, GetError> {
        match timeout_at(self.deadline, semaphore.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(GetError::Stopped),
            Err(_) => Err(self.timeout(0)),
        }
    }

    /// What is left of the time.
    pub(super) fn allowed(&self) -> Duration {
        self.limits.deadline
    }
}

/// Values by the place of their names in what was asked for; `None` while not known.
pub(super) struct Got {
    pub(super) values: Vec<Option<Value>>,
}

impl Got {
    pub(super) fn new(length: usize) -> Self {
        Self {
            values: vec![None; length],
        }
    }

    /// The names that have values, in their order.
    pub(super) fn into_varbinds(self, oids: &[Oid]) -> Vec<VarBind> {
        let pairs = oids.iter().zip(self.values);
        pairs
            .filter_map(|(oid, value)| Some(VarBind::new(oid.clone(), value?)))
            .collect()
    }
}
