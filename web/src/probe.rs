//! What a supervisor asks a process, on an address of its own, without a password: whether it lives, and whether it can work.

use std::future::{Future, IntoFuture};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::WebError;

/// What stands in the way of work, one line each; nothing when all is at hand.
pub type Obstacles = Vec<String>;

/// Answers `GET /healthz` with 200 as long as the process lives, and `GET /readyz` with 200, or 503 and the obstacles, until `stop`.
///
/// # Errors
///
/// [`WebError`] when the listener fails.
pub async fn serve_probe(
    listener: TcpListener,
    obstacles: watch::Receiver<Obstacles>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WebError> {
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(obstacles);
    // A supervisor's question takes no time: nobody is waited for.
    tokio::select! {
        served = axum::serve(listener, app).into_future() => Ok(served?),
        () = stop => Ok(()),
    }
}

async fn readiness(State(obstacles): State<watch::Receiver<Obstacles>>) -> Response {
    let obstacles = obstacles.borrow().clone();
    if obstacles.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n").into_response()
}
