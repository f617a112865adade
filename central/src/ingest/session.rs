//! One session: its streams are read, its batches committed, its acks sent, all in one task.
//!
//! A stream is not read again before the commit of what it brought has answered. So what a session has undecided is
//! bounded by three groups and the transport's windows, and a probe cannot hurry the disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::failpoint;
use farwatch_shared::link::{
    CloseCode, Closed, Connection, Frame, FrameReceiver, FrameSender, Priority, ProbeIdentity,
    ReadError,
};
use farwatch_shared::model::Lane;
use farwatch_shared::session::receiver::{
    self, BatchStep, Broken, Decided, Receiver, SnapshotStep,
};
use farwatch_shared::wire;
use farwatch_shared::wire::message::batch::{Batch, Dropped, LAYOUTS, LayoutsBody};
use farwatch_shared::wire::message::pull::PullRequest;
use farwatch_shared::wire::message::session::{
    Ack, BACKLOG, Hello, LIVE, Notice, SnapshotPart, Status, StreamOpen,
};
use futures::stream::{FuturesUnordered, StreamExt as _};
use rusqlite::params;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::clock::ProbeClock;
use super::door::{FIRST_WORD, LAST_WORD};
use super::events::{self, Arrived};
use super::{Ingest, Inner, PullSource, SampleStore, hello, pulls};
use crate::control::{self, Place};
use crate::live::CameFrom;
use crate::scope::ProbeScope;
use crate::store::inbound::{ClockCorrection, apply_snapshot};

/// Batches committed together at the most; what else has come waits in the transport.
const GROUP_BATCHES: usize = 64;
/// Bytes committed together at the most: an eighth of what a probe may have undecided.
const GROUP_BYTES: usize = 256 * 1024;
/// Frames after which a stream that never waits lets others run.
const TURN: usize = 64;
/// The row of a probe is brought up to date this often, ms.
const ROW_INTERVAL_MS: i64 = 30_000;

