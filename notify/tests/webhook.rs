//! Webhooks against a server that takes, refuses, sends elsewhere, is slow, and dies.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use notify::{WebhookConfig, WebhookError, WebhookMessage, WebhookSecret, WebhookSender};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const MESSAGE: WebhookMessage<'_> =
    WebhookMessage { id: "alert_7_0", body: r#"{"type":"fraud.alert.opened"}"# };

/// What a server does with a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers with these bytes.
    Answers(&'static str),
    /// Reads, and says nothing.
    IsSilent,
    /// Reads, and hangs up.
    HangsUp,
    /// Says half of an answer, and hangs up.
    DiesHalfway,
}

/// A server; what it was sent comes out of the channel.
async fn server(manner: Manner) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/fraud?token=hush", listener.local_addr().unwrap());
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = heard.send(read_request(&mut stream).await);
            match manner {
                Manner::Answers(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                Manner::IsSilent => std::future::pending().await,
                Manner::HangsUp => {}
                Manner::DiesHalfway => stream.write_all(b"HTTP/1.1 20").await.unwrap(),
            }
        }
    });
    (url, hears)
}

/// Up to the end of a body as long as it was said to be.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4_096];
        let n = stream.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        let length = header(&text, "content-length").and_then(|length| length.parse::<usize>().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if n == 0 || body.zip(length).is_some_and(|(there, said)| there >= said) {
            return text;
        }
    }
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn sender() -> WebhookSender {
    let config = WebhookConfig {
        timeout: Duration::from_secs(2),
        allow_private: true,
        allow_http: true,
        ..WebhookConfig::default()
    };
    WebhookSender::new(config).unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-11-26T02:00:00Z".parse().unwrap()
}

async fn send(url: &str) -> Result<u16, WebhookError> {
    sender().send(url, &WebhookSecret::read(SECRET).unwrap(), MESSAGE, now()).await
}

#[tokio::test]
async fn message_comes_signed_under_its_id() {
    let (url, mut hears) = server(Manner::Answers("HTTP/1.1 204 No Content\r\n\r\n")).await;
    assert_eq!(send(&url).await.unwrap(), 204);
    let request = hears.recv().await.unwrap();
    assert!(request.starts_with("POST /hooks/fraud?token=hush HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "webhook-id"), Some("alert_7_0"));
    let at = now().timestamp();
    assert_eq!(header(&request, "webhook-timestamp"), Some(at.to_string().as_str()));
    let signature = WebhookSecret::read(SECRET).unwrap().sign(MESSAGE.id, at, MESSAGE.body);
    assert_eq!(header(&request, "webhook-signature"), Some(signature.as_str()));
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    assert!(request.ends_with(MESSAGE.body), "{request}");
    assert!(!request.contains("MfKQ"));
}

#[tokio::test]
async fn server_that_refuses_is_heard_and_one_that_is_gone_is_told_apart() {
    let (url, _hears) = server(Manner::Answers("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")).await;
    let why = send(&url).await.unwrap_err();
    assert!(matches!(why, WebhookError::Refused { code: 503, .. }) && !why.is_gone(), "{why}");
    let (url, _hears) = server(Manner::Answers("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")).await;
    assert!(send(&url).await.unwrap_err().is_gone());
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let (elsewhere, mut hears) =
        server(Manner::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let answer: &'static str =
        format!("HTTP/1.1 307 Elsewhere\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n").leak();
    let (url, _hears) = server(Manner::Answers(answer)).await;
    assert!(matches!(send(&url).await, Err(WebhookError::Refused { code: 307, .. })));
    assert!(hears.try_recv().is_err());
}

#[tokio::test]
async fn silent_server_is_given_its_time_and_no_more() {
    let (url, _hears) = server(Manner::IsSilent).await;
    assert!(matches!(send(&url).await, Err(WebhookError::TooSlow { seconds: 2, .. })));
}

/// A certificate for `localhost`, made by openssl.
fn certificate(dir: &std::path::Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(std::process::Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl made no certificate");
    (cert, key)
}

#[tokio::test]
async fn encrypted_endpoint_must_show_a_certificate_that_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let certs = CertificateDer::pem_file_iter(&cert).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certs, PrivateKeyDer::from_pem_file(&key).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hooks", listener.local_addr().unwrap().port());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut bytes = [0; 4_096];
            let _ = stream.read(&mut bytes).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    let secret = WebhookSecret::read(SECRET).unwrap();
    let stranger = WebhookConfig { allow_private: true, ..WebhookConfig::default() };
    let why = WebhookSender::new(stranger.clone()).unwrap().send(&url, &secret, MESSAGE, now()).await;
    assert!(matches!(why, Err(WebhookError::Unreachable { .. })), "{why:?}");
    let friend = WebhookConfig { ca_file: Some(cert), ..stranger };
    assert_eq!(WebhookSender::new(friend).unwrap().send(&url, &secret, MESSAGE, now()).await.unwrap(), 200);
}

#[tokio::test]
async fn server_that_dies_or_is_not_there_is_unreachable_and_no_secret_is_told() {
    let (hung_up, _hears) = server(Manner::HangsUp).await;
    let (halfway, _hears) = server(Manner::DiesHalfway).await;
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/hooks?token=hush", listener.local_addr().unwrap())
    };
    for url in [hung_up, halfway, nobody] {
        let why = send(&url).await.unwrap_err();
        assert!(matches!(why, WebhookError::Unreachable { .. }), "{why}");
        assert!(!why.to_string().contains("hush"), "{why}");
    }
}

#[tokio::test]
async fn name_of_a_private_address_is_not_called_where_that_is_not_allowed() {
    let (url, mut hears) = server(Manner::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let config = WebhookConfig { allow_http: true, ..WebhookConfig::default() };
    let sender = WebhookSender::new(config).unwrap();
    let secret = WebhookSecret::read(SECRET).unwrap();
    let named = format!("http://localhost:{port}/hooks");
    sender.check(&named).unwrap();
    let why = sender.send(&named, &secret, MESSAGE, now()).await.unwrap_err();
    assert!(matches!(why, WebhookError::Url { .. }), "{why}");
    assert!(hears.try_recv().is_err());
}
