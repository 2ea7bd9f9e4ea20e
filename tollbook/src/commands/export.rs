//! `tollbook export`: close files now, list them, show one again; try a format, check a file.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use exports::{
    Contents, DELIVERED, Entry, Event, ExportsError, FileSpec, Format, Owner, Series, Subject, Way,
};
use lake::Lake;
use model::{AccountKind, CdrId, Directory};
use store::EdrFilter;
use tracing::warn;

use crate::cli::ExportAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{account_named, print_table};
use crate::config::{Config, SftpUserConfig};
use crate::directory::DirectoryFeed;
use crate::export_files::{self, Desk, Source};
use crate::failure::UserError;
use crate::system::open_store;

/// Latest calls among which a preview looks for those that its format wants.
const LOOKED_THROUGH: u32 = 10_000;

/// Files shown at once, for each series.
const FILES_MAX: usize = 50;

/// Does what the command line says. `config` is asked for where an installation is needed: whoever checks a partner's file, or makes the
/// hash that a configuration lacks, has none that is in order.
pub(crate) async fn export(
    config: impl FnOnce() -> anyhow::Result<Config>,
    action: ExportAction,
) -> anyhow::Result<()> {
    match action {
        ExportAction::Run => run(&desk(&config()?).await?).await,
        ExportAction::List => list(&config()?).await,
        ExportAction::Streams => streams(&desk(&config()?).await?).await,
        ExportAction::Formats { name } => formats(name.as_deref()),
        ExportAction::Preview { format, owner, calls, fields } => {
            preview(&desk(&config()?).await?, &load_format(&format)?, &owner, calls, fields).await
        }
        ExportAction::Verify { format: None, file } => verify(&file),
        ExportAction::Verify { format: Some(format), file } => check(&file, &load_format(&format)?),
        ExportAction::Fetched { user, missing, files } => {
            fetched(&config()?, user.as_deref(), missing, files).await
        }
        ExportAction::Trail { user, limit } => trail(&config()?, user.as_deref(), limit).await,
        ExportAction::Inbox { user, limit } => inbox(&config()?, user.as_deref(), limit).await,
        ExportAction::Password => password(),
        ExportAction::QueueAgain { cdr, owner, stream, way, reason } => {
            let desk = desk(&config()?).await?;
            let series = series_named(&desk, stream, &owner, way.as_deref())?;
            queue_again(&desk, &series, &cdr, &reason).await
        }
        ExportAction::Again { sequence, owner, stream, way, out } => {
            let desk = desk(&config()?).await?;
            let series = series_named(&desk, stream, &owner, way.as_deref())?;
            again(&desk, &series, sequence, out.as_deref()).await
        }
    }
}

async fn desk(config: &Config) -> anyhow::Result<Desk> {
    let store = open_store(config).await?;
    let directory = DirectoryFeed::load(store.clone(), Clock::start()).await?.current();
    let lake = match Lake::open_to_ask(&config.lake) {
        Ok(lake) => Some(Arc::new(lake)),
        Err(lake::LakeError::NoLake { .. }) => None,
        Err(why) => {
            // Files can be closed without it.
            warn!(%why, "the lake cannot be asked");
            None
        }
    };
    Ok(Desk { store, directory, streams: config.streams()?, config: config.exports.clone(), lake })
}

async fn run(desk: &Desk) -> anyhow::Result<()> {
    let written = export_files::close_all(desk, Clock::start().utc()).await?;
    for file in &written {
        println!("{}  {} calls", file.path.display(), file.n_rows);
    }
    if written.is_empty() {
        println!("no calls are waiting for a file");
    }
    Ok(())
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let mut rows = Vec::new();
    for owner in store.export_owners().await? {
        for file in store.export_files(&owner).await?.into_iter().rev().take(FILES_MAX) {
            let md5 = match &file.state {
                store::ExportState::Written { md5, .. } => md5.clone(),
                store::ExportState::Planned => "being written".to_owned(),
            };
            rows.push(vec![file.owner, file.sequence.to_string(), file.n_rows.to_string(), md5, file.name]);
        }
    }
    print_table(&["owner", "sequence", "calls", "md5", "file"], rows.into_iter(), "no file was written yet");
    Ok(())
}

