//! Attachments that were too large for their mail: the links that take their place, and the files behind them.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use model::{Language, TenantId};
use notify::{DownloadKey, DownloadToken, LinkConfig, Linked, Words, with_links};
use store::{Mail, Store, StoreError};
use tracing::{info, warn};
use web::{Download, FetchDownload};

use crate::clock::Clock;

/// Signs the links of mails that go to no tenant's customers.
pub(crate) const THE_HOUSE: TenantId = TenantId(0);

/// Path of links, in front of the token.
const PATH: &str = "/d/";

/// `words` with a link to each attachment of `mail`; those of an attempt before this one again, if they are not over.
///
/// # Errors
///
/// What the database says. Inside: which link was revoked, so that the mail must not be sent.
pub(crate) async fn linked(
    store: &Store,
    config: &LinkConfig,
    mail: &Mail,
    words: Words,
    now: DateTime<Utc>,
) -> Result<Result<Words, i64>, StoreError> {
    let tenant = mail.tenant.unwrap_or(THE_HOUSE);
    let valid_for = TimeDelta::from_std(config.valid_for).unwrap_or(TimeDelta::MAX);
    let expires_at = now.checked_add_signed(valid_for).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let (links, key) = store.download_links_of((mail.id, tenant), rand::random(), expires_at, now).await?;
    if let Some(revoked) = links.iter().find(|link| link.revoked_at.is_some()) {
        return Ok(Err(revoked.id));
    }
    let key = DownloadKey::new(&key);
    // What an attempt before this one made has its own end.
    let until = links.iter().map(|link| link.expires_at).min().unwrap_or(expires_at);
    let base = config.base_url.trim_end_matches('/');
    let links: Vec<Linked> = links
        .into_iter()
        .map(|link| Linked {
            url: format!("{base}{PATH}{}", key.token(tenant, link.id, link.expires_at)),
            name: link.name,
        })
        .collect();
    let language = mail.fill.as_ref().map_or(Language::English, |fill| fill.language);
    Ok(Ok(with_links(words, &links, until, language)))
}

/// What the web asks when somebody comes with a link.
pub(crate) fn desk(store: Store, clock: Clock) -> FetchDownload {
    Arc::new(move |token| {
        let (store, now) = (store.clone(), clock.utc());
        async move { fetch(&store, &token, now).await.map_err(|why| why.to_string()) }.boxed()
    })
}

/// The file that a token stands for at `now`.
pub(crate) async fn fetch(
    store: &Store,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Option<Download>, StoreError> {
    let Some(token) = DownloadToken::read(token) else { return Ok(None) };
    let Some((link, key)) = store.download_link(token.link).await? else { return Ok(None) };
    if !DownloadKey::new(&key).opens(link.tenant, &token, now) {
        return Ok(None);
    }
    if link.revoked_at.is_some() || now >= link.expires_at {
        warn!(link = link.id, mail = link.mail, "a link that was ended is still asked for");
        return Ok(None);
    }
    let bytes = match store.download_fetch(link.id, now).await {
        // Revoked in the meantime.
        Err(StoreError::NotFound { .. }) => return Ok(None),
        found => found?,
    };
    info!(link = link.id, mail = link.mail, bytes = bytes.len(), "file fetched by its link");
    Ok(Some(Download { name: link.name, mime: link.mime, bytes }))
}
