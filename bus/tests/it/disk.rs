//! Disks that fail: files cut short or overwritten, and a file system that takes no more in the middle of a write.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use bus::{Bus, BusError, EmbeddedBus};
use model::Topic;

use crate::contract::{entry, read_all};
use crate::embedded::{config, noise};

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&file, &copy).unwrap();
    }
}

/// A log with records in sorted files as well as in the journal.
fn sample(dir: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bus = EmbeddedBus::open(dir, config()).unwrap();
        for batch in 0..22u8 {
            bus.append(vec![entry(Topic::Calls, 0, vec![batch; 1_000_000])]).await.unwrap();
        }
        let keyspaces = dir.join("log/keyspaces");
        let is_table = |file: &PathBuf| file.parent().is_some_and(|parent| parent.ends_with("tables"));
        while !files_below(&keyspaces).iter().any(is_table) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for offset in 0..50 {
            bus.append(vec![entry(Topic::Cdrs, 1, format!("{offset}"))]).await.unwrap();
        }
    });
}

/// Opens and reads everything: an error or the records that were appended, never a panic and never others.
fn open_and_read(dir: &Path) -> Result<(), BusError> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bus = EmbeddedBus::open(dir, config())?;
        for (topic, partition) in [(Topic::Calls, 0), (Topic::Cdrs, 1)] {
            let (oldest, end) = bus.range(topic, partition).await?;
            let mut position = oldest;
            while position < end {
                let batch = bus.read(topic, partition, position, 10).await?;
                for record in &batch.records {
                    let expected = if topic == Topic::Calls {
                        vec![u8::try_from(record.offset).unwrap(); 1_000_000]
                    } else {
                        record.offset.to_string().into_bytes()
                    };
                    assert_eq!(record.payload, expected, "{topic}/{partition}/{}", record.offset);
                }
                position = batch.next;
            }
        }
        Ok(())
    })
}

#[test]
fn damaged_file_is_an_error_that_names_directory_and_remedy() {
    let healthy = tempfile::tempdir().unwrap();
    sample(healthy.path());
    open_and_read(healthy.path()).unwrap();
    let mut refused = 0;
    for file in files_below(&healthy.path().join("log")) {
        let file = file.strip_prefix(healthy.path()).unwrap();
        for damage in ["removed", "emptied", "halved", "overwritten"] {
            let dir = tempfile::tempdir().unwrap();
            copy_tree(healthy.path(), dir.path());
            let path = dir.path().join(file);
            let bytes = fs::read(&path).unwrap();
            match damage {
                "removed" => fs::remove_file(&path).unwrap(),
                "emptied" => fs::write(&path, "").unwrap(),
                "halved" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                _ => fs::write(&path, vec![0xa5; bytes.len()]).unwrap(),
            }
            let opened = catch_unwind(AssertUnwindSafe(|| open_and_read(dir.path())));
            let Ok(opened) = opened else { panic!("{} {damage}: panicked", file.display()) };
            // Lock files hold nothing, and a journal may lose its end.
            let Err(error) = opened else { continue };
            refused += 1;
            let message = error.to_string();
            assert!(
                message.contains(&dir.path().display().to_string()),
                "{} {damage}: {message}",
                file.display()
            );
            assert!(!matches!(error, BusError::Closed), "{} {damage}: {message}", file.display());
        }
    }
    assert!(refused > 10, "only {refused} kinds of damage were noticed");
}

const DIR: &str = "BUS_LIMIT_DIR";

/// Runs where no file may grow beyond 70 MB: a write in the middle of the journal fails, as on a full disk.
#[tokio::test]
#[ignore = "the process that the test below limits"]
async fn appends_until_refused() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let bus = EmbeddedBus::open(Path::new(&dir), config()).unwrap();
    let mut appended = 0;
    let error = loop {
        // Topics by turns: no memtable fills, so the journal goes on growing.
        let topic = Topic::ALL[appended % Topic::ALL.len()];
        match bus.append(vec![entry(topic, 0, noise(900_000)), entry(topic, 1, vec![2; 10])]).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
        assert!(appended < 1000, "the limit was never met");
    };
    println!("{} {error}", error.code());
    assert!(error.retry_helps());
    // What was acknowledged can still be read, and of what was refused nothing is.
    let mut found = 0;
    for topic in Topic::ALL {
        let large = read_all(&bus, *topic, 0, 0).await;
        assert_eq!(read_all(&bus, *topic, 1, 0).await.len(), large.len(), "half an append of {topic}");
        found += large.len();
    }
    println!("appended {appended} found {found}");
    // The log opens itself again; whether the journal has room then is the database's affair.
    let again = bus.append(vec![entry(Topic::Control, 2, "again")]).await;
    println!("again {}", again.is_ok());
}

#[test]
fn write_that_fails_midway_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("bash")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 70000; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::appends_until_refused", "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("BUS012"), "{text}");
    let counts = text.lines().find(|line| line.starts_with("appended")).unwrap();
    let counts: Vec<usize> = counts.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(counts[0], counts[1], "{text}");

    // Without the limit, all of it is there and the log goes on.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
        let mut found = 0;
        for topic in Topic::ALL {
            let large = read_all(&bus, *topic, 0, 0).await;
            assert_eq!(read_all(&bus, *topic, 1, 0).await.len(), large.len(), "half an append of {topic}");
            found += large.len();
        }
        // The refused one may be there whole, as after a crash; none that was acknowledged is missing.
        assert!((counts[0]..=counts[0] + 1).contains(&found), "{found} of {text}");
        bus.append(vec![entry(Topic::Calls, 0, "on it goes")]).await.unwrap();
    });
}
