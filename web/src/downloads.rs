//! Files behind signed links: the one thing that is handed out without a sign-in. Which link leads where is the binary's to say.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;

use crate::Shared;
use crate::guard::failed;

/// A file that a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// As it is to be called.
    pub name: String,
    /// Its MIME type.
    pub mime: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The file that a token stands for. `None` for all that do not or no longer, whatever the reason.
pub type FetchDownload =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<Download>, String>> + Send + Sync>;

/// The file, or the same answer to everything else, so that nobody learns which links there are.
pub(crate) async fn fetch(State(shared): State<Arc<Shared>>, Path(token): Path<String>) -> Response {
    let download = match (shared.desk.download)(token).await {
        Ok(Some(download)) => download,
        Ok(None) => {
            let words = "This link does not lead anywhere, or no longer. Ask whoever sent it for another.\n";
            return (StatusCode::NOT_FOUND, words).into_response();
        }
        Err(why) => return failed(&why),
    };
    let mime = HeaderValue::from_str(&download.mime)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let mut response = download.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, mime);
    headers.insert(header::CONTENT_DISPOSITION, disposition(&download.name));
    // The address is the key: it is not to be told to anybody.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}

/// A file to be kept, not shown, under a name without folders and control characters.
fn disposition(name: &str) -> HeaderValue {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_leads_into_no_folder_and_ends_no_header() {
        assert_eq!(disposition("INV-2026-000001.pdf"), "attachment; filename=\"INV-2026-000001.pdf\"");
        assert_eq!(disposition("../a\"\r\nX: y"), "attachment; filename=\"..-a---X--y\"");
    }
}
