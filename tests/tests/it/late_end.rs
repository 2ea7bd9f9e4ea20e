//! A call whose end comes after it was given up: a partial record, billed and in a file, then the true one in its place, in money and in
//! a later file, and nothing edited.

use std::path::Path;

use crate::rig::{Installation, eventually, have};
use crate::sipp_call::{calls, gateway};

/// Revision, cause, length in whole seconds and price of every record there was of the call.
const HISTORY: &str = "select revision, cause, cast(round(cast(duration_seconds as double)) as bigint), customer_cost from \
                       calls_history where cause <> 'unauthorised' order by revision";

/// Postings by their reason.
const BOOKS: &str = "select reason, count(*) from postings group by reason order by reason";

/// What the carrier is owed, after all corrections.
const OWED: &str = "select sum(case when credit like 'payable:%' then amount else 0 end) - sum(case when debit like 'payable:%' then \
                    amount else 0 end), (select max(carrier_cost) from calls where cause = 'normal') from postings";

#[test]
fn end_of_a_call_that_was_given_up_corrects_its_price_and_its_file() {
    if !have("sipp") {
        return;
    }
    let made = Installation::new();
    // A call of some seconds is given up, as one of a day would be; its last sign of life is a second old at most.
    made.configure("[mediator]\nage_max = \"4s\"\n");
    let text = std::fs::read_to_string(made.config()).unwrap();
    std::fs::write(made.config(), text.replacen("[switch]", "[switch]\ncharge_tick_seconds = 1", 1)).unwrap();
    let _gateways = made.carriers.map(gateway);
    let house = made.start();
    let before = std::thread::scope(|scope| {
        let talk = scope.spawn(|| {
            calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 12_000);
        });
        eventually("the call is given up while it is up", || !made.sql(HISTORY).is_empty());
        let before = made.sql(HISTORY);
        // The partial record is in a file before the end comes.
        made.run_command(&["export", "run"]);
        assert!(!talk.is_finished(), "the call ended before it was given up: {before:?}");
        before
    });
    eventually("the true record is there", || made.sql(HISTORY).len() == 2);
    house.stop();

    let history = made.sql(HISTORY);
    assert_eq!(history[0], before[0], "what was written stays as it is");
    let partial_seconds = history[0].strip_prefix("0,lost_end,").and_then(|rest| rest.split(',').next());
    let partial_seconds = partial_seconds.and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(partial_seconds.is_some_and(|seconds| (1..=8).contains(&seconds)), "{history:?}");
    assert!(history[1].starts_with("1,normal,12,"), "{history:?}");
    assert_eq!(made.sql("select count(*) from calls where cause <> 'unauthorised'"), ["1"], "it counts once");
    // Customer, reseller and carrier, each: first, taken back, anew.
    assert_eq!(made.sql(BOOKS), ["call,6", "reversal,3"]);
    let owed = made.sql(OWED);
    let (posted, rated) = owed[0].split_once(',').unwrap();
    assert_eq!(posted, rated, "the carrier is owed what the true record says");

    let shown = made.run_command(&["export", "run"]);
    let files: Vec<&str> = shown.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(files.len(), 3, "one report each for the operator, the reseller and the carrier: {shown}");
    for file in files {
        let text = std::fs::read_to_string(Path::new(file)).unwrap();
        let kinds: Vec<&str> = text.lines().filter_map(|line| line.split(',').next()).collect();
        assert_eq!(kinds, ["record_type", "reversal", "replacement"], "{file}:\n{text}");
        assert!(text.contains(",lost_end,1,") && text.contains(",normal,0,"), "{file}:\n{text}");
    }
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds") && proof.contains("0 are open"), "{proof}");
}
