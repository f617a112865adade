//! Documents kept in files beside the spool: whole or not at all, and a flipped bit is seen.

use std::io;
use std::path::Path;

use farwatch_shared::error::Chain;
use farwatch_shared::file;
use farwatch_shared::wire::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// SHA-256 of what follows it.
const DIGEST: usize = 32;

/// Writes a document for this user alone.
///
/// # Errors
/// The file system's; the document before it is still there.
pub fn write(path: &Path, document: &impl Serialize) -> io::Result<()> {
    let body = encode(document);
    file::replace(path, &[Sha256::digest(&body).as_slice(), &body].concat())
}

/// Reads a document; `None` where there is none, or what is there is not what was written.
#[must_use]
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    let whole = bytes
        .split_at_checked(DIGEST)
        .filter(|(digest, body)| Sha256::digest(body).as_slice() == *digest);
    let Some((_, body)) = whole else {
        tracing::error!("{} is damaged; it is not used", path.display());
        return None;
    };
    match decode(body) {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "{} is of another version; it is not used", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_any_bit_flipped_or_cut_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("document");
        assert_eq!(read::<Vec<u32>>(&path), None);
        let document = vec![7_u32, 8, 9];
        write(&path, &document).unwrap();
        assert_eq!(read::<Vec<u32>>(&path), Some(document));
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(read::<Vec<u32>>(&path), None, "bit {bit}");
        }
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert_eq!(read::<Vec<u32>>(&path), None, "{length} bytes");
        }
    }
}
