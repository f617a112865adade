//! One request in SNMPv3: finding out who the engine is, deriving its keys, and agreeing with it on the time.

use std::sync::Arc;

use farwatch_shared::oid::Oid;
use tokio::time::{Instant, timeout_at};

use super::{
    exchange::Call,
    link::{Expects, Received},
};
use crate::snmp::{
    auth::{Auth, PrivProtocol, SecurityLevel, V3User},
    error::GetError,
    pdu::{Answer, Request},
    stats::count,
    v3::{
        report::Reason,
        session::{Session, discovery},
    },
};

impl Call<'_> {
    pub(super) async fn check(&mut self) -> Result<(), GetError> {
        const SYS_UP_TIME: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 3, 0]);
        let request = Request::get(&[SYS_UP_TIME]);
        let Auth::V3(user) = self.auth else {
            return self
                .transact(&request, self.limits.attempts)
                .await
                .map(drop);
        };
        let end = self.deadline;
        if user.security_level() == SecurityLevel::AuthPriv {
            self.deadline = self.started + self.limits.deadline / 2; // the rest is for the second question
        }
        let outcome = self.transact(&request, self.limits.attempts).await;
        self.deadline = end;
        let silence = match outcome {
            Err(error @ GetError::Timeout { .. }) if self.peer.engine_id().is_some() => error,
            other => return other.map(drop),
        };
        let Some(in_the_clear) = user.without_privacy() else {
            return Err(silence);
        };
        match self
            .transact_v3(&in_the_clear, &request, self.limits.attempts)
            .await
        {
            Err(GetError::Timeout { .. }) => Err(silence),
            Ok(_)
            | Err(GetError::Security {
                reason: Reason::UnsupportedSecurityLevel,
                ..
            }) => Err(GetError::Security {
                target: self.peer.address,
                reason: Reason::WrongPrivacy,
            }),
            Err(other) => Err(other),
        }
    }

    pub(super) async fn transact_v3(
        &mut self,
        user: &V3User,
        request: &Request,
        attempts: u32,
    ) -> Result<Answer, GetError> {
        let (engine, peer) = (self.engine, Arc::clone(&self.peer));
        let _turn = self.turn(&peer.requests).await?;
        let _place = self.turn(&engine.inner.under_way).await?;
        let (mut resynchronized, mut rediscovered) = (false, false);
        loop {
            let session = self.session(user, attempts).await?;
            let mut ticket = peer.link.enter(
                peer.address,
                Expects::Secured(Arc::clone(&session), Arc::clone(&peer)),
            );
            let id = ticket.id;
            let seal = || {
                session
                    .seal(
                        user.context_name(),
                        request,
                        id,
                        peer.stamp(Instant::now()),
                        engine.next_salt(),
                    )
                    .into()
            };
            let reason = match self.attempt(&mut ticket, attempts, seal).await? {
                Received::Answer { answer, octets } => return Ok(self.accept(answer, octets)),
                Received::Report {
                    reason,
                    authenticated,
                } => match reason {
                    Reason::NotInTimeWindow if !resynchronized => {
                        resynchronized = true;
                        if !authenticated {
                            self.discover(attempts).await?; // that report alone may change nothing
                        }
                        continue;
                    }
                    Reason::UnknownEngineId if !rediscovered => {
                        rediscovered = true;
                        self.discover(attempts).await?;
                        continue;
                    }
                    reason => reason,
                },
                other => return Err(self.unexpected(other)),
            };
            return Err(GetError::Security {
                target: peer.address,
                reason,
            });
        }
    }

    /// A user's keys at this device's engine: known, or found out and derived.
    async fn session(&mut self, user: &V3User, attempts: u32) -> Result<Arc<Session>, GetError> {
        let peer = Arc::clone(&self.peer);
        if let Some(session) = peer.session(user) {
            return Ok(session);
        }
        let late = |_| self.timeout(0);
        let _one = timeout_at(self.deadline, peer.discovering.lock())
            .await
            .map_err(late)?;
        if let Some(session) = peer.session(user) {
            return Ok(session);
        }
        let engine_id = match peer.engine_id() {
            Some(known) => known,
            None => self.discover(attempts).await?,
        };
        let reeder = matches!(
            user.priv_protocol(),
            Some(PrivProtocol::Aes192C | PrivProtocol::Aes256C)
        );
        let session = if user.has_master() && !reeder {
            Session::derive(user, &engine_id)
        } else {
            let _place = self.turn(&self.engine.inner.deriving).await?;
            let user = user.clone();
            let derived =
                tokio::task::spawn_blocking(move || Session::derive(&user, &engine_id)).await;
            derived.map_err(|_| GetError::Stopped)?
        };
        let session = Arc::new(session);
        peer.add_session(&session);
        Ok(session)
    }

    /// Asks an engine who it is and what time it has.
    async fn discover(&mut self, attempts: u32) -> Result<Arc<[u8]>, GetError> {
        count(&self.engine.inner.counters.discoveries, 1);
        let peer = Arc::clone(&self.peer);
        let mut ticket = peer.link.enter(peer.address, Expects::Discovery);
        let message: Arc<[u8]> = discovery(ticket.id).into();
        match self
            .attempt(&mut ticket, attempts, || Arc::clone(&message))
            .await?
        {
            Received::Discovered { engine_id, stamp } => {
                peer.discovered(&engine_id, stamp, Instant::now());
                Ok(engine_id.into())
            }
            other => Err(self.unexpected(other)),
        }
    }
}
