//! The search box: whatever is typed, taken to where it is.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::Shared;
use crate::guard::SignedIn;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    q: String,
}

/// Goes to the invoice, account, CDR, number or Call-ID that was typed.
pub(crate) async fn go(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(typed): Query<Typed>,
) -> Result<Response, Refusal> {
    require(&user, Right::Calls, "search")?;
    let text = typed.q.trim();
    let directory = (shared.desk.directory)();
    let to = if text.is_empty() {
        "/calls".to_owned()
    } else if user.role.may(Right::Provisioning) && !directory.accounts_named(text).is_empty() {
        // Where several tenants have one, its page says which there are.
        format!("/accounts/{}", escaped(text))
    } else if let Some(id) = invoice(&shared, &user, text).await? {
        format!("/invoices/{id}")
    } else if text.parse::<model::CdrId>().is_ok() {
        format!("/calls/{}", escaped(text))
    } else if is_number(text) {
        format!("/calls?number={}", escaped(text))
    } else {
        format!("/calls?call={}", escaped(text))
    };
    Ok(Redirect::to(&to).into_response())
}

async fn invoice(shared: &Shared, user: &SignedIn, number: &str) -> Result<Option<i64>, Refusal> {
    if !user.role.may(Right::Books) {
        return Ok(None);
    }
    let heads = shared.desk.store.invoice_heads().await?;
    let found = heads.into_iter().find(|invoice| invoice.number == number);
    Ok(found.map(|invoice| invoice.id.0))
}

fn is_number(text: &str) -> bool {
    let mut n_digits = 0_u32;
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            n_digits += 1;
        } else if !matches!(letter, '+' | '*' | ' ' | '-' | '/' | '(' | ')') {
            return false;
        }
    }
    n_digits >= 3
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
    fn numbers_are_told_from_names() {
        assert!(is_number("+43 660 555-123") && is_number("43660*"));
        assert!(!is_number("a84b4c76e66710@192.0.2.10") && !is_number("12"));
        assert_eq!(escaped("a b&c=ü"), "a%20b%26c%3D%C3%BC");
    }
}
