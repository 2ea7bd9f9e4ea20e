//! Webhooks: an alert as a signed POST, by the rules of Standard Webhooks (standardwebhooks.com, v1).
//!
//! In: an endpoint and a message with its id and body. Out: whether the endpoint took it. A receiver checks the signature, drops ids that
//! it has seen, and answers 2xx. No redirect is followed, no proxy is asked, nothing of an answer but its code is read, and no secret is
//! ever printed. Queueing and trying again is the binary's work, by [`webhook_retry_after`].
//!
//! An endpoint is named by a person, and calls to it come from inside the house. So that nobody can have us knock at the house's own
//! doors, private addresses are refused unless the configuration allows them; the name is looked up once, and the address that was
//! checked is the one that is called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What every secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// Bytes of a secret: the standard asks for 24 to 64.
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;

/// Pauses after the first failed attempts; then the last of them. The queue gives a message up when it is too old.
const RETRY_PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(4 * 60 * 60),
];

/// How long to wait after failed attempt number `attempt`; the first is 1.
pub fn webhook_retry_after(attempt: u32) -> Duration {
    let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    RETRY_PAUSES.get(place).copied().unwrap_or(RETRY_PAUSES[RETRY_PAUSES.len() - 1])
}

/// The `[webhooks]` section of the configuration file.
///
/// ```toml
/// [webhooks]
/// timeout = "10s"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// How long an endpoint may take in all, from looking up its name to its answer, `"1m"` at most. Default: `"10s"`.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Whether endpoints may be at private addresses: this machine, the local network. Default: `false`.
    pub allow_private: bool,
    /// Whether endpoints may be called without encryption. Default: `false`.
    pub allow_http: bool,
    /// PEM file with certificates of a private authority, trusted beside the system's. Default: none.
    pub ca_file: Option<PathBuf>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), allow_private: false, allow_http: false, ca_file: None }
    }
}

/// The longest time that an endpoint may be given: less than the lease of a delivery.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// A secret that signs.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    ///
    /// [`WebhookError::Secret`].
    pub fn read(text: &str) -> Result<Self, WebhookError> {
        let bytes = text.strip_prefix(SECRET_PREFIX).and_then(|rest| BASE64.decode(rest).ok());
        let bytes = bytes.filter(|bytes| (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()));
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes.ok_or(WebhookError::Secret)?)))
    }

    /// A secret's text, of bytes that nobody can guess.
    pub fn text_of(bytes: &[u8; 32]) -> String {
        format!("{SECRET_PREFIX}{}", BASE64.encode(bytes))
    }

    /// `v1,` and the signature of a message sent at `seconds` since 1970.
    pub fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(tag))
    }
}

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookMessage<'a> {
    /// The same whenever it is sent again.
    pub id: &'a str,
    /// JSON.
    pub body: &'a str,
}

/// Why an endpoint did not take a message.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A key of the `[webhooks]` section is wrong.
    #[error("webhooks.{key}: {rule}")]
    Config {
        /// Below `webhooks`.
        key: &'static str,
        /// What is wrong and what to write.
        rule: String,
    },
    /// A secret is none.
    #[error("a webhook's secret is whsec_ and 24 to 64 bytes in base64")]
    Secret,
    /// The address is none that may be called.
    #[error("{url} cannot be called: {rule}")]
    Url {
        /// As given, without what may be secret in it.
        url: String,
        /// Why, and what to write.
        rule: String,
    },
    /// The name is not known, or nobody listens.
    #[error("cannot reach {host}: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
    /// It did not answer in time.
    #[error("{host} did not answer within {seconds} s")]
    TooSlow {
        /// The host.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// It answered, and did not take it.
    #[error("{host} answered {code}")]
    Refused {
        /// The host.
        host: String,
        /// The code of HTTP.
        code: u16,
    },
}

impl WebhookError {
    /// `"NTF101"`...; stable, for logs and lists.
    pub fn code(&self) -> &'static str {
        match self {
            WebhookError::Config { .. } => "NTF101",
            WebhookError::Secret => "NTF102",
            WebhookError::Url { .. } => "NTF103",
            WebhookError::Unreachable { .. } => "NTF104",
            WebhookError::TooSlow { .. } => "NTF105",
            WebhookError::Refused { .. } => "NTF106",
        }
    }

    /// The endpoint says that it is gone for good and wants nothing more: 410.
    pub fn is_gone(&self) -> bool {
        matches!(self, WebhookError::Refused { code: 410, .. })
    }
}

