//! A billing run that is killed again and again: every customer gets one invoice and one mail, and no number is missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::rig::{Installation, Running, eventually, tollbook_path, write_file};

/// Enough for several kills, few enough for a slow machine.
const N_CUSTOMERS: usize = 16;

#[test]
fn billing_run_killed_at_any_point_doubles_and_misses_no_number_and_no_mail() {
    let house = Installation::new();
    let mut world = String::new();
    for n in 1..=N_CUSTOMERS {
        write!(
            world,
            "[[accounts]]\nhandle = \"c{n:02}\"\nvat_percent = \"20\"\n[accounts.contact]\nname = \"Customer {n}\"\n\
             street = \"Ring {n}\"\npostcode = \"1010\"\ncity = \"Wien\"\ncountry = \"AT\"\nemail = \"c{n}@customer.example\"\n\
             [[billing_terms]]\naccount = \"c{n:02}\"\nterms = {{ fees = [{{ name = \"Line\", amount = \"{n}.10\" }}] }}\n"
        )
        .unwrap();
    }
    let world = write_file(house.path(), "customers.toml", &world);
    house.run_command(&["import", world.to_str().unwrap()]);
    // Makes event log and lake.
    house.start().stop();
    let run = || {
        let mut command = Command::new(tollbook_path());
        command.args(["invoice", "run", "--no-wait", "--period", "2026-10", "--config"]).arg(house.config());
        command
    };
    let numbers = || {
        let listed = house.run_command(&["invoice", "list"]);
        let words = listed.lines().filter_map(|line| line.split_whitespace().next());
        words.filter(|word| word.starts_with("INV-")).map(str::to_owned).collect::<Vec<_>>()
    };
    // Later each time, so that the kills fall into the start, the first number, a page, a mail.
    let mut n_kills = 0;
    for wait_ms in [60, 250, 600, 900, 1_300, 1_900] {
        let going = Running::spawn(run().stdout(Stdio::null()).stderr(Stdio::null()));
        std::thread::sleep(Duration::from_millis(wait_ms));
        going.kill();
        n_kills += 1;
        if numbers().len() >= N_CUSTOMERS {
            break;
        }
    }
    let finished = run().output().unwrap();
    assert!(finished.status.success(), "{}", String::from_utf8_lossy(&finished.stderr));
    let numbers = numbers();
    let expected: Vec<String> = (1..=N_CUSTOMERS).map(|n| format!("INV-2026-{n:06}")).collect();
    assert_eq!(numbers, expected, "after {n_kills} kills");
    let again = String::from_utf8(run().output().unwrap().stdout).unwrap();
    assert_eq!(
        again.matches("was there already").count(),
        again.matches("INV-").count() + again.matches("NORDSEE-").count()
    );

    // Each has its mail, and one only.
    let running = house.start();
    let outbox = house.home().join("data/outbox");
    let mails = || {
        let files = std::fs::read_dir(&outbox).into_iter().flatten().flatten();
        files
            .filter(|file| file.path().extension().is_some_and(|ending| ending == "eml"))
            .map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned())
            .filter_map(|mail| {
                mail.lines().find(|line| line.starts_with("Subject: Invoice INV-")).map(str::to_owned)
            })
            .collect::<Vec<_>>()
    };
    eventually("every invoice is mailed", || mails().len() >= N_CUSTOMERS);
    running.stop();
    let subjects: BTreeSet<String> = mails().into_iter().collect();
    assert_eq!((subjects.len(), mails().len()), (N_CUSTOMERS, N_CUSTOMERS));
    house.run_command(&["audit"]);
}
