//! A small disk that can be filled: a tmpfs of a few megabytes in a mount namespace of the test's own.
//!
//! The test runs itself again inside ([`inside`]); what it mounts there is seen by the programs it starts, by nobody
//! else, and gone with it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Runs the ignored test `inner` of this program inside a new mount namespace: as root, else as root of a user namespace
/// of one's own. Says so when there can be none.
///
/// # Panics
/// The inner test failed.
pub fn inside(inner: &str) {
    let program = std::env::current_exe().expect("the test's own path");
    let mut why = String::new();
    for namespace in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let can = Command::new("unshare")
            .args(namespace)
            .args([
                "--", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt",
            ])
            .output();
        match can {
            Ok(can) if can.status.success() => {}
            Ok(can) => {
                why = String::from_utf8_lossy(&can.stderr).into_owned();
                continue;
            }
            Err(error) => {
                why = error.to_string();
                continue;
            }
        }
        let run = Command::new("unshare")
            .args(namespace)
            .arg("--")
            .arg(&program)
            .args(["--exact", inner, "--ignored", "--nocapture"])
            .output()
            .expect("unshare was just there");
        let said = String::from_utf8_lossy(&run.stdout);
        let wrong = String::from_utf8_lossy(&run.stderr);
        eprintln!("{said}");
        assert!(
            run.status.success() && said.contains("1 passed"),
            "{said}{wrong}"
        );
        return;
    }
    eprintln!("skipped: no disk of its own can be mounted here: {why}");
}

/// A disk of a few megabytes.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts it at `at`, which is made.
    ///
    /// # Errors
    /// What `mount` said.
    pub fn mount(at: &Path, mib: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let run = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mib}m,mode=0700"),
                "none",
            ])
            .arg(at)
            .output()
            .context("mount")?;
        ensure!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        Ok(Self { at: at.to_owned() })
    }

    /// Somebody else fills it, to the last byte when `leave` is 0.
    ///
    /// # Errors
    /// The file system's own, other than that it is full.
    pub fn fill(&self, leave: u64) -> anyhow::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())?;
        let block = vec![0x66; 64 * 1_024];
        loop {
            let size = block
                .len()
                .min(usize::try_from(self.free()?.saturating_sub(leave))?);
            if size == 0 {
                return Ok(());
            }
            match file.write_all(&block[..size]) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whoever filled it goes away.
    ///
    /// # Errors
    /// The file system's own.
    pub fn free_again(&self) -> anyhow::Result<()> {
        File::create(self.filler())?;
        Ok(())
    }

    /// Bytes that are free.
    ///
    /// # Errors
    /// The file system's own.
    pub fn free(&self) -> anyhow::Result<u64> {
        let stat = nix::sys::statvfs::statvfs(&self.at)?;
        Ok(stat.blocks_available() * stat.fragment_size())
    }

    fn filler(&self) -> PathBuf {
        self.at.join("somebody-elses")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It goes with the namespace in any case.
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}
