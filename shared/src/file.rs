//! Small files that must be whole: keys, certificates, documents.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, fchown};
use std::path::Path;

/// Writes a file of mode 0600 so that it is whole, old or new, whatever happens. Root writes for the directory's owner:
/// a command run by `sudo` leaves nothing that the service may not read.
///
/// # Errors
/// The file system's; the old content is still there.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_with(path, |out| out.write_all(content))
}

/// The same for what is too large to lie in memory: `write` is given the file.
///
/// # Errors
/// The file system's, and those of `write`; the old content is still there.
pub fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut fs::File) -> io::Result<()>,
) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = dir.join(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let owner = fs::metadata(dir)?;
    if owner.uid() != out.metadata()?.uid() {
        fchown(&out, Some(owner.uid()), Some(owner.gid()))?;
    }
    write(&mut out)?;
    out.sync_all()?;
    fs::rename(&new, path)?;
    sync_dir(dir)
}

/// Makes a directory of mode 0700, and those above it, where there is none; as root for the owner of the one it lies in.
///
/// # Errors
/// The file system's.
pub fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or_else(|| Path::new("."));
    make_dir(above)?;
    fs::DirBuilder::new().mode(0o700).create(path)?;
    let owner = fs::metadata(above)?;
    if owner.uid() != fs::metadata(path)?.uid() {
        chown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Makes names that were given or taken in a directory durable.
///
/// # Errors
/// The file system's.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a").join("b");
        make_dir(&path).unwrap();
        make_dir(&path).unwrap();
        for path in [&path, &dir.path().join("a")] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
    }

    #[test]
    fn a_file_is_replaced_whole_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        // What a crash left behind, readable by all, is not written into.
        fs::write(dir.path().join("key.pem.new"), "half a k").unwrap();
        for content in ["one", "another"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        replace(&dir.path().join("none").join("key.pem"), b"x").unwrap_err();
    }
}
