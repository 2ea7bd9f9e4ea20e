//! `tollbook fraud barrings`, `bar`, `unbar`: ranges of numbers that somebody may not call, or only so often.

use model::{AccountId, Barring, Directory, LockSource, Span, TenantId};
use store::Store;

use super::fraud::local;
use crate::cli::BarringOf;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{account_named, print_table};
use crate::failure::UserError;

/// Digits of the longest E.164 number.
const DIGITS_MAX: usize = 15;

/// Those in force.
pub(super) async fn list(store: &Store, directory: &Directory) -> anyhow::Result<()> {
    let now = Clock::start().utc();
    let barrings: Vec<Barring> =
        store.barrings().await?.into_iter().filter(|barring| barring.is_in_force(now)).collect();
    print_table(
        &["whose", "numbers", "calls a minute", "by", "since", "until", "why"],
        barrings.iter().map(|barring| {
            vec![
                whose(directory, barring),
                numbers(&barring.range),
                barring.calls_per_minute.to_string(),
                barring.source.to_string(),
                local(directory, barring.account, barring.since),
                barring.until.map_or_else(
                    || "lifted by hand".to_owned(),
                    |until| local(directory, barring.account, until),
                ),
                barring.reason.clone(),
            ]
        }),
        "no numbers are barred",
    );
    Ok(())
}

/// Sets one.
pub(super) async fn bar(
    store: &Store,
    directory: &Directory,
    of: BarringOf,
    calls_per_minute: u32,
    span: Option<Span>,
) -> anyhow::Result<()> {
    let mut barring = named(directory, of)?;
    barring.calls_per_minute = calls_per_minute;
    barring.until = span.and_then(|span| barring.since.checked_add_signed(span.delta()));
    store.set_barring(&barring, COMMAND_LINE, barring.since).await?;
    let (whose, numbers) = (whose(directory, &barring), numbers(&barring.range));
    let what = match calls_per_minute {
        0 => "are barred".to_owned(),
        n_calls => format!("get through {n_calls} times a minute"),
    };
    println!("calls of {whose} to {numbers} {what}; a running switch knows within a second");
    Ok(())
}

/// Lifts one.
pub(super) async fn lift(store: &Store, directory: &Directory, of: BarringOf) -> anyhow::Result<()> {
    let mut barring = named(directory, of)?;
    let there = store.barrings().await?;
    let is_there = |other: &&Barring| other.key() == barring.key() && other.is_in_force(barring.since);
    let Some(there) = there.iter().find(is_there) else {
        let fault =
            format!("calls of {} to {} are not barred", whose(directory, &barring), numbers(&barring.range));
        return Err(UserError::new(fault, "`tollbook fraud barrings` lists what is").into());
    };
    barring.calls_per_minute = there.calls_per_minute;
    barring.until = Some(barring.since);
    store.set_barring(&barring, COMMAND_LINE, barring.since).await?;
    let (whose, numbers) = (whose(directory, &barring), numbers(&barring.range));
    println!("calls of {whose} to {numbers} go through again; a running switch knows within a second");
    Ok(())
}

/// What is meant, from now on.
fn named(directory: &Directory, of: BarringOf) -> Result<Barring, UserError> {
    let digits = of.range.strip_prefix('+').unwrap_or(&of.range);
    let range = digits.strip_suffix('*').unwrap_or(digits);
    let is_range = range.len() <= DIGITS_MAX && range.bytes().all(|byte| byte.is_ascii_digit());
    if !is_range || of.range.is_empty() {
        return Err(UserError::new(
            format!("{:?} is no range of numbers", of.range),
            "write up to 15 digits in international form, such as 3712345, or * for every number",
        ));
    }
    let (tenant, account) = match &of.account {
        Some(handle) => {
            let account = account_named(directory, handle)?;
            (account.tenant, account.id)
        }
        None => (tenant_named(directory, of.tenant.as_deref())?, AccountId::NOBODY),
    };
    Ok(Barring {
        tenant,
        account,
        range: range.to_owned(),
        calls_per_minute: 0,
        source: LockSource::Admin,
        reason: of.reason,
        alert: None,
        since: Clock::start().utc(),
        until: None,
    })
}

fn tenant_named(directory: &Directory, handle: Option<&str>) -> Result<TenantId, UserError> {
    let known =
        || directory.tenants.iter().map(|tenant| tenant.handle.as_str()).collect::<Vec<_>>().join(", ");
    match (handle, &directory.tenants[..]) {
        (Some(handle), tenants) => {
            tenants.iter().find(|tenant| tenant.handle == handle).map(|tenant| tenant.id).ok_or_else(|| {
                UserError::new(format!("there is no tenant {handle:?}"), format!("give one of {}", known()))
            })
        }
        (None, [only]) => Ok(only.id),
        (None, _) => Err(UserError::new(
            "everybody of which tenant?",
            format!("give --tenant with one of {}, or --account", known()),
        )),
    }
}

fn whose(directory: &Directory, barring: &Barring) -> String {
    match barring.account {
        AccountId::NOBODY => {
            let tenant = directory.tenants.iter().find(|tenant| tenant.id == barring.tenant);
            let of = tenant.map_or_else(|| barring.tenant.to_string(), |tenant| tenant.handle.clone());
            format!("everybody of {of}")
        }
        account => directory.name_of(account),
    }
}

fn numbers(range: &str) -> String {
    if range.is_empty() { "all numbers".to_owned() } else { format!("{range}*") }
}
