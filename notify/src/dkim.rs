//! Signs mails with the key of their sender's domain, so that the receiver's server believes where they come from.
//!
//! In: the bytes of a message as they are sent. Out: the same with a `DKIM-Signature` header in front. RFC 6376 with SHA-256,
//! `relaxed/relaxed` canonicalisation and RSA; RFC 8463 for Ed25519. The public key is in the domain's DNS, which is the
//! operator's work.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;

use crate::{NotifyError, Secret};

/// The fields that are signed, those that a mail of ours has (RFC 6376, 5.4.1). `From` is named once more than it is there, so
/// that nobody can add another one (8.15).
const SIGNED: [&str; 9] =
    ["from", "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "auto-submitted"];

/// Characters of the signature on one line.
const LINE_CHARS: usize = 70;

/// Whose key signs.
///
/// ```toml
/// [mail.dkim]
/// domain = "nordtel.example"
/// selector = "tollbook"
/// key = { file = "/etc/tollbook/dkim.pem" }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimConfig {
    /// The domain that signs; receivers expect that of the sender's address, or one above it. No default.
    pub domain: String,
    /// Under which name the public key is in the DNS: `SELECTOR._domainkey.DOMAIN`. No default.
    pub selector: String,
    /// The private key as PEM: RSA of 2048 bits or more, or Ed25519 (PKCS #8; RSA in PKCS #1 too). No default.
    pub key: Secret,
}

impl DkimConfig {
    /// The rules beyond the types.
    pub(crate) fn check(&self, sender_domain: &str) -> Result<(), NotifyError> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        let wrong = |key, rule: String| Err(NotifyError::Config { key, rule });
        if !is_name(&self.domain) {
            return wrong(
                "dkim.domain",
                format!("{:?} is not a domain, such as \"example.com\"", self.domain),
            );
        }
        if !is_name(&self.selector) {
            return wrong(
                "dkim.selector",
                format!("{:?} is not a selector, such as \"tollbook\"", self.selector),
            );
        }
        let (sender, domain) = (sender_domain.to_ascii_lowercase(), self.domain.to_ascii_lowercase());
        if sender != domain && !sender.ends_with(&format!(".{domain}")) {
            let rule =
                format!("{domain:?} does not sign for the sender's {sender:?}; name that or one above it");
            return wrong("dkim.domain", rule);
        }
        Ok(())
    }
}

/// A key ready to sign.
pub(crate) struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}._domainkey.{})", self.selector, self.domain)
    }
}

impl Signer {
    /// Reads the key.
    pub(crate) fn new(config: &DkimConfig) -> Result<Self, NotifyError> {
        let pem = config.key.read("dkim.key")?;
        let key = key_of(&pem).map_err(|rule| NotifyError::Config { key: "dkim.key", rule })?;
        Ok(Self { domain: config.domain.clone(), selector: config.selector.clone(), key })
    }

    /// `message` with its signature in front.
    pub(crate) fn sign(&self, message: &[u8], now: DateTime<Utc>) -> Result<Vec<u8>, &'static str> {
        let end = message.windows(4).position(|window| window == b"\r\n\r\n").ok_or("it has no header")?;
        let (header, body) = (&message[..end + 2], &message[end + 4..]);
        let header = std::str::from_utf8(header).map_err(|_| "its header is not UTF-8")?;
        let fields = fields(header);
        let body_hash = STANDARD.encode(digest(&SHA256, &relaxed_body(body)));
        let algorithm = match self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let mut names = Vec::new();
        let mut signed = String::new();
        for name in SIGNED {
            let is_there = fields.iter().any(|(known, _)| known == name);
            if !is_there {
                continue;
            }
            // A name given once more than the field is there stands for nothing (RFC 6376, 5.4.2).
            if !names.contains(&name) {
                signed
                    .extend(fields.iter().filter(|(known, _)| known == name).map(|(_, line)| line.as_str()));
            }
            names.push(name);
        }
        let value = format!(
            "v=1; a={algorithm}; c=relaxed/relaxed; d={}; s={};\r\n t={}; h={};\r\n bh={body_hash};\r\n b=",
            self.domain,
            self.selector,
            now.timestamp(),
            names.join(":")
        );
        let mut input = signed;
        input.push_str(&format!("dkim-signature:{}", relaxed_value(&value)));
        let signature = STANDARD.encode(self.signature(input.as_bytes())?);
        let lines: Vec<&str> = signature
            .as_bytes()
            .chunks(LINE_CHARS)
            .map(|line| std::str::from_utf8(line).unwrap_or(""))
            .collect();
        let mut out = format!("DKIM-Signature: {value}{}\r\n", lines.join("\r\n ")).into_bytes();
        out.extend_from_slice(message);
        Ok(out)
    }

    fn signature(&self, input: &[u8]) -> Result<Vec<u8>, &'static str> {
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .map_err(|_| "the key does not sign")?;
                Ok(signature)
            }
            // The hash is signed, and not the text itself (RFC 8463, 3).
            Key::Ed25519(key) => Ok(key.sign(digest(&SHA256, input).as_ref()).as_ref().to_vec()),
        }
    }
}