/// Sends messages.
#[derive(Clone)]
pub struct WebhookSender {
    config: WebhookConfig,
    tls: TlsConnector,
}

impl std::fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSender").field("config", &self.config).finish_non_exhaustive()
    }
}

impl WebhookSender {
    /// Reads the certificates that are trusted.
    ///
    /// # Errors
    ///
    /// [`WebhookError::Config`].
    pub fn new(config: WebhookConfig) -> Result<Self, WebhookError> {
        if config.timeout.is_zero() || config.timeout > TIMEOUT_MAX {
            let rule = format!("write a time from \"1s\" to \"{}s\"", TIMEOUT_MAX.as_secs());
            return Err(WebhookError::Config { key: "timeout", rule });
        }
        let mut roots = RootCertStore::empty();
        // A system without any certificate still reaches endpoints of `ca_file`.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = &config.ca_file {
            let unreadable = |why: String| WebhookError::Config {
                key: "ca_file",
                rule: format!("{} cannot be read: {why}", file.display()),
            };
            let found = CertificateDer::pem_file_iter(file).map_err(|why| unreadable(why.to_string()))?;
            for certificate in found {
                let certificate = certificate.map_err(|why| unreadable(why.to_string()))?;
                roots.add(certificate).map_err(|why| unreadable(why.to_string()))?;
            }
        }
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| WebhookError::Config { key: "ca_file", rule: why.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config, tls: TlsConnector::from(Arc::new(tls)) })
    }

    /// Whether an endpoint's address may be called as far as can be told without looking its name up.
    ///
    /// # Errors
    ///
    /// [`WebhookError::Url`].
    pub fn check(&self, url: &str) -> Result<(), WebhookError> {
        let place = Place::of(url)?;
        let refuse = |rule: &str| Err(WebhookError::Url { url: place.host.clone(), rule: rule.to_owned() });
        if !place.is_tls && !self.config.allow_http {
            return refuse("it is not encrypted; write https://, or set webhooks.allow_http = true");
        }
        match place.host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if !self.may_call(address) => refuse(PRIVATE),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn may_call(&self, address: IpAddr) -> bool {
        self.config.allow_private || is_public(address)
    }

    /// Sends a message at `now`; the code of the answer, which is 2xx.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; all but `Url` may be over the next time.
    pub async fn send(
        &self,
        url: &str,
        secret: &WebhookSecret,
        message: WebhookMessage<'_>,
        now: DateTime<Utc>,
    ) -> Result<u16, WebhookError> {
        self.check(url)?;
        let place = Place::of(url)?;
        let host = place.host.clone();
        let sent = tokio::time::timeout(self.config.timeout, self.post(&place, secret, message, now)).await;
        let code = sent.unwrap_or_else(|_| {
            Err(WebhookError::TooSlow { host: host.clone(), seconds: self.config.timeout.as_secs() })
        })?;
        if code.is_success() {
            return Ok(code.as_u16());
        }
        Err(WebhookError::Refused { host, code: code.as_u16() })
    }

    async fn post(
        &self,
        place: &Place,
        secret: &WebhookSecret,
        message: WebhookMessage<'_>,
        now: DateTime<Utc>,
    ) -> Result<StatusCode, WebhookError> {
        let stream = self.connect(place).await?;
        let seconds = now.timestamp();
        let request = Request::post(place.path.as_str())
            .header("host", place.authority.as_str())
            .header("user-agent", concat!("tollbook/", env!("CARGO_PKG_VERSION")))
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", secret.sign(message.id, seconds, message.body))
            .body(Full::new(Bytes::from(message.body.to_owned())))
            .map_err(|why| place.unreachable(why))?;
        if !place.is_tls {
            return ask(place, stream, request).await;
        }
        let name = ServerName::try_from(place.host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|why| place.unreachable(why))?;
        let stream = self.tls.connect(name, stream).await.map_err(|why| place.unreachable(why))?;
        ask(place, stream, request).await
    }

    /// To the first of the host's addresses that answers, of those that may be called.
    async fn connect(&self, place: &Place) -> Result<TcpStream, WebhookError> {
        let host = place.host.trim_matches(['[', ']']);
        let found =
            tokio::net::lookup_host((host, place.port)).await.map_err(|why| place.unreachable(why))?;
        let addresses: Vec<SocketAddr> = found.filter(|address| self.may_call(address.ip())).collect();
        let mut last = WebhookError::Url { url: place.host.clone(), rule: PRIVATE.to_owned() };
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(why) => last = place.unreachable(why),
            }
        }
        Err(last)
    }
}

