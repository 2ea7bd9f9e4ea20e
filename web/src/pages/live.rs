//! The front page: what happens now, and its stream of figures.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};

use crate::Shared;
use crate::figures::{Figures, HISTORY_SECONDS};
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::refusal::Refusal;
use crate::role::Right;

/// A stream that has nothing new says so this often, to keep proxies from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Size of the chart's own coordinates: one unit a second, and its height.
const CHART_HEIGHT: u64 = 60;

#[derive(Template)]
#[template(path = "live.html")]
struct Page {
    frame: Frame,
    figures: Figures,
    sees_books: bool,
    sees_files: bool,
    sees_fraud: bool,
    chart: Chart,
}

/// New calls a second over the last minutes, as a line.
struct Chart {
    /// Points of the line, in the coordinates of the picture.
    points: String,
    /// The highest figure in it.
    top: u64,
    width: usize,
    height: u64,
}

impl Chart {
    fn of(history: &[u64]) -> Self {
        let top = history.iter().copied().max().unwrap_or(0).max(1);
        let first = HISTORY_SECONDS.saturating_sub(history.len());
        let mut points = String::new();
        for (idx, n) in history.iter().enumerate() {
            let height = CHART_HEIGHT - n * CHART_HEIGHT / top;
            let _ = write!(points, "{},{height} ", first + idx);
        }
        Self { points, top, width: HISTORY_SECONDS, height: CHART_HEIGHT }
    }
}

/// The console.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    let figures = shared.desk.figures.borrow().clone().for_role(user.role);
    html(&Page {
        frame: Frame::of(&user, "/"),
        chart: Chart::of(&figures.history),
        figures,
        sees_books: user.role.may(Right::Books),
        sees_files: user.role.may(Right::Files),
        sees_fraud: user.role.may(Right::FraudDesk),
    })
}

/// The figures, each time they are gathered (server-sent events).
pub(crate) async fn stream(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut receiver = shared.desk.figures.clone();
    // The page shows the current ones already; a new listener gets them all the same, it may have been away.
    receiver.mark_changed();
    let role = user.role;
    let events = stream::unfold(receiver, move |mut receiver| async move {
        receiver.changed().await.ok()?;
        let figures = receiver.borrow_and_update().clone().for_role(role);
        let event = Event::default().json_data(figures).unwrap_or_default();
        Some((Ok(event), receiver))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_ends_at_its_right_edge_and_its_highest_point_at_the_top() {
        let chart = Chart::of(&[0, 10, 5]);
        assert_eq!(chart.points, "297,60 298,0 299,30 ");
        assert_eq!((chart.top, Chart::of(&[]).top), (10, 1));
    }
}
