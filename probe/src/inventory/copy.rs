//! A copy of the inventory beside the spool, for the day on which the spool's file is lost and Central is out of reach.
//!
//! The numbers by which Central knows the devices and their interfaces are what matters: a probe that gave new ones would
//! end their history, and one that waited for Central would watch nothing meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farwatch_shared::error::Chain;
use farwatch_shared::id::ProbeId;
use farwatch_shared::wire::message::batch::DeviceRecord;
use farwatch_shared::wire::{decode, encode};
use rusqlite::Connection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::store;
use crate::kept_file;
use crate::spool::Spool;

/// The copy's file in the data directory.
pub const FILE: &str = "devices.bin";
/// Numbers that may have been given after the copy was written: none of them is given again.
pub const MARGIN: u32 = 1_000;
/// A new device is in the copy after this.
const SOON: Duration = Duration::from_secs(10);
/// And what else changed after this: a change of a record every few seconds does not wear the disk out.
const LATER: Duration = Duration::from_secs(600);

/// The inventory as it was copied.
#[derive(Debug)]
pub struct Copy {
    /// The highest number given until then.
    pub highest: u32,
    /// All devices.
    pub devices: Vec<DeviceRecord>,
}

/// The copy, if there is one of this probe's.
#[must_use]
pub fn load(data_dir: &Path, probe: ProbeId) -> Option<Copy> {
    let parts = kept_file::read_parts(&data_dir.join(FILE))?;
    let (head, records) = parts.split_first()?;
    let (of, highest): (ProbeId, u32) = decode(head).ok()?;
    (of == probe).then(|| Copy {
        highest,
        devices: records
            .iter()
            .filter_map(|record| decode(record).ok())
            .collect(),
    })
}

/// What has been stored of the inventory so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows of it.
    pub rows: u64,
    /// The highest device number given.
    pub highest: u32,
}

/// Keeps the copy.
#[derive(Debug)]
pub struct Copying {
    /// Where the file is.
    pub data_dir: PathBuf,
    /// Which probe this is.
    pub probe: ProbeId,
    /// Whose inventory it is.
    pub spool: Spool,
    /// Moves with every change of a record.
    pub changed: watch::Receiver<Changes>,
}

impl Copying {
    /// Writes the copy whenever the inventory has changed, until `drain`, and then once more.
    pub async fn run(mut self, drain: CancellationToken) {
        let work = async {
            let mut written = Changes::default();
            while self.changed.wait_for(|now| *now != written).await.is_ok() {
                tokio::time::sleep(SOON).await;
                written = *self.changed.borrow();
                self.write().await;
                let newer = |now: &Changes| now.highest != written.highest;
                let _ = tokio::time::timeout(LATER, self.changed.wait_for(newer)).await;
            }
        };
        drain.run_until_cancelled(work).await;
        self.write().await;
    }

    async fn write(&self) {
        let path = self.data_dir.join(FILE);
        let probe = self.probe;
        let copied = self.spool.reading(move |c| copy(c, &path, probe)).await;
        match copied {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the inventory could not be copied"),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the inventory could not be read to copy it");
            }
        }
    }
}

/// Record by record: all of a large site's would take as much memory as watching it.
fn copy(c: &Connection, path: &Path, probe: ProbeId) -> rusqlite::Result<io::Result<()>> {
    let Some(highest) = store::highest(c)? else {
        return Ok(Ok(()));
    };
    let mut failed = Ok(());
    let written = kept_file::write_parts(path, |part| {
        part(&encode(&(probe, highest)))?;
        let mut unwritten = Ok(());
        failed = store::each_record(c, |record| {
            unwritten = part(record);
            unwritten.is_ok()
        });
        match &failed {
            Err(error) => Err(io::Error::other(error.to_string())),
            Ok(()) => unwritten,
        }
    });
    failed.map(|()| written)
}