async fn streams(desk: &Desk) -> anyhow::Result<()> {
    let waiting = desk.store.export_waiting().await?;
    let mut rows = Vec::new();
    let edr = desk.streams.edr().map(|(stream, _)| stream);
    for stream in desk.streams.iter().chain(edr) {
        let name = stream.config.name.as_str();
        let n_calls: u64 = waiting
            .iter()
            .filter(|(series, _)| series.parse::<Series>().is_ok_and(|series| series.stream == name))
            .map(|(_, n_calls)| n_calls)
            .sum();
        let due = match desk.store.export_ran_at(name).await? {
            Some(ran_at) => stream.due_after(ran_at).format("%F %T UTC").to_string(),
            None => "with the next start".to_owned(),
        };
        rows.push(vec![
            if name.is_empty() { "main".to_owned() } else { name.to_owned() },
            stream.config.format.clone(),
            stream.config.owners.join(", "),
            n_calls.to_string(),
            due,
        ]);
    }
    print_table(&["stream", "format", "owners", "calls waiting", "due"], rows.into_iter(), "");
    Ok(())
}

fn formats(name: Option<&str>) -> anyhow::Result<()> {
    match name {
        Some(name) => match DELIVERED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => print!("{text}"),
            // Of a file, which of its rules is broken, if one is.
            None => {
                let format = load_format(name)?;
                println!("{name}: {}; {} fields", format.about(), format.field_names().len());
            }
        },
        None => {
            let rows = DELIVERED.iter().map(|(name, _)| {
                let about = load_format(name).map(|format| format.about().to_owned()).unwrap_or_default();
                vec![(*name).to_owned(), about]
            });
            print_table(&["format", "what it is"], rows, "");
        }
    }
    Ok(())
}

fn load_format(name: &str) -> Result<Format, UserError> {
    exports::load_format(name).map_err(|why| {
        let remedy = if matches!(why, ExportsError::Io { .. }) {
            "`tollbook export formats` lists those that are delivered"
        } else {
            ""
        };
        UserError::new(why.to_string(), remedy)
    })
}

/// `system`, the name of an account, or an owner as `export list` shows it. A tenant may be called `reseller` and its account `5`, which is
/// another one than the reseller with the id 5: nobody's files are found by a guess.
fn owner_named(text: &str, directory: &Directory) -> Result<Owner, UserError> {
    let by_id: Option<Owner> = text.parse().ok();
    match by_id {
        Some(Owner::System) => return Ok(Owner::System),
        Some(owner) if directory.accounts_named(text).is_empty() => return Ok(owner),
        Some(Owner::Reseller(_) | Owner::Carrier(_)) | None => {}
    }
    let account = account_named(directory, text)?;
    let owner = match account.kind {
        AccountKind::Reseller => Owner::Reseller(account.id),
        AccountKind::Carrier => Owner::Carrier(account.id),
        AccountKind::Customer => {
            return Err(UserError::new(
                format!("{text} is a customer, and CDR files are for the operator, resellers and carriers"),
                "name its reseller, or system",
            ));
        }
    };
    match by_id.filter(|by_id| *by_id != owner).and_then(Owner::account) {
        Some(id) if directory.accounts.iter().any(|account| account.id == id) => Err(UserError::new(
            format!(
                "{text:?} is the name of an account with the id {}, and the account with the id {id}",
                account.id
            ),
            format!("give {owner} for the former or {} for the latter", directory.name_of(id)),
        )),
        Some(_) | None => Ok(owner),
    }
}

fn way_named(text: Option<&str>) -> Result<Option<Way>, UserError> {
    let Some(text) = text else { return Ok(None) };
    match Way::ALL.into_iter().find(|way| way.as_str() == text) {
        Some(way) => Ok(Some(way)),
        None => Err(UserError::new(format!("{text:?} is no direction"), "use out or in")),
    }
}

