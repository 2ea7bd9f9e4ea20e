//! CDRs of other systems: taken in from files, priced, counted; wrong ones wait in suspense and can be put right.

use std::process::Command;

use crate::rig::{Installation, eventually, tollbook_path, write_file};

const FORMAT: &str = r#"
kind = "csv"
timezone = "Europe/Vienna"

[numbers]
country = "43"

[fields]
key = { from = "id" }
source = { from = "src" }
destination = { from = "dst" }
start = { from = "calldate", time = "%Y-%m-%d %H:%M:%S" }
duration = { from = "billsec" }
code = { from = "disposition", map = { ANSWERED = "200", BUSY = "486" } }
trunk_out = { value = "TRUNK" }
"#;

/// Number of the first subscriber of the sample world, and the first trunk's name.
fn world_words(made: &Installation) -> (String, String) {
    let world: toml::Table =
        std::fs::read_to_string(made.home().join("world.toml")).unwrap().parse().unwrap();
    let number = world["subscribers"][0]["numbers"][0].as_str().unwrap_or_default().to_owned();
    (number, world["trunks"][0]["name"].as_str().unwrap().to_owned())
}

#[test]
fn records_of_another_switch_are_priced_once_and_wrong_ones_wait_until_they_are_put_right() {
    let made = Installation::new();
    let (number, trunk) = world_words(&made);
    let format = write_file(made.path(), "pbx.toml", &FORMAT.replace("TRUNK", &trunk));
    let mut csv = "id,src,dst,calldate,billsec,disposition\n".to_owned();
    for n in 1..=1_200 {
        csv += &format!(
            "k{n},+{number},0049305551{n:04},2026-11-03 10:{:02}:{:02},61,ANSWERED\n",
            n / 60 % 60,
            n % 60
        );
    }
    // One twice, one of a stranger, one with a wrong length, one busy.
    csv += &format!("k7,+{number},00493055510007,2026-11-03 10:00:07,61,ANSWERED\n");
    csv += "k1201,+4988888888,004930555123,2026-11-03 11:00:00,61,ANSWERED\n";
    csv += &format!("k1202,+{number},004930555123,2026-11-03 11:00:00,1 minute,ANSWERED\n");
    csv += &format!("k1203,+{number},004930555123,2026-11-03 11:00:00,0,BUSY\n");
    let file = write_file(made.path(), "calls.csv", &csv);
    // The number has its owner since a moment ago.
    let format = format.to_str().unwrap();
    let args =
        ["import", "cdrs", "--first-owners", "--source", "pbx", "--format", format, file.to_str().unwrap()];

    // What would come of it: nothing is changed, and the wrong lines are told.
    let dry_run = |words: &[&str]| {
        Command::new(tollbook_path())
            .args(words)
            .arg("--dry-run")
            .arg("--config")
            .arg(made.config())
            .output()
            .unwrap()
    };
    let without_owners = dry_run(&[&args[..2], &args[3..]].concat());
    let shown = String::from_utf8_lossy(&without_owners.stdout).into_owned();
    assert!(
        shown.contains("calls.csv:2: IMP005") && shown.contains("--first-owners gives it such calls"),
        "{shown}"
    );
    let dry = dry_run(&args);
    let shown = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert_eq!(dry.status.code(), Some(2), "{shown}");
    assert!(shown.contains("calls.csv:1203: IMP005") && shown.contains("calls.csv:1204: IMP003"), "{shown}");
    assert!(made.run_command(&["suspense"]).contains("nothing is in suspense"));

    let house = made.start();
    let shown = made.run_command(&args);
    assert!(shown.contains("1201 taken in, 1 known already, 2 in suspense"), "{shown}");
    let again = made.run_command(&args);
    assert!(again.contains("was taken in before"), "{again}");
    // The same records in another file: all of them are known.
    let other = write_file(made.path(), "again.csv", &csv.replace("\nk1202,", "\n\nk1202,"));
    let mut other_args = args;
    other_args[7] = other.to_str().unwrap();
    let shown = made.run_command(&other_args);
    assert!(shown.contains("0 taken in, 1202 known already, 2 in suspense"), "{shown}");

    eventually("the imported calls are priced", || made.sql("select count(*) from calls") == ["1201"]);
    let facts = made.sql(
        "select count(*), count(distinct foreign_key), min(duration_seconds), count(distinct customer_cost), min(node) \
         from calls where answered and customer_cost > 0 and carrier_cost > 0",
    );
    assert!(facts[0].starts_with("1200,1200,61.000000,") && facts[0].ends_with(",import:pbx"), "{facts:?}");
    assert_eq!(made.sql("select status, code, cause from calls where not answered"), ["busy,486,busy"]);

    // The wrong length, put right.
    let list = made.run_command(&["suspense"]);
    let id = |code: &str| {
        let row = list.lines().find(|line| line.contains(code)).unwrap_or_else(|| panic!("{code}: {list}"));
        row.split_whitespace().find(|word| word.parse::<i64>().is_ok()).unwrap().to_owned()
    };
    let wrong = id("IMP003");
    let shown = made.run_command(&["suspense", "show", &wrong]);
    assert!(shown.contains("1 minute") && shown.contains("read from line 1204"), "{shown}");
    let text = format!("text=k1202,+{number},004930555123,2026-11-03 11:00:00,62,ANSWERED");
    made.run_command(&["suspense", "fix", &wrong, "--set", &text]);
    made.run_command(&["suspense", "resubmit", &wrong]);
    eventually("the record that was put right is priced", || {
        made.sql("select duration_seconds from calls where foreign_key = 'pbx/k1202'") == ["62.000000"]
    });
    // A stranger's stays until somebody owns the number; what is asked for in vain is told why.
    let stranger = id("IMP005");
    made.run_command(&["suspense", "resubmit", "--code", "IMP005"]);
    eventually("the stranger's record is back", || {
        made.run_command(&["suspense", "show", &stranger]).contains("cannot be sent in again: nobody pays")
    });
    made.run_command(&["suspense", "discard", &stranger, "--reason", "not ours"]);

    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds") && proof.contains("1202 of them imported"), "{proof}");
}

#[test]
fn format_and_file_that_make_no_sense_are_refused_with_a_remedy() {
    let made = Installation::new();
    let file = write_file(made.path(), "calls.csv", "id,to\n1,2\n");
    let wrong = write_file(made.path(), "wrong.toml", "kind = \"csv\"\n[fields]\nkee = { from = \"id\" }\n");
    let refused = |format: &str, source: &str, file: &str| {
        let output = Command::new(tollbook_path())
            .args(["import", "cdrs", "--source", source, "--format", format, file, "--config"])
            .arg(made.config())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let file = file.to_str().unwrap();
    let shown = refused(wrong.to_str().unwrap(), "pbx", file);
    assert!(shown.contains("wrong.toml:3") && shown.contains("kee"), "{shown}");
    assert!(refused("freeswitch", "a b", file).contains("is not a name"));
    assert!(refused("freeswitch", "pbx", "nowhere.json").contains("nowhere.json"));
    let short = write_file(made.path(), "short.toml", "kind = \"csv\"\n[fields]\nkey = { from = \"id\" }\n");
    assert!(refused(short.to_str().unwrap(), "pbx", file).contains("fields.destination"));
    let other = FORMAT.replace("TRUNK", "x");
    let other = write_file(made.path(), "other.toml", &other);
    assert!(refused(other.to_str().unwrap(), "pbx", file).contains("calls.csv:1: "));
}
