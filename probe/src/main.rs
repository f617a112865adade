//! The probe: watches one customer site and tells Central what it sees.

use std::process::ExitCode;

use clap::Parser as _;
use farwatch_probe::cli::Cli;
use farwatch_shared::error::Chain;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing else installs a TLS provider");
    match cli.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("farwatch-probe: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
