//! A wrong price of the past, found late: corrected by reversals and new postings, and the books still add up.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::{Running, eventually, printed, tollbook_path, write_file};

/// Runs a command on the installation in `home`.
fn run(home: &Path, words: &[&str]) -> String {
    printed(Command::new(tollbook_path()).args(words).arg("--config").arg(home.join("tollbook.toml")))
}

/// The one row of a query.
fn row(home: &Path, query: &str) -> String {
    run(home, &["sql", "--format", "csv", query]).lines().nth(1).unwrap().trim().to_owned()
}

#[test]
fn wrong_prices_of_the_past_are_taken_back_and_posted_anew() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("demo");
    printed(Command::new(tollbook_path()).args(["demo", "--calls", "40", "--cps", "40", "--dir"]).arg(&home));
    let before = row(&home, "select sum(carrier_cost), sum(customer_cost) from calls");

    // What a carrier asks for calls to Germany, Austria and Switzerland should have been a hundred times as much all along.
    let listed = std::fs::read_to_string(home.join("tariffs/carrier-a/fees.csv")).unwrap();
    let corrected: Vec<String> = listed
        .lines()
        .map(|line| if line.starts_with(",4") { line.replace(",0.", ",1.") } else { line.to_owned() })
        .collect();
    let list = write_file(dir.path(), "corrected.csv", &(corrected.join("\n") + "\n"));
    let list = list.to_str().unwrap();
    let since = "2020-01-01T00:00:00Z";
    printed(
        Command::new(tollbook_path()).arg("import").arg("--config").arg(home.join("tollbook.toml")).args([
            "fees",
            list,
            "--profile",
            "carrier_a",
            "--valid-from",
            since,
            "--correct-past",
            "--yes",
        ]),
    );
    assert_eq!(
        row(&home, "select sum(carrier_cost), sum(customer_cost) from calls"),
        before,
        "nothing moves by itself"
    );

    let selection = [
        "rerate",
        "--from",
        since,
        "--to",
        "2100-01-01T00:00:00Z",
        "--profile",
        "carrier_a",
        "--reason",
        "wrong deck",
    ];
    let preview = run(&home, &[&selection[..], &["--dry-run"]].concat());
    let ordered = run(&home, &[&selection[..], &["--yes"]].concat());
    assert!(
        preview.contains("nothing was changed") && ordered.contains("are priced again"),
        "{preview}{ordered}"
    );
    let n_ordered: u64 = ordered
        .lines()
        .find_map(|line| {
            line.strip_suffix(" calls are priced again; a running installation begins within a second")
        })
        .unwrap()
        .parse()
        .unwrap();
    assert!(n_ordered > 0);

    let mut again = Command::new(tollbook_path());
    again
        .args(["run", "--config"])
        .arg(home.join("tollbook.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let again = Running::spawn(&mut again);
    let revised = "select count(*) from calls where revision = 1";
    eventually("every order is in the lake", || row(&home, revised) == n_ordered.to_string());
    again.stop();

    let after = row(&home, "select sum(carrier_cost), sum(customer_cost) from calls");
    let sums = |text: &str| {
        text.split_once(',').map(|(carrier, customer)| (carrier.to_owned(), customer.to_owned())).unwrap()
    };
    assert_ne!(sums(&after).0, sums(&before).0);
    assert_eq!(sums(&after).1, sums(&before).1, "customers pay what they paid");
    assert!(run(&home, &["audit"]).contains("all of it holds"));
    let once_more = run(&home, &[&selection[..], &["--dry-run"]].concat());
    assert!(once_more.contains("no price differs"), "{once_more}");
    // By a list of theirs that was changed likewise, resellers would pay more.
    let tariff = dir.path().join("dearer");
    std::fs::create_dir(&tariff).unwrap();
    for file in std::fs::read_dir(home.join("tariffs/reseller")).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        std::fs::write(tariff.join(file.file_name()), text.replace(",0.", ",1.")).unwrap();
    }
    let simulated = run(&home, &["simulate", "--level", "reseller", "--tariff", tariff.to_str().unwrap()]);
    assert!(simulated.contains("0 accounts would pay less") && !simulated.contains("0 more"), "{simulated}");
}
