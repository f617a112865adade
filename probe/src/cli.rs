//! The command line: join, run, status, check, and the spool's ledger.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use farwatch_shared::clock::Clock;
use farwatch_shared::lifecycle::Lifecycle;
use farwatch_shared::link::Proxy;
use farwatch_shared::telemetry::{self, LogConfig};

use crate::app::App;
use crate::config::Config;
use crate::profile::command::{self, ProfileCommand};
use crate::{check, diagnostics, join, spool, status};

/// Watches one customer site and tells Central what it sees.
#[derive(Debug, Parser)]
#[command(
    name = "farwatch-probe",
    version,
    about,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Configuration file [default: /etc/farwatch/probe.toml when it is there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where key, certificate and spool are [default: /var/lib/farwatch-probe].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes this machine a probe, with the token that the console shows once.
    Join {
        /// `fwj1_…`, as the console shows it.
        token: String,
        /// What the console calls this probe [default: this machine's name].
        #[arg(long)]
        name: Option<String>,
        /// HTTP proxy on the way to Central, for networks that block UDP: http://host:port [default: `$HTTPS_PROXY`].
        #[arg(long, value_name = "URL")]
        proxy: Option<Proxy>,
    },
    /// Watches the site until it is told to stop.
    Run,
    /// What the probe sees now; works while Central cannot be reached.
    Status {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Looks for what stands in the way: name, clock, UDP and TCP, certificate, ICMP, disk.
    Check {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Writes one file for whoever helps: settings, status, what stands in the way. No secrets are in it.
    Diagnostics {
        /// Where to [default: farwatch-probe-TIME.tar.gz, here].
        file: Option<PathBuf>,
    },
    /// Device profiles: try them, look for what is wrong with them.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// What is kept until Central has it.
    #[command(subcommand)]
    Spool(SpoolCommand),
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// Every lane of every epoch: made, held, acknowledged, dropped.
    Ledger {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}

impl Cli {
    /// Does what the command line says. The exit code is 0 when all is well, 1 when there is a problem; clap says 2
    /// for a command line that it does not understand.
    ///
    /// # Errors
    /// A sentence and its causes.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(self.config.as_deref(), self.data_dir.as_deref())?;
        match self.command {
            Command::Run => {
                telemetry::init(&config.log)?;
                let lifecycle = Lifecycle::new(config.shutdown_grace);
                App::start(config, &lifecycle).await?;
                Ok(lifecycle.run().await)
            }
            Command::Join { token, name, proxy } => {
                quiet()?;
                let proxy = config.proxy.settle(proxy.as_ref());
                let (dir, clock) = (&config.data_dir, Clock::system());
                let place = join::join(&token, dir, name.as_deref(), proxy, &clock).await?;
                say(&format!(
                    "Joined as probe \"{}\" at {} / {}. Start it with `systemctl enable --now farwatch-probe`, or `farwatch-probe run`.",
                    place.probe_name, place.customer_name, place.site_name
                ));
                Ok(ExitCode::SUCCESS)
            }
            Command::Status { json } => status::show(&config.data_dir, json, &Clock::system()),
            Command::Check { json } => {
                quiet()?;
                check::show(&config, json, &Clock::system()).await
            }
            Command::Diagnostics { file } => {
                quiet()?;
                let (own, to) = (self.config.as_deref(), file.as_deref());
                let path = diagnostics::write(&config, own, to, &Clock::system()).await?;
                say(&format!(
                    "{} holds no secrets; look into it before you send it",
                    path.display()
                ));
                Ok(ExitCode::SUCCESS)
            }
            Command::Profile(command) => {
                quiet()?;
                command::run(command).await
            }
            Command::Spool(SpoolCommand::Ledger { json }) => {
                let report = spool::report_of_file(&config.data_dir).with_context(|| {
                    format!("no spool can be read in {}", config.data_dir.display())
                })?;
                if json {
                    say(&serde_json::to_string(&report)?);
                } else {
                    for lane in &report.lanes {
                        say(&format!(
                            "{} {:8} {} batches, {} samples, next {}, held {:?}, acknowledged {:?}",
                            lane.epoch,
                            lane.lane,
                            lane.batches,
                            lane.samples,
                            lane.next_seq,
                            lane.held,
                            lane.acked
                        ));
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// One line for the person at the terminal, or the program behind the pipe: which may have read enough (`| head`).
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Commands that speak in sentences log only what is wrong.
fn quiet() -> anyhow::Result<()> {
    telemetry::init(&LogConfig {
        filter: "warn".to_owned(),
        ..LogConfig::default()
    })?;
    Ok(())
}
