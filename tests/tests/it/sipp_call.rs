//! The main job, with real peers at every edge: sipp calls as customer and answers as carrier; the CDRs, prices, the lock, the CDR
//! file fetched by OpenSSH, the Parquet rows read by a plain reader and the invoice's text are looked at from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::rig::{
    Installation, Running, eventually, free_address, have, printed, scenario, tollbook, tollbook_path,
    write_file,
};

/// A carrier's gateway that answers everything.
pub(crate) fn gateway(at: SocketAddr) -> Running {
    gateway_with(at, &["-sn", "uas"])
}

/// A carrier's gateway that answers as these arguments of sipp's say.
pub(crate) fn gateway_with(at: SocketAddr, args: &[&str]) -> Running {
    Running::spawn(
        Command::new("sipp")
            .args(args)
            .args(["-nostdin", "-i", &at.ip().to_string(), "-p", &at.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}

/// `n_calls` calls one after the other by `user`, each held for `hold_ms`; sipp checks every message.
pub(crate) fn calls(
    made: &Installation,
    scenario_name: &str,
    user: &str,
    password: &str,
    number: &str,
    n_calls: u32,
    hold_ms: u32,
) {
    printed(&mut dial(made, scenario_name, user, password, number, n_calls, hold_ms));
}

/// The same, to be run.
pub(crate) fn dial(
    made: &Installation,
    scenario_name: &str,
    user: &str,
    password: &str,
    number: &str,
    n_calls: u32,
    hold_ms: u32,
) -> Command {
    let fields = write_file(
        made.path(),
        &format!("{user}-{number}.csv"),
        &format!("SEQUENTIAL\n{user};{number};[authentication username={user} password={password}]\n"),
    );
    let local = free_address("127.0.0.1");
    let mut command = Command::new("sipp");
    command
        .arg(made.sip.to_string())
        .arg("-sf")
        .arg(scenario(scenario_name))
        .arg("-inf")
        .arg(fields)
        .args([
            "-i",
            "127.0.0.1",
            "-p",
            &local.port().to_string(),
            "-nostdin",
            "-timeout",
            "50",
            "-timeout_error",
        ])
        .args(["-m", &n_calls.to_string(), "-r", "5", "-l", "5", "-d", &hold_ms.to_string()]);
    command
}

/// What a plain reader finds in all files of the lake: rows, and the sum of the column `customer_cost` in millionths.
fn parquet_rows(home: &Path) -> (i64, i128) {
    let mut rows = 0;
    let mut micros = 0;
    let mut days = vec![home.join("data/lake/cdrs")];
    while let Some(dir) = days.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                days.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
                rows += reader.metadata().file_metadata().num_rows();
                for row in reader.get_row_iter(None).unwrap() {
                    for (name, field) in row.unwrap().into_columns() {
                        if name == "customer_cost"
                            && let parquet::record::Field::Decimal(cost) = field
                        {
                            micros += cost.data().iter().enumerate().fold(0_i128, |sum, (idx, byte)| {
                                // Big-endian two's complement.
                                if idx == 0 {
                                    i128::from(byte.cast_signed())
                                } else {
                                    (sum << 8) | i128::from(*byte)
                                }
                            });
                        }
                    }
                }
            }
        }
    }
    (rows, micros)
}

