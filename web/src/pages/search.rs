//! The search box: what is typed is taken to where it is, or to the list of what is like it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::refusal::{Refusal, require};
use crate::role::Right;
use crate::search::{Hits, everything};

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    q: String,
}

#[derive(Template)]
#[template(path = "search.html")]
struct Page {
    frame: Frame,
    text: String,
    found: Vec<Hits>,
    fault: String,
    /// Whether calls are among what was looked at.
    sees_calls: bool,
}

/// Goes to the account, CDR or invoice of exactly this name, or to the only thing that is like it; otherwise lists what is like it.
pub(crate) async fn go(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(typed): Query<Typed>,
) -> Result<Response, Refusal> {
    require(&user, Right::Calls, "search")?;
    let text = typed.q.trim();
    if let Some(to) = exactly(&shared, &user, text).await? {
        return Ok(Redirect::to(&to).into_response());
    }
    let (status, found, fault) = if text.is_empty() {
        (StatusCode::OK, Vec::new(), String::new())
    } else {
        match everything(&shared, &user, text).await {
            Ok(found) => (StatusCode::OK, found, String::new()),
            Err(why @ Refusal::Invalid(_)) => (why.status(), Vec::new(), why.to_string()),
            Err(why) => return Err(why),
        }
    };
    if let [only] = found.as_slice()
        && let [hit] = only.hits.as_slice()
        && only.kind != "users"
    {
        return Ok(Redirect::to(&hit.href).into_response());
    }
    let page = Page {
        frame: Frame::of(&user, "/search"),
        text: text.to_owned(),
        found,
        fault,
        sees_calls: user.role.may(Right::Calls),
    };
    Ok((status, html(&page)?).into_response())
}

/// Where the one thing is that has exactly this name.
async fn exactly(shared: &Shared, user: &SignedIn, text: &str) -> Result<Option<String>, Refusal> {
    let directory = (shared.desk.directory)();
    if user.role.may(Right::Provisioning) && !directory.accounts_named(text).is_empty() {
        // Where several tenants have one, its page says which there are.
        return Ok(Some(format!("/accounts/{}", escaped(text))));
    }
    if text.parse::<model::CdrId>().is_ok() {
        return Ok(Some(format!("/calls/{}", escaped(text))));
    }
    if user.role.may(Right::Books) && !text.is_empty() {
        let like = shared.desk.store.invoices_beginning(text, 2).await?;
        if let [invoice] = like.as_slice()
            && invoice.number == text
        {
            return Ok(Some(format!("/invoices/{}", invoice.id.0)));
        }
    }
    Ok(None)
}

/// As a part of a URL (RFC 3986, 2.1).
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_typed_stays_one_part_of_an_address() {
        assert_eq!(escaped("a b&c=ü"), "a%20b%26c%3D%C3%BC");
    }
}
