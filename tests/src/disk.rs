//! What a disk holds after the power went: a trace of writes and syncs, played back up to a cut, with everything that
//! was not synced then kept, lost, torn or out of order, by a seed.
//!
//! What is promised by a disk that honours flush: bytes are there once their file was synced after they were written;
//! names (created, renamed, removed) once their directory was. Before that, each sector of 512 bytes holds any of the
//! contents it has had since the last sync, and of the changes of names any first part has happened.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const SECTOR: usize = 512;
const HEADER: usize = 32;

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new file.
    Create { inode: u64, path: PathBuf },
    /// Bytes at a place.
    Write {
        inode: u64,
        at: usize,
        bytes: Vec<u8>,
    },
    /// A file's new length.
    Cut { inode: u64, length: usize },
    /// A file's bytes are on the disk.
    SyncFile { inode: u64 },
    /// A directory's names are on the disk.
    SyncDirectory { path: PathBuf },
    /// A new name in place of an old one.
    Rename { from: PathBuf, to: PathBuf },
    /// A name that is gone.
    Remove { path: PathBuf },
    /// A new directory.
    MakeDirectory { path: PathBuf },
}

/// What a program did to the files of a directory.
#[derive(Debug)]
pub struct Trace {
    root: PathBuf,
    /// Where in the trace's file each step ends, and the step.
    steps: Vec<(u64, Step)>,
}

impl Trace {
    /// Reads what the shim wrote of the files below `root`.
    ///
    /// # Errors
    /// No such file, or it holds something else.
    pub fn read(file: &Path, root: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
        let mut steps = Vec::new();
        let mut at = 0;
        while at + HEADER <= bytes.len() {
            let word = |place: usize| {
                let place = at + place;
                u32::from_le_bytes(bytes[place..place + 4].try_into().expect("four bytes"))
            };
            let long = |place: usize| u64::from(word(place)) | u64::from(word(place + 4)) << 32;
            let (op, length, inode, a) = (word(0), word(4) as usize, long(8), long(16));
            let from = at + HEADER;
            at = from + length;
            let payload = bytes.get(from..at).context("a trace that ends in a step")?;
            let path = || PathBuf::from(String::from_utf8_lossy(payload).into_owned());
            let step = match op {
                1 => Step::Create {
                    inode,
                    path: path(),
                },
                2 => Step::Write {
                    inode,
                    at: usize::try_from(a)?,
                    bytes: payload.to_vec(),
                },
                3 => Step::Cut {
                    inode,
                    length: usize::try_from(a)?,
                },
                4 if a == 0 => Step::SyncFile { inode },
                4 => Step::SyncDirectory { path: path() },
                5 => {
                    let both = String::from_utf8_lossy(payload).into_owned();
                    let (from, to) = both.split_once('\0').context("two paths")?;
                    Step::Rename {
                        from: from.into(),
                        to: to.into(),
                    }
                }
                6 => Step::Remove { path: path() },
                7 => Step::MakeDirectory { path: path() },
                other => anyhow::bail!("there is no step {other}"),
            };
            steps.push((at as u64, step));
        }
        Ok(Self {
            root: root.to_owned(),
            steps,
        })
    }

    /// How many steps there are; a cut comes before one of them, or after all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many steps lie within the first `bytes` of the trace's file: what had happened when it was that long.
    #[must_use]
    pub fn steps_at(&self, bytes: u64) -> usize {
        self.steps.partition_point(|(end, _)| *end <= bytes)
    }

    /// The same trace of a disk that says "on disk" and lies. For tests of the rig.
    #[must_use]
    pub fn with_lying_disk(mut self) -> Self {
        let lies = |step: &Step| matches!(step, Step::SyncFile { .. });
        for (_, step) in &mut self.steps {
            if lies(step) {
                *step = Step::SyncDirectory {
                    path: PathBuf::new(),
                };
            }
        }
        self
    }
}

/// How what was not synced is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it is lost.
    Lost,
    /// All of it is there, as after `kill -9`.
    Kept,
    /// Each write is there or not.
    SomeWrites,
    /// Each sector holds any of its contents.
    SomeSectors,
    /// The first writes are there, the next is torn at a sector.
    Torn,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Lost,
        Self::Kept,
        Self::SomeWrites,
        Self::SomeSectors,
        Self::Torn,
    ];
}

