//! A diagnostics bundle: what a person sends to whoever helps, in one file, without secrets.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::clock::Timestamp;

/// A `.tar.gz` that grows file by file. Readable by the owner alone.
pub struct Bundle {
    archive: tar::Builder<GzEncoder<File>>,
    folder: String,
    at: Timestamp,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Bundle {
    /// Begins a new file; its contents unpack into `folder`.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn create(path: &Path, folder: &str, at: Timestamp) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            archive: tar::Builder::new(GzEncoder::new(file, Compression::default())),
            folder: folder.to_owned(),
            at,
        })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// The file system's.
    pub fn add(&mut self, name: &str, contents: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.at.secs()).unwrap_or_default());
        header.set_cksum();
        let path = format!("{}/{name}", self.folder);
        self.archive.append_data(&mut header, path, contents)
    }

    /// Adds what was asked for, or why it could not be had.
    ///
    /// # Errors
    /// The file system's.
    pub fn add_or_why<E: std::fmt::Display>(
        &mut self,
        name: &str,
        contents: Result<Vec<u8>, E>,
    ) -> io::Result<()> {
        match contents {
            Ok(contents) => self.add(name, &contents),
            Err(error) => self.add(&format!("{name}.missing"), error.to_string().as_bytes()),
        }
    }

    /// Ends the file, on disk.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(self) -> io::Result<()> {
        self.archive.into_inner()?.finish()?.sync_all()
    }
}

/// A configuration file's text without what stands between `://` and `@`.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    text.lines()
        .map(|line| {
            let masked = line.split_once("://").and_then(|(before, rest)| {
                let (_, after) = rest.rsplit_once('@')?;
                Some(format!("{before}://***@{after}"))
            });
            masked.unwrap_or_else(|| line.to_owned()) + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_was_added_is_in_it_and_why_something_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.tar.gz");
        let mut bundle = Bundle::create(&path, "farwatch", Timestamp(1_000)).unwrap();
        bundle.add("about.json", b"{}").unwrap();
        bundle
            .add_or_why("ledger.json", Err::<Vec<u8>, _>("no spool"))
            .unwrap();
        bundle.finish().unwrap();
        assert!(Bundle::create(&path, "farwatch", Timestamp(0)).is_err());
        let mut archive =
            tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        let found: Vec<(String, String)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.path().unwrap().display().to_string(), text)
            })
            .collect();
        let expected = [
            ("farwatch/about.json", "{}"),
            ("farwatch/ledger.json.missing", "no spool"),
        ];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn a_proxys_password_stays_out() {
        let text = "proxy = \"http://me:p@ss@proxy:1\"\nfilter = \"info\"";
        assert_eq!(
            without_secrets(text),
            "proxy = \"http://***@proxy:1\"\nfilter = \"info\"\n"
        );
    }
}
