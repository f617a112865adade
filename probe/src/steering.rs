//! Keeps the site's document: from its file at start, from Central whenever that has a newer one.
//!
//! A probe whose inventory is empty first takes over what Central knows of its devices: else it would give new numbers
//! to old devices, and their history would end.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::error::Chain;
use farwatch_shared::wire::message::pull::SiteDocument;
use farwatch_shared::wire::{decode, encode};
use ipnet::Ipv4Net;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Narrow;
use crate::config::site::Site;
use crate::monitor::Monitor;
use crate::uplink::{PullError, Revisions, UplinkHandle};

/// The document's file in the data directory; it holds secrets, 0600.
pub const FILE: &str = "site.bin";
/// A pull that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// What the loop is made of.
#[derive(Debug)]
pub struct Steering {
    /// Where the file is.
    pub data_dir: PathBuf,
    /// `probe.toml`'s word.
    pub narrow: Narrow,
    /// The probe's own networks.
    pub own: fn() -> Vec<Ipv4Net>,
    /// Central.
    pub uplink: UplinkHandle,
    /// Who is told first.
    pub monitor: Monitor,
    /// Who is told then.
    pub site: watch::Sender<Arc<Site>>,
    /// The inventory is ours, and need not be asked of Central.
    pub is_complete: bool,
    /// When this start made the spool anew.
    pub born: Option<Timestamp>,
}

impl Steering {
    /// Runs until `drain`.
    pub async fn run(self, drain: CancellationToken) {
        let work = async {
            let mut revisions = self.uplink.revisions();
            if !self.is_complete {
                self.take_over(&mut revisions).await;
            }
            let mut applied = match load(&self.data_dir) {
                Some(document) => {
                    self.apply(&document).await;
                    document.revision
                }
                None => 0,
            };
            loop {
                let now = *revisions.borrow_and_update();
                if now.session > 0 {
                    if now.highest_device_no > self.monitor.highest_device_no() {
                        self.monitor
                            .restore(Vec::new(), now.highest_device_no)
                            .await;
                    }
                    // Not "newer": a Central that was restored may well have an older one, and it counts.
                    if now.config != applied || applied == 0 {
                        match self.uplink.puller().site_document().await {
                            Ok(document) => {
                                applied = document.revision;
                                self.apply(&document).await;
                                keep(&self.data_dir, &document);
                            }
                            Err(error) => {
                                tracing::warn!(error = %Chain(&error), "the site's configuration could not be pulled");
                                tokio::time::sleep(AGAIN).await;
                                if !matches!(error, PullError::NotConnected) {
                                    continue;
                                }
                            }
                        }
                        if revisions.borrow().config != applied && applied != 0 {
                            // It moved while it was pulled, or Central gave another than it named.
                            tokio::time::sleep(Duration::from_secs(1)).await;
                            if *revisions.borrow() != now {
                                continue;
                            }
                        }
                    }
                }
                if revisions.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        drain.run_until_cancelled(work).await;
    }

    async fn apply(&self, document: &SiteDocument) {
        let site = Arc::new(Site::from_document(document, &(self.own)(), &self.narrow));
        tracing::info!(
            revision = site.revision,
            "the site's configuration: {} ranges, {} credentials, ports {:?}",
            site.scope.ranges.len(),
            site.credentials.len(),
            site.snmp_ports
        );
        self.monitor.set_site(site.clone()).await;
        self.site.send_replace(site);
    }

    /// Waits for the first session, and takes over what Central knows.
    async fn take_over(&self, revisions: &mut watch::Receiver<Revisions>) {
        loop {
            let Ok(now) = revisions
                .wait_for(|now| now.session > 0)
                .await
                .map(|now| *now)
            else {
                return std::future::pending().await;
            };
            let records = if now.highest_device_no == 0 {
                Ok(Vec::new())
            } else {
                self.uplink.puller().inventory().await
            };
            match records {
                Ok(records) => {
                    if !records.is_empty() {
                        tracing::info!("took over {} devices from Central", records.len());
                    }
                    self.monitor.restore(records, now.highest_device_no).await;
                    if let Some(born) = self.born
                        && now.highest_device_no > 0
                    {
                        self.monitor.off_since(born).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the inventory could not be pulled; nothing is watched until it is");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// The document as it was last pulled.
#[must_use]
pub fn load(data_dir: &Path) -> Option<SiteDocument> {
    let bytes = std::fs::read(data_dir.join(FILE)).ok()?;
    match decode(&bytes) {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "the site's configuration on disk cannot be read; Central is asked");
            None
        }
    }
}

fn keep(data_dir: &Path, document: &SiteDocument) {
    let path = data_dir.join(FILE);
    let temporary = data_dir.join("site.bin.new");
    let written = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&encode(document))?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    };
    if let Err(error) = written() {
        tracing::warn!(%error, "the site's configuration could not be kept; it is pulled again after a restart");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_document_is_kept_for_this_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).is_none());
        let document = SiteDocument {
            revision: 7,
            names: Default::default(),
            ranges: vec!["10.0.0.0/24".to_owned()],
            exclude: Vec::new(),
            addresses: Vec::new(),
            snmp_ports: vec![161],
            allow_loopback: false,
            icmp_interval_s: 10,
            poll_interval_s: 60,
            inventory_interval_s: 3_600,
            discovery_interval_s: 3_600,
            icmp_rate_per_s: 100,
            credentials: Vec::new(),
            at: Timestamp(5),
        };
        keep(dir.path(), &document);
        keep(dir.path(), &document);
        assert_eq!(load(dir.path()), Some(document));
        let mode = std::fs::metadata(dir.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(FILE), b"nonsense").unwrap();
        assert!(load(dir.path()).is_none());
    }
}
