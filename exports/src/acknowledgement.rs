//! What a partner says of our files in a file it puts into `ack/`.
//!
//! Two ways of saying it are in use. Either the name tells all: `NAME.ack` takes the file of that name, `NAME.nack`
//! refuses it, and the first line is the reason. Or each line names a file and a word for it: `NAME;OK`,
//! `NAME REJECTED bad checksum`. Anything else is told as what it is: not understood.

/// Files named in one acknowledgement at most.
pub const VERDICTS_MAX: usize = 10_000;

/// What is said of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The file, as the partner calls it.
    pub file: String,
    /// Whether it was taken.
    pub is_accepted: bool,
    /// Why not; empty if nothing is said.
    pub reason: String,
}

const ACCEPTED: [&str; 10] =
    ["ok", "ack", "accepted", "received", "success", "successful", "processed", "loaded", "done", "0"];
const REFUSED: [&str; 11] = [
    "nok",
    "nack",
    "refused",
    "rejected",
    "error",
    "failed",
    "failure",
    "corrupt",
    "invalid",
    "duplicate",
    "missing",
];

const ACCEPTING: [&str; 5] = [".ack", ".ok", ".done", ".received", ".rcv"];
const REFUSING: [&str; 6] = [".nack", ".nok", ".err", ".error", ".rej", ".bad"];

/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 200;

/// Reads an acknowledgement called `name`.
///
/// # Errors
///
/// In words, what is not understood; then nothing of it counts.
pub fn verdicts(name: &str, contents: &[u8]) -> Result<Vec<Verdict>, String> {
    let text = String::from_utf8_lossy(contents);
    let lower = name.to_ascii_lowercase();
    for (endings, is_accepted) in [(ACCEPTING.as_slice(), true), (REFUSING.as_slice(), false)] {
        if let Some(ending) = endings.iter().find(|ending| lower.ends_with(**ending)) {
            let file = name[..name.len() - ending.len()].to_owned();
            let reason = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            let reason = if is_accepted { String::new() } else { shortened(reason) };
            return Ok(vec![Verdict { file, is_accepted, reason }]);
        }
    }
    let mut all = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if all.len() == VERDICTS_MAX {
            return Err(format!("it names more than {VERDICTS_MAX} files; split it"));
        }
        let is_between = |c: char| matches!(c, ',' | ';' | '\t' | '|' | ' ');
        let mut parts = line.splitn(2, is_between);
        let file = parts.next().unwrap_or_default().trim_matches(['"', '\'']);
        let rest = parts.next().unwrap_or_default().trim_start_matches(is_between);
        let word_end = rest.find(is_between).unwrap_or(rest.len());
        let word = rest[..word_end].trim_matches(['"', '\'']).to_ascii_lowercase();
        let is_accepted = match (ACCEPTED.contains(&word.as_str()), REFUSED.contains(&word.as_str())) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => {
                return Err(format!(
                    "line {} does not say OK or ERROR behind the name of a file; write it like NAME;OK or NAME;ERROR;reason, \
                     or put an empty file NAME.ack",
                    idx + 1
                ));
            }
        };
        let reason = rest[word_end..].trim_matches(is_between).trim_matches(['"', '\'']);
        all.push(Verdict { file: file.to_owned(), is_accepted, reason: shortened(reason) });
    }
    if all.is_empty() {
        return Err("it names no file; put an empty file NAME.ack, or lines like NAME;OK".to_owned());
    }
    Ok(all)
}

fn shortened(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(name: &str, contents: &str, expected: &str) {
        let shown = match verdicts(name, contents.as_bytes()) {
            Ok(all) => {
                let shown = all.iter().map(|verdict| {
                    format!(
                        "{} {} {}",
                        if verdict.is_accepted { "+" } else { "-" },
                        verdict.file,
                        verdict.reason
                    )
                });
                shown.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
            }
            Err(why) => why,
        };
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn name_alone_says_it() {
        check("a_0000000042.cdr.ack", "", "+ a_0000000042.cdr");
        check("a.cdr.OK", "whatever", "+ a.cdr");
        check("a.cdr.nack", "\n md5 differs \nmore", "- a.cdr md5 differs");
    }

    #[test]
    fn lines_say_it_of_many() {
        check(
            "daily.txt",
            "# ours\n\"a.cdr\";OK\nb.cdr, rejected, \"bad checksum\"\r\nc.cdr ERROR cut off at 12\n",
            "+ a.cdr\n- b.cdr bad checksum\n- c.cdr cut off at 12",
        );
    }

    #[test]
    fn what_is_not_understood_counts_for_nothing_and_is_told() {
        check("x.txt", "a.cdr;OK\nb.cdr;perhaps\n", "line 2 does not say OK or ERROR");
        check("x.txt", "a.cdr\n", "line 1 does not say");
        check("x.txt", "\n# nothing\n", "it names no file");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(name in "\\PC{0,20}", contents in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = verdicts(&name, &contents);
        }
    }
}