/// A disk while a trace is played.
#[derive(Debug)]
pub struct Disk<'a> {
    trace: &'a Trace,
    done: usize,
    files: Vec<Content>,
    by_inode: HashMap<u64, usize>,
    /// Names on the disk.
    names: Names,
    /// Names as the program sees them.
    seen: Names,
    /// Changes of names since their directories were synced.
    moves: Vec<Move>,
}

#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

type Names = BTreeMap<PathBuf, Named>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    File(usize),
    Directory,
}

#[derive(Clone, Debug)]
enum Move {
    Put(PathBuf, Named),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl<'a> Disk<'a> {
    /// An empty one.
    #[must_use]
    pub fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            done: 0,
            files: Vec::new(),
            by_inode: HashMap::new(),
            names: Names::new(),
            seen: Names::new(),
            moves: Vec::new(),
        }
    }

    /// Plays on until so many steps have happened. Never back.
    pub fn play_to(&mut self, steps: usize) {
        while self.done < steps.min(self.trace.steps.len()) {
            let step = &self.trace.steps[self.done].1;
            self.step(step);
            self.done += 1;
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Create { inode, path } => {
                self.files.push(Content::default());
                let file = self.files.len() - 1;
                self.by_inode.insert(*inode, file);
                self.rename(Move::Put(path.clone(), Named::File(file)));
            }
            Step::Write { inode, at, bytes } => {
                self.change(*inode, Change::Write(*at, bytes.clone()))
            }
            Step::Cut { inode, length } => self.change(*inode, Change::Cut(*length)),
            Step::SyncFile { inode } => {
                if let Some(file) = self.by_inode.get(inode) {
                    let content = &mut self.files[*file];
                    for change in std::mem::take(&mut content.pending) {
                        change.apply(&mut content.durable);
                    }
                }
            }
            Step::SyncDirectory { path } => {
                let in_it = |at: &Path| at.parent() == Some(path);
                let (settled, rest) = std::mem::take(&mut self.moves)
                    .into_iter()
                    .partition(|of| in_it(of.place()));
                self.moves = rest;
                let settled: Vec<Move> = settled;
                settled.iter().for_each(|of| of.apply(&mut self.names));
            }
            Step::Rename { from, to } => self.rename(Move::Rename(from.clone(), to.clone())),
            Step::Remove { path } => self.rename(Move::Remove(path.clone())),
            Step::MakeDirectory { path } => self.rename(Move::Put(path.clone(), Named::Directory)),
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(file) = self.by_inode.get(&inode) {
            self.files[*file].pending.push(change);
        }
    }

    fn rename(&mut self, change: Move) {
        change.apply(&mut self.seen);
        self.moves.push(change);
    }

    /// Writes down into `to` what the disk may hold when the power goes now.
    ///
    /// # Errors
    /// The file system's own.
    pub fn image(&self, fate: Fate, seed: u64, to: &Path) -> anyhow::Result<()> {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut names = self.names.clone();
        let kept = match fate {
            Fate::Lost => 0,
            Fate::Kept => self.moves.len(),
            _ => dice.random_range(0..=self.moves.len()),
        };
        self.moves[..kept]
            .iter()
            .for_each(|of| of.apply(&mut names));
        make_directory(to)?;
        for (path, named) in &names {
            let at = to.join(
                path.strip_prefix(&self.trace.root)
                    .context("a path of the trace")?,
            );
            // A name in a directory that is not there (any more) cannot be reached.
            if !at.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match named {
                Named::Directory => make_directory(&at)?,
                Named::File(_) if at.extension().is_some_and(|of| of == "db-shm") => {} // made anew after a crash
                Named::File(file) => {
                    std::fs::write(&at, self.files[*file].after(fate, &mut dice))?;
                    std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o600))?;
                }
            }
        }
        Ok(())
    }
}

fn make_directory(at: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(at)?;
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o700))?;
    ensure!(at.is_dir(), "{} is no directory", at.display());
    Ok(())
}

