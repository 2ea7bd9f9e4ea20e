//! SQL over PostgreSQL's protocol, asked by PostgreSQL's own clients: psql, and psycopg of Debian.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use expect_test::expect;
use lake::wire::{Admitted, Door, Refused, WireConfig, WireServer};
use lake::{Access, Lake, LakeConfig};
use model::TenantId;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::saved::made_world;
use crate::world::{World, call, rows};

const PASSWORD: &str = "correct horse battery";
/// Runs for hours if it is let.
const ENDLESS: &str = "SELECT count(*) FROM documentation a, documentation b, documentation c, documentation d \
                       WHERE a.meaning || b.meaning || c.meaning <> d.meaning";
/// As the console's analyst: neither numbers nor money.
const ANALYST: Access = Access {
    tenant: None,
    numbers: false,
    customer_prices: false,
    carrier_prices: false,
    books: false,
    fraud_desk: false,
    tariffs: false,
};

/// Ada sees everything, Ann no numbers, Tim the rows of tenant 2.
struct TestDoor {
    is_open: AtomicBool,
}

#[async_trait]
impl Door for TestDoor {
    async fn admit(&self, name: &str, password: &str) -> Result<Admitted, Refused> {
        match (name, password) {
            ("mallory", _) => Err(Refused::Wait { seconds: 60 }),
            ("noel", _) => Err(Refused::NoRight),
            (_, PASSWORD) => Ok(Admitted { name: name.to_owned(), mark: String::new() }),
            _ => Err(Refused::WrongPassword),
        }
    }

    async fn still(&self, admitted: &Admitted) -> Option<Access> {
        let access = match admitted.name.as_str() {
            "ann" => ANALYST,
            "tim" => Access { tenant: Some(TenantId(2)), ..Access::WHOLE },
            _ => Access::WHOLE,
        };
        self.is_open.load(Ordering::SeqCst).then_some(access)
    }
}

/// Whether PostgreSQL's clients are here; on the build machine they must be.
#[expect(clippy::print_stderr, reason = "says what was left out")]
fn have_clients() -> bool {
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let have = works("psql", &["--version"]) && works("/usr/bin/python3", &["-c", "import psycopg"]);
    if !have {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "psql and python3-psycopg are missing");
        eprintln!("left out: psql and python3-psycopg are not installed");
    }
    have
}

