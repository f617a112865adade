//! What the probe asks Central: one stream each, on the session of the moment.

use std::time::Duration;

use farwatch_shared::link::{Connection, Priority, ReadError};
use farwatch_shared::wire::codec::{Message, PULL_LIMIT};
use farwatch_shared::wire::message::batch::DeviceRecord;
use farwatch_shared::wire::message::enroll::CertificateAnswer;
use farwatch_shared::wire::message::pull::{
    ADDRESSES, Addresses, INVENTORY, Inventory, PullRefused, PullRequest, RENEW, SITE_DOCUMENT,
    SiteDocument,
};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long an answer may take; half a megabyte over a slow line fits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a pull brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// There is no session: try again when there is one.
    #[error("not connected")]
    NotConnected,
    /// Central said no.
    #[error("Central refuses: {0}")]
    Refused(String),
    /// The answer could not be read, or the session ended under it.
    #[error("no answer")]
    Read(#[from] ReadError),
    /// It took too long.
    #[error("no answer within {PATIENCE:?}")]
    Late,
}

/// Pulls from Central. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Puller(watch::Receiver<Option<Connection>>);

impl Puller {
    pub(super) const fn new(session: watch::Receiver<Option<Connection>>) -> Self {
        Self(session)
    }

    /// Waits until there is a session.
    pub async fn connected(&self) {
        let mut session = self.0.clone();
        if session.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await; // the uplink has ended, and so will whoever waits
        }
    }

    /// The site's configuration, credentials opened.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn site_document(&self) -> Result<SiteDocument, PullError> {
        self.ask(SITE_DOCUMENT, 0, Vec::new()).await
    }

    /// Everything that Central has of this probe's devices, in the order of their numbers.
    ///
    /// # Errors
    /// [`PullError`]; nothing then.
    pub async fn inventory(&self) -> Result<Vec<DeviceRecord>, PullError> {
        let mut devices: Vec<DeviceRecord> = Vec::new();
        loop {
            let after = devices.last().map_or(0, |device| u64::from(device.device));
            let part: Inventory = self.ask(INVENTORY, after, Vec::new()).await?;
            let moves = part
                .devices
                .last()
                .is_some_and(|last| u64::from(last.device) > after);
            devices.extend(part.devices);
            if !part.more {
                return Ok(devices);
            }
            if !moves {
                return Err(PullError::Refused(
                    "its inventory does not move on".to_owned(),
                ));
            }
        }
    }

    pub(super) async fn addresses(&self) -> Result<Addresses, PullError> {
        self.ask(ADDRESSES, 0, Vec::new()).await
    }

    pub(super) async fn renew(&self, csr: Vec<u8>) -> Result<CertificateAnswer, PullError> {
        self.ask(RENEW, 0, csr).await
    }

    async fn ask<M: Message>(
        &self,
        what: u16,
        after: u64,
        argument: Vec<u8>,
    ) -> Result<M, PullError> {
        let connection = self.0.borrow().clone().ok_or(PullError::NotConnected)?;
        let request = PullRequest {
            what,
            after,
            argument,
        };
        let asked = timeout(PATIENCE, async {
            let (mut send, receive) = connection
                .open(Priority::Events)
                .await
                .map_err(ReadError::from)?;
            send.send(&request).await.map_err(ReadError::from)?;
            send.finish();
            let frame = receive
                .with_limit(PULL_LIMIT)
                .next()
                .await?
                .ok_or(ReadError::Ended)?;
            if frame.is::<PullRefused>() {
                let refused: PullRefused = frame.decode().map_err(ReadError::from)?;
                return Err(PullError::Refused(refused.reason));
            }
            Ok(frame.decode::<M>().map_err(ReadError::from)?)
        })
        .await;
        asked.unwrap_or(Err(PullError::Late))
    }
}
