//! How the parts are put together.

use farwatch_shared::lifecycle::Lifecycle;

use crate::config::Config;

/// The running probe.
#[derive(Debug)]
pub struct App;

impl App {
    /// Starts every part.
    ///
    /// # Errors
    /// What this machine lacks.
    #[expect(clippy::unused_async, reason = "the parts are being joined")]
    pub async fn start(_config: Config, _lifecycle: &Lifecycle) -> anyhow::Result<()> {
        anyhow::bail!("the parts are being joined")
    }
}