#[test]
fn calls_of_a_foreign_phone_become_cdrs_money_a_lock_a_file_and_an_invoice() {
    if !["sipp", "sftp", "ssh-keygen", "pdftotext"].into_iter().all(have) {
        return;
    }
    let made = Installation::new();
    let house = made.start();
    let _gateways = made.carriers.map(gateway);

    // Five answered calls to Germany; sipp fails the test on any message out of place.
    calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 5, 1_200);
    calls(&made, "refused_call.xml", "huber", "wrong-password-for-huber", "4930555123", 1, 0);
    eventually("five calls are in the lake", || {
        made.sql("select count(*) from calls where status = 'ok'") == ["5"]
    });
    let facts = made.sql(
        "select min(codec), min(attempts), count(distinct call_id), min(destination_number) from calls where status = 'ok'",
    );
    assert_eq!(facts, ["PCMU/8000,1,5,4930555123"]);
    let lengths = made.sql("select duration_seconds from calls where status = 'ok'");
    for length in &lengths {
        // sipp holds a call for 1.2 s by its own clock, whose ticks come early or late when other tests run beside it.
        let seconds: f64 = length.parse().unwrap();
        assert!((1.1..10.0).contains(&seconds), "{lengths:?}");
    }
    // The sample tariff: a minute to Germany fixed, begun and charged whole, on-peak or off-peak.
    let costs = made.sql("select distinct customer_cost, customer_zone, billed_seconds, onpeak_seconds from calls where status = 'ok'");
    for cost in &costs {
        assert!(["0.022000,Germany,60,60", "0.016000,Germany,60,0"].contains(&cost.as_str()), "{costs:?}");
    }

    // Dear calls, one at a time, until one more reaches the day's limit of the hotel: eight at the cheapest hour.
    let rated = format!("select count(*) from calls where dialed = '{PREMIUM}'");
    let is_next_the_last =
        format!("select sum(customer_cost) + max(customer_cost) >= 30 from calls where dialed = '{PREMIUM}'");
    let mut n_dear = 0;
    while n_dear == 0 || made.sql(&is_next_the_last) == ["false"] {
        assert!(n_dear < 9, "limit not near after {n_dear} calls");
        calls(&made, "customer_call.xml", "seeblick", "change-me-seeblick", PREMIUM, 1, 300);
        n_dear += 1;
        eventually("the dear call is rated", || made.sql(&rated) == [n_dear.to_string()]);
    }
    assert!(!made.run_command(&["fraud", "locks"]).contains("hotel-seeblick"));
    // The next one counts while it is up: it is cut, and the account locked, long before it would have ended.
    let mut held = dial(&made, "customer_call.xml", "seeblick", "change-me-seeblick", PREMIUM, 1, 40_000);
    let held = Running::spawn(held.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("the call that reaches the limit is cut", || {
        made.sql(&format!("select count(*) from calls where dialed = '{PREMIUM}' and cause = 'killed'"))
            == ["1"]
    });
    held.kill();
    eventually("its account is locked", || made.run_command(&["fraud", "locks"]).contains("hotel-seeblick"));
    calls(&made, "refused_call.xml", "seeblick", "change-me-seeblick", "4930555123", 1, 0);
    // The baker is not.
    calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 200);
    eventually("the refusal and the last answered call have their records", || {
        made.sql(
            "select count(*) filter (where cause = 'locked_out' and code = 403), \
             count(*) filter (where status = 'ok' and destination_number = '4930555123') from calls",
        ) == ["1,6"]
    });
    assert!(made.run_command(&["fraud", "alerts"]).contains("daily_spend"));
    let evidence =
        made.sql("select cdr_id from calls where customer_cost > 0 order by customer_cost desc limit 1");
    let explained = made.run_command(&["explain", &evidence[0]]);
    assert!(explained.contains("customer out") && explained.contains("first 60 s"), "{explained}");

    // The partner's files, over the built-in server, by OpenSSH. The exports follow the log by themselves, and may be behind the lake.
    let mut files = Vec::new();
    eventually("every call is in a file of the partner", || {
        made.run_command(&["export", "run"]);
        files = fetch(&made);
        let n_rows: usize = files.iter().map(|file| rows_of(file)).sum();
        made.sql("select count(*) from calls") == [n_rows.to_string()]
    });
    for file in &files {
        made.run_command(&["export", "verify", file.to_str().unwrap()]);
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with(&format!("007,{:04}\n", rows_of(file))), "{}", text.lines().next().unwrap());
        assert!(text.lines().nth(1).unwrap().split("','").count() == 59);
    }

    // And who has fetched them.
    eventually("the trail has the partner's last fetch", || {
        let shown = made.run_command(&["export", "fetched", "--missing"]);
        let fetched = made.run_command(&["export", "fetched"]);
        fetched.matches("complete").count() >= files.len() && !shown.contains("0 of")
    });
    let shown = made.run_command(&["export", "trail"]);
    assert!(shown.contains("login") && shown.contains("publickey") && shown.contains("complete"), "{shown}");

    // The lake's files, by a reader that knows nothing of us.
    let (rows, micros) = parquet_rows(&made.home());
    assert_eq!(made.sql("select count(*) from calls_history"), [rows.to_string()]);
    let sum = made.sql("select cast(sum(customer_cost) * 1000000 as bigint) from calls_history");
    assert_eq!(sum, [micros.to_string()]);

    // What is beside the calls: charges, routes, the ledger, prices.
    let of = |sql: &str| made.sql(sql).join(";");
    assert_eq!(
        of("select sum(cost) from charges where provider = 'customer' and direction = 'out'"),
        of("select sum(customer_cost) from calls")
    );
    assert_ne!(of("select count(*) from attempts where class = 'answered'"), "0");
    eventually("the postings of all calls are in the lake", || {
        of("select sum(amount) from postings where debit like 'receivable:%' and reason = 'call'")
            == of("select sum(cost) from charges where provider <> 'carrier'")
    });
    eventually("the tariffs are in the lake", || {
        of(
            "select count(*) from (select distinct customer_tariff_version from calls where customer_cost is not null \
            except select tariff_version from rates)",
        ) == "0"
            && of("select count(*) > 100 from prefixes") == "true"
    });
    let country =
        "select count(*) from calls c join prefixes p on p.prefix = number_prefix(c.destination_number)";
    assert_ne!(of(country), "0");

    // The invoice.
    let shown = made.run_command(&["invoice", "run", "--now"]);
    assert!(shown.contains("ALPINE-"), "{shown}");
    let again = made.run_command(&["invoice", "run", "--now"]);
    assert!(!again.contains("ALPINE-") && !again.contains("held back"), "{again}");
    let list = made.run_command(&["invoice", "list"]);
    let number = list
        .lines()
        .find(|line| line.contains("baeckerei-huber"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let pdf = made.path().join("invoice.pdf");
    made.run_command(&["invoice", "pdf", number, "--out", pdf.to_str().unwrap()]);
    let page = printed(Command::new("pdftotext").args(["-layout"]).arg(&pdf).arg("-"));
    for word in [number, "Bäckerei Huber KG", "Alpine Connect GmbH", "Germany", "20"] {
        assert!(page.contains(word), "{word} is not in:\n{page}");
    }
    assert!(number.starts_with("ALPINE-") && !page.contains("Meridian Voice"), "{page}");
    eventually("the invoice is mailed", || {
        std::fs::read_dir(made.home().join("data/outbox")).is_ok_and(|mut files| {
            files.any(|file| {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
                text.contains(number) && text.contains("huber@baeckerei.example")
            })
        })
    });

    eventually("the invoice and its lines are in the lake", || {
        let sums = "select sum(net) from";
        let ours = of(&format!("select net from invoices where number = '{number}'"));
        !ours.is_empty() && ours == of(&format!("{sums} invoice_lines where number = '{number}'"))
    });

    // The console: nobody unsigned sees a figure.
    let status = |path: &str| {
        printed(Command::new("curl").args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &format!("http://{}{path}", made.web),
        ]))
    };
    assert_eq!(status("/api/v1/figures"), "401");
    assert_eq!(status("/"), "303");
    assert_eq!(status("/sign-in"), "200");

    house.stop();
    let proof =
        Command::new(tollbook_path()).args(["audit", "--config"]).arg(made.config()).output().unwrap();
    let shown = String::from_utf8_lossy(&proof.stdout);
    assert!(
        proof.status.success() && shown.contains("all of it holds") && !shown.contains("not read"),
        "{shown}"
    );
}

