//! Killed while it publishes, at any byte: whatever name there is, in the archive or where partners look, has all of its file behind
//! it, and publishing again brings the same to its end.
//!
//! A hundred kills with `RUN_SLOW_TESTS=1`, twenty without.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use exports::publish;

/// Says to a process of this program that it is the one to be killed, and where it publishes.
const INTO: &str = "TOLLBOOK_TEST_PUBLISHES_INTO";
/// Large enough to be hit in the middle.
const FILE_BYTES: usize = 3_000_000;

fn name(number: u64) -> String {
    format!("system/202611/{:02}/{number:010}.cdr", number % 28 + 1)
}

/// What a file of that number has in it.
fn contents(number: u64) -> Vec<u8> {
    let line = format!("{number:010} the quick brown fox jumps over the lazy dog\n");
    line.repeat(FILE_BYTES / line.len()).into_bytes()
}

/// The number of the file to be published next.
fn next(into: &Path) -> u64 {
    fs::read_to_string(into.join("next")).map_or(1, |text| text.parse().unwrap())
}

#[test]
#[ignore = "the process that is killed; started by the test below"]
fn publisher() {
    let Some(into) = std::env::var_os(INTO).map(PathBuf::from) else { return };
    // From where the last life was, as the plan in the database would say.
    let mut number = next(&into);
    loop {
        publish(&into.join("exports"), &into.join("archive"), &name(number), &contents(number)).unwrap();
        number += 1;
        fs::write(into.join("noted"), number.to_string()).unwrap();
        fs::rename(into.join("noted"), into.join("next")).unwrap();
    }
}

#[test]
fn killed_at_any_byte_no_name_has_less_than_its_file() {
    let n_kills = if std::env::var_os("RUN_SLOW_TESTS").is_some() { 100 } else { 20 };
    let dir = tempfile::tempdir().unwrap();
    let mut n_halves = 0;
    for kill in 0..n_kills {
        let since = next(dir.path());
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "publisher", "--ignored"])
            .env(INTO, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Anywhere in the first files of a life.
        std::thread::sleep(Duration::from_micros(4_000 + kill * 7_919 % 60_000));
        process.kill().unwrap();
        process.wait().unwrap();
        n_halves += half_written(&dir.path().join("archive"));
        whole_files(dir.path(), since);
    }
    // The last life comes to its end.
    let last = next(dir.path());
    publish(&dir.path().join("exports"), &dir.path().join("archive"), &name(last), &contents(last)).unwrap();
    assert_eq!(whole_files(dir.path(), 1), (1..=last).collect::<Vec<_>>(), "a number is missing");
    assert_eq!(half_written(&dir.path().join("archive")), 0, "what was left half is written again");
    assert!(n_halves > 0, "no kill came in the midst of a file");
}

/// The numbers of the files that partners see, from one on, each of them whole there and in the archive.
fn whole_files(dir: &Path, since: u64) -> Vec<u64> {
    let (exports, archive) = (dir.join("exports"), dir.join("archive"));
    let mut numbers = Vec::new();
    for (place, path) in [&exports, &archive]
        .iter()
        .flat_map(|place| files_below(place).into_iter().map(move |path| (place, path)))
    {
        if **place == archive && path.extension().is_some_and(|ending| ending == "part") {
            continue;
        }
        let number: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(path, place.join(name(number)), "nothing else is to be seen");
        if number >= since {
            assert!(fs::read(&path).unwrap() == contents(number), "{} is not whole", path.display());
        }
        if **place == exports {
            assert!(archive.join(name(number)).exists(), "{number} is not kept");
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    numbers
}

fn half_written(archive: &Path) -> usize {
    files_below(archive).iter().filter(|path| path.extension().is_some_and(|it| it == "part")).count()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
