//! The commands. Each asks the running Central through its control socket, else does the same beside it, under the data
//! directory's lock: one router answers both.

pub mod ask;
pub mod authority;
pub mod configure;
mod diagnostics;
pub mod print;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use farwatch_shared::clock::Clock;
use serde_json::{Value, json};

use self::ask::Ask;
use self::authority::Authority;
use self::configure::Configure;
use crate::app::Lock;
use crate::backup;
use crate::config::{Config, Overrides};

/// Farwatch Central: all customers' sites, seen from above.
#[derive(Debug, Parser)]
#[command(name = "farwatch-central", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where Central keeps everything.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Answers in JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs Central until it is told to stop.
    Run(Run),
    /// Makes the one-time link for the first admin.
    SetupLink,
    /// Customers.
    #[command(subcommand)]
    Customer(Customer),
    /// Sites.
    #[command(subcommand)]
    Site(Site),
    /// Join tokens.
    #[command(subcommand)]
    Token(Token),
    /// Probes.
    #[command(subcommand)]
    Probe(Probe),
    /// Copies everything into a new directory, also while Central runs.
    Backup {
        /// New or empty.
        directory: PathBuf,
    },
    /// Puts a backup in place; Central must not run. Revocations are not part of a backup: those made since stay.
    Restore {
        /// What `backup` made.
        directory: PathBuf,
    },
    /// The certificate authority that probes and Central know each other by.
    #[command(subcommand)]
    Ca(Authority),
    /// People.
    #[command(subcommand)]
    User(User),
    /// The audit table.
    #[command(subcommand)]
    Audit(Audit),
    /// Everything in a few numbers.
    Summary,
    /// Writes one file for whoever helps: settings, health, probes. No secrets are in it.
    Diagnostics {
        /// Where to [default: farwatch-central-TIME.tar.gz, here].
        file: Option<PathBuf>,
    },
}

/// Where to listen; wins over the file.
#[derive(Debug, Args)]
pub struct Run {
    /// Where probes connect (UDP).
    #[arg(long, value_name = "ADDRESS")]
    pub listen_probes: Option<String>,
    /// Where probes connect over TCP, when their networks block UDP [default: [::]:443].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_probes_tcp: Option<String>,
    /// Console and API over plain HTTP, on loopback; or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_http: Option<String>,
    /// Console and API over HTTPS; or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_https: Option<String>,
}

/// Customers.
#[derive(Debug, Subcommand)]
pub enum Customer {
    /// Makes one.
    Add {
        /// Unique.
        name: String,
    },
    /// All of them.
    List,
}

/// Sites.
#[derive(Debug, Subcommand)]
pub enum Site {
    /// Makes one.
    Add {
        /// Whose (its id).
        #[arg(long)]
        customer: String,
        /// IANA name.
        #[arg(long, default_value = "UTC")]
        time_zone: String,
        /// Unique at its customer.
        name: String,
    },
    /// All of them.
    List {
        /// Only of this customer (its id).
        #[arg(long)]
        customer: Option<String>,
    },
    /// Says what its probes do; what is not named stays.
    Configure(Box<Configure>),
}

/// Join tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Makes one; it is shown this once.
    Create {
        /// Where its probe will stand (the site's id).
        #[arg(long)]
        site: String,
        /// How long it can be used, at most 1h.
        #[arg(long, default_value = "30m", value_parser = configure::duration)]
        valid: Duration,
        /// What its probe will be called.
        #[arg(long)]
        name: Option<String>,
    },
}

/// Probes.
#[derive(Debug, Subcommand)]
pub enum Probe {
    /// All of them.
    List,
    /// Revokes one for good.
    Revoke {
        /// Its id.
        id: String,
        /// For the audit table.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// People.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Makes a one-time link by which a person sets a new password.
    Reset {
        /// What they sign in with.
        name: String,
    },
}

/// The audit table.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Whether no entry is missing.
    Verify,
}

