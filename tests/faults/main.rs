//! What disks, clocks, machines and sites do to us. README.md beside this says which rig proves which promise, and how
//! much of it was run.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod certificates;
mod clock;
mod damage;
mod full;
mod machine;
mod migration;
mod power;

use std::path::{Path, PathBuf};

/// Copies a directory tree: files and directories, nothing else.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, at) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &at)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), at)?;
        }
    }
    Ok(())
}

/// `FARWATCH_SEED`: a number, or `random`; printed, so that a failure can be had again. Each change throws the same dice,
/// so that what it is judged by is the change; nights throw others.
fn seed() -> u64 {
    let seed = match std::env::var("FARWATCH_SEED").as_deref() {
        Ok("random") => rand::random(),
        Ok(text) => text.parse().unwrap(),
        Err(_) => 1,
    };
    eprintln!("seed {seed}: repeat with FARWATCH_SEED={seed}");
    seed
}

/// `FARWATCH_SCALE` times `once`.
fn scaled(once: u64) -> u64 {
    let scale: f64 = std::env::var("FARWATCH_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count of tests"
    )]
    let count = (once as f64 * scale).ceil() as u64;
    count.max(1)
}

/// A directory in memory where there is one: nothing that a rig writes has to outlive it.
fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap()
}