async fn preview(desk: &Desk, format: &Format, owner: &str, n_max: u32, fields: bool) -> anyhow::Result<()> {
    let owner = owner_named(owner, &desk.directory)?;
    let (mut calls, mut events) = (Vec::new(), Vec::new());
    match format.subject() {
        Subject::Calls => {
            let series = Series::main(owner).to_string();
            for payload in desk.store.export_latest_calls(&series, n_max.max(LOOKED_THROUGH)).await? {
                let rated = model::wire::decode_rated(&payload).context("read a call of the database")?;
                if format.wants_call(owner, &rated) {
                    calls.push(Entry::from(rated));
                }
                if calls.len() >= n_max as usize {
                    break;
                }
            }
        }
        Subject::Events => {
            for edr in desk.store.edrs(EdrFilter::default(), n_max).await? {
                let accounts = &desk.directory.accounts;
                let known = accounts.iter().find(|account| account.id == edr.account);
                let company = known.map(|account| account.contact.name.clone()).unwrap_or_default();
                let is_seen = owner.account().is_none_or(|id| id == edr.reseller);
                let event = Event { edr, company };
                if is_seen && format.wants_event(owner, &event) {
                    events.push(event);
                }
            }
        }
    }
    if calls.is_empty() && events.is_empty() {
        return Err(UserError::new(
            format!("there are no records of {owner} that this format would write"),
            "place some calls, or see whether `only` leaves all of them out",
        )
        .into());
    }
    calls.reverse();
    events.reverse();
    let now = Clock::start().utc();
    let zone = match (format.zone(), desk.streams.named("")) {
        (Some(zone), _) => zone,
        (None, Some(main)) => main.zone(owner, &desk.directory),
        (None, None) => chrono_tz::UTC,
    };
    if fields {
        let shown = match (calls.first(), events.first()) {
            (Some(call), _) => format.explain(owner, &call.rated, zone),
            (None, Some(event)) => format.explain_event(owner, event, zone),
            (None, None) => Vec::new(),
        };
        let shown = shown.into_iter();
        print_table(
            &["columns", "field", "value"],
            shown.map(|field| vec![field.columns, field.name, field.value]),
            "",
        );
        return Ok(());
    }
    let owner_name = exports::owner_name(owner, &desk.directory);
    let spec = FileSpec {
        format,
        owner,
        owner_name: &owner_name,
        stream: "preview",
        way: "",
        name: "preview",
        sequence: 1,
        created_at: now,
        day: None,
        zone,
    };
    let contents = match format.subject() {
        Subject::Calls => Contents::Calls(&calls),
        Subject::Events => Contents::Events(&events),
    };
    let rendered = exports::render_all(&[(spec, contents)]).pop().context("nothing was rendered")?;
    let rendered = rendered.map_err(|why| UserError::new(why.to_string(), ""))?;
    let bytes = exports::unpacked(rendered.bytes).context("unpack the preview")?;
    std::io::Write::write_all(&mut std::io::stdout(), &bytes).context("print the preview")?;
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, UserError> {
    let wrong = |why: std::io::Error| {
        UserError::new(format!("{}: {why}", file.display()), "name a CDR file that can be read")
    };
    exports::unpacked(std::fs::read(file).map_err(wrong)?).map_err(wrong)
}

/// Of the reference's format, whoever's file it is.
fn verify(file: &Path) -> anyhow::Result<()> {
    match exports::verify(&read(file)?) {
        Ok(verified) => {
            println!("{}: in order, {} calls, md5 {}", file.display(), verified.rows, verified.md5);
            Ok(())
        }
        Err(why) => Err(UserError::new(
            format!("{}: {why}", file.display()),
            "if it is of another format, name that with --format; else ask its sender for another",
        )
        .into()),
    }
}

fn check(file: &Path, format: &Format) -> anyhow::Result<()> {
    let checked = format.check(&read(file)?);
    let shown = file.display();
    if checked.is_good() {
        let mut said = vec![format!("{} records", checked.rows)];
        said.extend(checked.sequence.map(|sequence| format!("sequence {sequence}")));
        said.extend(checked.digests.iter().map(|(kind, digest)| format!("{} {digest}", kind.as_str())));
        println!("{shown}: in order, {}", said.join(", "));
        return Ok(());
    }
    for fault in &checked.faults {
        println!("{shown}:{}: {}", fault.line, fault.what);
    }
    let more = checked.n_faults - checked.faults.len() as u64;
    if more > 0 {
        println!("and {more} more");
    }
    Err(UserError::new(
        format!("{shown}: {} of its lines are not of format {}", checked.n_faults, format.name()),
        "ask its sender for another, or correct the description",
    )
    .into())
}

/// The SFTP users that are meant: the one of that name, or all.
fn users_named<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a SftpUserConfig>, UserError> {
    let users = &config.sftp.users;
    let Some(name) = name else { return Ok(users.iter().collect()) };
    match users.iter().find(|user| user.name == name) {
        Some(user) => Ok(vec![user]),
        None => {
            let known: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
            let remedy = format!("the configuration has {}", known.join(", "));
            Err(UserError::new(format!("there is no SFTP user {name:?}"), remedy))
        }
    }
}

async fn fetched(config: &Config, user: Option<&str>, missing: bool, files: u32) -> anyhow::Result<()> {
    let users = users_named(config, user)?;
    let store = open_store(config).await?;
    let now = Clock::start().utc();
    let mut rows = Vec::new();
    for user in users {
        let acks = store.acks_of(&user.name).await?;
        for file in store.files_below(&user.folder_name(), files).await? {
            let state = store::fetched(&store.trail_fetches(&file.name).await?, &user.name, file.n_bytes);
            let (when, from, how) = match state {
                store::Fetched::Whole { .. } if missing => continue,
                store::Fetched::Whole { at, peer } => {
                    (at.format("%F %T UTC").to_string(), peer, "complete".to_owned())
                }
                store::Fetched::Partly { n_bytes, at, peer } => {
                    (at.format("%F %T UTC").to_string(), peer, format!("{n_bytes} of {} bytes", file.n_bytes))
                }
                store::Fetched::No => {
                    let hours = (now - file.created_at).num_hours();
                    (String::new(), String::new(), format!("not yet, for {hours} h"))
                }
            };
            let ack = acks.iter().find(|ack| ack.file == file.name);
            let says = match ack {
                Some(ack) if ack.is_accepted => "accepted".to_owned(),
                Some(ack) => format!("refused: {}", ack.reason).trim_end_matches(": ").to_owned(),
                None => String::new(),
            };
            rows.push(vec![user.name.clone(), file.name, file.n_bytes.to_string(), when, from, how, says]);
        }
    }
    let columns = ["user", "file", "bytes", "fetched", "from", "how much", "says"];
    print_table(&columns, rows.into_iter(), "there is no such file");
    Ok(())
}

async fn trail(config: &Config, user: Option<&str>, limit: u32) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let mut entries = store.trail_latest(user, limit).await?;
    entries.reverse();
    let rows = entries.into_iter().map(|entry| {
        let how_much = match (entry.range, entry.size) {
            (Some(range), Some(size)) if range.n_bytes >= size => format!("{size} bytes, complete"),
            (Some(range), Some(size)) => format!("{} of {size} bytes", range.n_bytes),
            (_, Some(size)) => format!("{size} bytes"),
            (_, None) => String::new(),
        };
        let said = [entry.path.unwrap_or_default(), entry.detail, how_much];
        let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
        vec![
            entry.at.format("%F %T UTC").to_string(),
            entry.account,
            entry.peer,
            entry.action,
            said.join(", "),
        ]
    });
    print_table(&["at", "user", "from", "what", ""], rows, "no SFTP user was here yet");
    Ok(())
}