/// A lake that listens.
struct House {
    address: SocketAddr,
    door: Arc<TestDoor>,
    world: World,
    runtime: Option<Runtime>,
    _stop: oneshot::Sender<()>,
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl House {
    fn new() -> Option<Self> {
        Self::with("127.0.0.1:0", None, 20, |_| {})
    }

    fn with(
        listen: &str,
        tls: Option<(PathBuf, PathBuf)>,
        connections_max: usize,
        set: impl FnOnce(&mut LakeConfig),
    ) -> Option<Self> {
        if !have_clients() {
            return None;
        }
        // As the program has it.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(16 * 1024 * 1024)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let door = Arc::new(TestDoor { is_open: AtomicBool::new(true) });
        let (address, world) = runtime.block_on(async {
            let (world, lake) = made_world().await;
            let mut other = call("of-another-tenant", "2026-10-05T09:00:17Z");
            other.cdr.tenant = TenantId(2);
            lake.commit(rows(2, vec![other]), world.now).await.unwrap();
            let mut config = world.config();
            set(&mut config);
            let lake = Lake::open_to_ask(&config).unwrap();
            let listener = TcpListener::bind(listen).await.unwrap();
            let address = listener.local_addr().unwrap();
            let config = WireConfig { tls, connections_max };
            let server = WireServer::new(&lake, door.clone(), &config).unwrap();
            tokio::spawn(async move { server.serve(listener, async move { drop(stopped.await) }).await });
            (address, world)
        });
        Some(Self { address, door, world, runtime: Some(runtime), _stop: stop })
    }

    fn psql_as(&self, user: &str, more: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .arg("-X")
            .arg(format!(
                "host={} port={} user={user} dbname=tollbook {more}",
                self.address.ip(),
                self.address.port()
            ))
            .env("PGPASSWORD", PASSWORD)
            .env_remove("PGHOST")
            .stdin(Stdio::null());
        command
    }

    /// What psql prints to `asked`, unaligned and without headers.
    fn answer_to(&self, user: &str, asked: &str) -> String {
        let output =
            self.psql_as(user, "").args(["-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", asked]).output().unwrap();
        assert!(output.status.success(), "{asked}\n{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The same for people, headers and all; errors too.
    fn shown_to(&self, user: &str, asked: &str) -> String {
        let output = self.psql_as(user, "").args(["-v", "VERBOSITY=verbose", "-c", asked]).output().unwrap();
        said(&output)
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn psql_lists_tables_and_describes_them_with_their_comments() {
    let Some(house) = House::new() else { return };
    let tables = house.shown_to("ada", "\\dt");
    for name in ["calls", "charges", "invoice_lines", "postings", "rates", "prefixes", "documentation"] {
        assert!(tables.contains(&format!(" public | {name} ")), "{tables}");
    }
    assert!(house.shown_to("ada", "\\d").contains(" public | events "), "\\d lists them too");
    let with_comments = house.shown_to("ada", "\\dt+ calls");
    assert!(
        with_comments.contains("One row for each leg of a call, in its highest revision."),
        "{with_comments}"
    );
    let squeezed =
        |text: String| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let calls = squeezed(house.shown_to("ada", "\\d calls"));
    for line in [
        "Table \"public.calls\"",
        "customer_cost | numeric(18,6)",
        "start_at | timestamp without time zone",
        "revision | bigint | | not null",
    ] {
        assert!(calls.contains(line), "{line}\n{calls}");
    }
    let explained = house.shown_to("ada", "\\d+ calls");
    assert!(explained.contains("Post-dial delay: INVITE out to the first 18x"), "{explained}");
    assert!(explained.contains("Unit: milliseconds."), "{explained}");
    for asked in [
        "\\dn",
        "\\dv",
        "\\di",
        "\\df",
        "\\du",
        "\\l",
        "\\dT",
        "\\d nothing",
        "\\dp",
        "\\dx",
        "\\db",
        "\\dF",
        "\\dm",
        "\\dRp",
        "\\dconfig",
    ] {
        let seen = house.shown_to("ada", asked);
        assert!(!seen.contains("ERROR"), "{asked}\n{seen}");
    }
    // Tables that a role has no right to are not there.
    let of_analyst = house.shown_to("ann", "\\d");
    assert!(of_analyst.contains(" calls ") && !of_analyst.contains(" invoices "), "{of_analyst}");
    assert!(house.shown_to("ann", "\\d invoices").contains("Did not find any relation"));
}

#[test]
fn values_are_written_as_postgresql_writes_them() {
    let Some(house) = House::new() else { return };
    for (asked, expected) in [
        ("SELECT 1, 'x', NULL, true, false", "1|x||t|f"),
        (
            "SELECT customer_cost, duration_seconds FROM calls WHERE call_id = 'of-another-tenant'",
            "0.109708|131.650000",
        ),
        (
            "SELECT start_at, day FROM calls WHERE call_id = 'of-another-tenant'",
            "2026-10-05 09:00:17|2026-10-05",
        ),
        ("SELECT TIMESTAMP '2026-10-05 08:15:30.250000'", "2026-10-05 08:15:30.25"),
        ("SELECT 1.5 + 0.25, -0.5, 1e0", "1.75|-0.5|1"),
        ("SELECT word_list('a b\"c')", "{\"a\",\"b\\\"c\"}"),
        ("SELECT current_user, current_database(), current_schema()", "ada|tollbook|public"),
        ("SELECT sum(a.x) FROM (VALUES (1), (2)) a(x)", "3"),
        ("SELECT 1 AS a; SELECT 2 AS b", "1\n2"),
        ("SHOW server_version", "15.0"),
    ] {
        assert_eq!(house.answer_to("ada", asked), expected, "{asked}");
    }
    // Columns have the names that PostgreSQL gives them, also twice the same.
    let seen = house.shown_to("ada", "SELECT count(*), count(*), max(revision), 1, 1 AS one, start_at::date FROM calls GROUP BY start_at LIMIT 1");
    assert!(seen.starts_with(" count | count | max | ?column? | one |  start_at  "), "{seen}");
    // Every table can be read whole.
    for table in lake::table_docs(&Access::WHOLE) {
        house.answer_to("ada", &format!("SELECT * FROM {}", table.name));
    }
}

#[test]
fn psycopg_reads_and_binds_in_text_and_in_binary() {
    let Some(house) = House::new() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/client.py");
    // The system's own Python: it has the driver as a package.
    let output = Command::new("/usr/bin/python3")
        .arg(script)
        .args([house.address.ip().to_string(), house.address.port().to_string(), PASSWORD.to_owned()])
        .output()
        .unwrap();
    assert!(output.status.success() && said(&output).ends_with("all as it should be\n"), "{}", said(&output));
}

#[test]
fn copy_gives_rows_as_text_and_as_csv_within_the_same_rights() {
    let Some(house) = House::new() else { return };
    let values = "SELECT * FROM (VALUES (1, 'a,b', NULL), (2, 'say \"hi\"', ''), (3, E'tab\\there\\nnext', '\\N')) AS t (n, text, more)";
    expect![[r#"
        1	a,b	\N
        2	say "hi"	
        3	tab\there\nnext	\\N
    "#]]
    .assert_eq(&format!("{}\n", house.answer_to("ada", &format!("COPY ({values}) TO STDOUT"))));
    expect![[r#"
        n,text,more
        1,"a,b",
        2,"say ""hi""",""
        3,"tab	here
        next",\N
    "#]]
    .assert_eq(&format!(
        "{}\n",
        house.answer_to("ada", &format!("COPY ({values}) TO STDOUT WITH (FORMAT csv, HEADER)"))
    ));
    let old = house.answer_to("ada", "COPY (SELECT 1 AS n, 'x' AS t) TO STDOUT DELIMITER ';' CSV HEADER");
    assert_eq!(old, "n;t\n1;x");
    // psql's \copy, to a file of one's own.
    let file = house.world.dir.path().join("calls.csv");
    let output = house
        .psql_as("ada", "")
        .arg("-c")
        .arg(format!(
            "\\copy (SELECT call_id, destination_number FROM calls ORDER BY call_id) TO '{}' CSV HEADER",
            file.display()
        ))
        .output()
        .unwrap();
    let n_calls = house.answer_to("ada", "SELECT count(*) FROM calls");
    assert!(said(&output).contains(&format!("COPY {n_calls}")), "{}", said(&output));
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written.lines().count().to_string(), (n_calls.parse::<usize>().unwrap() + 1).to_string());
    assert!(written.contains("4930555001"), "{written}");
    // Of a table, and for somebody without numbers.
    let table = house.answer_to("ada", "COPY calls (call_id) TO STDOUT");
    assert_eq!(table.lines().count().to_string(), n_calls);
    let masked = house.answer_to("ann", "COPY (SELECT destination_number FROM calls) TO STDOUT CSV");
    assert!(!masked.contains("4930555001") && masked.contains('…'), "{masked}");
    for (refused, code) in [
        ("COPY calls FROM STDIN", "ERROR"),
        ("COPY (SELECT 1) TO PROGRAM 'cat'", "writes to STDOUT alone"),
        ("COPY (SELECT 1) TO STDOUT WITH (FORMAT binary)", "no format"),
        ("COPY (DELETE FROM calls) TO STDOUT", "ERROR"),
        ("COPY (SELECT nothing FROM calls) TO STDOUT", "42703"),
        ("COPY (SELECT 1) TO STDOUT (DELIMITER E'\\n')", "cannot be told"),
        ("COPY (SELECT 1) TO STDOUT (DELIMITER 'N')", "cannot delimit"),
        ("COPY (SELECT 1) TO STDOUT (DELIMITER '1')", "cannot delimit"),
        ("COPY (SELECT 1) TO STDOUT (DELIMITER '|', NULL 'a|b')", "stands for NULL"),
    ] {
        let seen = house.shown_to("ada", refused);
        assert!(seen.contains("ERROR") && seen.contains(code), "{refused}\n{seen}");
    }
}

#[test]
fn cursors_give_their_answer_piece_by_piece_and_end_with_their_transaction() {
    let Some(house) = House::new() else { return };
    let series = "SELECT value FROM generate_series(1, 7) AS t (value)";
    let fetched = house.answer_to(
        "ada",
        &format!(
            "BEGIN; DECLARE c NO SCROLL CURSOR FOR {series}; FETCH 2 FROM c; FETCH NEXT FROM c; FETCH FORWARD 0 FROM c; \
             FETCH FORWARD ALL FROM c; FETCH NEXT FROM c; CLOSE c; COMMIT"
        ),
    );
    let rows: Vec<&str> =
        fetched.lines().filter(|line| line.chars().all(|letter| letter.is_ascii_digit())).collect();
    assert_eq!(rows, ["1", "2", "3", "4", "5", "6", "7"], "{fetched}");
    let ended =
        house.shown_to("ada", &format!("BEGIN; DECLARE c CURSOR FOR {series}; COMMIT; FETCH 1 FROM c"));
    assert!(ended.contains("34000"), "{ended}");
    let held = house
        .answer_to("ada", &format!("BEGIN; DECLARE c CURSOR WITH HOLD FOR {series}; COMMIT; FETCH 1 FROM c"));
    assert!(held.lines().any(|line| line == "1"), "{held}");
    for (refused, code) in [
        ("FETCH BACKWARD 1 FROM c".to_owned(), "forward alone"),
        (format!("DECLARE c SCROLL CURSOR FOR {series}"), "forward alone"),
        (format!("DECLARE c BINARY CURSOR FOR {series}"), "BINARY"),
        (format!("DECLARE c CURSOR FOR {series}"), "25P01"),
        (format!("BEGIN; DECLARE c CURSOR FOR {series}; DECLARE c CURSOR FOR {series}"), "42P03"),
        (
            (1..=5).map(|n| format!("DECLARE c{n} CURSOR WITH HOLD FOR {series};")).collect::<String>(),
            "53000",
        ),
        (format!("DECLARE c CURSOR WITH HOLD FOR {series}; DISCARD ALL; FETCH 1 FROM c"), "34000"),
        ("CLOSE c".to_owned(), "34000"),
    ] {
        let seen = house.shown_to("ada", &refused);
        assert!(seen.contains("ERROR") && seen.contains(code), "{refused}\n{seen}");
    }
    let masked = house.answer_to(
        "ann",
        "BEGIN; DECLARE c CURSOR FOR SELECT destination_number FROM calls; FETCH ALL FROM c",
    );
    assert!(!masked.contains("4930555001"), "{masked}");
}

#[test]
fn what_is_fetched_counts_as_any_answer_until_it_is_sent() {
    let Some(house) = House::with("127.0.0.1:0", None, 20, |config| config.query_result_mib = 1) else {
        return;
    };
    let asked = "DECLARE c CURSOR WITH HOLD FOR SELECT repeat('x', 1000) FROM generate_series(1, 500) AS t (n); \
                 FETCH ALL FROM c; CLOSE c;";
    assert!(!house.shown_to("ada", asked).contains("ERROR"));
    let seen = house.shown_to("ada", &asked.repeat(33));
    assert!(seen.contains("54000"), "{}", seen.chars().take(500).collect::<String>());
}

#[test]
fn questions_of_tools_on_connecting_are_answered() {
    let Some(house) = House::new() else { return };
    for file in ["grafana.sql", "dbeaver.sql", "jdbc.sql"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(file);
        let output =
            house.psql_as("ada", "").args(["-v", "ON_ERROR_STOP=1", "-f"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{file}\n{}", said(&output));
        let shown = said(&output).split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if let Some(expected) = line.strip_prefix("-- shows: ") {
                assert!(shown.contains(expected), "{file} does not show {expected}\n{shown}");
            }
        }
    }
}

#[test]
fn nothing_can_be_changed() {
    let Some(house) = House::new() else { return };
    let files = crate::world::tree(&house.world.path());
    for asked in [
        "INSERT INTO calls (call_id) VALUES ('x')",
        "UPDATE calls SET call_id = 'x'",
        "DELETE FROM calls",
        "DROP TABLE calls",
        "CREATE TABLE t (a int)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/tmp'",
        "COPY calls TO '/tmp/out.parquet'",
        "COPY (SELECT 1) TO '/tmp/out.csv' STORED AS CSV",
        "TRUNCATE calls",
        "SELECT * INTO t FROM calls",
        "EXPLAIN ANALYZE INSERT INTO calls (call_id) VALUES ('x')",
        "PREPARE p AS DELETE FROM calls",
        "SET default_transaction_read_only = off",
        "SELECT * FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
    ] {
        let seen = house.shown_to("ada", asked);
        assert!(seen.contains("ERROR:"), "{asked}\n{seen}");
        assert!(!seen.contains("XX000"), "{asked}\n{seen}");
    }
    assert!(house.shown_to("ada", "DELETE FROM calls").contains("25006"), "read_only_sql_transaction");
    assert!(house.shown_to("ada", "SELECT nothing FROM calls").contains("42703"), "undefined_column");
    assert!(house.shown_to("ada", "SELECT 1 FROM nothing").contains("42P01"), "undefined_table");
    assert!(house.shown_to("ada", "SELEC 1").contains("42601"), "syntax_error");
    assert_eq!(crate::world::tree(&house.world.path()), files);
}

#[test]
fn limits_end_the_statement_and_not_the_connection() {
    let Some(house) = House::with("127.0.0.1:0", None, 20, |config| {
        config.query_result_mib = 1;
        config.query_memory_mib = 16;
        config.query_timeout = Duration::from_secs(20);
    }) else {
        return;
    };
    let too_large = "SELECT a.meaning, b.meaning FROM documentation a, documentation b";
    let too_much = "SELECT array_agg(a.meaning || b.meaning || c.meaning) FROM documentation a, documentation b, \
                    (SELECT meaning FROM documentation LIMIT 5) c";
    let many = |n| format!("SELECT {}", vec!["1"; n].join("+"));
    let output = house
        .psql_as("ada", "options='-c statement_timeout=300ms'")
        .args(["-A", "-t", "-v", "VERBOSITY=verbose"])
        .args(["-c", "SHOW statement_timeout", "-c", ENDLESS, "-c", "SET statement_timeout = '1h'"])
        .args(["-c", "SHOW statement_timeout", "-c", too_large, "-c", too_much, "-c", &many(5_000)])
        .args(["-c", &many(200), "-c", "SELECT 'still there'"])
        .output()
        .unwrap();
    let seen = said(&output);
    for expected in
        ["300ms", "57014", "20000ms", "54000", "53200", "250 operators deep", "\n200\n", "still there"]
    {
        assert!(seen.contains(expected), "{expected}\n{seen}");
    }
    // Of several answers in one message, all together must fit.
    let twice = "SELECT a.meaning FROM documentation a, (SELECT 1 FROM documentation LIMIT 12) b;";
    assert!(!house.shown_to("ada", twice).contains("54000"));
    assert!(house.shown_to("ada", &twice.repeat(20)).contains("54000"));
}

#[test]
fn statement_ends_when_its_client_asks_for_that() {
    let Some(house) = House::new() else { return };
    let mut asking = house
        .psql_as("ada", "")
        .args(["-A", "-t", "-c", "SELECT 'begun'", "-c", ENDLESS])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut begun = [0; 6];
    std::io::Read::read_exact(asking.stdout.as_mut().unwrap(), &mut begun).unwrap();
    // Ctrl-C in psql. It may come before the statement, then psql goes on: so it is pressed until it works.
    while asking.try_wait().unwrap().is_none() {
        let kill = Command::new("kill").args(["-INT", &asking.id().to_string()]).status().unwrap();
        assert!(kill.success());
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = asking.wait_with_output().unwrap();
    assert!(said(&output).contains("canceling statement due to user request"), "{}", said(&output));
    assert_eq!(house.answer_to("ada", "SELECT 1"), "1");
}

#[test]
fn whole_numbers_cannot_be_got_at_without_the_right() {
    const SECRETS: [&str; 3] = ["30555", "60555001", "3660555"];
    let Some(house) = House::new() else { return };
    for asked in [
        "SELECT * FROM calls",
        "SELECT * FROM calls_history",
        "SELECT * FROM events",
        "SELECT source_number || destination_number FROM calls",
        "SELECT destination_number::bigint FROM calls",
        "SELECT 1 / (CASE WHEN destination_number LIKE '4930555%' THEN 0 ELSE 1 END), destination_number FROM calls",
        "SELECT * FROM pg_class, calls WHERE relname = 'calls'",
        "SELECT obj_description(c.oid, calls.destination_number) FROM pg_class c, calls",
        "SELECT quote_ident(destination_number), current_setting(destination_number) FROM calls",
        "SELECT set_config('a', destination_number, false), destination_number::regclass FROM calls",
        "EXPLAIN ANALYZE VERBOSE SELECT destination_number FROM calls WHERE source_number > ''",
        "SELECT destination_number AS \"__1__x\", destination_number FROM calls",
        "SELECT * FROM information_schema.columns",
    ] {
        let seen = house.shown_to("ann", asked);
        for secret in SECRETS {
            assert!(asked.contains(secret) || !seen.contains(secret), "{asked} shows {secret}:\n{seen}");
        }
    }
    for filter in [
        "destination_number = '4930555001'",
        "destination_number::text ~ '555001'",
        "destination_number OPERATOR(pg_catalog.~) '^4930555' COLLATE pg_catalog.default",
        "destination_number = ANY ('{4930555001,4930555123}'::text[])",
        "quote_ident(destination_number) LIKE '%30555%'",
    ] {
        let sql = format!("SELECT count(*) FROM calls WHERE {filter}");
        assert_eq!(house.answer_to("ann", &sql), "0", "{sql}");
        assert_ne!(house.answer_to("ada", &sql), "0", "{sql}: the test can fail");
    }
}

#[test]
fn tenant_sees_its_own_rows_alone() {
    let Some(house) = House::new() else { return };
    assert_eq!(house.answer_to("tim", "SELECT DISTINCT tenant FROM calls"), "2");
    assert_eq!(house.answer_to("tim", "SELECT count(*) FROM calls_history"), "1");
    assert_eq!(house.answer_to("tim", "SELECT count(*) FROM charges WHERE tenant <> 2"), "0");
    assert_eq!(house.answer_to("tim", "SELECT count(*) FROM events"), "0");
    assert_eq!(house.answer_to("tim", "SELECT count(*) FROM invoices"), "0");
    assert_ne!(house.answer_to("ada", "SELECT count(*) FROM events"), "0");
}

#[test]
fn door_says_why_it_stays_shut() {
    let Some(house) = House::new() else { return };
    let refused = |user: &str, password: &str| {
        said(&house.psql_as(user, "").env("PGPASSWORD", password).args(["-c", "SELECT 1"]).output().unwrap())
    };
    assert!(refused("ada", "guessed").contains("FATAL:  name or password is wrong"));
    assert!(refused("mallory", PASSWORD).contains("too many attempts; try again in 60 seconds"));
    assert!(refused("noel", PASSWORD).contains("your role may not ask in SQL"));
    // Who has lost the right loses the connection.
    house.door.is_open.store(false, Ordering::SeqCst);
    let seen = house.shown_to("ada", "SELECT count(*) FROM calls");
    assert!(seen.contains("your access has ended"), "{seen}");
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let Some(house) = House::with("127.0.0.1:0", None, 1, |_| {}) else { return };
    let mut asking = house.psql_as("ada", "");
    asking.args(["-A", "-t", "-c", "SELECT 'in'", "-c", ENDLESS]);
    let mut first = asking.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut inside = [0; 2];
    std::io::Read::read_exact(first.stdout.as_mut().unwrap(), &mut inside).unwrap();
    let seen = house.shown_to("ada", "SELECT 1");
    assert!(seen.contains("too many connections"), "{seen}");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn passwords_from_other_machines_are_taken_over_tls_alone() {
    let keys = tempfile::tempdir().unwrap();
    let (certificate, key) = (keys.path().join("sql.crt"), keys.path().join("sql.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=sql.test", "-addext", "subjectAltName=DNS:sql.test", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    // An address of this machine that is not loopback. No packet is sent.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    probe.connect("192.0.2.1:9").unwrap();
    let here = probe.local_addr().unwrap().ip();
    assert!(!here.is_loopback(), "this machine has an address");
    let Some(house) = House::with(&format!("{here}:0"), Some((certificate.clone(), key)), 20, |_| {}) else {
        return;
    };
    let seen = |more: &str| {
        said(&house.psql_as("ada", more).args(["-c", "\\conninfo", "-c", "SELECT 7"]).output().unwrap())
    };
    let plain = seen("sslmode=disable");
    assert!(plain.contains("passwords are taken over TLS alone"), "{plain}");
    let verified = seen(&format!("sslmode=verify-ca sslrootcert={}", certificate.display()));
    assert!(verified.contains("protocol: TLSv1.3") && verified.contains("\n        7\n"), "{verified}");
    let named = seen(&format!(
        "host=sql.test hostaddr={here} sslmode=verify-full sslrootcert={}",
        certificate.display()
    ));
    assert!(named.contains("\n        7\n"), "{named}");
}

#[test]
fn certificate_that_cannot_be_used_is_named() {
    let world = World::new();
    drop(world.open());
    let lake = Lake::open_to_ask(&world.config()).unwrap();
    let door = Arc::new(TestDoor { is_open: AtomicBool::new(true) });
    let nowhere = PathBuf::from("/nowhere/sql.crt");
    let config = WireConfig { tls: Some((nowhere.clone(), nowhere)), connections_max: 1 };
    let why = WireServer::new(&lake, door, &config).unwrap_err();
    assert_eq!(why.code(), "LAK027", "{why}");
    assert!(why.is_users_input() && why.to_string().starts_with("/nowhere/sql.crt: "), "{why}");
}

#[test]
fn message_that_is_too_long_is_refused_by_its_length() {
    use std::io::{Read, Write};
    let Some(house) = House::new() else { return };
    let heard = |said: &[&[u8]]| {
        let mut socket = std::net::TcpStream::connect(house.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for part in said {
            socket.write_all(part).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    };
    let hello = b"\0\0\0\x24\0\x03\0\0user\0ada\0database\0tollbook\0\0".as_slice();
    assert_eq!(usize::from(hello[3]), hello.len());
    let password = [b"p\0\0\0\x1a".as_slice(), PASSWORD.as_bytes(), b"\0"].concat();
    assert_eq!(usize::from(password[4]), password.len() - 1);
    for said in [
        vec![b"\x3f\xff\xff\xff\0\x03\0\0".as_slice()],
        vec![hello, b"Q\x3f\xff\xff\xff".as_slice()],
        vec![hello, b"p\0\0\xff\xff".as_slice()],
        vec![hello, password.as_slice(), b"P\0\x30\0\0".as_slice()],
    ] {
        let answer = heard(&said);
        assert!(answer.contains("08P01"), "{answer:?}");
    }
    // What is long and no longer than it may be is read.
    let long = format!("SELECT length('{}')", "x".repeat(100_000));
    assert_eq!(house.answer_to("ada", &long), "100000");
}

#[test]
fn answers_about_catalogues_are_right_for_other_tables_too() {
    let Some(house) = House::new() else { return };
    for (asked, expected) in [
        ("WITH pg_index AS (SELECT 1 AS a) SELECT a FROM pg_index", "1"),
        ("WITH columns AS (SELECT 2 AS a) SELECT (SELECT max(a) FROM columns)", "2"),
        ("WITH pg_index AS (SELECT 3 AS a) SELECT * FROM (SELECT a FROM pg_index) x", "3"),
        ("SELECT count(*) FROM pg_index", "0"),
        ("SELECT count(*) AS n, max(indexrelid) FROM pg_catalog.pg_index", "0|"),
        ("SELECT 'x' UNION SELECT 'y' UNION SELECT indexrelid::text FROM pg_index ORDER BY 1 LIMIT 1", "x"),
        ("SELECT 'a,b' = ANY('{\"a,b\",c}'), 'b' = ANY('{a,\"b\\\"\"}'), 'c' = ANY('{a, c}')", "t|f|t"),
        ("SELECT 'a' = ANY('{}'), 'a' <> ALL('{}')", "f|t"),
        ("SELECT array_to_string(NULL::text, ',')", ""),
    ] {
        assert_eq!(house.answer_to("ada", asked), expected, "{asked}");
    }
    assert!(
        house.shown_to("ada", "SELECT array_to_string(word_list('a b'), ',')").contains("joins no lists")
    );
}
