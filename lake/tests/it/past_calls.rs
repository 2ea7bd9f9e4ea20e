//! Calls as rules see them again: each once, as it stands now, and only those that are asked for.

use model::{AccountId, CdrId};

use crate::world::{World, at, call, dec, rows, unanswered};

#[tokio::test]
async fn past_calls_are_the_newest_revisions_of_the_span_with_what_they_cost() {
    let world = World::new();
    let lake = world.open();
    let mut corrected = call("a", "2026-10-05T08:00:00Z");
    corrected.cdr.revision = 1;
    corrected.charges[0].cost = dec("0.2");
    corrected.charges[0].free_cash = dec("0.05");
    let mut of_another = unanswered("b", "2026-10-05T09:00:00Z");
    of_another.cdr.payer = AccountId(1002);
    let all = vec![
        call("a", "2026-10-05T08:00:00Z"),
        corrected,
        of_another,
        call("next-day", "2026-10-06T00:00:00Z"),
    ];
    lake.commit(rows(1, all), world.now).await.unwrap();
    let calls = lake.past_calls(at("2026-10-05T00:00:00Z"), at("2026-10-06T00:00:00Z")).await.unwrap();
    assert_eq!(calls.len(), 2);
    let mut seen = Vec::new();
    calls
        .each(
            |payer| payer == AccountId(1001),
            |one| {
                assert_eq!(one.cdr, CdrId::derive(&model::CallUid::new("a"), 0));
                assert_eq!((one.source, one.source_number), ("192.0.2.10", Some("43660555123")));
                assert_eq!((one.subscriber, one.trunk, one.vendor), (Some(42), None, Some(3)));
                assert_eq!(one.start_at, at("2026-10-05T08:00:00Z"));
                seen.push((one.call.to_owned(), one.answered_us, one.cost_micros));
            },
        )
        .unwrap();
    assert_eq!(seen, [("a".to_owned(), Some(131_650_000), 250_000)]);
    let mut n_unanswered = 0;
    calls
        .each(|payer| payer == AccountId(1002), |one| n_unanswered += u32::from(one.answered_us.is_none()))
        .unwrap();
    assert_eq!(n_unanswered, 1);
}
