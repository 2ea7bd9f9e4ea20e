//! Lets the database forget the calls of partners' files once they are old: what it has of them is a copy for each file. A file's calls go
//! when the lake has just given the identical bytes of it, proved by its hash; of any other they stay.

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use exports::{EDR_STREAM, Series};
use store::ExportFile;
use tracing::{debug, info, warn};

use super::again::{KeptHash, made_from};
use super::{Desk, Source, load_format_of};

/// Files looked at in one go: some ten thousand a day.
const AT_ONCE: u32 = 16;

/// One pass after the other over the files that were written, each looked at once until the next start.
#[derive(Debug, Default)]
pub(crate) struct Forgetting {
    after: i64,
    has_warned: bool,
}

impl Forgetting {
    /// Drops the calls of the next files that are older than `exports.keep_calls`, and answers of how many.
    pub(crate) async fn tick(&mut self, desk: &Desk, now: DateTime<Utc>) -> anyhow::Result<u32> {
        // Longer than there is time: for ever.
        let before =
            TimeDelta::from_std(desk.config.keep_calls).ok().and_then(|keep| now.checked_sub_signed(keep));
        let Some(before) = before else { return Ok(0) };
        let mut n_dropped = 0;
        for file in desk.store.export_droppable(before, self.after, AT_ONCE).await? {
            self.after = file.id;
            let series: Series = file.owner.parse()?;
            // Events are in no lake in the form in which they were told.
            if series.stream == EDR_STREAM {
                continue;
            }
            match prove(desk, &file, &series).await {
                Ok(()) => {
                    desk.store.export_drop_calls(file.id).await?;
                    n_dropped += 1;
                }
                Err(why) if self.has_warned => {
                    debug!(file = file.name, %why, "its calls stay in the database")
                }
                Err(why) => {
                    self.has_warned = true;
                    warn!(
                        file = file.name,
                        why = format!("{why:#}"),
                        "its calls stay in the database, as do those of others of its kind"
                    );
                }
            }
        }
        if n_dropped > 0 {
            info!(
                files = n_dropped,
                "calls of old export files dropped from the database; the lake has them"
            );
        }
        Ok(n_dropped)
    }
}

/// Whether the lake gives the file as it was published.
async fn prove(desk: &Desk, file: &ExportFile, series: &Series) -> anyhow::Result<()> {
    let kept = KeptHash::of(file).context("it is not written")?;
    if matches!(kept, KeptHash::TrailerMd5(_)) {
        anyhow::bail!("the hash of all of it was not kept");
    }
    let format = Arc::new(load_format_of(desk, file, series).await?);
    let made = made_from(Source::Lake, desk, file, series, &format).await?;
    if !kept.is_of(&made.bytes, Some(&made.md5)) {
        anyhow::bail!("the lake gives other bytes (sha256 {}) than were published ({kept})", made.sha256);
    }
    Ok(())
}
