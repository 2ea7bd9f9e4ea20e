//! The trail of who changed what, against somebody with a hex editor.

use crate::rig::{Installation, tollbook};

#[test]
fn one_changed_byte_of_the_trail_is_found() {
    let made = Installation::new();
    made.run_command(&["token", "add", "needle", "--role", "finance"]);
    made.run_command(&["token", "revoke", "needle"]);
    let holds = made.run_command(&["audit", "--log"]);
    assert!(holds.contains("entries are what was written") && holds.contains("token revoke"), "{holds}");

    let file = walk(&made.home()).into_iter().find(|file| file.extension().is_some_and(|name| name == "db"));
    let file = file.expect("the database of the installation");
    let mut bytes = std::fs::read(&file).unwrap();
    let needle = b"finance until ";
    let places: Vec<usize> =
        (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!places.is_empty(), "the entry is not in {}", file.display());
    for at in places {
        // The role that was given out becomes another word.
        bytes[at] = b'F';
    }
    std::fs::write(&file, bytes).unwrap();

    let config = made.config().display().to_string();
    for command in [&["audit", "--log", "--config", &config][..], &["audit", "--config", &config]] {
        let broken = tollbook(command);
        assert_eq!(broken.status.code(), Some(1), "{command:?}");
        let said =
            [broken.stdout, broken.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(said.contains("is not what was written"), "{command:?}: {said}");
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
