//! HTTP: the console, its sign-in, and the first pieces of the API.
//!
//! In: requests, and the figures the binary gathers once a second. Out: pages, JSON, invoices as PDF. It decides who may see
//! what; what there is to see comes from the store and the pipeline.

mod console;
mod figures;
mod guard;
mod sign_in;

use std::future::IntoFuture;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use futures::FutureExt;
use model::Moment;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use figures::{AlertRow, BalanceRow, Figures, FileRow, InvoiceRow, LockRow, StageRow};
pub use sign_in::{hash_password, new_password};

/// What the console works on.
pub struct Desk {
    /// Users, sessions, invoices.
    pub store: Store,
    /// The latest figures.
    pub figures: watch::Receiver<Figures>,
    /// For the age of sessions.
    pub clock: Arc<dyn Fn() -> Moment + Send + Sync>,
}

/// What can go wrong while serving.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The listener failed.
    #[error("the console cannot accept connections: {0}")]
    Listener(#[from] std::io::Error),
    /// A password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// What every request shares.
pub(crate) struct Shared {
    desk: Desk,
    pages: minijinja::Environment<'static>,
    throttle: sign_in::Throttle,
}

/// Serves until `stop`.
///
/// # Errors
///
/// [`WebError::Listener`] when connections can no longer be accepted.
pub async fn serve(
    desk: Desk,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WebError> {
    let shared = Arc::new(Shared { desk, pages: console::pages(), throttle: sign_in::Throttle::default() });
    let behind_sign_in = Router::new()
        .route("/", get(console::page))
        .route("/figures", get(console::stream))
        .route("/invoices/{id}/pdf", get(console::invoice_pdf))
        .route("/api/v1/figures", get(console::figures_json))
        .layer(from_fn_with_state(shared.clone(), guard::require_session));
    let open = Router::new()
        .route("/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/sign-out", post(sign_in::leave))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .route("/assets/console.css", get(console::stylesheet))
        .route("/assets/console.js", get(console::script));
    let app = open.merge(behind_sign_in).layer(from_fn(guard::harden)).with_state(shared);
    let stop = stop.shared();
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(stop.clone()).into_future() => Ok(served?),
        () = guard::patience_after(stop) => Ok(()),
    }
}
