//! DuckDB in a process of its own, asked over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

const SCRIPT: &str = include_str!("peer.py");
/// What is taken from PyPI where no Python with DuckDB is named.
const PACKAGE: &str = "duckdb>=2.0,<3";

/// DuckDB, running.
pub(crate) struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pub(crate) version: String,
}

/// An answer: rows as text, and how long it took by its own clock.
pub(crate) struct Answer {
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) seconds: f64,
}

impl Peer {
    /// Starts it on the files of `lake`. `python` has the module duckdb; without one a venv is made in `venv`, from PyPI.
    pub(crate) fn start(lake: &Path, threads: usize, python: Option<&Path>, venv: &Path) -> Self {
        let python = python.map_or_else(|| made(venv), Path::to_owned);
        let mut child = Command::new(&python)
            .arg("-c")
            .arg(SCRIPT)
            .arg(lake)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", python.display()));
        let to = child.stdin.take().expect("its input");
        let mut from = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        from.read_line(&mut line).expect("its first words");
        let greeting: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{} has no module duckdb: pip install 'duckdb>=2'", python.display()));
        let version = greeting["version"].as_str().unwrap_or_default().to_owned();
        Self { child, to, from, version }
    }

    pub(crate) fn ask(&mut self, sql: &str) -> Answer {
        writeln!(self.to, "{}", Value::from(sql)).expect("DuckDB listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("DuckDB answers");
        let answer: Value = serde_json::from_str(&line).expect("an answer");
        if let Some(error) = answer["error"].as_str() {
            panic!("DuckDB: {error}\n{sql}");
        }
        let cell = |value: &Value| value.as_str().map(str::to_owned);
        let row = |row: &Value| row.as_array().into_iter().flatten().map(cell).collect();
        Answer {
            rows: answer["rows"].as_array().into_iter().flatten().map(row).collect(),
            seconds: answer["seconds"].as_f64().unwrap_or_default(),
        }
    }

    /// Most memory it had, in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        crate::peak_mib(&format!("/proc/{}/status", self.child.id()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn made(venv: &Path) -> PathBuf {
    let python = venv.join("bin/python");
    let run = |command: &mut Command| {
        assert!(command.status().is_ok_and(|status| status.success()), "{command:?} failed");
    };
    if !python.exists() {
        run(Command::new("python3").arg("-m").arg("venv").arg(venv));
        run(Command::new(&python).args(["-m", "pip", "install", "-q", PACKAGE]));
    }
    python
}
