//! Backup while running, and restore while not. Both are done by the command's own process: the service may write nowhere
//! but into its data directory.
//!
//! A backup is a directory: `central.db`, `metrics.db`, the sealed days, the CA and the vault's key, and a manifest with
//! their checksums. Whoever has it has everything: keep it as you keep the machine itself. `revocations.log` is not part
//! of it: a restored Central must not forget whom it revoked since.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::sqlite::{self, SqliteError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::store::value::Time;

/// Name of the manifest in a backup.
pub const MANIFEST: &str = "backup.json";
/// Everything but samples.
const CENTRAL: &str = "central.db";
/// Samples that are not sealed yet.
const METRICS: &str = "metrics.db";
/// Directory of the sealed days.
const DAYS: &str = "days";
/// Directory of the CA.
const CA: &str = "ca";

/// What a backup holds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Manifest {
    /// The program that made it.
    pub version: String,
    /// When.
    pub created_at: Time,
    /// Every file.
    pub files: Vec<BackupFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupFile {
    /// Relative to the directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Of its contents.
    pub sha256: String,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The directory has something in it.
    #[error("{path} is not empty: take a new directory")]
    NotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("{path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite says no.
    #[error("{path}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A database could not be opened.
    #[error(transparent)]
    Open(#[from] SqliteError),
    /// No manifest, or one that cannot be read.
    #[error("{path} is not a backup: {MANIFEST} is missing or cannot be read")]
    NoManifest {
        /// Which directory.
        path: PathBuf,
    },
    /// A file is not what the manifest says.
    #[error("{name} is not what the backup was made of: take another backup")]
    Damaged {
        /// Which file.
        name: String,
    },
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError + '_ {
    move |source| BackupError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Copies `data_dir` into `directory` (new or empty), consistently, also while Central runs.
///
/// # Errors
/// [`BackupError`]; the directory may then hold a part, without a manifest.
pub fn create(data_dir: &Path, directory: &Path, now: Timestamp) -> Result<Manifest, BackupError> {
    private_dir(directory)?;
    let mut inside = std::fs::read_dir(directory).map_err(io(directory))?;
    if inside.next().is_some() {
        return Err(BackupError::NotEmpty {
            path: directory.to_owned(),
        });
    }
    let mut files = Vec::new();
    // What is still to be sealed before what is sealed: a chunk that is sealed meanwhile is in both, and counts once.
    // The days are listed after metrics.db was copied, for the same reason. central.db comes last.
    copy(data_dir, directory, METRICS.to_owned(), &mut files)?;
    for name in days(data_dir)? {
        copy(data_dir, directory, name, &mut files)?;
    }
    copy(data_dir, directory, CENTRAL.to_owned(), &mut files)?;
    for name in plain_files(data_dir)? {
        copy_private(&data_dir.join(&name), &directory.join(&name))?;
        files.push(describe(directory, name)?);
    }
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: Time(now),
        files,
    };
    let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    let path = directory.join(MANIFEST);
    write_private(&path, &text)?;
    Ok(manifest)
}

fn copy(
    data_dir: &Path,
    directory: &Path,
    name: String,
    files: &mut Vec<BackupFile>,
) -> Result<(), BackupError> {
    let from = data_dir.join(&name);
    if from.exists() {
        copy_database(&from, &directory.join(&name))?;
        files.push(describe(directory, name)?);
    }
    Ok(())
}

/// Puts a backup in place of what is in `data_dir`; what was there is moved aside, `revocations.log` stays. The caller
/// holds the data directory's lock.
///
/// # Errors
/// [`BackupError`]; nothing is moved before every file of the backup was found right.
pub fn restore(directory: &Path, data_dir: &Path, now: Timestamp) -> Result<PathBuf, BackupError> {
    let missing = || BackupError::NoManifest {
        path: directory.to_owned(),
    };
    let text = std::fs::read(directory.join(MANIFEST)).map_err(|_| missing())?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| missing())?;
    for file in &manifest.files {
        let relative = Path::new(&file.name);
        let plain = relative
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain || describe(directory, file.name.clone()).ok() != Some(file.clone()) {
            return Err(BackupError::Damaged {
                name: file.name.clone(),
            });
        }
    }
    private_dir(data_dir)?;
    let aside = data_dir.join(format!("before-restore-{}", now.ms()));
    private_dir(&aside)?;
    let databases = [CENTRAL, METRICS].into_iter().flat_map(|name| {
        [
            name.to_owned(),
            format!("{name}-wal"),
            format!("{name}-shm"),
        ]
    });
    let parts = [DAYS, CA, crate::vault::KEY_FILE].map(str::to_owned);
    for name in databases.chain(parts) {
        let from = data_dir.join(&name);
        if from.exists() {
            std::fs::rename(&from, aside.join(&name)).map_err(io(&from))?;
        }
    }
    for file in &manifest.files {
        copy_private(&directory.join(&file.name), &data_dir.join(&file.name))?;
    }
    give_to_owner(data_dir, &aside, &manifest)?;
    Ok(aside)
}

/// Root restores for whoever owns the data directory: the service could not read root's files.
fn give_to_owner(data_dir: &Path, aside: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(data_dir).map_err(io(data_dir))?;
    let files = manifest.files.iter().map(|file| data_dir.join(&file.name));
    let directories = [DAYS, CA].map(|name| data_dir.join(name));
    for path in files.chain(directories).chain([aside.to_owned()]) {
        match std::fs::metadata(&path) {
            Ok(now) if (now.uid(), now.gid()) == (owner.uid(), owner.gid()) => {}
            Ok(_) => std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid()))
                .map_err(io(&path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(BackupError::Io { path, source }),
        }
    }
    Ok(())
}

fn days(data_dir: &Path) -> Result<Vec<String>, BackupError> {
    names_in(data_dir, DAYS, |name| name.ends_with(".db"))
}

fn plain_files(data_dir: &Path) -> Result<Vec<String>, BackupError> {
    let mut files = names_in(data_dir, CA, |_| true)?;
    if data_dir.join(crate::vault::KEY_FILE).exists() {
        files.push(crate::vault::KEY_FILE.to_owned());
    }
    Ok(files)
}

fn names_in(
    data_dir: &Path,
    sub: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, BackupError> {
    let path = data_dir.join(sub);
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(io(&path))? {
        let entry = entry.map_err(io(&path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().map_err(io(&path))?.is_file();
        if is_file && wanted(&name) {
            names.push(format!("{sub}/{name}"));
        }
    }
    names.sort();
    Ok(names)
}

/// SQLite's online backup: one consistent state, whatever is written meanwhile.
pub(crate) fn copy_database(from: &Path, to: &Path) -> Result<(), BackupError> {
    if let Some(parent) = to.parent() {
        private_dir(parent)?;
    }
    // The file is made with its mode before SQLite fills it.
    write_private(to, b"")?;
    let connection = sqlite::open_reader(from)?;
    connection
        .backup(
            rusqlite::MAIN_DB,
            to,
            None::<fn(rusqlite::backup::Progress)>,
        )
        .map_err(|source| BackupError::Sqlite {
            path: to.to_owned(),
            source,
        })?;
    std::fs::File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(io(to))
}

fn copy_private(from: &Path, to: &Path) -> Result<(), BackupError> {
    if let Some(parent) = to.parent() {
        private_dir(parent)?;
    }
    let mut source = std::fs::File::open(from).map_err(io(from))?;
    let mut target = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(io(to))?;
    std::io::copy(&mut source, &mut target).map_err(io(to))?;
    target.sync_all().map_err(io(to))
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io(path))?;
    file.write_all(bytes).map_err(io(path))?;
    file.sync_all().map_err(io(path))
}

fn private_dir(path: &Path) -> Result<(), BackupError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io(path))
}

fn describe(directory: &Path, name: String) -> Result<BackupFile, BackupError> {
    let path = directory.join(&name);
    let mut file = std::fs::File::open(&path).map_err(io(&path))?;
    let mut hash = Sha256::new();
    let bytes = std::io::copy(&mut file, &mut hash).map_err(io(&path))?;
    Ok(BackupFile {
        name,
        bytes,
        sha256: HEXLOWER.encode(&hash.finalize()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::vault::Vault;

    #[tokio::test]
    async fn a_backup_of_a_running_central_restores_elsewhere_with_its_secrets() {
        let (home, copy, other) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let store = Store::open(home.path(), Timestamp(1)).unwrap();
        let vault = Vault::open(home.path()).unwrap();
        std::fs::create_dir(home.path().join("ca")).unwrap();
        std::fs::write(home.path().join("ca/ca.pem"), b"certificate").unwrap();
        std::fs::write(home.path().join("revocations.log"), b"old").unwrap();
        let add = |name: &'static str| {
            store.write(move |c| {
                c.execute(
                    "INSERT INTO customers (id, name, created_ms) VALUES (randomblob(16), ?1, 0)",
                    [name],
                )
            })
        };
        add("before").await.unwrap();
        let manifest = create(home.path(), &copy.path().join("b"), Timestamp(2)).unwrap();
        add("after").await.unwrap();
        assert!(
            !manifest
                .files
                .iter()
                .any(|file| file.name.contains("revocations"))
        );
        assert!(matches!(
            create(home.path(), &copy.path().join("b"), Timestamp(3)),
            Err(BackupError::NotEmpty { .. })
        ));

        std::fs::write(other.path().join("revocations.log"), b"newer").unwrap();
        std::fs::write(other.path().join("central.db"), b"something else").unwrap();
        let aside = restore(&copy.path().join("b"), other.path(), Timestamp(4)).unwrap();
        assert_eq!(
            std::fs::read(aside.join("central.db")).unwrap(),
            b"something else"
        );
        assert_eq!(
            std::fs::read(other.path().join("revocations.log")).unwrap(),
            b"newer"
        );
        assert_eq!(
            std::fs::read(other.path().join("ca/ca.pem")).unwrap(),
            b"certificate"
        );
        assert_eq!(Vault::open(other.path()).unwrap().key_id(), vault.key_id());
        let restored = Store::open(other.path(), Timestamp(5)).unwrap();
        let names: Vec<String> = restored
            .read(|c| {
                c.prepare("SELECT name FROM customers")?
                    .query_map([], |row| row.get(0))?
                    .collect()
            })
            .await
            .unwrap();
        assert_eq!(names, ["before"]);
    }

    #[test]
    fn a_damaged_or_hostile_backup_changes_nothing() {
        let (copy, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("central.db"), b"mine").unwrap();
        assert!(matches!(
            restore(copy.path(), home.path(), Timestamp(1)),
            Err(BackupError::NoManifest { .. })
        ));
        for (name, bytes) in [("central.db", 3), ("../escape", 4)] {
            std::fs::write(copy.path().join("central.db"), b"data").unwrap();
            let file = BackupFile {
                name: name.to_owned(),
                bytes,
                sha256: HEXLOWER.encode(&Sha256::digest(b"data")),
            };
            let manifest = Manifest {
                version: "0".into(),
                created_at: Time(Timestamp(0)),
                files: vec![file],
            };
            std::fs::write(
                copy.path().join(MANIFEST),
                serde_json::to_vec(&manifest).unwrap(),
            )
            .unwrap();
            assert!(
                matches!(
                    restore(copy.path(), home.path(), Timestamp(1)),
                    Err(BackupError::Damaged { .. })
                ),
                "{name}"
            );
            assert_eq!(
                std::fs::read(home.path().join("central.db")).unwrap(),
                b"mine"
            );
        }
    }
}
