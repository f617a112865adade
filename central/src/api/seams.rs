//! What the API asks of the link: tokens, certificates and connected probes.

use std::fmt;
use std::time::Duration;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{ProbeId, SiteId};
use farwatch_shared::wire::message::session::Notice;
use futures::future::BoxFuture;

/// A join token for the console to show, once.
pub struct NewJoinToken {
    /// What is pasted. Kept nowhere.
    pub text: String,
    /// What `join_tokens.secret_hash` keeps.
    pub secret_hash: [u8; 32],
    /// Until when it can be used.
    pub expires: Timestamp,
}

impl fmt::Debug for NewJoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJoinToken")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Why an echo did not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EchoFailure {
    /// It is not connected.
    NotConnected,
    /// It did not answer in time.
    TimedOut,
    /// Too many are under way.
    Busy,
}

/// How fast a probe answers on its control stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EchoFigures {
    /// Half of the answers were faster.
    pub p50_ms: f64,
    /// Of a hundred answers one was slower.
    pub p99_ms: f64,
    /// The last one.
    pub last_ms: f64,
    /// When the last one came.
    pub at: Timestamp,
}

/// What the API needs of enrolment and of the connected probes.
pub trait ProbeLink: fmt::Debug + Send + Sync {
    /// A new token that carries Central's addresses and its CA's key hash. The caller keeps its hash.
    fn new_token(&self, valid_ms: i64) -> NewJoinToken;

    /// Revokes for good: audited, row, list outside the backup, session cut. `false` when it was revoked before.
    fn revoke(
        &self,
        probe: ProbeId,
        reason: String,
        who: String,
        from_address: String,
    ) -> BoxFuture<'static, anyhow::Result<bool>>;

    /// There and back on the control stream.
    fn echo(&self, probe: ProbeId) -> BoxFuture<'static, Result<Duration, EchoFailure>>;

    /// How fast it answered so far.
    fn echo_figures(&self, probe: ProbeId) -> Option<EchoFigures>;

    /// Tells the connected probes of a site; revisions are filled in. Says how many were told.
    fn tell_site(&self, site: SiteId, notice: Notice) -> BoxFuture<'static, usize>;

    /// Tells one probe; `false` when it is not connected.
    fn tell_probe(&self, probe: ProbeId, notice: Notice) -> BoxFuture<'static, bool>;

    /// Closes the sessions of probes whose rows are gone (their customer or site was deleted).
    fn cut(&self, probes: &[ProbeId]);

    /// Probes with a session now.
    fn connected(&self) -> usize;
}

/// A notice that only says "look at the revisions".
#[must_use]
pub fn plain_notice() -> Notice {
    Notice {
        config_revision: 0,
        addresses_revision: 0,
        discover_now: false,
        add_addresses: Vec::new(),
        forget_devices: Vec::new(),
    }
}
