//! Documents kept in files beside the spool: whole or not at all, and a flipped bit is seen.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use farwatch_shared::error::Chain;
use farwatch_shared::file;
use farwatch_shared::wire::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// SHA-256 of what stands before it.
const DIGEST: usize = 32;

/// Writes a document for this user alone.
///
/// # Errors
/// The file system's; the document before it is still there.
pub fn write(path: &Path, document: &impl Serialize) -> io::Result<()> {
    write_parts(path, |part| part(&encode(document)))
}

/// Writes a document that is too large to lie in memory: `parts` gives its parts one after the other.
///
/// # Errors
/// The file system's, and those of `parts`; the document before it is still there.
pub fn write_parts(
    path: &Path,
    parts: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
) -> io::Result<()> {
    file::replace_with(path, |out| {
        let mut out = BufWriter::new(out);
        let mut digest = Sha256::new();
        parts(&mut |part| {
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            for bytes in [&length.to_le_bytes(), part] {
                digest.update(bytes);
                out.write_all(bytes)?;
            }
            Ok(())
        })?;
        out.write_all(&digest.finalize())?;
        out.flush()
    })
}

/// Reads a document; `None` where there is none, or what is there is not what was written.
#[must_use]
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let parts = read_parts(path)?;
    match decode(parts.first()?) {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "{} is of another version; it is not used", path.display());
            None
        }
    }
}

/// Reads the parts of a document; `None` as for [`read`].
#[must_use]
pub fn read_parts(path: &Path) -> Option<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).ok()?;
    let parts = parts_of(&bytes);
    if parts.is_none() {
        tracing::error!("{} is damaged; it is not used", path.display());
    }
    parts
}

fn parts_of(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut body, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    if Sha256::digest(body).as_slice() != digest {
        return None;
    }
    let mut parts = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        parts.push(part.to_vec());
        body = rest;
    }
    Some(parts)
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