async fn inbox(config: &Config, user: Option<&str>, limit: u32) -> anyhow::Result<()> {
    users_named(config, user)?;
    let store = open_store(config).await?;
    let mut entries = store.inbox_latest(user, None, limit).await?;
    entries.reverse();
    if entries.is_empty() {
        println!("no partner has put a file yet");
    }
    for entry in entries {
        println!(
            "{}  {}  {}/{}, {} bytes, {}",
            entry.read_at.format("%F %T UTC"),
            entry.file.account,
            entry.file.folder,
            entry.file.name,
            entry.file.size,
            entry.kind.replace('_', " ")
        );
        for line in entry.note.lines() {
            println!("    {line}");
        }
    }
    Ok(())
}

fn password() -> anyhow::Result<()> {
    let mut password = String::new();
    std::io::stdin().read_line(&mut password).context("read the password from standard input")?;
    let hash = exports::sftp::hash_password(password.trim_end_matches(['\r', '\n'])).map_err(|rule| {
        UserError::new(format!("the password {rule}"), "give it on standard input, in one line")
    })?;
    println!("{hash}");
    Ok(())
}

fn series_named(desk: &Desk, stream: String, owner: &str, way: Option<&str>) -> Result<Series, UserError> {
    Ok(Series { stream, owner: owner_named(owner, &desk.directory)?, way: way_named(way)? })
}

