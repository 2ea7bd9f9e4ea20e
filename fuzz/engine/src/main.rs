//! libFuzzer before one of the doors: `FUZZ_DOOR` names it. Built and called by `fuzz/run`.

#![no_main]

use std::sync::OnceLock;

use fuzz::{DOORS, Door};
use libfuzzer_sys::fuzz_target;

static DOOR: OnceLock<Door> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_DOOR").unwrap_or_default();
        let Some(door) = fuzz::door(&name) else {
            let names: Vec<&str> = DOORS.iter().map(|door| door.name).collect();
            eprintln!("no door {name:?}; there are: {}", names.join(", "));
            std::process::exit(2);
        };
        DOOR.get_or_init(|| door);
        // libFuzzer reads its inputs from a directory: it begins with the seeds.
        if let Ok(dir) = std::env::var("FUZZ_SEEDS") {
            for (n, seed) in fuzz::seeds_of(door).expect("the seeds can be read").into_iter().enumerate() {
                std::fs::write(std::path::Path::new(&dir).join(format!("seed-{n}")), seed).expect("room for the seeds");
            }
        }
    },
    |bytes: &[u8]| {
        if let Some(door) = DOOR.get() {
            (door.feed)(bytes);
        }
    }
);