/// A number whose first minute costs more than any other in the sample tariff.
const PREMIUM: &str = "882345678901";

/// What the operator's SFTP user finds, in a fresh directory: the CDR files.
fn fetch(made: &Installation) -> Vec<PathBuf> {
    let fetched = made.path().join("fetched");
    let _ = std::fs::remove_dir_all(&fetched);
    std::fs::create_dir(&fetched).unwrap();
    printed(
        Command::new("sftp")
            .args(["-q", "-r", "-P", &made.sftp.port().to_string(), "-i"])
            .arg(made.key())
            .args(["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .arg("operator@127.0.0.1:/")
            .arg(&fetched),
    );
    let mut files = Vec::new();
    let mut dirs = vec![fetched];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "cdr") {
                files.push(path);
            }
        }
    }
    files
}

/// Calls in a CDR file: its lines without header and checksum.
fn rows_of(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap().lines().count() - 2
}

#[test]
fn rate_works_without_an_installation() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("t");
    printed(Command::new(tollbook_path()).arg("init").arg(&home));
    let calls = write_file(
        dir.path(),
        "calls.csv",
        "id,account,source,destination,start,duration_seconds\n1,a,431900500,4930555123,2026-03-02T10:00:00Z,61\n2,a,431900500,999,2026-03-02T10:00:00Z,61\n",
    );
    let out = dir.path().join("rated.csv");
    let output = tollbook(&[
        "rate",
        "--tariff",
        home.join("tariffs/retail").to_str().unwrap(),
        "--calls",
        calls.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(out).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[0].starts_with("id,cost,currency,zone"), "{text}");
    assert!(rows[1].starts_with("1,") && rows[1].contains("Germany"), "{text}");
    assert!(rows[2].ends_with("no_rate"), "{text}");
}
