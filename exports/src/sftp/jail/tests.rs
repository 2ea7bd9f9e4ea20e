//! Every way out that a path, a link or a name could be, and what may be done inside.

use super::*;
use proptest::prelude::*;
use std::io::Write;
use std::os::unix::fs::symlink;

fn user(root: &Path, exchange: Option<PathBuf>, may: bool) -> SftpUser {
    SftpUser {
        name: "acme".to_owned(),
        authorized_keys: Vec::new(),
        password_hash: None,
        networks: Vec::new(),
        root: root.to_owned(),
        exchange,
        deletable: may,
        renamable: may,
    }
}

/// `outside/secret`, and `root/` with a file, a directory and links of every kind.
fn world() -> (tempfile::TempDir, Jail) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::create_dir_all(dir.path().join("outside")).unwrap();
    fs::create_dir_all(dir.path().join("root-too")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    fs::write(dir.path().join("root-too/secret"), "secret").unwrap();
    fs::write(root.join("a.cdr"), "calls").unwrap();
    fs::write(root.join("b.cdr.part"), "half").unwrap();
    fs::write(root.join("sub/c.cdr"), "more").unwrap();
    symlink(dir.path().join("outside/secret"), root.join("to-secret")).unwrap();
    symlink(dir.path().join("outside"), root.join("to-outside")).unwrap();
    symlink("../root-too", root.join("to-neighbour")).unwrap();
    symlink("/", root.join("to-everything")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("sub", root.join("inside")).unwrap();
    let jail = Jail::new(&user(&root, None, true), 0).unwrap();
    (dir, jail)
}

/// The same as `out/`, with room for 100 bytes in `in/` and `ack/`.
fn exchange() -> (tempfile::TempDir, Jail) {
    let (dir, _) = world();
    let home = dir.path().join("home");
    let jail = Jail::new(&user(&dir.path().join("root"), Some(home.clone()), true), 100).unwrap();
    symlink(dir.path().join("outside"), home.join("in/to-outside")).unwrap();
    symlink(dir.path().join("outside/secret"), home.join("in/to-secret")).unwrap();
    (dir, jail)
}

fn put(jail: &Jail, path: &str, text: &str) -> Result<u64, StatusCode> {
    let mut upload = jail.create(path)?;
    upload.file.write_all(text.as_bytes()).unwrap();
    upload.finish()
}

#[test]
fn no_path_leads_outside() {
    let (dir, jail) = world();
    let secret = dir.path().join("outside/secret");
    for path in [
        "../outside/secret",
        "/../../outside/secret",
        "sub/../../outside/secret",
        "sub/../../../../../../etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "to-secret",
        "/to-secret",
        "to-outside/secret",
        "to-outside",
        "to-neighbour/secret",
        "to-everything/etc/passwd",
        "to-everything",
        "inside/../../outside/secret",
        "loop",
        "a.cdr\0",
        "../outside/secret\0.cdr",
        secret.to_str().unwrap(),
    ] {
        assert_eq!(jail.open(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
        assert_eq!(jail.metadata(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
        assert_eq!(jail.list(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
        assert!(jail.open_now(path).is_none() && jail.metadata_now(path).is_none(), "{path:?}");
    }
    assert_eq!(jail.remove("to-outside/secret").err(), Some(StatusCode::NoSuchFile));
    assert_eq!(jail.remove("to-secret").err(), Some(StatusCode::PermissionDenied));
    assert_eq!(jail.rename("to-secret", "mine").err(), Some(StatusCode::PermissionDenied));
    assert_eq!(jail.rename("a.cdr", "to-outside/a.cdr").err(), Some(StatusCode::NoSuchFile));
    assert!(secret.exists());
}

#[test]
fn what_is_inside_is_found_by_every_spelling() {
    let (_dir, jail) = world();
    for path in ["a.cdr", "/a.cdr", "./a.cdr", "sub/../a.cdr", "/../a.cdr", "//a.cdr/", "inside/c.cdr"] {
        assert!(jail.open(path).is_ok(), "{path:?}");
    }
}

#[test]
fn quick_way_finds_the_same_or_nothing() {
    let (_dir, jail) = world();
    let (_other, four) = exchange();
    // Known to the system from now on.
    names(&jail, "sub");
    let (mut n_opened, mut n_seen) = (0, 0);
    for (jail, path) in [
        (&jail, "a.cdr"),
        (&jail, "sub/./../sub//c.cdr"),
        (&jail, "inside/c.cdr"),
        (&jail, "sub"),
        (&jail, "/"),
        (&jail, ""),
        (&jail, "b.cdr.part"),
        (&jail, "none"),
        (&four, "/"),
        (&four, "/out"),
        (&four, "/out/a.cdr"),
        (&four, "/a.cdr"),
        (&four, "/in/to-secret"),
    ] {
        if let Some((_, metadata, real)) = jail.open_now(path) {
            let (_, expected, expected_real) = jail.open(path).unwrap();
            assert_eq!((metadata.ino(), real), (expected.ino(), expected_real), "{path:?}");
            n_opened += 1;
        }
        if let Some((metadata, rights)) = jail.metadata_now(path) {
            let (expected, expected_rights) = jail.metadata(path).unwrap();
            assert_eq!((metadata.ino(), rights), (expected.ino(), expected_rights), "{path:?}");
            n_seen += 1;
        }
    }
    // None at all on a system that cannot say what it has in memory.
    assert!(matches!((n_opened, n_seen), (0, 0) | (3, 7)), "{n_opened} {n_seen}");
}

fn names(jail: &Jail, path: &str) -> Vec<String> {
    let mut names: Vec<_> =
        jail.list(path).unwrap().next_chunk(100).into_iter().map(|(name, ..)| name).collect();
    names.sort();
    names
}

#[test]
fn a_listing_shows_what_can_be_opened_and_no_more() {
    let (_dir, jail) = world();
    assert_eq!(names(&jail, "/"), ["a.cdr", "inside", "sub"]);
}

#[test]
fn a_file_being_written_is_not_there() {
    let (_dir, jail) = world();
    assert_eq!(jail.open("b.cdr.part").err(), Some(StatusCode::NoSuchFile));
    assert_eq!(jail.remove("b.cdr.part").err(), Some(StatusCode::NoSuchFile));
    assert_eq!(jail.rename("a.cdr", "a.part").err(), Some(StatusCode::PermissionDenied));
}

#[test]
fn only_files_are_deleted() {
    let (dir, jail) = world();
    assert_eq!(jail.remove("/a.cdr").unwrap().1, 5);
    assert!(!dir.path().join("root/a.cdr").exists());
    assert_eq!(jail.remove("sub").err(), Some(StatusCode::PermissionDenied));
    assert_eq!(jail.remove("/").err(), Some(StatusCode::PermissionDenied));
    assert_eq!(jail.rename("sub", "other").err(), Some(StatusCode::PermissionDenied));
}

#[test]
fn nothing_is_put_deleted_or_renamed_without_the_right_to() {
    let (dir, _) = world();
    let jail = Jail::new(&user(&dir.path().join("root"), None, false), 100).unwrap();
    assert_eq!(jail.remove("a.cdr").err(), Some(StatusCode::PermissionDenied));
    assert_eq!(jail.rename("a.cdr", "b.cdr").err(), Some(StatusCode::PermissionDenied));
    assert_eq!(put(&jail, "new.cdr", "x"), Err(StatusCode::PermissionDenied));
}

#[test]
fn a_rename_never_replaces_a_file() {
    let (dir, jail) = world();
    assert_eq!(jail.rename("a.cdr", "sub/c.cdr").err(), Some(StatusCode::Failure));
    assert_eq!(fs::read(dir.path().join("root/sub/c.cdr")).unwrap(), b"more");
    jail.rename("a.cdr", "sub/a.cdr").unwrap();
    assert_eq!(fs::read(dir.path().join("root/sub/a.cdr")).unwrap(), b"calls");
    assert!(!dir.path().join("root/a.cdr").exists());
}

#[test]
fn four_directories_and_nothing_beside_them() {
    let (_dir, jail) = exchange();
    assert_eq!(names(&jail, "/"), ["ack", "archive", "in", "out"]);
    assert_eq!(names(&jail, "/out"), ["a.cdr", "inside", "sub"]);
    for path in ["a.cdr", "/secret", "home", "out/../a.cdr", "in/to-outside/secret", "in/to-secret", "outs"] {
        assert_eq!(jail.open(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
    }
    assert!(jail.open("out/a.cdr").is_ok());
    assert!(jail.open("in/../out/a.cdr").is_ok());
    for path in ["x", "/out/x", "archive/x", "in/sub/x", "in/../x", "in", "in/x.part", "in/to-outside/x"] {
        assert_eq!(put(&jail, path, "x").err(), Some(StatusCode::PermissionDenied), "{path:?}");
    }
    assert_eq!(put(&jail, "in/to-secret", "x"), Err(StatusCode::Failure), "a link is not written through");
    assert_eq!(jail.remove("in").err(), Some(StatusCode::PermissionDenied));
    assert_eq!(jail.remove("/").err(), Some(StatusCode::PermissionDenied));
}

#[test]
fn fetched_files_are_put_away_and_own_files_stay_where_they_are() {
    let (_dir, jail) = exchange();
    jail.rename("out/a.cdr", "archive/a.cdr").unwrap();
    assert_eq!(names(&jail, "archive"), ["a.cdr"]);
    put(&jail, "in/deck.csv", "rates").unwrap();
    for (from, to) in [
        ("in/deck.csv", "out/deck.csv"),
        ("in/deck.csv", "archive/deck.csv"),
        ("archive/a.cdr", "out/a.cdr"),
        ("out/sub/c.cdr", "in/c.cdr"),
    ] {
        assert_eq!(jail.rename(from, to).err(), Some(StatusCode::PermissionDenied), "{from} to {to}");
    }
    jail.rename("in/deck.csv", "in/old.csv").unwrap();
    assert_eq!(jail.remove("in/old.csv").unwrap().1, 5);
}

#[test]
fn a_put_file_is_whole_or_not_there_and_never_overwritten() {
    let (dir, jail) = exchange();
    let mut upload = jail.create("ack/1.ack").unwrap();
    upload.file.write_all(b"half").unwrap();
    assert_eq!(names(&jail, "ack"), [""; 0]);
    drop(upload);
    assert_eq!(fs::read_dir(dir.path().join("home/ack")).unwrap().count(), 0);
    assert_eq!(put(&jail, "ack/1.ack", "whole"), Ok(5));
    assert_eq!(put(&jail, "ack/1.ack", "other"), Err(StatusCode::Failure));
    assert_eq!(fs::read(dir.path().join("home/ack/1.ack")).unwrap(), b"whole");
}

#[test]
fn room_is_what_the_user_has_left_over_both_directories() {
    let (_dir, jail) = exchange();
    assert_eq!(put(&jail, "in/a", &"x".repeat(60)), Ok(60));
    assert_eq!(jail.create("ack/b").unwrap().bytes_max, 40);
    assert_eq!(put(&jail, "ack/b", &"x".repeat(40)), Ok(40));
    assert_eq!(jail.create("in/c").err(), Some(StatusCode::Failure));
    jail.remove("in/a").unwrap();
    assert_eq!(jail.create("in/c").unwrap().bytes_max, 60);
}

#[test]
fn the_whole_file_system_is_no_root() {
    assert!(Jail::new(&user(Path::new("/"), None, false), 0).is_err());
}

proptest! {
    #[test]
    fn an_absolute_path_has_no_way_up(path in "[a./\\\\~ -]{0,40}") {
        let seen = absolute(&path).unwrap();
        prop_assert!(seen.starts_with('/'));
        prop_assert!(seen.split('/').all(|part| part != ".." && part != "."));
        prop_assert_eq!(absolute(&seen).unwrap(), seen);
    }
}
