//! One suspended record, looked at and changed: raw, decoded, and why it is here.

use std::path::Path;

use model::Directory;
use serde_json::Value;
use store::{IMPORT, Store, SuspendedRecord};
use web::RecordChange;

use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::suspense::{counted, nothing_done, settled};
use crate::failure::UserError;
use crate::resubmit;
use crate::suspense_record::{changed, said_by};

/// Bytes shown of a record in hexadecimal; the rest is told by its number.
const RAW_SHOWN_MAX: usize = 512;

/// Bytes in one line of them.
const RAW_LINE: usize = 16;

/// Prints one record.
pub(super) fn show(record: &SuspendedRecord, directory: &Directory, json: bool) -> anyhow::Result<()> {
    let said = said_by(record);
    if json {
        let value = said.map_err(|why| {
            UserError::new(
                format!("{}: the record cannot be read: {why}", record.id),
                "`tollbook suspense show` without --json prints its bytes",
            )
        })?;
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    let suspended = &record.suspended;
    let place = if record.stage == IMPORT {
        format!("line {}", record.offset)
    } else {
        format!("{}/{} offset {}", record.topic, record.partition, record.offset)
    };
    println!("{} {}: {}", record.id, suspended.code, suspended.message);
    println!(
        "  put aside   {} by {}, read from {place}",
        record.created_at.format("%F %T UTC"),
        record.stage
    );
    println!("  account     {}", directory.name_of(suspended.account));
    if let Some(cdr) = suspended.cdr {
        println!("  call        {cdr}");
    }
    println!("  try again   {}", suspended.retry.to_string().replace('_', " "));
    println!("  state       {}", state_of(record));
    if let Some(why) = resubmit::refusal(record) {
        println!("              it {why}");
    }
    match said {
        Ok(value) => println!("it says\n{}", serde_json::to_string_pretty(&value)?),
        Err(why) => println!("it cannot be read: {why}"),
    }
    println!("{} bytes", record.raw.len());
    print!("{}", in_hexadecimal(&record.raw));
    Ok(())
}

fn state_of(record: &SuspendedRecord) -> String {
    let state = settled(record).map_or("open".to_owned(), str::to_owned);
    match (&record.discard_reason, record.fixed_at) {
        (Some(reason), _) => format!("{state}: {reason}"),
        (None, Some(at)) => format!("{state}, fixed {}", at.format("%F %T UTC")),
        (None, None) => state,
    }
}

fn in_hexadecimal(raw: &[u8]) -> String {
    let mut text = String::new();
    for (idx, line) in raw[..raw.len().min(RAW_SHOWN_MAX)].chunks(RAW_LINE).enumerate() {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters: String = line
            .iter()
            .map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' })
            .collect();
        text += &format!("  {:06x}  {:<47}  {letters}\n", idx * RAW_LINE, digits.join(" "));
    }
    if raw.len() > RAW_SHOWN_MAX {
        text += &format!("  ... and {} more\n", raw.len() - RAW_SHOWN_MAX);
    }
    text
}

/// From `PATH=VALUE` words.
pub(super) fn change_of_words(words: &[String]) -> Result<RecordChange, UserError> {
    let field = |word: &String| {
        let (path, value) = word.split_once('=').filter(|(path, _)| !path.is_empty()).ok_or_else(|| {
            UserError::new(
                format!("--set {word:?}: has no path and value"),
                "write it like value.body.answered_us=61000000; `tollbook suspense show ID` shows the paths",
            )
        })?;
        // Numbers, lists and null are written as in JSON; all else is text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok((path.to_owned(), value))
    };
    Ok(RecordChange::Fields(words.iter().map(field).collect::<Result<_, UserError>>()?))
}

/// From a file, for one record.
pub(super) fn change_in(file: &Path, n_records: usize) -> Result<RecordChange, UserError> {
    if n_records != 1 {
        return Err(UserError::new("--file: is for one record", "use --set to change several in one go"));
    }
    let text = std::fs::read_to_string(file).map_err(|why| {
        UserError::new(format!("{}: {why}", file.display()), "name a file written by `show --json`")
    })?;
    serde_json::from_str(&text).map(RecordChange::Whole).map_err(|why| {
        UserError::new(format!("{}: {why}", file.display()), "compare it with what `show --json` prints")
    })
}

/// Changes records, each for itself.
pub(super) async fn fix(
    store: &Store,
    records: Vec<SuspendedRecord>,
    change: &RecordChange,
    dry_run: bool,
) -> anyhow::Result<()> {
    let mut n_fixed = 0;
    for record in &records {
        let fixed = match settled(record) {
            Some(why) => Err(why.to_owned()),
            None => changed(record, change).map_err(|why| format!("cannot be changed: {why}")),
        };
        match fixed {
            Err(why) => println!("{} {why}", record.id),
            Ok(fixed) if fixed.raw == record.raw => println!("{} says that already", record.id),
            Ok(fixed) if dry_run => {
                println!("{} would say {}", record.id, fixed.after);
                n_fixed += 1;
            }
            Ok(fixed) => {
                let now = Clock::start().utc();
                let words = (fixed.before.as_str(), fixed.after.as_str());
                if store.suspense_fix(record.id, fixed.raw, words, COMMAND_LINE, now).await? {
                    n_fixed += 1;
                } else {
                    println!("{} was dealt with by somebody else just now", record.id);
                }
            }
        }
    }
    if n_fixed == 0 {
        return Err(nothing_done("changed"));
    }
    if !dry_run {
        println!("{} changed; `tollbook suspense resubmit` sends them in again", counted(n_fixed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said_after(words: &[&str]) -> Result<Value, String> {
        let value = json!({"type": "call", "value": {"leg": 0, "body": {"kind": "end", "codes": [1, 2]}}});
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        change_of_words(&words).map_err(|why| why.to_string())?.apply(value)
    }

    #[test]
    fn fields_are_set_by_their_paths_as_numbers_lists_and_text() {
        let value =
            said_after(&["value.leg=1", "value.body.codes.1=7", "value.body.reason=SIP;cause=200"]).unwrap();
        assert_eq!(
            value,
            json!({"type": "call", "value": {"leg": 1, "body": {"kind": "end", "codes": [1, 7], "reason": "SIP;cause=200"}}})
        );
    }

    #[test]
    fn path_that_leads_nowhere_is_told() {
        for (word, told) in [
            ("value.nobody.codes=1", "no \"nobody\""),
            ("value.body.codes.9=1", "no item \"9\""),
            ("type.x=1", "nothing below"),
            ("=1", "no path"),
            ("value", "no path"),
        ] {
            let why = said_after(&[word]).unwrap_err();
            assert!(why.contains(told), "{word}: {why}");
        }
    }

    #[test]
    fn bytes_are_shown_as_digits_and_letters() {
        assert_eq!(
            in_hexadecimal(b"\x00Anna calls Bert.\xff"),
            "  000000  00 41 6e 6e 61 20 63 61 6c 6c 73 20 42 65 72 74  .Anna calls Bert\n  000010  2e ff                                            ..\n"
        );
    }
}
