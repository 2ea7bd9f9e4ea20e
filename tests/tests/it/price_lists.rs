//! A price list from the file that a carrier sent to the version in the database.

use std::path::Path;
use std::process::Output;

use crate::rig::{tollbook, write_file};

const MAPPING: &str = "sheet = \"Rates\"\nheader_row = 3\ntimezone = \"Europe/Vienna\"\n[columns]\ndestination = \"Code\"\n\
    zone = \"Destination\"\nrate = \"Rate per minute\"\ninterval = \"Billing\"\nvalid_from = \"Effective\"\n";

/// An installation with the sample world in it.
fn provisioned() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    done(&tollbook(&["init", home.to_str().unwrap()]));
    let (config, world) = (home.join("tollbook.toml"), home.join("world.toml"));
    done(&tollbook(&["import", "--config", config.to_str().unwrap(), world.to_str().unwrap()]));
    dir
}

/// Imports fees into `profile`, in one of the ways that `more` says.
fn import(dir: &Path, file: &Path, profile: &str, more: &[&str]) -> Output {
    let config = dir.join("home/tollbook.toml");
    let mut words = vec![
        "import",
        "--config",
        config.to_str().unwrap(),
        "fees",
        file.to_str().unwrap(),
        "--profile",
        profile,
    ];
    words.extend(more);
    tollbook(&words)
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn has(shown: &str, lines: &[&str]) {
    let shown: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in lines {
        assert!(shown.iter().any(|have| have == line), "{line:?} is not in {shown:#?}");
    }
}

#[test]
fn carriers_workbook_is_shown_then_applied_and_then_there_is_nothing_to_change() {
    let dir = provisioned();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/price_list.xlsx");
    let mapping = write_file(dir.path(), "map.toml", MAPPING);
    let mapping = mapping.to_str().unwrap();

    // 4366 of the workbook is 4.4999999999999998E-2, typed as 0.045; two fees begin in 2027.
    let shown = done(&import(dir.path(), &list, "carrier_a", &["--mapping", mapping, "--keep", "--dry-run"]));
    has(&shown, &["gone 0", "in the future 2", "nothing was changed"]);

    let shown = done(&import(dir.path(), &list, "carrier_a", &["--mapping", mapping, "--yes"]));
    has(&shown, &["in the future 2", "as they were 0", "4366 any Austria mobile 0.135 / 0.135"]);

    let shown = done(&import(dir.path(), &list, "carrier_a", &["--mapping", mapping, "--yes"]));
    has(&shown, &["as they were 3", "nothing to change"]);
}

#[test]
fn nobody_at_the_terminal_needs_a_yes_and_the_past_a_word_of_its_own() {
    let dir = provisioned();
    let fees = dir.path().join("home/tariffs/retail/fees.csv");
    let dearer = std::fs::read_to_string(&fees)
        .unwrap()
        .replace(",out,Germany,fixed,0.026,", ",out,Germany,fixed,0.126,");
    let list = write_file(dir.path(), "dearer.csv", &dearer);

    let output = import(dir.path(), &list, "retail", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--yes"));

    let past = ["--yes", "--valid-from", "2026-01-01T00:00:00Z"];
    let output = import(dir.path(), &list, "retail", &past);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in the past"));
    let corrected = [&past[..], &["--correct-past"]].concat();
    has(&done(&import(dir.path(), &list, "retail", &corrected)), &["dearer 1"]);

    let output = import(dir.path(), &list, "retial", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean retail?"));
}

#[test]
fn mistakes_of_a_list_are_told_by_line_and_nothing_is_written() {
    let dir = provisioned();
    let fees = dir.path().join("home/tariffs/retail/fees.csv");
    let broken = std::fs::read_to_string(&fees).unwrap() + ",,up,Nowhere,,0,60,0,60,0,60,0,60,\n";
    let list = write_file(dir.path(), "broken.csv", &broken);
    let output = import(dir.path(), &list, "retail", &["--yes"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let place = format!("broken.csv:{}:3: direction", broken.lines().count());
    assert!(told.contains(&place), "{told}");
    has(&done(&import(dir.path(), &fees, "retail", &["--yes"])), &["nothing to change"]);
}
