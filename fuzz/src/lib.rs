//! The doors that bytes of strangers come in by: SIP, CDR files, price lists, format descriptions, acknowledgements, records of the log.
//!
//! Each [`Door`] is a function that takes any bytes and must come back: no panic, no endless loop, no memory without bound. Where more can be
//! said of an answer, it says so by an assertion. `cargo test -p fuzz` feeds each door its seeds and some thousands of changed ones;
//! `./fuzz/run DOOR` does it for hours with libFuzzer, guided by which code was reached. HTTP is tested against its own description
//! (schemathesis, in `web`), SFTP by a hostile client (in `exports/tests/attacks.rs`).

mod files;
mod records;
mod sip;
mod wire;

/// One way in.
#[derive(Clone, Copy)]
pub struct Door {
    /// As `./fuzz/run` and `fuzz/seeds` call it.
    pub name: &'static str,
    /// Takes any bytes; panics when something is wrong with what they led to.
    pub feed: fn(&[u8]),
    /// How many changed seeds the tests feed it: the dear ones get fewer.
    pub n_brief: u32,
    /// Files to begin from: directories below the workspace, and how the names of the files in them end.
    pub seeds: &'static [(&'static str, &'static str)],
}

/// All of them.
pub const DOORS: &[Door] = &[
    Door { name: "sip_message", feed: sip::message, n_brief: 3_000, seeds: &[("fuzz/seeds/sip", "sip")] },
    Door { name: "sip_stream", feed: sip::stream, n_brief: 3_000, seeds: &[("fuzz/seeds/sip", "sip")] },
    Door { name: "sip_switch", feed: sip::switch, n_brief: 150, seeds: &[("fuzz/seeds/sip", "sip")] },
    Door { name: "sip_call", feed: wire::call, n_brief: 150, seeds: &[("fuzz/seeds/wire", "bin")] },
    Door {
        name: "log_record",
        feed: records::log_record,
        n_brief: 3_000,
        seeds: &[("model/tests/golden/v1", "bin")],
    },
    Door {
        name: "rated_call",
        feed: records::rated_call,
        n_brief: 3_000,
        seeds: &[("fuzz/seeds/rated", "bin")],
    },
    Door {
        name: "foreign_record",
        feed: records::foreign,
        n_brief: 3_000,
        seeds: &[("fuzz/seeds/foreign", "txt")],
    },
    Door {
        name: "price_list",
        feed: files::price_list,
        n_brief: 3_000,
        seeds: &[("fuzz/seeds/fees", "csv")],
    },
    Door {
        name: "ported_numbers",
        feed: files::ported_numbers,
        n_brief: 3_000,
        seeds: &[("fuzz/seeds/ported", "csv")],
    },
    Door {
        name: "list_mapping",
        feed: files::list_mapping,
        n_brief: 3_000,
        seeds: &[("fuzz/seeds/mapping", "toml")],
    },
    Door {
        name: "format_description",
        feed: files::format_description,
        n_brief: 3_000,
        seeds: &[("exports/formats", "toml")],
    },
    Door {
        name: "cdr_file",
        feed: files::cdr_file,
        n_brief: 3_000,
        seeds: &[
            ("exports/golden/v1", "cdr"),
            ("exports/golden/v1", "csv"),
            ("exports/golden/v1", "dat"),
            ("exports/golden/v1", "jsonl"),
        ],
    },
    Door {
        name: "acknowledgement",
        feed: files::acknowledgement,
        n_brief: 3_000,
        seeds: &[("fuzz/seeds/ack", "txt")],
    },
];

/// The door of that name.
pub fn door(name: &str) -> Option<Door> {
    DOORS.iter().copied().find(|door| door.name == name)
}

/// The seeds of a door: its files, in the order of their names, and nothing at all.
///
/// # Errors
///
/// A directory or file that cannot be read.
pub fn seeds_of(door: Door) -> std::io::Result<Vec<Vec<u8>>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = vec![Vec::new()];
    for (dir, ending) in door.seeds {
        let mut files: Vec<_> = std::fs::read_dir(root.join(dir))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|found| found == *ending));
        files.sort_unstable();
        for file in files {
            let bytes = std::fs::read(&file)?;
            // Kept with plain line ends, so that they can be read and compared.
            all.push(if *ending == "sip" { with_line_ends_of_sip(&bytes) } else { bytes });
        }
    }
    Ok(all)
}

fn with_line_ends_of_sip(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(b"\r\n".as_slice())
}
