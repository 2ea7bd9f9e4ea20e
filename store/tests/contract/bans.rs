//! Addresses and networks that people shut out.

use chrono::TimeDelta;
use model::SourceBan;
use store::StoreError;

use crate::database::Database;
use crate::sample::second;

fn ban(network: &str, since: i64, hours: Option<i64>) -> SourceBan {
    SourceBan {
        network: network.to_owned(),
        reason: "Guesses numbers, 'quoted' too".to_owned(),
        author: "eve".to_owned(),
        since: second(since),
        until: hours.map(|hours| second(since) + TimeDelta::hours(hours)),
    }
}

pub(crate) async fn source_that_is_shut_out_is_in_the_directory_until_it_is_let_in_or_long_over(
    db: Database,
) {
    let store = &db.store;
    assert_eq!(store.directory().await.unwrap().source_bans, []);
    let revision = store.revision().await.unwrap();
    let (short, long) = (ban("192.0.2.0/24", 1, Some(1)), ban("2001:db8::/48", 2, None));
    store.ban_source(&long).await.unwrap();
    store.ban_source(&short).await.unwrap();
    let directory = store.directory().await.unwrap();
    assert_eq!(directory.source_bans, [short.clone(), long.clone()], "by network");
    assert!(directory.revision > revision, "other processes look again");
    let trail = store.audit_list(1).await.unwrap();
    assert_eq!((trail[0].actor.as_str(), trail[0].object.as_str()), ("eve", "source:192.0.2.0/24"));

    // The same network again: one row, as said last.
    let later = SourceBan { reason: "Still does".to_owned(), ..ban("192.0.2.0/24", 3, Some(2)) };
    store.ban_source(&later).await.unwrap();
    assert_eq!(store.directory().await.unwrap().source_bans, [later.clone(), long.clone()]);

    let revision = store.revision().await.unwrap();
    store.unban_source("2001:db8::/48", "adam", second(4)).await.unwrap();
    assert_eq!(store.directory().await.unwrap().source_bans, [later]);
    assert!(store.revision().await.unwrap() > revision);
    let trail = store.audit_list(1).await.unwrap();
    assert_eq!((trail[0].actor.as_str(), trail[0].object.as_str()), ("adam", "source:2001:db8::/48"));
    let again = store.unban_source("2001:db8::/48", "adam", second(5)).await;
    assert!(matches!(again, Err(StoreError::NotFound { what: "ban", .. })), "{again:?}");

    // Whoever shuts out the next one clears away what is over.
    let next = ban("198.51.100.7", 3 + 7_200, None);
    store.ban_source(&next).await.unwrap();
    assert_eq!(store.directory().await.unwrap().source_bans, [next]);
}
