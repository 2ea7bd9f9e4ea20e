//! The front page, its stream of figures, and invoices as PDF.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use futures::stream::{self, Stream};

use crate::Shared;
use crate::guard::{SignedIn, failed};

/// A stream that has nothing new says so this often, to keep proxies from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The templates, checked when the program starts.
#[expect(
    clippy::expect_used,
    reason = "they are part of the program; a broken one must not get past the first test"
)]
pub(crate) fn pages() -> minijinja::Environment<'static> {
    let mut pages = minijinja::Environment::new();
    pages.add_template("layout.html", include_str!("../templates/layout.html")).expect("layout.html");
    pages.add_template("console.html", include_str!("../templates/console.html")).expect("console.html");
    pages.add_template("sign_in.html", include_str!("../templates/sign_in.html")).expect("sign_in.html");
    pages
}

/// The console.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    Extension(user): Extension<SignedIn>,
) -> Response {
    let figures = shared.desk.figures.borrow().clone().only(user.sees);
    let figures = minijinja::Value::from(minijinja::value::Serde(figures));
    let sees = minijinja::Value::from(minijinja::value::Serde(user.sees));
    let page = shared.pages.get_template("console.html").and_then(|page| {
        page.render(minijinja::context! { figures, sees, user => user.name, role => user.role })
    });
    match page {
        Ok(page) => Html(page).into_response(),
        Err(why) => failed(&why),
    }
}

/// The figures, now.
pub(crate) async fn figures_json(
    State(shared): State<Arc<Shared>>,
    Extension(user): Extension<SignedIn>,
) -> Response {
    axum::Json(shared.desk.figures.borrow().clone().only(user.sees)).into_response()
}

/// The figures, each time they are gathered (server-sent events).
pub(crate) async fn stream(
    State(shared): State<Arc<Shared>>,
    Extension(user): Extension<SignedIn>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut receiver = shared.desk.figures.clone();
    // The page shows the current ones already; a new listener gets them all the same, it may have been away.
    receiver.mark_changed();
    let sees = user.sees;
    let events = stream::unfold(receiver, move |mut receiver| async move {
        receiver.changed().await.ok()?;
        let figures = receiver.borrow_and_update().clone().only(sees);
        let event = Event::default().json_data(figures).unwrap_or_default();
        Some((Ok(event), receiver))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// One invoice as PDF.
pub(crate) async fn invoice_pdf(
    State(shared): State<Arc<Shared>>,
    Extension(user): Extension<SignedIn>,
    Path(id): Path<i64>,
) -> Response {
    if !user.sees.money {
        return (StatusCode::FORBIDDEN, "your role does not see invoices\n").into_response();
    }
    match shared.desk.store.invoice_pdf(model::InvoiceId(id)).await {
        Ok(Some(pdf)) => {
            let name = format!("inline; filename=\"invoice-{id}.pdf\"");
            ([(header::CONTENT_TYPE, "application/pdf".to_owned()), (header::CONTENT_DISPOSITION, name)], pdf)
                .into_response()
        }
        Ok(None) => {
            (StatusCode::NOT_FOUND, "there is no such invoice, or its PDF is not made yet\n").into_response()
        }
        Err(why) => failed(&why),
    }
}

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