/// Why a session is closed from here.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The connection or one of its main streams has ended.
    #[error("the connection ended")]
    Gone(#[from] Closed),
    /// A frame that may not be there.
    #[error("a stream could not be read")]
    Read(#[source] ReadError),
    /// The probe broke the protocol.
    #[error("the probe broke the protocol")]
    Broken(#[from] Broken),
    /// It did so in a way that the state machine does not see.
    #[error("the probe broke the protocol: {0}")]
    Protocol(&'static str),
    /// Central cannot commit.
    #[error("nothing can be committed now")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A newer session of this probe has taken the lease.
    #[error("a newer session took over")]
    Superseded,
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed(closed) => Self::Gone(closed),
            other => Self::Read(other),
        }
    }
}

impl End {
    fn store(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }

    const fn close_code(&self) -> CloseCode {
        match self {
            Self::Gone(_) => CloseCode::Unsaid,
            Self::Read(_) | Self::Broken(_) | Self::Protocol(_) => CloseCode::Protocol,
            Self::Store(_) => CloseCode::Busy,
            Self::Superseded => CloseCode::Superseded,
        }
    }
}

/// What the parts of a session share.
struct Session<S, P> {
    inner: Arc<Inner<S, P>>,
    connection: Connection,
    identity: ProbeIdentity,
    scope: ProbeScope,
    place: Place,
    receiver: Mutex<Receiver>,
    clock: Mutex<ProbeClock>,
    /// Becomes true when the snapshot is committed: live and backlog are read from then on.
    open: watch::Sender<bool>,
    /// Whether the live and the backlog stream are there.
    taken: Mutex<[bool; 2]>,
}

impl<S: SampleStore, P: PullSource> Ingest<S, P> {
    /// A session from its hello to its end.
    pub(super) async fn session(&self, connection: Connection, identity: ProbeIdentity) {
        let scope = ProbeScope::new(identity.customer(), identity.site(), identity.probe());
        let peer = connection.remote_address();
        let first = timeout(FIRST_WORD, async {
            let (send, mut receive) = connection.accept().await?;
            let hello: Hello = receive.expect().await?;
            Ok::<_, ReadError>((send, receive, hello))
        })
        .await;
        let (mut send, receive, hello) = match first {
            Ok(Ok(first)) => first,
            Ok(Err(error)) => {
                tracing::debug!(probe.id = %scope.probe(), error = %Chain(&error), "no hello came");
                return connection.close(CloseCode::Protocol, "no hello came");
            }
            Err(_) => return connection.close(CloseCode::Late, "no hello came"),
        };
        let welcome = match hello::hello(&self.0, &scope, &connection, &hello).await {
            Ok(welcome) => welcome,
            Err(refuse) => {
                tracing::warn!(probe.id = %scope.probe(), "the hello of a probe at {peer} was refused: {}", refuse.word);
                let refusal = receiver::refusal(&refuse, self.0.clock.now());
                if send.send(&refusal).await.is_ok() {
                    send.finish();
                    let _ = timeout(LAST_WORD, send.delivered()).await;
                }
                return connection.close(CloseCode::Refused, refuse.word);
            }
        };
        let (handle, stream) = control::echo::control();
        let (tick, now) = (self.0.tick(), self.0.clock.now());
        let entered = self.0.registry.enter(
            identity.clone(),
            welcome.accept.lease,
            connection.clone(),
            handle,
            (tick, now),
        );
        let Some((place, notices)) = entered else {
            return connection.close(CloseCode::Superseded, "a newer session took over");
        };
        // Whoever revokes writes the list before it cuts: one of the two catches this session.
        if self.0.enroll.is_revoked(scope.probe()) {
            return connection.close(CloseCode::Revoked, "this probe was revoked");
        }
        let mut receiver = Receiver::new(&welcome.accept, tick);
        send.queue(&receiver.answer(&welcome.accept, &hello, welcome.known));
        let earlier = self.0.clocks().get(&scope.probe()).cloned();
        let probe_clock = ProbeClock::new(
            earlier,
            &hello.boot_id,
            hello.now,
            hello.boot_ms,
            now.plus_ms(-half_ms(connection.rtt())),
            ours_ms(&self.0.clock),
        );
        let session = Session {
            inner: self.0.clone(),
            connection: connection.clone(),
            identity,
            scope,
            receiver: Mutex::new(receiver),
            clock: Mutex::new(probe_clock),
            open: watch::Sender::new(false),
            taken: Mutex::default(),
            place,
        };
        let probes = session.inner.live.probes();
        let peer = peer.to_string();
        let from = CameFrom {
            peer: &peer,
            transport: session.connection.transport(),
        };
        probes.connected(&scope, session.place.number(), from, now);
        session.show_clock();
        session.publish();
        tracing::info!(probe.id = %scope.probe(), "probe \"{}\" connected from {peer}", hello.host_name);

        let end = tokio::select! {
            end = session.events(send, receive, notices) => end,
            end = session.streams() => end,
            end = stream.run(connection.clone()) => end.map_err(End::from),
            closed = connection.closed() => Err(End::Gone(closed)),
        };
        let end = end
            .err()
            .unwrap_or(End::Protocol("the events stream was finished"));
        match &end {
            End::Gone(closed) => {
                tracing::info!(probe.id = %scope.probe(), "a probe's session ended: {closed}")
            }
            other => {
                tracing::warn!(probe.id = %scope.probe(), error = %Chain(other), "a probe's session is closed")
            }
        }
        connection.close(end.close_code(), &end.to_string());
        probes.disconnected(scope.probe(), session.place.number());
        session.write_row().await;
        session.publish();
    }
}

impl<S: SampleStore, P: PullSource> Session<S, P> {
    /// The events stream: snapshot, events, dropped ranges and status up; acks and notices down.
    async fn events(
        &self,
        mut send: FrameSender,
        mut receive: FrameReceiver,
        mut notices: mpsc::Receiver<Notice>,
    ) -> Result<(), End> {
        send.set_priority(Priority::Events);
        let mut turns = 0;
        let mut row_written = self.inner.clock.boot_ms();
        loop {
            let frame = tokio::select! {
                biased;
                flushed = send.flush(), if send.waiting() > 0 => {
                    flushed?;
                    failpoint::hit("C5");
                    continue;
                }
                Some(notice) = notices.recv() => {
                    self.receiver().revisions(notice.config_revision, notice.addresses_revision);
                    send.queue(&notice);
                    continue;
                }
                frame = receive.next() => frame?,
            };
            let Some(frame) = frame else {
                return Ok(());
            };
            self.heard();
            if frame.is::<Batch>() {
                self.batches(frame, &mut receive, &mut send).await?;
            } else if frame.is::<Dropped>() {
                self.dropped(&frame, &mut send).await?;
            } else if frame.is::<SnapshotPart>() {
                self.snapshot_part(&frame).await?;
            } else if frame.is::<Status>() {
                self.status(frame.decode().map_err(ReadError::from)?);
            }
            let now = self.inner.clock.boot_ms();
            if now.saturating_sub(row_written) >= ROW_INTERVAL_MS {
                row_written = now;
                self.write_row().await;
            }
            let_others_run(&mut turns).await;
        }
    }

    /// Every stream that the probe opens after the first.
    async fn streams(&self) -> Result<(), End> {
        let mut streams = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.connection.accept() => {
                    let (send, receive) = accepted?;
                    streams.push(self.stream(send, receive));
                }
                Some(ended) = streams.next(), if !streams.is_empty() => ended?,
            }
        }
    }

    /// One of them: its first frame says what it is.
    async fn stream(&self, mut send: FrameSender, mut receive: FrameReceiver) -> Result<(), End> {
        let first = match timeout(FIRST_WORD, receive.next()).await {
            Ok(Ok(Some(frame))) => frame,
            // Given up before it said anything; when the connection has ended, somebody else says so.
            Ok(Ok(None) | Err(ReadError::Closed(_))) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(End::Protocol("a stream without a first frame")),
        };
        self.heard();
        if first.is::<PullRequest>() {
            let request = first.decode().map_err(ReadError::from)?;
            let from = self.connection.remote_address().ip();
            let answered = pulls::answer(
                &self.inner,
                &self.identity,
                &self.scope,
                from,
                request,
                &mut send,
            )
            .await;
            return match answered {
                // A pull that nobody waits for any more harms nobody.
                Err(ReadError::Closed(Closed::Broken(_))) => Ok(()),
                other => Ok(other?),
            };
        }
        if !first.is::<StreamOpen>() {
            receive.stop(); // of a later version: that stream only
            return Ok(());
        }
        let open: StreamOpen = first.decode().map_err(ReadError::from)?;
        let (slot, priority) = match open.kind {
            LIVE => (0, Priority::Live),
            BACKLOG => (1, Priority::Backlog),
            _ => {
                receive.stop();
                return Ok(());
            }
        };
        let again = std::mem::replace(
            &mut self.taken.lock().unwrap_or_else(PoisonError::into_inner)[slot],
            true,
        );
        if again {
            return Err(End::Protocol("a second stream of the same kind"));
        }
        send.set_priority(priority);
        let mut is_open = self.open.subscribe();
        // The sender is ours: it lives as long as the session.
        let _ = is_open.wait_for(|open| *open).await;
        let mut turns = 0;
        while let Some(frame) = receive.next().await? {
            self.heard();
            if frame.is::<Batch>() {
                self.batches(frame, &mut receive, &mut send).await?;
                send.flush().await?;
                failpoint::hit("C5");
            }
            let_others_run(&mut turns).await;
        }
        Err(End::Protocol("a stream of batches was finished"))
    }

    /// A batch, and those right behind it on the same stream: committed together, then acknowledged.
    async fn batches(
        &self,
        first: Frame,
        receive: &mut FrameReceiver,
        send: &mut FrameSender,
    ) -> Result<(), End> {
        failpoint::hit("C1");
        let (mut events, mut samples) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut next = Some(first);
        let mut behind = None;
        while let Some(frame) = next.take() {
            if !frame.is::<Batch>() {
                behind = Some(frame);
                break;
            }
            bytes += frame.len();
            let (lane, arrived) = self.arrived(&frame)?;
            match lane {
                Lane::Events => events.push(arrived),
                Lane::Samples => samples.push(arrived),
            }
            if events.len() + samples.len() < GROUP_BATCHES && bytes < GROUP_BYTES {
                next = receive.next_now()?;
            }
        }
        failpoint::hit("C2");
        self.commit_events(events, send).await?;
        self.commit_samples(samples, send).await?;
        if let Some(frame) = behind {
            // Only the events stream mixes frames: status and dropped ranges between batches.
            if frame.is::<Dropped>() {
                self.dropped(&frame, send).await?;
            } else if frame.is::<Status>() {
                self.status(frame.decode().map_err(ReadError::from)?);
            } else if frame.is::<SnapshotPart>() {
                return Err(End::Protocol("a snapshot after batches"));
            }
        }
        Ok(())
    }

    fn arrived(&self, frame: &Frame) -> Result<(Lane, Arrived), End> {
        let batch: Batch = frame.decode().map_err(ReadError::from)?;
        let step = self.receiver().batch(&batch)?;
        let correction = self.correction(&batch.boot_id, batch.boot_ms, batch.closed);
        let (lane, live, sound) = match step {
            BatchStep::Commit { lane, live } => (lane, live, true),
            BatchStep::SetAside { lane, .. } => (lane, false, false),
        };
        let arrived = Arrived {
            batch,
            live,
            sound,
            correction,
        };
        Ok((lane, arrived))
    }

    async fn commit_events(&self, group: Vec<Arrived>, send: &mut FrameSender) -> Result<(), End> {
        if group.is_empty() {
            return Ok(());
        }
        // Layouts first: when this file says that they are committed, the other one has them.
        for arrived in &group {
            if arrived.sound
                && (arrived.batch.kind, arrived.batch.version) == (LAYOUTS, 1)
                && let Ok(body) = wire::decode::<LayoutsBody>(&arrived.batch.body)
            {
                let kept = self.inner.samples.put_layouts(&self.scope, &body).await;
                kept.map_err(End::store)?;
            }
        }
        let (scope, lease, now) = (self.scope, self.receiver().lease(), self.inner.clock.now());
        let done = self
            .inner
            .writer
            .write(move |c| events::commit(c, &scope, lease, &group, now))
            .await
            .map_err(End::store)?;
        failpoint::hit("C4");
        for decided in done.decided {
            self.ack(decided, send);
        }
        for effects in &done.effects {
            self.inner.publish(effects);
        }
        Ok(())
    }

    async fn commit_samples(&self, group: Vec<Arrived>, send: &mut FrameSender) -> Result<(), End> {
        let mut rest = group.into_iter().peekable();
        while let Some(first) = rest.next() {
            if !first.sound {
                let range = events::set_aside(&first.batch);
                let dropped = self
                    .inner
                    .samples
                    .dropped(&self.scope, first.correction, &range);
                let committed = dropped.await.map_err(End::store)?;
                let decided = Decided {
                    committed,
                    seqs: vec![first.batch.seq],
                    conflicts: Vec::new(),
                    want_layouts: Vec::new(),
                };
                self.ack(decided, send);
                continue;
            }
            let correction = first.correction;
            let mut batches = vec![first.batch];
            while let Some(next) = rest.next_if(|next| next.sound && next.correction == correction)
            {
                batches.push(next.batch);
            }
            let seqs: Vec<_> = batches
                .iter()
                .map(|batch| (batch.epoch, batch.seq))
                .collect();
            let committed = self.inner.samples.commit(&self.scope, correction, batches);
            let outcome = committed.await.map_err(End::store)?;
            failpoint::hit("C4");
            for committed in outcome.committed {
                let epoch = committed.epoch;
                let of_epoch = |keys: &[(_, u64)]| -> Vec<u64> {
                    keys.iter()
                        .filter(|(of, _)| *of == epoch)
                        .map(|(_, seq)| *seq)
                        .collect()
                };
                let decided = Decided {
                    committed,
                    seqs: of_epoch(&seqs),
                    conflicts: of_epoch(&outcome.conflicts),
                    want_layouts: outcome
                        .want_layouts
                        .iter()
                        .filter(|want| want.epoch == epoch)
                        .copied()
                        .collect(),
                };
                self.ack(decided, send);
            }
            let (customer, site, probe) =
                (self.scope.customer(), self.scope.site(), self.scope.probe());
            self.inner
                .live
                .publish_values(customer, site, probe, outcome.devices);
        }
        Ok(())
    }

    /// The one place that makes acks; each comes from a commit that has answered.
    fn ack(&self, decided: Decided, send: &mut FrameSender) {
        let ack: Ack = self.receiver().ack(decided);
        send.queue(&ack);
    }

    async fn dropped(&self, frame: &Frame, send: &mut FrameSender) -> Result<(), End> {
        let dropped: Dropped = frame.decode().map_err(ReadError::from)?;
        let lane = self.receiver().dropped(&dropped)?;
        let (scope, now) = (self.scope, self.inner.clock.now());
        let committed = match lane {
            Lane::Events => {
                let job = self
                    .inner
                    .writer
                    .write(move |c| events::dropped(c, &scope, &dropped, now));
                job.await.map_err(End::store)?
            }
            Lane::Samples => {
                let correction = ClockCorrection {
                    offset_ms: self.clock().offset_ms(),
                    approximate: true,
                };
                let job = self.inner.samples.dropped(&scope, correction, &dropped);
                job.await.map_err(End::store)?
            }
        };
        let decided = Decided {
            committed,
            seqs: Vec::new(),
            conflicts: Vec::new(),
            want_layouts: Vec::new(),
        };
        self.ack(decided, send);
        Ok(())
    }

    async fn snapshot_part(&self, frame: &Frame) -> Result<(), End> {
        let part: SnapshotPart = frame.decode().map_err(ReadError::from)?;
        let step = self.receiver().snapshot_part(part)?;
        let SnapshotStep::Complete(parts) = step else {
            return Ok(());
        };
        let (scope, lease, now) = (self.scope, self.receiver().lease(), self.inner.clock.now());
        let correction = ClockCorrection {
            offset_ms: self.clock().offset_ms(),
            approximate: false,
        };
        let applied = self
            .inner
            .writer
            .write(move |c| {
                if events::confirmed_lease(c, &scope)? > lease {
                    return Ok(None);
                }
                apply_snapshot(c, &scope, &parts, correction, now).map(Some)
            })
            .await
            .map_err(End::store)?;
        let effects = applied.ok_or(End::Superseded)?;
        self.inner
            .live
            .probes()
            .snapshot_committed(self.scope.probe(), now);
        self.receiver().confirmed();
        self.place.confirmed();
        self.open.send_replace(true);
        self.inner.publish(&effects);
        Ok(())
    }

    fn status(&self, status: Status) {
        let now = self.inner.clock.now();
        let heard_at = now.plus_ms(-half_ms(self.connection.rtt()));
        let clock = {
            let mut clock = self.clock();
            clock.measure(status.now, status.boot_ms, heard_at);
            clock.clone()
        };
        self.inner.clocks().insert(self.scope.probe(), clock);
        self.show_clock();
        self.inner
            .live
            .probes()
            .status(self.scope.probe(), status, now);
    }

    fn show_clock(&self) {
        let offset = self.clock().offset_ms();
        self.inner
            .live
            .probes()
            .clock(self.scope.probe(), offset, false);
    }

    fn correction(&self, boot_id: &str, boot_ms: i64, closed: Timestamp) -> ClockCorrection {
        self.clock().correction(boot_id, boot_ms, closed)
    }

    fn heard(&self) {
        let (tick, now) = (self.inner.tick(), self.inner.clock.now());
        self.receiver().heard(tick);
        self.place.heard.mark(tick, now);
        self.inner.live.probes().heard(self.scope.probe(), now);
    }

    fn publish(&self) {
        let mut effects = crate::live::Effects::new(self.scope.customer(), self.scope.site());
        effects.push(crate::live::Change::Probe {
            probe: self.scope.probe(),
        });
        self.inner.publish(&effects);
    }

    /// What a restart of Central still shows of the probe. A later session's row is left alone.
    async fn write_row(&self) {
        let Some(now) = self.inner.live.probes().get(self.scope.probe()) else {
            return;
        };
        let status = now
            .status
            .and_then(|(_, status)| serde_json::to_string(&status).ok());
        let (probe, lease) = (self.scope.probe(), self.receiver().lease().cast_signed());
        let heard = now.states_as_of;
        let written = self
            .inner
            .writer
            .write(move |c| {
                c.prepare_cached(
                    "UPDATE probes SET last_heard_ms = coalesce(?3, last_heard_ms), last_status = coalesce(?4, last_status)
                     WHERE id = ?1 AND lease_offered = ?2",
                )?
                .execute(params![probe, lease, heard, status])
            })
            .await;
        if let Err(error) = written {
            tracing::warn!(probe.id = %probe, error = %Chain(&error), "the row of a probe could not be brought up to date");
        }
    }

    fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> MutexGuard<'_, ProbeClock> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.ours_is(ours_ms(&self.inner.clock));
        clock
    }
}

/// Our wall clock minus our boot-time clock: it changes when our clock is set.
fn ours_ms(clock: &Clock) -> i64 {
    clock.now().ms().saturating_sub(clock.boot_ms())
}

fn half_ms(rtt: std::time::Duration) -> i64 {
    i64::try_from(rtt.as_millis() / 2).unwrap_or(0)
}

/// A probe that sends without a pause must not keep a thread for itself.
async fn let_others_run(turns: &mut usize) {
    *turns += 1;
    if turns.is_multiple_of(TURN) {
        tokio::task::yield_now().await;
    }
}
