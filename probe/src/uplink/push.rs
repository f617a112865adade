//! The three streams of batches: what the sender orders is read from the spool and sent; what is acknowledged is settled.

use farwatch_shared::failpoint;
use farwatch_shared::link::{
    Closed, Connection, Frame, FrameReceiver, FrameSender, Priority, ReadError,
};
use farwatch_shared::model::GapReason;
use farwatch_shared::session::Stream;
use farwatch_shared::session::sender::Next;
use farwatch_shared::wire;
use farwatch_shared::wire::codec::Message as _;
use farwatch_shared::wire::message::batch::Batch;
use farwatch_shared::wire::message::session::{Ack, BACKLOG, LIVE, StreamOpen};
use tokio::sync::{Mutex, Notify};

use super::{Parts, ms_until};
use crate::spool::SpoolError;

/// Why pushing ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    /// The connection or a stream has ended, or Central sent what is no frame.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This machine cannot read or settle its spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl From<Closed> for PushError {
    fn from(closed: Closed) -> Self {
        Self::Read(closed.into())
    }
}

/// What the streams of one session share.
#[derive(Debug, Default)]
pub(super) struct Pump {
    /// Ordering, reading and counting happen under one hand, so that the streams together keep to the bound.
    hand: Mutex<()>,
    /// There may be something to send: an ack made room, or the spool has more.
    pub(super) more: Notify,
}

/// What a stream does next.
pub(super) enum Filled {
    /// Batches are queued: flush them.
    Yes,
    /// Nothing for now; until then at the latest, when there is a time.
    No(Option<std::time::Duration>),
}

impl Pump {
    /// Queues the next batches of a stream.
    pub(super) async fn fill(
        &self,
        parts: &Parts,
        stream: Stream,
        send: &mut FrameSender,
    ) -> Result<Filled, SpoolError> {
        let _hand = self.hand.lock().await;
        loop {
            let now = parts.tick();
            let next = parts.sender().next(stream, now);
            let order = match next {
                Next::Send(order) => order,
                Next::Wait(until) => return Ok(Filled::No(Some(ms_until(until, now)))),
                Next::Idle => return Ok(Filled::No(None)),
            };
            let read = parts.spool.read(order).await?;
            for key in &read.missing {
                parts.sender().missing(*key);
            }
            for key in &read.damaged {
                tracing::error!("batch {key} is damaged in the spool; it is set aside");
                parts.spool.set_aside(*key, GapReason::Quarantined).await?;
            }
            if !read.damaged.is_empty() {
                parts.refresh().await?;
            }
            if read.batches.is_empty() {
                if read.missing.is_empty() && read.damaged.is_empty() {
                    return Ok(Filled::No(None));
                }
                continue;
            }
            for batch in read.batches {
                let key = farwatch_shared::model::BatchKey {
                    epoch: batch.epoch,
                    lane: order.lane,
                    seq: batch.seq,
                };
                parts.sender().sent(stream, key, batch.body.len() as u64);
                send.queue_payload(Batch::TYPE, Batch::VERSION, &wire::encode(&batch));
            }
            failpoint::hit("P5");
            return Ok(Filled::Yes);
        }
    }

    /// The live or the backlog stream, until the session ends.
    pub(super) async fn stream(
        &self,
        parts: &Parts,
        connection: &Connection,
        stream: Stream,
    ) -> Result<(), PushError> {
        let (kind, priority) = match stream {
            Stream::Live => (LIVE, Priority::Live),
            Stream::Backlog => (BACKLOG, Priority::Backlog),
            Stream::Events => return Ok(()), // the session drives that one itself
        };
        let (mut send, mut receive) = connection.open(priority).await?;
        send.send(&StreamOpen { kind }).await?;
        tokio::try_join!(
            self.send(parts, stream, &mut send),
            self.acks(parts, &mut receive)
        )?;
        Ok(())
    }

    async fn send(
        &self,
        parts: &Parts,
        stream: Stream,
        send: &mut FrameSender,
    ) -> Result<(), PushError> {
        loop {
            // Listening begins before looking, so that nothing that becomes due between the two is missed.
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            match self.fill(parts, stream, send).await? {
                Filled::Yes => send.flush().await?,
                Filled::No(Some(wait)) => {
                    let _ = tokio::time::timeout(wait, more).await;
                }
                Filled::No(None) => more.await,
            }
        }
    }

    async fn acks(&self, parts: &Parts, receive: &mut FrameReceiver) -> Result<(), PushError> {
        while let Some(frame) = receive.next().await? {
            if frame.is::<Ack>() {
                self.ack(parts, &frame).await?;
            }
        }
        Err(ReadError::Ended.into())
    }

    /// Settles what an ack says.
    pub(super) async fn ack(&self, parts: &Parts, frame: &Frame) -> Result<(), PushError> {
        let ack: Ack = frame.decode().map_err(ReadError::from)?;
        failpoint::hit("P6");
        let acked = parts.sender().ack(&ack);
        parts.revisions.send_if_modified(|told| {
            let news = ack.config_revision > told.config || ack.addresses_revision > told.addresses;
            told.config = told.config.max(ack.config_revision);
            told.addresses = told.addresses.max(ack.addresses_revision);
            news
        });
        parts.spool.settle(acked.settlement).await?;
        let mut changed = false;
        if !acked.conflicts.is_empty() {
            tracing::warn!(
                "{} batches get new keys: Central has others under theirs",
                acked.conflicts.len()
            );
            parts.spool.rekey(acked.conflicts).await?;
            changed = true;
        }
        if !acked.want_layouts.is_empty() {
            parts.spool.emit_layouts(acked.want_layouts).await?;
            changed = true;
        }
        if changed {
            parts.refresh().await?;
        }
        self.more.notify_waiters();
        Ok(())
    }
}
