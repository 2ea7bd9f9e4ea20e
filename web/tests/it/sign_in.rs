//! Signing in and out, and what stays shut without it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, status};

#[tokio::test]
async fn nobody_unsigned_sees_a_figure() {
    let house = House::with_roles(&["operator"]).await;
    assert_eq!(status(&house.ask("GET /", "", "").await), "303");
    for data in ["/figures", "/metrics", "/api/v1/figures", "/api/v1/calls", "/api/v1/openapi.json"] {
        assert_eq!(status(&house.ask(&format!("GET {data}"), "", "").await), "401", "{data}");
    }
    for page in [
        "/invoices/1/pdf",
        "/calls",
        "/calls/00000000000000000000000000000000",
        "/sql",
        "/health",
        "/nothing",
    ] {
        assert_eq!(status(&house.ask(&format!("GET {page}"), "", "").await), "303", "{page}");
    }
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
