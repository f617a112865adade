//! How many connections console and API hold at once, and how long one may say nothing.
//!
//! Each costs a descriptor, and the store needs those more: whoever opens connections and stays silent takes up a
//! bounded part of them for a bounded time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum_server::accept::Accept;
use futures::future::BoxFuture;
use nix::sys::resource::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// How long a connection may be open before its first byte comes.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and a connection be kept between two requests.
pub(super) const HEAD: Duration = Duration::from_secs(60);
/// More browsers than that never look at one Central.
const MOST: usize = 4096;
/// The least that lets a person in.
const LEAST: usize = 16;

/// Takes connections as the acceptor inside does, within limits.
#[derive(Clone, Debug)]
pub(super) struct Guard<A> {
    inner: A,
    places: Arc<Semaphore>,
    first_byte: Duration,
}

/// A connection that has a place.
#[derive(Debug)]
pub(super) struct Guarded<I> {
    io: I,
    /// Runs until the first byte has come.
    silent: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

/// The places of one listener: a quarter of the descriptors this process may have.
pub(super) fn places() -> Arc<Semaphore> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let quarter = usize::try_from(soft / 4).unwrap_or(MOST);
    Arc::new(Semaphore::new(quarter.clamp(LEAST, MOST)))
}

impl<A> Guard<A> {
    pub(super) fn new(inner: A, places: Arc<Semaphore>) -> Self {
        Self {
            inner,
            places,
            first_byte: FIRST_BYTE,
        }
    }
}

impl<A, I, S> Accept<I, S> for Guard<A>
where
    A: Accept<I, S, Future: Send + 'static>,
{
    type Stream = Guarded<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        // Nobody waits for a place: what waits holds a descriptor too.
        let place = self.places.clone().try_acquire_owned();
        let first_byte = self.first_byte;
        let accepting = place.map(|place| (self.inner.accept(stream, service), place));
        Box::pin(async move {
            let Ok((accepting, place)) = accepting else {
                tracing::debug!("a connection was closed: all places are taken");
                return Err(io::ErrorKind::QuotaExceeded.into());
            };
            let (io, service) = accepting.await?;
            let guarded = Guarded {
                io,
                silent: Some(Box::pin(sleep(first_byte))),
                _place: place,
            };
            Ok((guarded, service))
        })
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match (
            Pin::new(&mut self.io).poll_read(context, buffer),
            &mut self.silent,
        ) {
            (Poll::Pending, Some(silent)) => {
                ready!(silent.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            (Poll::Pending, None) => Poll::Pending,
            (read, _) => {
                self.silent = None;
                read
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum_server::accept::DefaultAcceptor;
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    fn guard(places: usize) -> Guard<DefaultAcceptor> {
        Guard::new(DefaultAcceptor::new(), Arc::new(Semaphore::new(places)))
    }

    #[tokio::test]
    async fn who_says_nothing_is_hung_up_on_and_who_spoke_is_kept() {
        let guard = Guard {
            first_byte: Duration::from_millis(10),
            ..guard(2)
        };
        let (_silent, held) = duplex(64);
        let (mut held, ()) = guard.accept(held, ()).await.unwrap();
        let (mut speaking, kept) = duplex(64);
        let (mut kept, ()) = guard.accept(kept, ()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut speaking, b"G")
            .await
            .unwrap();
        assert_eq!(kept.read_u8().await.unwrap(), b'G');
        let error = held.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let more = tokio::time::timeout(4 * guard.first_byte, kept.read_u8()).await;
        assert!(more.is_err(), "between two requests another limit counts");
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_ends() {
        let guard = guard(1);
        let (first, ()) = guard.accept(duplex(1).1, ()).await.unwrap();
        let refused = guard.accept(duplex(1).1, ()).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        drop(first);
        guard.accept(duplex(1).1, ()).await.unwrap();
    }
}
