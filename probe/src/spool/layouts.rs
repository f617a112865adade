//! Layouts: kept as long as their epoch has a samples batch here, sent again when Central lacks them.

use std::collections::BTreeMap;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{Epoch, Lane, Layout};
use farwatch_shared::wire::codec::BATCH_BYTES;
use farwatch_shared::wire::message::batch::{LAYOUTS, LayoutsBody, layout_hash};
use farwatch_shared::wire::message::session::WantedLayout;
use farwatch_shared::wire::{decode, encode};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Draft;

/// Room for the envelope of a layouts body.
const MARGIN: usize = 64;

/// Stores layouts; one of the same number is replaced.
pub(super) fn put(c: &Connection, epoch: Epoch, layouts: &[Layout]) -> rusqlite::Result<()> {
    let mut insert = c.prepare_cached(
        "INSERT INTO layouts (epoch, layout, hash, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET hash = excluded.hash, body = excluded.body",
    )?;
    for layout in layouts {
        insert.execute(params![
            epoch,
            layout.no,
            layout_hash(layout).cast_signed(),
            encode(layout)
        ])?;
    }
    Ok(())
}

/// Events-lane batches that carry layouts of `of`; `within` is the epoch they must be committed in, if it matters.
pub(super) fn drafts(
    of: Epoch,
    within: Option<Epoch>,
    layouts: &[Layout],
    now: Timestamp,
) -> Vec<Draft> {
    let mut bodies = Vec::new();
    let mut part = LayoutsBody {
        epoch: of.0,
        layouts: Vec::new(),
    };
    let mut size = MARGIN;
    for layout in layouts {
        let entry = (layout.clone(), layout_hash(layout));
        let bytes = encode(&entry).len();
        if size + bytes > BATCH_BYTES && !part.layouts.is_empty() {
            bodies.push(encode(&part));
            part.layouts.clear();
            size = MARGIN;
        }
        size += bytes;
        part.layouts.push(entry);
    }
    if !part.layouts.is_empty() {
        bodies.push(encode(&part));
    }
    bodies
        .into_iter()
        .map(|body| Draft {
            epoch: within,
            lane: Lane::Events,
            kind: LAYOUTS,
            version: 1,
            from: now,
            to: now,
            samples: 0,
            body,
        })
        .collect()
}

/// The wanted layouts that are still here, by epoch.
pub(super) fn wanted(
    c: &Connection,
    wants: &[WantedLayout],
) -> rusqlite::Result<BTreeMap<Epoch, Vec<Layout>>> {
    let mut found: BTreeMap<Epoch, Vec<Layout>> = BTreeMap::new();
    let mut select =
        c.prepare_cached("SELECT body FROM layouts WHERE epoch = ?1 AND layout = ?2")?;
    for want in wants {
        let body: Option<Vec<u8>> = select
            .query_row(params![want.epoch, want.layout], |row| row.get(0))
            .optional()?;
        match body.map(|body| decode::<Layout>(&body)) {
            Some(Ok(layout)) => found.entry(want.epoch).or_default().push(layout),
            Some(Err(error)) => tracing::warn!(
                error = %farwatch_shared::error::Chain(&error),
                "layout {} of epoch {} cannot be read back", want.layout, want.epoch
            ),
            None => tracing::warn!(
                "Central asks for layout {} of epoch {}, which is not kept here",
                want.layout,
                want.epoch
            ),
        }
    }
    Ok(found)
}

/// All layouts of an epoch.
pub(super) fn of_epoch(c: &Connection, epoch: Epoch) -> rusqlite::Result<Vec<Layout>> {
    let bodies: Vec<Vec<u8>> = c
        .prepare_cached("SELECT body FROM layouts WHERE epoch = ?1 ORDER BY layout")?
        .query_map([epoch], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(bodies
        .iter()
        .filter_map(|body| decode::<Layout>(body).ok())
        .collect())
}

/// Forgets the layouts of epochs without a samples batch here.
pub(super) fn forget(c: &Connection) -> rusqlite::Result<()> {
    c.prepare_cached(
        "DELETE FROM layouts WHERE epoch <> (SELECT running FROM meta)
         AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.epoch = layouts.epoch AND batches.lane = 1)",
    )?
    .execute([])?;
    Ok(())
}
