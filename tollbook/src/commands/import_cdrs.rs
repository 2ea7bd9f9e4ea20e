//! `tollbook import cdrs`: records of other systems, from files, by a described format.
//!
//! Each piece of a file is one transaction in the database: records, keys, errors and how far it was done. So it may be stopped or
//! crash at any line and be started again. The running installation puts what was taken in on the bus.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use mediator::foreign::{ForeignError, Format, Parties, RECORD_BYTES_MAX, Splitter};
use sha2::{Digest as _, Sha256};
use store::{ImportCounts, ImportStep, Store, SuspendedLine};

use crate::cli::CdrImport;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::UserError;
use crate::foreign_records::{PutAside, cdr_id, to_record};
use crate::system::{of_store, open_store};
use crate::toml_file;

/// Records in one transaction: some ten milliseconds.
const STEP_RECORDS: usize = 500;

/// Errors that a dry run shows of each file.
const SHOWN_MAX: usize = 20;

/// Takes in the files, or only says what would come of them.
pub(crate) async fn import_cdrs(config: &Config, args: &CdrImport) -> anyhow::Result<()> {
    let format = format_of(&args.format)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if args.source.is_empty() || args.source.len() > 64 || !args.source.chars().all(is_name) {
        return Err(UserError::new(
            format!("--source {:?}: is not a name", args.source),
            "name the system that wrote the records by letters, digits, dash, dot and underscore, such as pbx-west",
        )
        .into());
    }
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let now = Clock::start().utc();
    let run = Run {
        store: &store,
        parties: Parties::new(&directory, args.first_owners),
        format: &format,
        args,
        now,
    };
    let (mut total, mut n_wrong) = (ImportCounts::default(), 0);
    for path in &args.files {
        let counts = run.file(path).await?;
        n_wrong += counts.suspended;
        total.add(counts);
    }
    if args.files.len() > 1 {
        println!("all files: {}", in_words(total));
    }
    if args.dry_run && n_wrong > 0 {
        return Err(UserError::new(
            format!("{n_wrong} records could not be taken in; nothing was changed"),
            "correct the file or the format; without --dry-run the others are taken in, and these wait in suspense",
        )
        .into());
    }
    Ok(())
}

fn format_of(name: &Path) -> anyhow::Result<Format> {
    if name == Path::new("freeswitch") {
        return Ok(Format::freeswitch());
    }
    let format: Format =
        toml_file::read(name, "give --format freeswitch, or a TOML file that describes the format")?;
    format.check().map_err(|rule| UserError::new(format!("{}: {rule}", name.display()), ""))?;
    Ok(format)
}

fn in_words(counts: ImportCounts) -> String {
    format!(
        "{} taken in, {} known already, {} in suspense, {} about no call of their own",
        counts.imported, counts.duplicates, counts.suspended, counts.passed_over
    )
}

struct Run<'a> {
    store: &'a Store,
    parties: Parties<'a>,
    format: &'a Format,
    args: &'a CdrImport,
    now: DateTime<Utc>,
}

