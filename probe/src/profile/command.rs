//! `profile test` and `profile lint`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use farwatch_shared::profile::{Level, Library, Note, builtin};

use super::ask::{self, Begun, Want};
use super::folder::{files_in, found};
use super::report;
use crate::cli::say;
use crate::inventory::facts::{Around, Facts, around_plan, identity_plan};
use crate::snmp::recording::{Recording, Recordings};
use crate::snmp::{Auth, Limits, Snmp, Target};

/// Device profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// What the profiles make of a device: who it is, its sensors, what was asked and what that cost.
    Test {
        /// A recording (`.snmprec`), or a folder of them: an object a line.
        recording: PathBuf,
        /// For programs.
        #[arg(long)]
        json: bool,
        /// Folders of own profiles, on top of those that come with the program.
        #[arg(long, value_name = "DIR")]
        profiles: Vec<PathBuf>,
    },
    /// Says what cannot be taken of a folder's profiles; exit code 1 where something is left out.
    Lint {
        /// Where they are.
        dir: PathBuf,
    },
}

/// Does it.
///
/// # Errors
/// Files that cannot be read.
pub async fn run(command: ProfileCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProfileCommand::Lint { dir } => {
            let (library, notes) = Library::load(vec![files_in(&dir)?]);
            for note in &notes {
                say(&note.to_string());
            }
            let errors = notes
                .iter()
                .filter(|note| note.level == Level::Error)
                .count();
            say(&format!(
                "{} profiles, {errors} errors, {} warnings",
                library.len(),
                notes.len() - errors
            ));
            Ok(ExitCode::from(u8::from(errors > 0)))
        }
        ProfileCommand::Test {
            recording,
            json,
            profiles,
        } => {
            let mut folders = profiles
                .iter()
                .map(|dir| files_in(dir))
                .collect::<anyhow::Result<Vec<_>>>()?;
            folders.push(builtin::files());
            let (library, notes) = Library::load(folders);
            let notes: Vec<Note> = notes
                .into_iter()
                .filter(|note| note.level == Level::Error)
                .collect();
            for note in notes {
                tracing::warn!("{note}");
            }
            let paths = if recording.is_dir() {
                found(&recording, &["snmprec"])?
            } else {
                vec![recording.clone()]
            };
            for path in paths {
                let name = path
                    .strip_prefix(&recording)
                    .unwrap_or(&path)
                    .with_extension("");
                let name = match name.as_os_str().is_empty() {
                    true => path
                        .file_stem()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    false => name.display().to_string(),
                };
                let said = test(&library, &name, &path).await?;
                say(&if json {
                    said.to_string()
                } else {
                    serde_json::to_string_pretty(&said)?
                });
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn test(library: &Library, name: &str, path: &Path) -> anyhow::Result<serde_json::Value> {
    let shown = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(shown)?;
    let recording = Recording::parse(&bytes).with_context(shown)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 161));
    let mut agents = Recordings::default();
    agents.insert(address, recording);
    let target = Target::new(address, Auth::v2c("public"));
    let limits = Limits::default();
    let asked = ask::ask(
        library,
        &agents,
        &target,
        limits,
        Begun::default(),
        Want::All,
    )
    .await?;
    let facts = Facts::read(&agents.read(&target, &identity_plan(), limits).await?);
    let around = agents.read(&target, &around_plan(), limits).await?;
    let around = Around::read(&around, &facts.interfaces);
    Ok(report::json(name, &asked, &facts, &around))
}
