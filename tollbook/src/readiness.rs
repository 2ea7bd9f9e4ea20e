//! Whether this process can work: database, event log and leases at hand. Asked by supervisors ([`web::serve_probe`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::Topic;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::runner::Rooms;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What takes longer to answer is not at hand.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Looks until `stop`.
pub(crate) async fn run(
    rooms: Rooms,
    has_leases: Arc<AtomicBool>,
    obstacles: watch::Sender<web::Obstacles>,
    stop: CancellationToken,
) {
    loop {
        obstacles.send_replace(look(&rooms, &has_leases).await);
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(rooms: &Rooms, has_leases: &AtomicBool) -> web::Obstacles {
    let mut found = Vec::new();
    match tokio::time::timeout(ANSWER_PATIENCE, rooms.store.revision()).await {
        Ok(Ok(_)) => {}
        Ok(Err(why)) => found.push(format!("database: {why}")),
        Err(_) => found.push("database: no answer".to_owned()),
    }
    match tokio::time::timeout(ANSWER_PATIENCE, rooms.bus.range(Topic::Control, 0)).await {
        Ok(Ok(_)) => {}
        Ok(Err(why)) => found.push(format!("event log: {why}")),
        Err(_) => found.push("event log: no answer".to_owned()),
    }
    if !has_leases.load(Ordering::Acquire) {
        found.push("leases: not renewed".to_owned());
    }
    found
}
