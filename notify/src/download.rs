//! Signed links to files that are too large for a mail: their tokens, and the words that carry them.
//!
//! A token names a link and its end, and is signed (HMAC-SHA256) with a key of the tenant: nobody can make one up or lengthen its time. Whether a
//! link was revoked, and what it leads to, is the store's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use model::{Language, TenantId};
use ring::hmac;

use crate::Words;
use crate::message::escaped;

/// Of this kind of signature, so that the key cannot be made to sign anything else.
const PURPOSE: &[u8] = b"tollbook download 1";

/// Two numbers of eight bytes, and the signature.
const TOKEN_BYTES: usize = 8 + 8 + 32;

/// What signs the links of a tenant.
pub struct DownloadKey(hmac::Key);

impl std::fmt::Debug for DownloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DownloadKey")
    }
}

/// What a link says, not yet believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadToken {
    /// Which link.
    pub link: i64,
    /// Its end, in microseconds since 1970.
    expires: i64,
    tag: [u8; 32],
}

impl DownloadToken {
    /// Reads what follows `/d/`.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        if bytes.len() != TOKEN_BYTES {
            return None;
        }
        Some(Self {
            link: i64::from_be_bytes(bytes[..8].try_into().ok()?),
            expires: i64::from_be_bytes(bytes[8..16].try_into().ok()?),
            tag: bytes[16..].try_into().ok()?,
        })
    }
}

impl DownloadKey {
    /// Of 32 bytes that nobody can guess.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token of a link.
    pub fn token(&self, tenant: TenantId, link: i64, expires_at: DateTime<Utc>) -> String {
        let expires = expires_at.timestamp_micros();
        let tag = hmac::sign(&self.0, &signed(tenant, link, expires));
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend(link.to_be_bytes());
        bytes.extend(expires.to_be_bytes());
        bytes.extend(tag.as_ref());
        BASE64.encode(bytes)
    }

    /// Whether `token` is one of ours for a link of `tenant`, and its time is not over. Takes as long whatever is wrong with the signature.
    pub fn opens(&self, tenant: TenantId, token: &DownloadToken, now: DateTime<Utc>) -> bool {
        let message = signed(tenant, token.link, token.expires);
        hmac::verify(&self.0, &message, &token.tag).is_ok() && now.timestamp_micros() < token.expires
    }
}

fn signed(tenant: TenantId, link: i64, expires: i64) -> Vec<u8> {
    let mut message = PURPOSE.to_vec();
    for number in [tenant.0, link, expires] {
        message.extend(number.to_be_bytes());
    }
    message
}

/// A file that a mail links to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
}

/// The words of a mail with links in the place of its attachments, good until `until`.
pub fn with_links(words: Words, links: &[Linked], until: DateTime<Utc>, language: Language) -> Words {
    let (what, day) = match language {
        Language::English => ("To be fetched here, as it is too large for a mail, until", "%-d %B %Y"),
        Language::German => ("Hier abzuholen, da zu groß für eine E-Mail, bis", "%d.%m.%Y"),
        Language::Vietnamese => ("Tải về tại đây, vì tệp quá lớn để gửi qua thư, đến ngày", "%d/%m/%Y"),
    };
    let what = format!("{what} {}:", until.format(day));
    let mut text = words.text.trim_end().to_owned();
    text.push_str(&format!("\n\n{what}\n"));
    for link in links {
        text.push_str(&format!("\n{}\n{}\n", link.name, link.url));
    }
    let html = words.html.map(|html| {
        let of =
            |link: &Linked| format!("<br><a href=\"{}\">{}</a>", escaped(&link.url), escaped(&link.name));
        let paragraph = format!("<p>{}{}</p>\n", escaped(&what), links.iter().map(of).collect::<String>());
        let end = html.rfind("</body>").unwrap_or(html.len());
        format!("{}{paragraph}{}", &html[..end], &html[end..])
    });
    Words { subject: words.subject, text, html }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn only_its_own_token_opens_a_link_and_only_in_time() {
        let (key, end) = (DownloadKey::new(&[7; 32]), at("2026-12-01T00:00:00Z"));
        let text = key.token(TenantId(1), 42, end);
        let token = DownloadToken::read(&text).unwrap();
        assert_eq!(token.link, 42);
        assert!(key.opens(TenantId(1), &token, at("2026-11-30T23:59:59Z")));
        assert!(!key.opens(TenantId(1), &token, end), "its time is over");
        assert!(!key.opens(TenantId(2), &token, at("2026-11-01T00:00:00Z")), "of another tenant");
        assert!(!DownloadKey::new(&[8; 32]).opens(TenantId(1), &token, at("2026-11-01T00:00:00Z")));
        // Each single bit counts: of the link, of its end, of the signature.
        let bytes = BASE64.decode(&text).unwrap();
        for place in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[place / 8] ^= 1 << (place % 8);
            let changed = DownloadToken::read(&BASE64.encode(changed)).unwrap();
            assert!(!key.opens(TenantId(1), &changed, at("2026-11-01T00:00:00Z")), "bit {place}");
        }
        for nonsense in ["", "abc", "....", &text[1..], &format!("{text}AA")] {
            assert_eq!(DownloadToken::read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn links_stand_in_text_and_html() {
        let words = Words {
            subject: "Rechnung".to_owned(),
            text: "Guten Tag,\n".to_owned(),
            html: Some("<html><body><p>Guten Tag,</p></body></html>".to_owned()),
        };
        let link = Linked { name: "a&b.pdf".to_owned(), url: "https://b.example/d/x".to_owned() };
        let words = with_links(words, &[link], at("2026-12-01T00:00:00Z"), Language::German);
        assert_eq!(
            words.text,
            "Guten Tag,\n\nHier abzuholen, da zu groß für eine E-Mail, bis 01.12.2026:\n\na&b.pdf\nhttps://b.example/d/x\n"
        );
        let html = words.html.unwrap();
        assert!(
            html.ends_with("<a href=\"https://b.example/d/x\">a&amp;b.pdf</a></p>\n</body></html>"),
            "{html}"
        );
    }
}