fn key_of(pem: &str) -> Result<Key, String> {
    let no_key = || "is not a private key as PEM; make one with `openssl genrsa 2048`".to_owned();
    let begin = pem.find("-----BEGIN ").ok_or_else(no_key)?;
    let (label, rest) = pem[begin + 11..].split_once("-----").ok_or_else(no_key)?;
    let text: String = rest.split("-----END").next().unwrap_or_default().split_whitespace().collect();
    let der = STANDARD.decode(text).map_err(|_| no_key())?;
    let rsa = |key: Result<RsaKeyPair, ring::error::KeyRejected>| {
        key.map(|key| Key::Rsa(Box::new(key)))
            .map_err(|why| format!("is refused as an RSA key: {why}; it has 2048 bits or more"))
    };
    match label {
        "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(&der)),
        "PRIVATE KEY" => match Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            Ok(key) => Ok(Key::Ed25519(key)),
            Err(_) => rsa(RsaKeyPair::from_pkcs8(&der)),
        },
        _ => Err(no_key()),
    }
}

/// Each field: its name, and all of it in relaxed form with its line end (RFC 6376, 3.4.2).
fn fields(header: &str) -> Vec<(String, String)> {
    let mut fields: Vec<String> = Vec::new();
    for line in header.split("\r\n").filter(|line| !line.is_empty()) {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => field.push_str(line),
            Some(_) | None => fields.push(line.to_owned()),
        }
    }
    fields
        .iter()
        .filter_map(|field| field.split_once(':'))
        .map(|(name, value)| {
            let name = name.trim().to_ascii_lowercase();
            let line = format!("{name}:{}\r\n", relaxed_value(value));
            (name, line)
        })
        .collect()
}

/// Unfolded, with single spaces, and none at its ends.
fn relaxed_value(value: &str) -> String {
    value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Single spaces, none at the ends of lines, no empty lines at the end (RFC 6376, 3.4.4).
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let mut relaxed = Vec::with_capacity(line.len());
        let mut is_space_due = false;
        for &byte in line.strip_suffix(b"\r").unwrap_or(line) {
            if matches!(byte, b' ' | b'\t') {
                is_space_due = true;
                continue;
            }
            if std::mem::take(&mut is_space_due) {
                relaxed.push(b' ');
            }
            relaxed.push(byte);
        }
        lines.push(relaxed);
    }
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines.into_iter().flat_map(|line| [line, b"\r\n".to_vec()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_is_that_of_the_example_in_the_rfc() {
        // RFC 6376, 3.4.5.
        let header = "A: X\r\nB : Y\t\r\n\tZ  \r\n";
        let lines: Vec<String> = fields(header).into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["a:X\r\n", "b:Y Z\r\n"]);
        assert_eq!(relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
        assert_eq!(relaxed_body(b""), b"");
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_remedy() {
        for pem in [
            "",
            "secret",
            "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            let why = key_of(pem).err().unwrap();
            assert!(why.contains("openssl genrsa"), "{why}");
        }
        let why = key_of("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").err().unwrap();
        assert!(why.contains("2048 bits"), "{why}");
    }

    #[test]
    fn domain_that_does_not_sign_for_the_sender_is_refused() {
        let config = |domain: &str| DkimConfig {
            domain: domain.to_owned(),
            selector: "s1".to_owned(),
            key: Secret::Plain(String::new()),
        };
        config("nordtel.example").check("billing.Nordtel.example").unwrap();
        config("nordtel.example").check("nordtel.example").unwrap();
        let why = config("other.example").check("nordtel.example").unwrap_err().to_string();
        assert!(why.starts_with("mail.dkim.domain: \"other.example\" does not sign"), "{why}");
        assert!(config("tel.example").check("nordtel.example").is_err());
        assert!(config("a b").check("nordtel.example").is_err());
    }
}
