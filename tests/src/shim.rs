//! A library between our programs and the C library: writes down what they do to files, moves their clocks while they
//! run, takes descriptors, memory or names away from them. See `shim/shim.c`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, ensure};

const SOURCE: &str = include_str!("shim/shim.c");

/// Environment of one of our programs.
pub type Envs = Vec<(String, String)>;

/// The built library, in a directory that goes with it.
#[derive(Debug)]
pub struct Shim {
    dir: tempfile::TempDir,
    library: PathBuf,
}

impl Shim {
    /// Builds it; `None`, and a word on standard error, where there is no C compiler.
    ///
    /// # Panics
    /// The compiler refuses the source.
    #[must_use]
    pub fn build() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory for the shim");
        let (source, library) = (dir.path().join("shim.c"), dir.path().join("shim.so"));
        std::fs::write(&source, SOURCE).expect("the shim's source");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output();
        match built {
            Err(error) => {
                eprintln!(
                    "skipped: no C compiler (cc) is here to build the rig's shim with: {error}"
                );
                None
            }
            Ok(built) => {
                let said = String::from_utf8_lossy(&built.stderr);
                assert!(built.status.success(), "the shim: {said}");
                Some(Self { dir, library })
            }
        }
    }

    /// What every program under the shim has in its environment.
    #[must_use]
    pub fn envs(&self) -> Envs {
        vec![pair("LD_PRELOAD", &self.library)]
    }

    /// Environment of a program whose files below `traced` are written down in `trace`.
    #[must_use]
    pub fn tracing(&self, trace: &Path, traced: &Path) -> Envs {
        let mut envs = self.envs();
        envs.push(pair("FARWATCH_TRACE", trace));
        envs.push(pair("FARWATCH_TRACED", traced));
        envs
    }

    /// Hands of a clock for the programs that get [`Hands::envs`].
    ///
    /// # Errors
    /// The file system's own.
    pub fn hands(&self, name: &str) -> anyhow::Result<Hands> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, [0; 16])?;
        let file = File::options().write(true).open(&path)?;
        let boot_id = self.dir.path().join(format!("{name}.boot-id"));
        let this = Hands {
            path,
            file,
            boot_id,
            library: self.library.clone(),
            set: Mutex::default(),
        };
        this.boots()?;
        Ok(this)
    }
}

/// The clocks of one machine, moved while its programs run.
#[derive(Debug)]
pub struct Hands {
    path: PathBuf,
    file: File,
    boot_id: PathBuf,
    library: PathBuf,
    /// Milliseconds added to the wall clock and to the boot-time clock.
    set: Mutex<(i64, i64)>,
}

impl Hands {
    /// Environment of a program on this machine.
    #[must_use]
    pub fn envs(&self) -> Envs {
        vec![
            pair("LD_PRELOAD", &self.library),
            pair("FARWATCH_CLOCK", &self.path),
            pair("FARWATCH_BOOT_ID", &self.boot_id),
        ]
    }

    /// Somebody sets the wall clock this far from the true time.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn set_wall(&self, off_ms: i64) {
        self.change(|set| set.0 = off_ms);
    }

    /// The machine sleeps: both clocks go on, timers do not.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn sleep(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).expect("some years at the most");
        self.change(|set| *set = (set.0 + ms, set.1 + ms));
    }

    /// How far its wall clock is from the true time, ms.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn off_ms(&self) -> i64 {
        self.set.lock().expect("nobody panics with it").0
    }

    /// A new boot begins (its programs are to be started after this).
    ///
    /// # Errors
    /// No random bytes.
    pub fn boots(&self) -> anyhow::Result<()> {
        let id: u128 = rand::random();
        std::fs::write(&self.boot_id, format!("{id:032x}\n")).context("a boot id")
    }

    fn change(&self, how: impl FnOnce(&mut (i64, i64))) {
        let mut set = self.set.lock().expect("nobody panics with it");
        how(&mut set);
        let bytes = [set.0.to_le_bytes(), set.1.to_le_bytes()].concat();
        self.file.write_all_at(&bytes, 0).expect("sixteen bytes");
    }
}

/// `name=value`.
#[must_use]
pub fn pair(name: &str, value: &Path) -> (String, String) {
    (name.to_owned(), value.display().to_string())
}

/// Whether the shim is in a program's address space: a static binary would leave it out without a word.
///
/// # Errors
/// It is not, or the process is gone.
pub fn is_loaded(pid: u32) -> anyhow::Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    ensure!(
        maps.contains("shim.so"),
        "the shim is not loaded by process {pid}"
    );
    Ok(())
}
