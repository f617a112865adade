//! `profile test` and `profile lint`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use farwatch_shared::profile::{Level, Library, builtin};

use super::ask::{self, Begun, Want};
use super::folder::{files_in, found};
use super::report::{self, Device};
use crate::cli::say;
use crate::inventory::around::around;
use crate::inventory::entity;
use crate::inventory::facts::{Facts, identity_plan};
use crate::snmp::recording::{Recording, Recordings};
use crate::snmp::{Auth, Engine, EngineConfig, Limits, Snmp, Target, V3User};

/// Device profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// What the profiles make of a device: who it is, its sensors, what was asked and what that cost.
    Test(Test),
    /// Says what cannot be taken of a folder's profiles; exit code 1 where something is left out.
    Lint {
        /// Where they are.
        dir: PathBuf,
    },
}

/// Whom to ask, and as whom.
#[derive(Debug, Args)]
pub struct Test {
    /// A recording (`.snmprec`), a folder of them (an object a line), or a device's address.
    device: String,
    /// For programs.
    #[arg(long)]
    json: bool,
    /// Folders of own profiles, on top of those that come with the program.
    #[arg(long, value_name = "DIR")]
    profiles: Vec<PathBuf>,
    /// A device's UDP port.
    #[arg(long, default_value_t = 161)]
    port: u16,
    /// v2c: the community.
    #[arg(long, default_value = "public", hide_default_value = true)]
    community: String,
    /// v3: the user. Passwords are taken from `$FARWATCH_AUTH_PASSWORD` and `$FARWATCH_PRIV_PASSWORD`.
    #[arg(long)]
    user: Option<String>,
    /// v3: MD5, SHA-1, SHA-256, …
    #[arg(long, default_value = "SHA-256")]
    auth: String,
    /// v3: DES, AES-128, AES-256, …
    #[arg(long, default_value = "AES-128")]
    privacy: String,
}

/// Does it.
///
/// # Errors
/// Files that cannot be read, a device that does not answer.
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
        ProfileCommand::Test(test) => {
            let own = test.profiles.iter().map(|dir| files_in(dir));
            let mut folders = own.collect::<anyhow::Result<Vec<_>>>()?;
            folders.push(builtin::files());
            let (library, notes) = Library::load(folders);
            for note in notes.iter().filter(|note| note.level == Level::Error) {
                tracing::warn!("{note}");
            }
            test.all(&library).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Test {
    async fn all(&self, library: &Library) -> anyhow::Result<()> {
        let path = Path::new(&self.device);
        if let (Ok(address), false) = (self.device.parse::<IpAddr>(), path.exists()) {
            let engine = Engine::bind(EngineConfig::default()).context("SNMP")?;
            let target = Target::new(SocketAddr::new(address, self.port), self.credential()?);
            let said = test(library, &engine, &target, &self.device).await?;
            return self.print(&said);
        }
        let (root, paths) = if path.is_dir() {
            (path, found(path, &["snmprec"])?)
        } else {
            (path.parent().unwrap_or(path), vec![path.to_owned()])
        };
        for path in paths {
            let shown = || path.display().to_string();
            let bytes = std::fs::read(&path).with_context(shown)?;
            let recording = Recording::parse(&bytes).with_context(shown)?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut agents = Recordings::default();
            agents.insert(address, recording);
            let target = Target::new(address, Auth::v2c("public"));
            let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
            let said = test(library, &agents, &target, &name.display().to_string()).await?;
            self.print(&said)?;
        }
        Ok(())
    }

    fn print(&self, said: &serde_json::Value) -> anyhow::Result<()> {
        let text = match self.json {
            true => said.to_string(),
            false => serde_json::to_string_pretty(said)?,
        };
        say(&text);
        Ok(())
    }

    fn credential(&self) -> anyhow::Result<Auth> {
        let Some(user) = &self.user else {
            return Ok(Auth::v2c(&self.community));
        };
        let secret = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let user = match (
            secret("FARWATCH_AUTH_PASSWORD"),
            secret("FARWATCH_PRIV_PASSWORD"),
        ) {
            (None, _) => V3User::no_auth(user)?,
            (Some(auth), None) => V3User::auth(user, self.auth.parse()?, &auth)?,
            (Some(auth), Some(privacy)) => V3User::auth_priv(
                user,
                (self.auth.parse()?, &auth),
                (self.privacy.parse()?, &privacy),
            )?,
        };
        Ok(Auth::V3(user))
    }
}

async fn test(
    library: &Library,
    snmp: &dyn Snmp,
    target: &Target,
    name: &str,
) -> anyhow::Result<serde_json::Value> {
    let limits = Limits::default().with_deadline(DEADLINE);
    let asked = ask::ask(library, snmp, target, limits, Begun::default(), Want::All).await?;
    let facts = Facts::read(&snmp.read(target, &identity_plan(), limits).await?);
    let around = around(snmp, target, limits, &facts.interfaces).await?;
    let entities = entity::read(&snmp.read(target, &entity::plan(), limits).await?);
    let device = Device {
        name,
        asked: &asked,
        facts: &facts,
        around: &around,
        entities: &entities,
    };
    Ok(report::json(&device))
}

/// A slow device with many tables takes its time; nobody else waits for it here.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
