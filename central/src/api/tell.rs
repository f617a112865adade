//! Telling connected probes that there is something for them.

use farwatch_shared::id::SiteId;
use farwatch_shared::wire::message::session::Notice;

use super::Central;
use super::error::ApiError;

/// A notice for the probes of a site, with the newest revisions: a probe that holds older ones pulls.
pub(super) async fn notice(central: &Central, site: SiteId) -> Result<Notice, ApiError> {
    let (config_revision, addresses_revision) = central
        .read(move |c| {
            c.query_row(
                "SELECT coalesce((SELECT revision FROM site_configs WHERE site_id = ?1), 0), addresses_revision FROM deployment",
                [site],
                |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())),
            )
        })
        .await?;
    Ok(Notice {
        config_revision,
        addresses_revision,
        discover_now: false,
        add_addresses: Vec::new(),
        forget_devices: Vec::new(),
    })
}

/// Tells the connected probes of a site to look at the revisions.
pub(super) async fn config_changed(central: &Central, site: SiteId) -> Result<(), ApiError> {
    let notice = notice(central, site).await?;
    central.registry.notify_site(site, &notice);
    Ok(())
}