impl Cli {
    /// The configuration with what the command line says.
    ///
    /// # Errors
    /// [`crate::config::ConfigError`].
    pub fn load(&self) -> Result<Config, crate::config::ConfigError> {
        let mut overrides = Overrides {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            ..Overrides::default()
        };
        if let Command::Run(run) = &self.command {
            overrides.listen_probes.clone_from(&run.listen_probes);
            overrides
                .listen_probes_tcp
                .clone_from(&run.listen_probes_tcp);
            overrides.listen_http.clone_from(&run.listen_http);
            overrides.listen_https.clone_from(&run.listen_https);
        }
        Config::load(&overrides)
    }
}

/// Does a command other than `run`, and prints what came of it.
///
/// # Errors
/// One sentence per cause.
pub async fn run(command: Command, config: Config, as_json: bool) -> anyhow::Result<ExitCode> {
    if let Command::Restore { directory } = &command {
        let _lock = Lock::take(&config.data_dir)
            .context("Central runs on this data directory: stop it before restoring")?;
        let aside = backup::restore(directory, &config.data_dir, Clock::system().now())?;
        let said = json!({ "restored": directory, "moved_aside": aside,
            "note": "revocations.log was left as it is: probes revoked since the backup stay revoked" });
        print::answer("restored", &said, as_json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Ca(command) = &command {
        print::answer("ca", &authority::run(command, &config)?, as_json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ask = Ask::open(&config).await?;
    let (what, answer) = answer(&ask, &config, command).await?;
    print::answer(what, &answer, as_json)?;
    ask.close().await;
    let whole = what != "audit" || answer["whole"] == true;
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn answer(
    ask: &Ask,
    config: &Config,
    command: Command,
) -> anyhow::Result<(&'static str, Value)> {
    Ok(match command {
        Command::Run(_) | Command::Restore { .. } | Command::Ca(_) => {
            unreachable!("handled before")
        }
        Command::SetupLink => ("link", ask.post("/local/setup-link", &json!({})).await?),
        Command::User(User::Reset { name }) => (
            "link",
            ask.post("/local/setup-link", &json!({ "user_name": name }))
                .await?,
        ),
        Command::Customer(Customer::Add { name }) => (
            "made",
            ask.post("/api/v1/customers", &json!({ "name": name }))
                .await?,
        ),
        Command::Customer(Customer::List) => ("customers", ask.all("/api/v1/customers").await?),
        Command::Site(Site::Add {
            customer,
            time_zone,
            name,
        }) => {
            let body = json!({ "customer_id": customer, "name": name, "time_zone": time_zone });
            ("made", ask.post("/api/v1/sites", &body).await?)
        }
        Command::Site(Site::List { customer: None }) => ("sites", ask.all("/api/v1/sites").await?),
        Command::Site(Site::List {
            customer: Some(customer),
        }) => {
            let path = format!("/api/v1/sites?customer_id={}", ask::word(&customer));
            ("sites", ask.all(&path).await?)
        }
        Command::Site(Site::Configure(configure)) => ("configured", configure.apply(ask).await?),
        Command::Token(Token::Create { site, valid, name }) => {
            let body =
                json!({ "site_id": site, "probe_name": name, "valid_for_s": valid.as_secs() });
            ("token", ask.post("/api/v1/join-tokens", &body).await?)
        }
        Command::Probe(Probe::List) => ("probes", ask.all("/api/v1/probes").await?),
        Command::Probe(Probe::Revoke { id, reason }) => {
            let path = format!("/api/v1/probes/{}", ask::word(&id));
            ask.send("DELETE", &path, Some(&json!({ "reason": reason })))
                .await?;
            ("revoked", json!({ "id": id }))
        }
        Command::Backup { directory } => {
            let directory = std::path::absolute(directory)?;
            let request = json!({ "directory": directory });
            ask.post("/local/backup", &request).await?;
            let (data_dir, now) = (config.data_dir.clone(), Clock::system().now());
            let made =
                tokio::task::spawn_blocking(move || backup::create(&data_dir, &directory, now))
                    .await??;
            ("backup", serde_json::to_value(made)?)
        }
        Command::Audit(Audit::Verify) => ("audit", ask.get("/local/audit-verify").await?),
        Command::Diagnostics { file } => {
            let path = diagnostics::write(ask, config, file).await?;
            ("diagnostics", json!({ "file": path }))
        }
        Command::Summary => ("summary", ask.get("/local/summary").await?),
    })
}
