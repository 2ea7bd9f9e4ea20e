//! Killed without warning in the middle of everything, and started again: nothing lost, nothing twice.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::rig::{Installation, Running, eventually, free_address, printed, tollbook_path};

#[test]
fn kill_in_the_middle_of_the_demo_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("demo");
    let config = home.join("tollbook.toml");
    let demo = Running::spawn(
        Command::new(tollbook_path())
            .args(["demo", "--calls", "600", "--cps", "60", "--dir"])
            .arg(&home)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    // Far enough for calls in every state: ringing, up, rated, exported.
    eventually("calls are rated", || {
        let output = Command::new(tollbook_path())
            .args(["sql", "--format", "csv", "select count(*) from calls", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.lines().nth(1).and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n >= 100)
    });
    demo.kill();
    let audit = || Command::new(tollbook_path()).args(["audit", "--config"]).arg(&config).output().unwrap();
    let shown_by = |proof: &Output| {
        format!("{}\n{}", String::from_utf8_lossy(&proof.stdout), String::from_utf8_lossy(&proof.stderr))
    };
    // What was on its way is told as such, and nothing else is missing.
    let proof = audit();
    assert!(proof.status.success(), "{}", shown_by(&proof));

    let mut again = Command::new(tollbook_path());
    again.args(["run", "--config"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let again = Running::spawn(&mut again);
    let count = |query: &str| {
        let shown = printed(
            Command::new(tollbook_path()).args(["sql", "--format", "csv", query, "--config"]).arg(&config),
        );
        shown.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    eventually("the open calls of the killed switch are closed", || {
        count("select count(*) from calls where cause = 'switch_restart'") > 0
    });
    // What was on the way is worked off.
    let mut last = 0;
    eventually("the figures stand still", || {
        std::thread::sleep(Duration::from_secs(2));
        let rows = count("select count(*) from calls");
        std::mem::replace(&mut last, rows) == rows
    });
    again.stop();

    let proof = audit();
    let shown = shown_by(&proof);
    assert!(proof.status.success(), "{shown}");
    assert!(shown.contains("all of it holds") && !shown.contains("not read"), "{shown}");
    assert!(shown.contains("0 are open"), "{shown}");

    export_runs_killed_at_any_moment_leave_whole_files_without_gap(&home, &config);

    // A proof says no when something is missing, and what.
    let rows = find(&home.join("data/lake/cdrs"), ".parquet");
    let (from, to) = (&rows[0], home.join("taken.parquet"));
    std::fs::rename(from, &to).unwrap();
    let proof = audit();
    let shown = shown_by(&proof);
    assert_eq!(proof.status.code(), Some(1), "{shown}");
    assert!(shown.contains("BROKEN") && shown.contains(from.to_str().unwrap()), "{shown}");
    std::fs::rename(&to, from).unwrap();

    std::fs::rename(home.join("data/bus"), home.join("bus")).unwrap();
    let proof = audit();
    let shown = shown_by(&proof);
    assert_eq!(proof.status.code(), Some(1), "{shown}");
    assert!(shown.contains("BROKEN  there is no event log"), "{shown}");
    assert!(!home.join("data/bus").exists(), "looking must not make one");
    std::fs::rename(home.join("bus"), home.join("data/bus")).unwrap();

    let database = home.join("data/tollbook.db");
    std::fs::rename(&database, home.join("taken.db")).unwrap();
    let proof = audit();
    assert_eq!(proof.status.code(), Some(2), "{}", shown_by(&proof));
    assert!(!database.exists(), "looking must not make one");
}

/// Runs of `tollbook export run`, each killed somewhere, then one that ends. Twenty-five; a hundred with `RUN_SLOW_TESTS=1`.
fn export_runs_killed_at_any_moment_leave_whole_files_without_gap(home: &Path, config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    // A file a call: more of them than all the killed runs together can write.
    std::fs::write(config, format!("{text}\n[exports]\nmax_rows_per_file = 1\n")).unwrap();
    let run = || {
        let mut command = Command::new(tollbook_path());
        command.args(["export", "run", "--config"]).arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let exports = home.join("data/exports");
    // The first kills come before anything is made.
    std::fs::create_dir_all(&exports).unwrap();
    let n_kills = if std::env::var_os("RUN_SLOW_TESTS").is_some() { 100 } else { 25 };
    let (mut n_before, mut n_hit) = (0, 0);
    for kill in 0..n_kills {
        let mut running = Running::spawn(&mut run());
        if kill % 4 == 0 {
            // Before it has opened the database, or soon after.
            std::thread::sleep(Duration::from_millis(15 + kill * 37 % 90));
        } else {
            // Amid its files, of which the first has just come.
            while find(&exports, ".cdr").len() == n_before && running.is_up() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(kill * 7_919 % 20_000));
        }
        running.kill();
        assert!(find(&exports, ".part").is_empty(), "half a file can be seen");
        let n_files = find(&exports, ".cdr").len();
        n_hit += u64::from(n_files > n_before);
        n_before = n_files;
    }
    assert!(run().status().unwrap().success());
    let n_files = find(&exports, ".cdr").len();
    eprintln!(
        "{n_kills} kills, {n_hit} of them after files were written; {n_before} of {n_files} files by then"
    );
    assert!(n_hit > n_kills / 4, "too few runs were killed amid their files");

    let list = printed(Command::new(tollbook_path()).args(["export", "list", "--config"]).arg(config));
    assert!(!list.contains("being written"), "{list}");
    for owner in ["system", "resellers", "carriers"] {
        let mut numbers = std::collections::BTreeMap::<PathBuf, Vec<u64>>::new();
        for file in find(&exports.join(owner), ".cdr") {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let number = name.rsplit('_').next().unwrap().parse().unwrap();
            let series = file.strip_prefix(exports.join(owner)).unwrap().components().next().unwrap();
            let series = if owner == "system" { PathBuf::new() } else { PathBuf::from(series.as_os_str()) };
            numbers.entry(series).or_default().push(number);
        }
        assert!(!numbers.is_empty(), "{owner} has no files");
        for (series, mut found) in numbers {
            found.sort_unstable();
            let expected: Vec<u64> = (1..=found.len() as u64).collect();
            assert_eq!(found, expected, "{owner} {}", series.display());
        }
    }
    // Each call once: what the files hold is what the lake holds.
    let mut n_rows = 0;
    for file in find(&exports.join("system"), ".cdr") {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("007,000"), "{}", file.display());
        n_rows += text.lines().count() - 2;
    }
    let rows = printed(
        Command::new(tollbook_path())
            .args(["sql", "--format", "csv", "select count(*) from calls", "--config"])
            .arg(config),
    );
    assert_eq!(rows.lines().nth(1).unwrap(), n_rows.to_string());

    // One of them once more, though archive and copy are gone.
    let last = find(&exports.join("system"), ".cdr").pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::remove_file(&last).unwrap();
    std::fs::remove_dir_all(home.join("data/export-archive/system")).unwrap();
    let name = last.file_stem().unwrap().to_str().unwrap();
    let number = name.rsplit('_').next().unwrap().trim_start_matches('0').to_owned();
    let shown = printed(
        Command::new(tollbook_path()).args(["export", "again", "--seq", &number, "--config"]).arg(config),
    );
    assert!(shown.contains("made again from its calls in the lake"), "{shown}");
    assert_eq!(std::fs::read(&last).unwrap(), bytes);
    // And every format of calls that is delivered, on these.
    let formats = printed(Command::new(tollbook_path()).args(["export", "formats"]));
    // Behind the titles of the list.
    let names = formats.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| !name.contains("-edr-")).collect();
    assert!(names.contains(&"reference-kabelplus") && names.len() >= 9, "{formats}");
    for name in names {
        let preview = home.join("preview");
        let shown = printed(
            Command::new(tollbook_path())
                .args(["export", "preview", "--format", name, "--config"])
                .arg(config),
        );
        std::fs::write(&preview, shown).unwrap();
        let verified = printed(
            Command::new(tollbook_path())
                .args(["export", "verify", "--format", name, "--config"])
                .args([config, &preview]),
        );
        assert!(verified.contains("in order, ") && !verified.contains(" 0 records"), "{name}: {verified}");
    }
}

#[test]
fn log_or_database_that_was_deleted_is_noticed_before_a_call_is_taken() {
    let made = Installation::new();
    made.start().stop();
    let run = || {
        let output =
            Command::new(tollbook_path()).args(["run", "--config"]).arg(made.config()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let data = made.home().join("data");
    let aside = made.path().join("aside");
    // The switch's start has been read from the log that is gone now: new records would lie before every position.
    std::fs::rename(data.join("bus"), &aside).unwrap();
    let (code, shown) = run();
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("beyond the end of the log") && shown.contains("backup"), "{shown}");
    std::fs::remove_dir_all(data.join("bus")).unwrap();
    std::fs::rename(&aside, data.join("bus")).unwrap();
    made.start().stop();
}

#[test]
fn second_process_on_one_installation_is_refused_and_the_first_goes_on() {
    let house = Installation::new();
    let first = house.start();
    // On other ports, so that it gets as far as the data.
    let other = house.home().join("other.toml");
    let text = format!(
        "[switch]\nlisten = \"{}\"\n[web]\nlisten = \"{}\"\n[sftp.server]\nlisten = \"{}\"\n",
        free_address("127.0.0.1"),
        free_address("127.0.0.1"),
        free_address("127.0.0.1")
    );
    std::fs::write(&other, text).unwrap();
    for config in [house.config(), other] {
        let second = Command::new(tollbook_path()).args(["run", "--config"]).arg(&config).output().unwrap();
        let shown = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(2), "{shown}");
        assert!(shown.contains("another process"), "{shown}");
    }
    house.run_command(&["audit"]);
    first.stop();
    house.run_command(&["audit"]);
}

/// Files below `dir` whose names end so.
fn find(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