impl Run<'_> {
    async fn file(&self, path: &Path) -> anyhow::Result<ImportCounts> {
        let unreadable = |why: std::io::Error| {
            UserError::new(format!("{}: {why}", path.display()), "name a file of records that can be read")
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let (digest, n_bytes) = digest_of(&mut file).map_err(unreadable)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut reader = Lines { file: BufReader::new(file), n_lines: 0, n_bytes: 0 };
        reader.seek_to(0, 0).map_err(unreadable)?;
        let header = self.header(&mut reader, path).map_err(|why| match why {
            HeaderError::Io(why) => unreadable(why),
            HeaderError::Wrong(why) => why,
        })?;
        let mut import = None;
        if !self.args.dry_run {
            let begun = self.store.import_begin(&self.args.source, &name, &digest, self.now).await?;
            if begun.finished_at.is_some() {
                println!("{}: was taken in before: {}", path.display(), in_words(begun.counts));
                return Ok(ImportCounts::default());
            }
            if begun.bytes_done > reader.n_bytes {
                println!("{}: goes on after line {}", path.display(), begun.lines_done);
                reader.seek_to(begun.bytes_done, begun.lines_done).map_err(unreadable)?;
            }
            import = Some((begun.id, begun.bytes_done));
        }
        let bar = ProgressBar::new(n_bytes).with_style(ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left {msg}",
        )?);
        let (mut total, mut n_shown) = (ImportCounts::default(), 0);
        loop {
            let mut step = self.step(&mut reader, &header, &name).map_err(unreadable)?;
            let is_last = step.is_last;
            let counts = match &mut import {
                Some((id, bytes_done)) => {
                    step.expected_bytes = *bytes_done;
                    *bytes_done = step.bytes_done;
                    self.store.import_step(*id, step, self.now).await.map_err(of_store)?
                }
                None => {
                    n_shown = show(&bar, path, &step.suspended, n_shown);
                    self.would_come_of(step).await?
                }
            };
            total.add(counts);
            bar.set_position(reader.n_bytes);
            bar.set_message(format!("{} taken in", total.imported));
            if is_last {
                break;
            }
        }
        bar.finish_and_clear();
        let mood = if self.args.dry_run { "would be: " } else { "" };
        println!("{}: {mood}{}", path.display(), in_words(total));
        Ok(total)
    }

    /// The column names, if the file has them; the reader stands at the first record then.
    fn header(&self, reader: &mut Lines, path: &Path) -> Result<Vec<String>, HeaderError> {
        let mut line = Vec::new();
        for _ in 0..self.format.skip_lines {
            reader.next(&mut line).map_err(HeaderError::Io)?;
            line.clear();
        }
        if !self.format.has_header() {
            return Ok(Vec::new());
        }
        reader.next(&mut line).map_err(HeaderError::Io)?;
        self.format.read_header(&line).map_err(|why| {
            HeaderError::Wrong(UserError::new(
                format!("{}:{}: {why}", path.display(), reader.n_lines),
                "compare the first line of the file with `from` in the format",
            ))
        })
    }

    /// Reads the next records and makes of them what can be made.
    fn step(&self, reader: &mut Lines, header: &[String], file: &str) -> std::io::Result<ImportStep> {
        let mut step = ImportStep::default();
        let mut raw = Vec::new();
        while step.records.len() + step.suspended.len() < STEP_RECORDS {
            raw.clear();
            let line = reader.n_lines + 1;
            let is_whole = reader.next_record(self.format, &mut raw)?;
            if raw.is_empty() {
                step.is_last = true;
                break;
            }
            if raw.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let read = if is_whole {
                self.format.read(header, &raw)
            } else {
                let why = format!(
                    "it is longer than {RECORD_BYTES_MAX} bytes; is a quote or a brace never closed?"
                );
                Err(ForeignError::Unreadable { why })
            };
            let mut cdr = None;
            let made = read.and_then(|foreign| {
                let Some(foreign) = foreign else { return Ok(None) };
                cdr = Some(cdr_id(&self.args.source, &foreign.key));
                to_record(&self.parties, &self.args.source, foreign, self.now).map(Some)
            });
            match made {
                Ok(Some(record)) => step.records.push(record),
                Ok(None) => step.passed_over += 1,
                Err(why) => {
                    let put_aside = PutAside {
                        source: self.args.source.clone(),
                        file: file.to_owned(),
                        line,
                        text: String::from_utf8_lossy(&raw).trim_end_matches(['\r', '\n']).to_owned(),
                        header: header.to_vec(),
                        format: self.format.clone(),
                        first_owners: self.args.first_owners,
                    };
                    step.suspended.push(SuspendedLine {
                        line,
                        suspended: why.suspended(cdr),
                        raw: put_aside.to_bytes(),
                    });
                }
            }
        }
        (step.lines_done, step.bytes_done) = (reader.n_lines, reader.n_bytes);
        Ok(step)
    }

    async fn would_come_of(&self, step: ImportStep) -> anyhow::Result<ImportCounts> {
        let mut counts = ImportCounts {
            suspended: step.suspended.len() as u64,
            passed_over: step.passed_over,
            ..ImportCounts::default()
        };
        for record in step.records {
            if self.store.import_knows(&self.args.source, &record.key).await? {
                counts.duplicates += 1;
            } else {
                counts.imported += 1;
            }
        }
        Ok(counts)
    }
}

enum HeaderError {
    Io(std::io::Error),
    Wrong(UserError),
}

/// Prints what is wrong, up to a limit; returns how many were printed by now.
fn show(bar: &ProgressBar, path: &Path, lines: &[SuspendedLine], n_shown: usize) -> usize {
    let room = SHOWN_MAX.saturating_sub(n_shown);
    bar.suspend(|| {
        for line in lines.iter().take(room) {
            println!("{}:{}: {} {}", path.display(), line.line, line.suspended.code, line.suspended.message);
        }
    });
    n_shown + lines.len().min(room)
}

fn digest_of(file: &mut File) -> std::io::Result<(String, u64)> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    let mut n_bytes = 0;
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok((hex::encode(digest.finalize()), n_bytes));
        }
        digest.update(&piece[..n]);
        n_bytes += n as u64;
    }
}

/// A file line by line, with the place reached.
struct Lines {
    file: BufReader<File>,
    n_lines: u64,
    n_bytes: u64,
}

impl Lines {
    fn seek_to(&mut self, n_bytes: u64, n_lines: u64) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(n_bytes))?;
        (self.n_bytes, self.n_lines) = (n_bytes, n_lines);
        Ok(())
    }

    /// Adds the next line, with its end, to `into`; how many bytes that were, 0 at the end of the file.
    fn next(&mut self, into: &mut Vec<u8>) -> std::io::Result<usize> {
        let n = self.file.read_until(b'\n', into)?;
        self.n_bytes += n as u64;
        self.n_lines += u64::from(n > 0);
        Ok(n)
    }

    /// Adds the next record to `into`; whether it is whole, or was cut at the limit.
    fn next_record(&mut self, format: &Format, into: &mut Vec<u8>) -> std::io::Result<bool> {
        let mut splitter = Splitter::new(format.kind);
        loop {
            let from = into.len();
            if self.next(into)? == 0 || splitter.ends_with(&into[from..]) {
                return Ok(into.len() <= RECORD_BYTES_MAX);
            }
            if into.len() > RECORD_BYTES_MAX {
                return Ok(false);
            }
        }
    }
}
