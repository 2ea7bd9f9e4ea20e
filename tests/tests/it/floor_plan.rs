//! The walls of the house: which room may know which. Read from the manifests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ENGINES: [&str; 6] = ["switch", "mediator", "rating", "fraud", "invoicing", "exports"];
const ADAPTERS: [&str; 4] = ["bus", "store", "lake", "notify"];
const ROOMS: [&str; 16] = [
    "model",
    "switch",
    "mediator",
    "rating",
    "fraud",
    "invoicing",
    "exports",
    "bus",
    "store",
    "lake",
    "notify",
    "runner",
    "web",
    "tollbook",
    "tests",
    "fuzz",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest(room: &str) -> toml::Table {
    let file = root().join(room).join("Cargo.toml");
    std::fs::read_to_string(&file).unwrap().parse().unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}

fn dependencies(room: &str) -> BTreeSet<String> {
    let manifest = manifest(room);
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    table.keys().cloned().collect()
}

fn rooms_known_to(room: &str) -> Vec<String> {
    dependencies(room).into_iter().filter(|name| ROOMS.contains(&name.as_str())).collect()
}

#[test]
fn every_room_of_the_plan_is_a_member_and_no_other() {
    let workspace: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members: BTreeSet<&str> = workspace["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    assert_eq!(members, BTreeSet::from(ROOMS));
}

#[test]
fn model_knows_no_room() {
    assert_eq!(rooms_known_to("model"), [""; 0]);
}

#[test]
fn engines_depend_on_model_alone() {
    for engine in ENGINES {
        assert_eq!(rooms_known_to(engine), ["model"], "{engine}");
    }
}

#[test]
fn adapters_depend_on_nothing_but_model() {
    for adapter in ADAPTERS {
        assert!(rooms_known_to(adapter).iter().all(|room| room == "model"), "{adapter}");
    }
}

#[test]
fn runner_knows_no_stage() {
    assert_eq!(rooms_known_to("runner"), ["bus", "model", "store"]);
}

#[test]
fn pure_engines_have_no_runtime_and_no_files_of_their_own() {
    for engine in ["model", "mediator", "rating", "fraud"] {
        let known = dependencies(engine);
        for runtime in ["tokio", "async-trait", "futures", "socket2", "sqlx", "reqwest"] {
            assert!(!known.contains(runtime), "{engine} depends on {runtime}");
        }
    }
}

#[test]
fn heavy_libraries_stay_in_their_rooms() {
    for (library, only_in) in [
        ("datafusion", "lake"),
        ("pgwire", "lake"),
        ("parquet", "lake"),
        ("sqlx", "store"),
        ("rusqlite", "store"),
        ("fjall", "bus"),
        ("rdkafka", "bus"),
        ("typst", "invoicing"),
        ("russh", "exports"),
        ("lettre", "notify"),
        ("axum", "web"),
    ] {
        for room in ROOMS.iter().filter(|room| **room != only_in) {
            assert!(
                !dependencies(room).contains(library),
                "{room} depends on {library}, which is {only_in}'s"
            );
        }
    }
}

#[test]
fn every_code_of_a_suspended_record_is_explained() {
    let explained = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    for file in [
        "mediator/src/error.rs",
        "mediator/src/foreign/error.rs",
        "rating/src/error.rs",
        "fraud/src/error.rs",
        "exports/src/stage.rs",
        "runner/src/place.rs",
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let codes: BTreeSet<&str> = text
            .split('"')
            .filter(|word| word.len() == 6 && word[..3].chars().all(|c| c.is_ascii_uppercase()))
            .filter(|word| word[3..].chars().all(|c| c.is_ascii_digit()))
            .collect();
        assert!(!codes.is_empty(), "{file} has no codes");
        for code in codes {
            assert!(
                explained.contains(&format!("| {code} |")),
                "docs/errors.md does not explain {code} of {file}"
            );
        }
    }
}