impl Move {
    fn place(&self) -> &Path {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Rename(_, path) => path,
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Put(path, named) => {
                names.insert(path.clone(), *named);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(named) = names.remove(from) {
                    names.insert(to.clone(), named);
                }
                // What is in a directory goes with it.
                let inside: Vec<PathBuf> = names
                    .keys()
                    .filter(|path| path.starts_with(from))
                    .cloned()
                    .collect();
                for path in inside {
                    if let (Some(named), Ok(rest)) = (names.remove(&path), path.strip_prefix(from))
                    {
                        names.insert(to.join(rest), named);
                    }
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Cut(length) => to.resize(*length, 0),
            Self::Write(at, bytes) => put(to, *at, bytes),
        }
    }

    /// A part of it: sectors that `keep` says.
    fn apply_sectors(&self, to: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Cut(_) if keep() => self.apply(to),
            Self::Cut(_) => {}
            Self::Write(at, bytes) => {
                let mut from = 0;
                while from < bytes.len() {
                    let end = ((at + from) / SECTOR + 1) * SECTOR - at;
                    let end = end.min(bytes.len());
                    if keep() {
                        put(to, at + from, &bytes[from..end]);
                    }
                    from = end;
                }
            }
        }
    }
}

fn put(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if to.len() < at + bytes.len() {
        to.resize(at + bytes.len(), 0);
    }
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Content {
    fn after(&self, fate: Fate, dice: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let likely = dice.random_range(0.0..=1.0);
        match fate {
            Fate::Lost => {}
            Fate::Kept => self.pending.iter().for_each(|of| of.apply(&mut bytes)),
            Fate::SomeWrites => {
                for of in &self.pending {
                    if dice.random_bool(likely) {
                        of.apply(&mut bytes);
                    }
                }
            }
            Fate::SomeSectors => {
                for of in &self.pending {
                    of.apply_sectors(&mut bytes, || dice.random_bool(likely));
                }
            }
            Fate::Torn => {
                let whole = dice.random_range(0..=self.pending.len());
                self.pending[..whole]
                    .iter()
                    .for_each(|of| of.apply(&mut bytes));
                if let Some(torn) = self.pending.get(whole) {
                    let mut left = dice.random_range(0..64);
                    torn.apply_sectors(&mut bytes, || {
                        left -= 1;
                        left >= 0
                    });
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(steps: Vec<Step>) -> Trace {
        Trace {
            root: PathBuf::from("/r"),
            steps: steps
                .into_iter()
                .zip(1..)
                .map(|(step, at)| (at, step))
                .collect(),
        }
    }

    fn image(trace: &Trace, fate: Fate, seed: u64) -> Option<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(trace);
        disk.play_to(trace.len());
        disk.image(fate, seed, dir.path()).unwrap();
        std::fs::read(dir.path().join("a")).ok()
    }

    fn written(synced: bool, named: bool) -> Trace {
        let mut steps = vec![
            Step::Create {
                inode: 1,
                path: "/r/a".into(),
            },
            Step::Write {
                inode: 1,
                at: 0,
                bytes: vec![1; 2_048],
            },
        ];
        if synced {
            steps.push(Step::SyncFile { inode: 1 });
        }
        if named {
            steps.push(Step::SyncDirectory { path: "/r".into() });
        }
        steps.push(Step::Write {
            inode: 1,
            at: 512,
            bytes: vec![2; 1_024],
        });
        trace(steps)
    }

    #[test]
    fn what_was_synced_under_a_synced_name_is_always_there() {
        let trace = written(true, true);
        for fate in Fate::ALL {
            for seed in 0..50 {
                let there = image(&trace, fate, seed).unwrap();
                assert_eq!(there.len(), 2_048);
                assert_eq!((there[0], there[2_047]), (1, 1));
            }
        }
        assert_eq!(image(&trace, Fate::Lost, 0).unwrap(), vec![1; 2_048]);
        assert_eq!(
            image(&trace, Fate::Kept, 0).unwrap()[512..1_536],
            vec![2; 1_024]
        );
    }

    #[test]
    fn what_was_not_synced_may_be_torn_at_sectors_and_a_name_may_be_missing() {
        let trace = written(true, true);
        let torn: std::collections::BTreeSet<_> = (0..50)
            .map(|seed| {
                let there = image(&trace, Fate::SomeSectors, seed).unwrap();
                (there[512], there[1_024])
            })
            .collect();
        assert_eq!(torn.len(), 4, "{torn:?}");
        assert_eq!(image(&written(true, false), Fate::Lost, 0), None);
        assert_eq!(
            image(&written(false, true), Fate::Lost, 0).unwrap(),
            Vec::<u8>::new()
        );
    }

    #[test]
    fn a_lying_disk_keeps_nothing() {
        let trace = written(true, true).with_lying_disk();
        assert_eq!(image(&trace, Fate::Lost, 0).unwrap(), Vec::<u8>::new());
    }
}
