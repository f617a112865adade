//! Profiles from folders: a site's own, on top of those that come with the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use farwatch_shared::profile::{Level, Library, SourceFile, builtin};

/// What comes with the program, under a site's own where there are some. What is wrong with those is logged and left out.
#[must_use]
pub fn library(own: &Path) -> Library {
    let mut folders = Vec::new();
    if own.is_dir() {
        match files_in(own) {
            Ok(files) => folders.push(files),
            Err(error) => tracing::warn!("the site's profiles cannot be read: {error:#}"),
        }
    }
    let of_site = folders.iter().map(Vec::len).sum::<usize>();
    folders.push(builtin::files());
    let (library, notes) = Library::load(folders);
    for note in notes.iter().take(NOTES_LOGGED) {
        tracing::warn!("profile {note}");
    }
    let errors = notes
        .iter()
        .filter(|note| note.level == Level::Error)
        .count();
    tracing::debug!(profiles = library.len(), of_site, errors, "profiles");
    library
}

/// Notes of one start in the log; `profile lint` says all.
const NOTES_LOGGED: usize = 50;

/// The profiles of a folder, with their paths below it.
///
/// # Errors
/// A file or folder that cannot be read.
pub fn files_in(dir: &Path) -> anyhow::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in found(dir, &["yaml", "yml"])? {
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        files.push(SourceFile {
            name: Arc::from(path.strip_prefix(dir)?.to_string_lossy().as_ref()),
            text: String::from_utf8_lossy(&text).into_owned().into(),
        });
    }
    Ok(files)
}

/// Files of a folder and those below, in order of their names.
///
/// # Errors
/// A folder that cannot be read.
pub fn found(dir: &Path, endings: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                dirs.push(path);
            } else if ending.is_some_and(|ending| endings.contains(&ending)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
