//! Keeps the site's document: from its file at start, from Central whenever that has a newer one.
//!
//! A probe whose inventory is empty first takes over what Central knows of its devices: else it would give new numbers
//! to old devices, and their history would end. Where only the spool was lost, the copy beside it serves at once, so that
//! devices are watched also while Central cannot be reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::error::Chain;
use farwatch_shared::id::ProbeId;
use farwatch_shared::wire::message::batch::DeviceRecord;
use farwatch_shared::wire::message::pull::SiteDocument;
use ipnet::Ipv4Net;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Narrow;
use crate::config::site::Site;
use crate::inventory::copy;
use crate::kept_file;
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
    /// Which probe this is.
    pub probe: ProbeId,
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
            let document = load(&self.data_dir);
            if let Some(document) = &document {
                // Before there are devices: without a site they would lie outside of its ranges.
                self.monitor.set_site(self.site_of(document)).await;
            }
            let mut owes = !self.is_complete;
            let mut born = self.born;
            if owes && self.take_copy(born).await {
                born = None;
            } else if owes {
                self.take_over(&mut revisions, born).await;
                owes = false;
            }
            let mut applied = 0;
            if let Some(document) = &document {
                self.apply(document).await;
                applied = document.revision;
            }
            loop {
                let now = *revisions.borrow_and_update();
                if now.session > 0 {
                    if std::mem::take(&mut owes) {
                        // Central may know devices that the copy did not.
                        self.take_over(&mut revisions, born).await;
                        continue;
                    }
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
        let site = self.site_of(document);
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

    fn site_of(&self, document: &SiteDocument) -> Arc<Site> {
        Arc::new(Site::from_document(document, &(self.own)(), &self.narrow))
    }

    /// Takes over the copy that lies beside the spool; whether there was one.
    async fn take_copy(&self, born: Option<Timestamp>) -> bool {
        let Some(copy) = copy::load(&self.data_dir, self.probe) else {
            return false;
        };
        tracing::warn!(
            "took over {} devices from the copy of the inventory",
            copy.devices.len()
        );
        let highest = copy.highest.saturating_add(copy::MARGIN);
        self.monitor.restore(copy.devices, highest).await;
        if let Some(born) = born {
            self.monitor.off_since(born).await;
        }
        true
    }

    /// What Central knows of this probe's devices. The monitor is told the site's document before it.
    async fn known_at_central(&self, now: Revisions) -> Result<Vec<DeviceRecord>, PullError> {
        if now.highest_device_no == 0 {
            return Ok(Vec::new());
        }
        let document = self.uplink.puller().site_document().await?;
        self.monitor.set_site(self.site_of(&document)).await;
        self.uplink.puller().inventory().await
    }

    /// Waits for the first session, and takes over what Central knows.
    async fn take_over(&self, revisions: &mut watch::Receiver<Revisions>, born: Option<Timestamp>) {
        loop {
            let Ok(now) = revisions
                .wait_for(|now| now.session > 0)
                .await
                .map(|now| *now)
            else {
                return std::future::pending().await;
            };
            match self.known_at_central(now).await {
                Ok(records) => {
                    if !records.is_empty() {
                        tracing::info!("took over {} devices from Central", records.len());
                    }
                    self.monitor.restore(records, now.highest_device_no).await;
                    if let Some(born) = born
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
    kept_file::read(&data_dir.join(FILE))
}

fn keep(data_dir: &Path, document: &SiteDocument) {
    if let Err(error) = kept_file::write(&data_dir.join(FILE), document) {
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
    }
}
