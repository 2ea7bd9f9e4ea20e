//! A file that was published, once more: from the archive, else made again from its calls and its format as it was. Which calls those
//! are the database knows; what they were, the lake says, and where it does not, the database's own copies. Nothing is given out whose
//! hash is not the one that was kept.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use exports::{Buffers, Digest, Format, Rendered, Series, Subject, digest_of};
use model::CdrId;
use store::{ExportCall, ExportFile, ExportKey, ExportState};
use tracing::warn;

use super::{Desk, Filled, load_format_of, render};
use crate::failure::UserError;
use crate::system::of_lake;

/// Nearly all calls of a file began within the first of these before it was closed; the others are looked for further back, and then in
/// all there is.
const LOOKED_BACK: [TimeDelta; 2] = [TimeDelta::days(2), TimeDelta::days(35)];
/// A call that began before its file was closed may bear a later time: clocks of two machines differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::days(1);

/// Where the bytes of a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// They were kept.
    Archive,
    /// They were made again from the rows of its calls.
    Lake,
    /// They were made again from the copies of its calls in the database.
    Database,
}

/// A file as it was published.
pub(crate) struct Again {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: String,
    pub(crate) source: Source,
}

/// The identical bytes of a file published before, proved by the hash that was kept.
pub(crate) async fn again(desk: &Desk, series: &Series, sequence: u64) -> anyhow::Result<Again> {
    let key = series.to_string();
    let file = written_file(desk, &key, sequence).await?;
    let kept = KeptHash::of(&file).context("it is not written")?;
    let archived = desk.config.archive.join(&file.name);
    match std::fs::read(&archived) {
        Ok(bytes) if kept.is_of(&bytes, None) => {
            let sha256 = digest_of(Digest::Sha256, &bytes);
            return Ok(Again { name: file.name, bytes, sha256, source: Source::Archive });
        }
        Ok(_) => {
            warn!(file = %archived.display(), "the archived file is not what was published; made again from its calls")
        }
        Err(why) => warn!(file = %archived.display(), %why, "not in the archive; made again from its calls"),
    }
    let format = Arc::new(load_format_of(desk, &file, series).await?);
    let mut refused = Vec::new();
    for source in [Source::Lake, Source::Database] {
        match made_from(source, desk, &file, series, &format).await {
            Ok(Rendered { bytes, sha256, md5, .. }) if kept.is_of(&bytes, Some(&md5)) => {
                return Ok(Again { name: file.name, bytes, sha256, source });
            }
            Ok(other) => refused.push(format!("{} give {}", source.calls(), kept.like(&other))),
            Err(why) => refused.push(format!("{}: {why:#}", source.calls())),
        }
    }
    anyhow::bail!(
        "file number {sequence} of {key} cannot be made again as it was published ({kept}): {}",
        refused.join("; ")
    )
}

impl Source {
    const fn calls(self) -> &'static str {
        match self {
            Source::Archive => "the kept bytes",
            Source::Lake => "its calls in the lake",
            Source::Database => "its calls in the database",
        }
    }
}

async fn written_file(desk: &Desk, key: &str, sequence: u64) -> anyhow::Result<ExportFile> {
    let Some(file) = desk.store.export_file(key, sequence).await? else {
        let last = desk.store.export_files(key).await?.last().map_or(0, |file| file.sequence);
        let remedy = if last == 0 {
            "`tollbook export list` shows what there is".to_owned()
        } else {
            format!("its files are numbered 1 to {last}")
        };
        return Err(UserError::new(format!("{key} has no file number {sequence}"), remedy).into());
    };
    match file.state {
        ExportState::Written { .. } => Ok(file),
        ExportState::Planned => Err(UserError::new(
            format!("file number {sequence} of {key} is planned and not yet written"),
            "`tollbook export run` writes it",
        )
        .into()),
    }
}

/// The hash by which a file is known again.
enum KeptHash {
    Sha256(String),
    /// Of a file written before that was kept there is only the MD5 of its trailer.
    TrailerMd5(String),
}

impl KeptHash {
    /// `None` of a file that is not written.
    fn of(file: &ExportFile) -> Option<Self> {
        match &file.state {
            ExportState::Written { sha256: Some(sha256), .. } => Some(KeptHash::Sha256(sha256.clone())),
            ExportState::Written { md5, sha256: None, .. } => Some(KeptHash::TrailerMd5(md5.clone())),
            ExportState::Planned => None,
        }
    }

