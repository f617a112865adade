//! A file that only takes up room: when the disk is full it goes, and a person can still sign in and delete something.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Its name in the data directory.
pub const NAME: &str = "reserve";
/// The most that it takes.
const MOST_BYTES: u64 = 64 * 1_024 * 1_024;

/// Makes it again, where there is room for three of it. `false` when there is not.
///
/// # Errors
/// The file system's own.
pub fn keep(data_dir: &Path) -> io::Result<bool> {
    let path = data_dir.join(NAME);
    let stat = statvfs(data_dir)?;
    let unit = stat.fragment_size();
    let bytes = MOST_BYTES.min(stat.blocks().saturating_mul(unit) / 20);
    if path.metadata().is_ok_and(|meta| meta.len() >= bytes) {
        return Ok(true);
    }
    if stat.blocks_available().saturating_mul(unit) < bytes.saturating_mul(3) {
        return Ok(false);
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)?;
    let length = i64::try_from(bytes).unwrap_or(i64::MAX);
    nix::fcntl::posix_fallocate(&file, 0, length)?;
    file.sync_all()?;
    Ok(true)
}

/// Lets it go; `true` when there was one.
pub fn release(data_dir: &Path) -> bool {
    std::fs::remove_file(data_dir.join(NAME)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_takes_room_until_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        if keep(dir.path()).unwrap() {
            assert!(dir.path().join(NAME).metadata().unwrap().len() > 0);
            assert!(release(dir.path()));
        }
        assert!(!release(dir.path()));
    }
}
