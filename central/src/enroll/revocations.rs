//! Who was revoked: an append-only file outside every backup, so that restoring yesterday's database gives nobody back
//! what was taken today.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Serialize, Deserialize)]
struct Line {
    at: String,
    probe: ProbeId,
    reason: String,
}

/// The list, in memory and on disk.
#[derive(Debug)]
pub struct Revocations {
    path: PathBuf,
    probes: Mutex<HashSet<ProbeId>>,
}

impl Revocations {
    /// Reads the list; an absent file is an empty one.
    ///
    /// # Errors
    /// The file is there and cannot be read: then nobody may be let in.
    pub fn open(path: &Path) -> io::Result<Self> {
        let this = Self {
            path: path.to_owned(),
            probes: Mutex::default(),
        };
        this.reload()?;
        Ok(this)
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// It cannot be read; the list stays as it was.
    pub fn reload(&self) -> io::Result<()> {
        // A damaged line takes no other with it: what is not text is none that names a probe.
        let text = match fs::read(&self.path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut probes = self.lock();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str::<Line>(line) {
                Ok(line) => {
                    probes.insert(line.probe);
                }
                // Torn by a crash: its row in the database says the same, and is copied here at the next start.
                Err(error) => {
                    tracing::warn!(%error, "a line of {} cannot be read", self.path.display())
                }
            }
        }
        Ok(())
    }

    /// Whether `probe` was revoked.
    #[must_use]
    pub fn contains(&self, probe: ProbeId) -> bool {
        self.lock().contains(&probe)
    }

    /// Everybody who was revoked.
    #[must_use]
    pub fn all(&self) -> Vec<ProbeId> {
        self.lock().iter().copied().collect()
    }

    /// Adds a line and waits until it is on disk. In memory it counts even when the disk refuses.
    ///
    /// # Errors
    /// The disk's.
    pub fn add(&self, probe: ProbeId, reason: &str, now: Timestamp) -> io::Result<()> {
        self.lock().insert(probe);
        let line = Line {
            at: now.to_string(),
            probe,
            reason: reason.to_owned(),
        };
        // A line break first: whatever a crash left of the line before ends there.
        let mut text = String::from("\n");
        text.push_str(&serde_json::to_string(&line).map_err(io::Error::other)?);
        text.push('\n');
        let fresh = !self.path.exists();
        let mut file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if fresh && let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ProbeId>> {
        // A set of ids is whole whatever happened to the thread that held it.
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_survives_a_restart_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revocations.log");
        let (one, two) = (ProbeId::generate(), ProbeId::generate());
        Revocations::open(&path)
            .unwrap()
            .add(one, "left", Timestamp(1))
            .unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"at\":\"torn").unwrap();
        let again = Revocations::open(&path).unwrap();
        again.add(two, "\"quoted\"\nline", Timestamp(2)).unwrap();
        let last = Revocations::open(&path).unwrap();
        assert!(last.contains(one) && last.contains(two));
        assert_eq!(last.all().len(), 2);
        assert!(!last.contains(ProbeId::generate()));
    }
}
