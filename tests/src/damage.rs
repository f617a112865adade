//! What a bad disk, a bad cable or a careless hand does to files: bits flipped, stretches zeroed or filled with rubbish,
//! ends cut off, pages in the wrong place.

use std::fmt;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};

const PAGE: usize = 16_384;

/// What was done to a file.
#[derive(Clone, Debug)]
pub struct Damage {
    file: PathBuf,
    how: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.how)
    }
}

/// Damages one to three of `files` below `dir`; those that are not there or empty are left out.
///
/// # Errors
/// The file system's own.
pub fn damage(dir: &Path, files: &[PathBuf], dice: &mut StdRng) -> std::io::Result<Vec<Damage>> {
    let mut done = Vec::new();
    let there: Vec<&PathBuf> = files
        .iter()
        .filter(|file| std::fs::metadata(dir.join(file)).is_ok_and(|meta| meta.len() > 0))
        .collect();
    let count = if dice.random_bool(0.7) {
        1
    } else {
        dice.random_range(2..=3)
    };
    for file in there.choose_multiple(dice, count) {
        let path = dir.join(file);
        let mut bytes = std::fs::read(&path)?;
        let how = spoil(&mut bytes, dice);
        std::fs::write(&path, bytes)?;
        done.push(Damage {
            file: (*file).clone(),
            how,
        });
    }
    Ok(done)
}

fn spoil(bytes: &mut Vec<u8>, dice: &mut StdRng) -> String {
    let length = bytes.len();
    let stretch = |dice: &mut StdRng| {
        let from = dice.random_range(0..length);
        let most = if dice.random_bool(0.5) {
            4_096
        } else {
            262_144
        };
        (from, dice.random_range(from..length.min(from + most)) + 1)
    };
    match dice.random_range(0..6) {
        0 => {
            let count = dice.random_range(1..=16);
            for _ in 0..count {
                let at = dice.random_range(0..length);
                bytes[at] ^= 1 << dice.random_range(0..8);
            }
            format!("{count} bits flipped of {length} bytes")
        }
        1 => {
            let (from, to) = stretch(dice);
            bytes[from..to].fill(0);
            format!("{from}..{to} of {length} zeroed")
        }
        2 => {
            let (from, to) = stretch(dice);
            dice.fill_bytes(&mut bytes[from..to]);
            format!("{from}..{to} of {length} filled with rubbish")
        }
        3 => {
            let to = dice.random_range(0..length);
            bytes.truncate(to);
            format!("cut from {length} to {to}")
        }
        4 => {
            let (from, to) = stretch(dice);
            bytes.drain(from..to);
            format!("{from}..{to} of {length} taken out")
        }
        _ => {
            let pages = length / PAGE;
            if pages < 2 {
                bytes.clear();
                return format!("emptied of its {length} bytes");
            }
            let (from, to) = (dice.random_range(0..pages), dice.random_range(0..pages));
            let page = bytes[from * PAGE..(from + 1) * PAGE].to_vec();
            bytes[to * PAGE..(to + 1) * PAGE].copy_from_slice(&page);
            format!("page {from} of {pages} written over page {to}")
        }
    }
}
