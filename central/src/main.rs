//! Central: watches over all sites, and shows what its probes see.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use farwatch_central::app::App;
use farwatch_central::cli::{self, Cli, Command};
use farwatch_shared::error::Chain;
use farwatch_shared::error::Chain;
use farwatch_shared::lifecycle::Lifecycle;
use farwatch_shared::telemetry;
use nix::sys::stat::{Mode, umask};

#[tokio::main]
async fn main() -> ExitCode {
    // Whatever is made here is for this user alone.
    umask(Mode::from_bits_truncate(0o077));
    match start(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            // Nobody may be reading; then the exit code says it.
            let _ = writeln!(
                std::io::stderr(),
                "farwatch-central: {}",
                Chain(error.as_ref())
            );
            ExitCode::FAILURE
        }
    }
}

async fn start(parsed: Cli) -> anyhow::Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider was installed before ours")?;
    let mut config = parsed.load()?;
    if !matches!(parsed.command, Command::Run(_)) {
        // A command's answer is what it prints; the log is the service's.
        config.log.filter = "warn".to_owned();
        telemetry::init(&config.log)?;
        return cli::run(parsed.command, config, parsed.json).await;
    }
    telemetry::init(&config.log)?;
    let life = Lifecycle::new(config.shutdown_grace);
    let app = App::start(config, &life).await?;
    let code = life.run().await;
    drop(app);
    Ok(code)
}