const PRIVATE: &str = "its address is a private one; to call those too, set webhooks.allow_private = true";

async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    place: &Place,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, WebhookError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|why| place.unreachable(why))?;
    // The connection works while the answer is waited for, and ends with it: nothing of a body is read.
    let mut work = JoinSet::new();
    work.spawn(connection);
    Ok(sender.send_request(request).await.map_err(|why| place.unreachable(why))?.status())
}

/// The parts of an address.
#[derive(Debug)]
struct Place {
    is_tls: bool,
    host: String,
    authority: String,
    port: u16,
    path: String,
}

impl Place {
    fn of(url: &str) -> Result<Self, WebhookError> {
        // A path may hold a token of the receiver's: it is not repeated.
        let refuse = |rule: &str| {
            let shown = url.split_once("://").map_or("the address", |(_, rest)| rest);
            let shown = shown.split(['/', '?']).next().unwrap_or_default();
            let shown = shown.rsplit('@').next().unwrap_or_default();
            WebhookError::Url { url: shown.to_owned(), rule: rule.to_owned() }
        };
        let uri: Uri = url.parse().map_err(|_| refuse("write it like https://desk.example.com/alerts"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(refuse("write it like https://desk.example.com/alerts")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("a name and password in it are not sent; the signature says who calls"));
        }
        Ok(Place {
            is_tls,
            host: authority.host().to_owned(),
            authority: authority.as_str().to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> WebhookError {
        WebhookError::Unreachable { host: self.host.clone(), why: why.to_string() }
    }
}

/// Whether an address is out in the world (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_of_protocols = (a, b, c) == (192, 0, 0);
    let is_for_benchmarks = a == 198 && (18..20).contains(&b);
    !(a == 0
        || a >= 224
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || is_shared
        || is_of_protocols
        || is_for_benchmarks)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4_of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // NAT64 and 6to4 lead to the IPv4 address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => is_public_v4(v4_of(high, low)),
        // Global unicast, without documentation, benchmarks and Teredo.
        [first, second, ..] => {
            first & 0xe000 == 0x2000 && !(first == 0x2001 && (second == 0x0db8 || second < 0x0200))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_the_standard() {
        // From the reference implementation's tests (standard-webhooks/standard-webhooks).
        let secret = WebhookSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert!(matches!(WebhookSecret::read("whsec_c2hvcnQ="), Err(WebhookError::Secret)));
        assert!(!format!("{secret:?}").contains("MfKQ"));
    }

    #[test]
    fn private_addresses_are_told_from_those_of_the_world() {
        for (address, is_out) in [
            ("8.8.8.8", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("192.0.0.8", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("2002:7f00:1::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("2a00:1450:4001::1", true),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), is_out, "{address}");
        }
    }

    #[test]
    fn address_that_may_not_be_called_is_refused_without_its_secrets() {
        let sender = WebhookSender::new(WebhookConfig::default()).unwrap();
        for (url, why) in [
            ("http://desk.example.com/x?token=hush", "not encrypted"),
            ("https://127.0.0.1/x?token=hush", "private"),
            ("https://[::1]:8443/x?token=hush", "private"),
            ("https://name:hush@desk.example.com/", "name and password"),
            ("ftp://desk.example.com/hush", "write it like"),
            ("desk.example.com/hush", "write it like"),
        ] {
            let said = sender.check(url).unwrap_err().to_string();
            assert!(said.contains(why) && !said.contains("hush"), "{url}: {said}");
        }
        assert!(sender.check("https://desk.example.com/x?token=hush").is_ok());
    }

    #[test]
    fn pauses_grow_to_a_cap() {
        let pauses: Vec<Duration> = (1..12).map(webhook_retry_after).collect();
        assert!(pauses.is_sorted());
        assert_eq!((pauses[0].as_secs(), pauses[10].as_secs()), (5, 4 * 3_600));
    }
}
