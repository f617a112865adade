//! A probe as a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::process::{self, Kill, Process};
use crate::shim::Envs;

/// A probe, with a data directory that outlives its process.
#[derive(Debug)]
pub struct Probe {
    /// The data directory.
    pub dir: PathBuf,
    /// Its `probe.toml`.
    config: Option<PathBuf>,
    process: Option<Process>,
    envs: Envs,
}

impl Probe {
    /// Joins with a token; does not start.
    ///
    /// # Errors
    /// What `farwatch-probe join` said.
    pub fn join(dir: &Path, token: &str) -> anyhow::Result<Self> {
        Self::join_under(dir, token, Envs::new())
    }

    /// The same with an environment that joining and every start has.
    ///
    /// # Errors
    /// What `farwatch-probe join` said.
    pub fn join_under(dir: &Path, token: &str, envs: Envs) -> anyhow::Result<Self> {
        Self::join_with(dir, token, "", envs)
    }

    /// The same with a configuration file of this text, when there is one.
    ///
    /// # Errors
    /// What `farwatch-probe join` said.
    pub fn join_with(dir: &Path, token: &str, config: &str, envs: Envs) -> anyhow::Result<Self> {
        let mut probe = Self {
            envs,
            ..Self::at(dir)
        };
        if !config.is_empty() {
            let path = dir.with_extension("toml");
            std::fs::write(&path, config)?;
            probe.config = Some(path);
        }
        let at = dir.display().to_string();
        let file = probe.config.as_ref().map(|path| path.display().to_string());
        let mut args = vec!["join", token, "--data-dir", &at];
        args.extend(file.iter().flat_map(|file| ["--config", file]));
        process::run_under("farwatch-probe", &args, &probe.envs)?;
        Ok(probe)
    }

    /// A probe whose directory is there already (a copy of another's, say).
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            config: None,
            process: None,
            envs: Envs::new(),
        }
    }

    /// What every start from now on has in its environment.
    pub fn set_envs(&mut self, envs: Envs) {
        self.envs = envs;
    }

    /// Starts the process, with more environment (`FARWATCH_FAILPOINT`).
    ///
    /// # Errors
    /// It is not built.
    pub fn start(&mut self, envs: &[(&str, &str)]) -> anyhow::Result<()> {
        self.start_with(&[], envs)
    }

    /// The same with more arguments of `farwatch-probe run`.
    ///
    /// # Errors
    /// It is not built.
    pub fn start_with(&mut self, more: &[&str], envs: &[(&str, &str)]) -> anyhow::Result<()> {
        let at = self.dir.display().to_string();
        let envs: Envs = envs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain(self.envs.iter().cloned())
            .collect();
        let file = self.config.as_ref().map(|path| path.display().to_string());
        let mut args = vec!["run", "--data-dir", &at];
        args.extend(file.iter().flat_map(|file| ["--config", file]));
        args.extend(more);
        self.process = Some(Process::start(
            "farwatch-probe",
            &args,
            &envs,
            &self.dir.join("probe.log"),
        )?);
        Ok(())
    }

    /// Ends the process; the data stays.
    pub fn end(&mut self, how: Kill) {
        if let Some(mut process) = self.process.take() {
            process.end(how);
        }
    }

    /// Whether the process has ended by itself (a failpoint, say).
    pub fn has_ended(&mut self) -> bool {
        self.process
            .as_mut()
            .is_none_or(|process| process.ended().is_some())
    }

    /// The process, for signals.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// `farwatch-probe status --json`.
    ///
    /// # Errors
    /// What the command said.
    pub fn status(&self) -> anyhow::Result<Value> {
        process::run(
            "farwatch-probe",
            &[
                "status",
                "--json",
                "--data-dir",
                &self.dir.display().to_string(),
            ],
        )
    }

    /// Whether `farwatch-probe check` says that all is well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.check().is_ok()
    }

    /// `farwatch-probe check --json`.
    ///
    /// # Errors
    /// It found a problem, or could not look.
    pub fn check(&self) -> anyhow::Result<Value> {
        let dir = self.dir.display().to_string();
        let file = self.config.as_ref().map(|path| path.display().to_string());
        let mut args = vec!["check", "--json", "--data-dir", &dir];
        args.extend(file.iter().flat_map(|file| ["--config", file]));
        process::run("farwatch-probe", &args)
    }

    /// Waits until the running probe says that Central refused it, in words that hold `why`.
    pub async fn is_refused(&self, why: &str) {
        crate::eventually(Duration::from_secs(30), "Central refuses it", || async {
            let status = self.status().map_err(|error| error.to_string())?;
            let said = status["last_error"].as_str().unwrap_or_default();
            if status["connected"] == false && !said.is_empty() && said.contains(why) {
                Ok(())
            } else {
                Err(said.to_owned())
            }
        })
        .await;
    }

    /// `farwatch-probe spool ledger --json`.
    ///
    /// # Errors
    /// What the command said.
    pub fn ledger(&self) -> anyhow::Result<Value> {
        process::run(
            "farwatch-probe",
            &[
                "spool",
                "ledger",
                "--json",
                "--data-dir",
                &self.dir.display().to_string(),
            ],
        )
    }
}
