//! What pages load besides themselves: one stylesheet and one script, both part of the program.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The stylesheet.
pub(crate) async fn stylesheet() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../assets/console.css"))
        .into_response()
}

/// The script.
pub(crate) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../assets/console.js"))
        .into_response()
}