    /// `trailer_md5` is that of bytes that were just made.
    fn is_of(&self, bytes: &[u8], trailer_md5: Option<&str>) -> bool {
        match self {
            KeptHash::Sha256(sha256) => digest_of(Digest::Sha256, bytes) == *sha256,
            KeptHash::TrailerMd5(md5) => match trailer_md5 {
                Some(found) => found == md5,
                None => exports::verify(bytes).is_ok_and(|found| found.md5 == *md5),
            },
        }
    }

    /// The hash of the same kind of other bytes.
    fn like(&self, other: &Rendered) -> KeptHash {
        match self {
            KeptHash::Sha256(_) => KeptHash::Sha256(other.sha256.clone()),
            KeptHash::TrailerMd5(_) => KeptHash::TrailerMd5(other.md5.clone()),
        }
    }
}

impl std::fmt::Display for KeptHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeptHash::Sha256(hash) => write!(f, "sha256 {hash}"),
            KeptHash::TrailerMd5(hash) => write!(f, "md5 {hash}"),
        }
    }
}

/// The bytes of a file, made again, whatever they are.
async fn made_from(
    source: Source,
    desk: &Desk,
    file: &ExportFile,
    series: &Series,
    format: &Arc<Format>,
) -> anyhow::Result<Rendered> {
    let corrected = series.corrected().map(|series| series.to_string());
    let calls = match (source, format.subject()) {
        (Source::Lake, Subject::Calls) => lake_calls(desk, file, corrected.as_deref()).await?,
        (Source::Lake, Subject::Events) => anyhow::bail!("events are made again from the database"),
        (Source::Archive | Source::Database, _) => {
            desk.store.export_queue(file.id, corrected.as_deref()).await?
        }
    };
    let filled = Filled::load(desk, file, series.clone(), format.clone(), calls).await?;
    Ok(render(&[filled], &Buffers::default()).pop().context("nothing was rendered")??)
}

/// The calls of a file as the lake has them.
async fn lake_calls(
    desk: &Desk,
    file: &ExportFile,
    corrected: Option<&str>,
) -> anyhow::Result<Vec<ExportCall>> {
    let keys = desk.store.export_keys(file.id, corrected).await?;
    let revisions = |key: &ExportKey| [Some(key.revision), key.earlier].map(|revision| (key.cdr, revision));
    let wanted =
        keys.iter().flat_map(revisions).filter_map(|(cdr, revision)| Some((cdr, revision?))).collect();
    let found = payloads_of(desk, file, wanted).await?;
    let payload = |cdr, revision| found.get(&(cdr, revision)).cloned().unwrap_or_default();
    let of_key = |key: &ExportKey| ExportCall {
        payload: payload(key.cdr, key.revision),
        earlier: key.earlier.map(|revision| payload(key.cdr, revision)),
    };
    Ok(keys.iter().map(of_key).collect())
}

/// All of these calls, by record and revision, in the form in which they are queued.
async fn payloads_of(
    desk: &Desk,
    file: &ExportFile,
    wanted: Vec<(CdrId, u32)>,
) -> anyhow::Result<HashMap<(CdrId, u32), Vec<u8>>> {
    let lake = desk.lake.as_ref().context("there is no lake")?;
    let (mut missing, mut found) = (wanted, HashMap::new());
    let to = file.created_at.checked_add_signed(CLOCKS_DIFFER).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let back =
        LOOKED_BACK.map(|span| file.created_at.checked_sub_signed(span).unwrap_or(DateTime::UNIX_EPOCH));
    for from in back.into_iter().chain([DateTime::UNIX_EPOCH]) {
        if missing.is_empty() {
            break;
        }
        for rated in lake.kept_calls(&missing, from, to).await.map_err(of_lake)? {
            found.insert((rated.cdr.id, rated.cdr.revision), model::wire::encode_rated(&rated));
        }
        missing.retain(|key| !found.contains_key(key));
    }
    if let Some((cdr, revision)) = missing.first() {
        anyhow::bail!("{} of them are not there, such as {cdr}, revision {revision}", missing.len());
    }
    Ok(found)
}
