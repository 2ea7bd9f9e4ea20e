//! What an object store's failure means, in words for an operator. Nothing of a key, a signature or a request gets into them.

use std::path::Path;

use object_store::Error;

use crate::LakeError;

/// What the words need to know of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Where {
    pub(super) bucket: String,
    pub(super) region: String,
    /// `None`: Amazon's own.
    pub(super) endpoint: Option<String>,
}

/// Whether the store says that the object is not there: not that there is no bucket, or no such user.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && matches!(code(&error.to_string()), None | Some("NoSuchKey"))
}

/// The error, with what was tried on what.
pub(super) fn of(place: &Where, action: &'static str, path: &Path, error: &Error) -> LakeError {
    let path = path.to_owned();
    let text = error.to_string();
    let refused = |problem: String| LakeError::StoreRefused { action, path: path.clone(), problem };
    let Where { bucket, region, endpoint } = place;
    match code(&text) {
        Some("NoSuchBucket") => {
            return refused(format!("there is no bucket {bucket:?}; make it, or correct lake.url"));
        }
        Some(
            code @ ("InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken"
            | "InvalidSecurity"
            | "XAdminUserNotFound"),
        ) => {
            return refused(format!(
                "the store does not take the access key ({code}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the file lake.s3.credentials"
            ));
        }
        Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "InvalidRegion") => {
            return refused(wrong_region(bucket, region));
        }
        Some("RequestTimeTooSkewed") => {
            return refused("the clock of this machine is more than 15 minutes off; set it".to_owned());
        }
        _ => {}
    }
    if text.contains("redirect without LOCATION") {
        return refused(wrong_region(bucket, region));
    }
    if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
        || code(&text) == Some("AccessDenied")
    {
        return refused(format!(
            "the access key may not do this; it needs to list, get, put and delete objects in bucket {bucket:?}"
        ));
    }
    if is_absent(error) {
        return LakeError::Store { action, path, problem: "it is not there".to_owned() };
    }
    let server = endpoint.as_deref().unwrap_or("Amazon S3");
    let problem = match (code(&text), root(error)) {
        (Some(code), _) => format!("{server} says {code}"),
        (None, root) => format!("{server} does not answer as it should: {root}"),
    };
    LakeError::Store { action, path, problem }
}

fn wrong_region(bucket: &str, region: &str) -> String {
    format!("bucket {bucket:?} is not in region {region:?}; correct lake.s3.region")
}

/// S3's word for what is wrong.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    code.chars().all(|letter| letter.is_ascii_alphanumeric()).then_some(code)
}

/// The innermost cause: that a connection was refused, that time ran out.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    let text = at.to_string();
    // The answer of something that is no object store.
    let short: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    if short.is_empty() { "no reason was given".to_owned() } else { short }
}

/// What the failure of a query says of the store, where it is the store that failed: what the library reports is text by then.
pub(crate) fn of_query(place: &Path, message: &str) -> Option<LakeError> {
    let is_stores = ["Generic S3 error", "Object at location ", "The operation lacked "]
        .iter()
        .any(|start| message.contains(start));
    let problem = match code(message) {
        Some("NoSuchKey") => "a file that was committed is not there".to_owned(),
        Some(code) => format!("the object store says {code}"),
        None if message.contains("not found") => "a file that was committed is not there".to_owned(),
        None => "the object store does not answer; try again later".to_owned(),
    };
    is_stores.then(|| LakeError::Store { action: "read", path: place.to_owned(), problem })
}
