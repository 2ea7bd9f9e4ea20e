//! The console as a browser meets it: a real server on a free port, a real database, plain HTTP.

#![allow(clippy::unwrap_used, reason = "what a test cannot do ends it")]

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use model::Moment;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use web::{AlertRow, BalanceRow, Desk, Figures};

const PASSWORD: &str = "correct horse battery";

struct House {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: tokio::task::JoinHandle<Result<(), web::WebError>>,
    _figures: watch::Sender<Figures>,
    _dir: tempfile::TempDir,
}

impl House {
    async fn with_roles(roles: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let hash = web::hash_password(PASSWORD).unwrap();
        for role in roles {
            store.user_create(role, &hash, role, DateTime::UNIX_EPOCH).await.unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let figures = Figures {
            calls_active: 7,
            balances: vec![BalanceRow {
                name: "owed by acme".into(),
                amount: "1".into(),
                currency: "EUR".into(),
            }],
            alerts: vec![AlertRow {
                at: String::new(),
                account: "watched<script>".into(),
                rule: String::new(),
                value: String::new(),
                limit: String::new(),
                lock: String::new(),
            }],
            ..Figures::default()
        };
        let (sender, current) = watch::channel(figures);
        let clock = Arc::new(|| Moment { wall: DateTime::UNIX_EPOCH, mono: Duration::ZERO });
        let (stop, stopped) = oneshot::channel::<()>();
        let desk = Desk { store, figures: current, clock };
        let serving = tokio::spawn(web::serve(desk, listener, async move { drop(stopped.await) }));
        Self { address, stop: Some(stop), serving, _figures: sender, _dir: dir }
    }

    /// The answer to one request, headers and all.
    async fn ask(&self, request: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn sign_in(&self, name: &str, headers: &str) -> String {
        let form = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.ask("POST /sign-in", &headers, &form).await
    }

    async fn cookie_of(&self, name: &str) -> String {
        let answer = self.sign_in(name, "").await;
        let line = answer
            .lines()
            .find(|line| line.starts_with("set-cookie: "))
            .unwrap_or_else(|| panic!("{answer}"));
        assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict"), "{line}");
        format!("Cookie: {}\r\n", line["set-cookie: ".len()..].split(';').next().unwrap())
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn nobody_unsigned_sees_a_figure() {
    let house = House::with_roles(&["operator"]).await;
    assert_eq!(status(&house.ask("GET /", "", "").await), "303");
    for data in ["/figures", "/api/v1/figures"] {
        assert_eq!(status(&house.ask(&format!("GET {data}"), "", "").await), "401", "{data}");
    }
    assert_eq!(status(&house.ask("GET /invoices/1/pdf", "", "").await), "303");
    let forged = house.ask("GET /api/v1/figures", "Cookie: tollbook_session=guess\r\n", "").await;
    assert_eq!(status(&forged), "401");
}

#[tokio::test]
async fn browser_form_from_our_own_page_signs_in_and_another_sites_does_not() {
    let house = House::with_roles(&["operator"]).await;
    let page = house.ask("GET /sign-in", "", "").await;
    // With "no-referrer" a browser would say "Origin: null" even here, and nobody could sign in.
    assert!(page.contains("referrer-policy: same-origin"), "{page}");
    let own = format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", house.address);
    assert_eq!(status(&house.sign_in("operator", &own).await), "303");
    assert_eq!(status(&house.sign_in("operator", "Origin: http://evil.example\r\n").await), "403");
    assert_eq!(status(&house.sign_in("operator", "Sec-Fetch-Site: cross-site\r\n").await), "403");
}

#[tokio::test]
async fn each_role_sees_its_own_and_no_more() {
    let roles = ["operator", "finance", "fraud", "auditor", "stranger"];
    let house = House::with_roles(&roles).await;
    for (role, money, fraud) in [
        ("operator", true, true),
        ("finance", true, false),
        ("fraud", false, true),
        ("auditor", true, true),
        ("stranger", false, false),
    ] {
        let cookie = house.cookie_of(role).await;
        for path in ["/", "/api/v1/figures"] {
            let answer = house.ask(&format!("GET {path}"), &cookie, "").await;
            assert_eq!(status(&answer), "200", "{role} {path}");
            assert_eq!(answer.contains("owed by acme"), money, "{role} {path}");
            assert_eq!(answer.contains("watched"), fraud, "{role} {path}");
        }
        let page = house.ask("GET /", &cookie, "").await;
        assert!(!page.contains("watched<script>"), "text of others must not become markup");
        let pdf = house.ask("GET /invoices/1/pdf", &cookie, "").await;
        assert_eq!(status(&pdf), if money { "404" } else { "403" }, "{role}");
    }
}

#[tokio::test]
async fn sign_out_ends_the_session_for_good() {
    let house = House::with_roles(&["operator"]).await;
    let cookie = house.cookie_of("operator").await;
    assert_eq!(status(&house.ask("POST /sign-out", &cookie, "").await), "303");
    assert_eq!(status(&house.ask("GET /api/v1/figures", &cookie, "").await), "401");
}

#[tokio::test]
async fn open_stream_does_not_hold_up_the_stop() {
    let mut house = House::with_roles(&["operator"]).await;
    let cookie = house.cookie_of("operator").await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let request = format!("GET /figures HTTP/1.1\r\nHost: {}\r\n{cookie}\r\n", house.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 512];
    let n_read = stream.read(&mut first).await.unwrap();
    assert!(String::from_utf8_lossy(&first[..n_read]).contains("text/event-stream"));
    house.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), &mut house.serving).await.unwrap().unwrap().unwrap();
}