async fn queue_again(desk: &Desk, series: &Series, cdr: &str, reason: &str) -> anyhow::Result<()> {
    let id: CdrId = cdr.parse().map_err(|why: model::InvalidId| {
        UserError::new(
            format!("{cdr}: {why}"),
            "`tollbook explain` and the console name calls by 32 hexadecimal digits",
        )
    })?;
    let absent = || {
        let why = format!("no record of {cdr} is there that was left out of the files of {series}");
        UserError::new(
            why,
            "it waits, is in a file, or is none of theirs; `tollbook explain` shows whose it is",
        )
    };
    let key = series.to_string();
    let latest = desk.store.export_kept(id).await?;
    // A partner's queue does not know what it was never given: neither a call that was not theirs at first, nor that it is not theirs any more.
    if let Some((_, payload)) = latest.as_ref().filter(|_| series.owner != Owner::System) {
        let rated = model::wire::decode_rated(payload).context("read the call that was left out")?;
        let stream = desk.streams.named(&series.stream);
        if !stream.is_some_and(|stream| stream.is_about(series, &rated, &desk.directory)) {
            return Err(absent().into());
        }
    }
    let (payload, unseen) = match desk.store.export_left_out(&key, id).await? {
        Some(payload) => (payload, None),
        None if series.owner == Owner::System => return Err(absent().into()),
        None => {
            let (revision, payload) = latest.ok_or_else(absent)?;
            (payload.clone(), Some((revision, payload)))
        }
    };
    // What does not fit would hold up every file after it.
    if let Some(stream) = desk.streams.named(&series.stream) {
        let rated = model::wire::decode_rated(&payload).context("read the call that was left out")?;
        stream.format(series.owner).fits(series.owner, &rated).map_err(|misfit| {
            UserError::new(
                format!("{cdr} cannot be in the files of {series}: {misfit}"),
                "change the format, which `tollbook export streams` names",
            )
        })?;
    }
    let now = Clock::start().utc();
    let queued = desk.store.export_queue_again(&key, id, unseen, reason, COMMAND_LINE, now).await?;
    let revision = queued.ok_or_else(absent)?;
    println!("{cdr}, revision {revision}, will be in the next file of {series}");
    Ok(())
}

async fn again(desk: &Desk, series: &Series, sequence: u64, out: Option<&Path>) -> anyhow::Result<()> {
    let file = export_files::again(desk, series, sequence).await?;
    let path = match out {
        Some(out) => {
            std::fs::write(out, &file.bytes).map_err(|why| {
                UserError::new(format!("{}: {why}", out.display()), "name a file that can be written")
            })?;
            out.to_path_buf()
        }
        None => {
            let (dir, archive) = (&desk.config.dir, &desk.config.archive);
            exports::publish_as(dir, archive, &file.name, &file.bytes, desk.config.file_access()?)?
        }
    };
    let from = match file.source {
        Source::Archive => "from the archive",
        Source::Lake => "made again from its calls in the lake",
        Source::Database => "made again from its calls in the database",
    };
    println!("{}  {from}, sha256 {} as published", path.display(), file.sha256);
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::AccountId;
    use model::AccountKind::{Carrier, Reseller};

    use super::*;
    use crate::commands::tests::directory_of;

    #[test]
    fn a_tenant_called_reseller_has_its_own_accounts_by_name() {
        let accounts = [(5, 1, Reseller, "acme"), (8, 2, Carrier, "6"), (9, 2, Reseller, "9")];
        let directory = directory_of(["alpine", "reseller"], &accounts);
        let named = |text| owner_named(text, &directory).map_err(|why| why.to_string());
        assert_eq!(named("system"), Ok(Owner::System));
        assert_eq!(named("reseller:6"), Ok(Owner::Carrier(AccountId(8))));
        assert_eq!(named("reseller:9"), Ok(Owner::Reseller(AccountId(9))));
        // What `export list` shows, of accounts that are gone too.
        assert_eq!(named("reseller:5"), Ok(Owner::Reseller(AccountId(5))));
        assert_eq!(named("carrier:8"), Ok(Owner::Carrier(AccountId(8))));
        assert_eq!(named("reseller:77"), Ok(Owner::Reseller(AccountId(77))));
        assert!(named("reseller:acme").unwrap_err().contains("there is no account"));
    }

    #[test]
    fn a_name_that_is_also_the_id_of_another_is_refused_with_both_ways_out() {
        let accounts = [(5, 1, Reseller, "acme"), (7, 2, Reseller, "5")];
        let directory = directory_of(["alpine", "reseller"], &accounts);
        let why = owner_named("reseller:5", &directory).unwrap_err().to_string();
        assert!(why.contains("give reseller:7 for the former or acme for the latter"), "{why}");
        for (text, id) in [("acme", 5), ("reseller:7", 7), ("5", 7)] {
            assert_eq!(owner_named(text, &directory).unwrap(), Owner::Reseller(AccountId(id)), "{text}");
        }
    }
}
