//! `tollbook sql`: a question to the lake, whether the installation runs or not; or a prompt for many.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use lake::{Access, Lake, QueryResult, SavedQuery, saved_queries};

use crate::cli::{Format, SqlQuestion};
use crate::clock::Clock;
use crate::commands::sql_prompt;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::of_lake;

/// An answer that comes sooner needs no word about waiting.
const QUICK: Duration = Duration::from_millis(500);
/// How often the time that it takes is drawn.
const TICK: Duration = Duration::from_millis(200);
/// Days that a delivered query asks about if nobody says which.
const DAYS_ASKED: u64 = 30;

/// Runs one query and prints its rows, lists the delivered ones, or talks to a terminal.
pub(crate) async fn sql(config: &Config, question: SqlQuestion) -> anyhow::Result<()> {
    if question.list {
        return list();
    }
    let mut limits = config.lake.clone();
    if let Some(timeout) = question.timeout {
        limits.query_timeout = timeout.into();
    }
    let clock = Clock::start();
    let lake = Lake::open_to_ask(&limits).map_err(of_lake)?;
    let statement = match (&question.query, &question.saved) {
        (Some(query), _) => query.clone(),
        (None, Some(name)) => saved(name, question.from.as_deref(), question.to.as_deref(), clock.utc())?,
        (None, None) if io::stdin().is_terminal() => {
            return sql_prompt::talk(lake, clock, &config.data.join("sql_history")).await;
        }
        (None, None) => {
            let mut query = String::new();
            io::stdin().read_to_string(&mut query).context("read the query from standard input")?;
            query
        }
    };
    let began = clock.now().mono;
    let result = watched(lake.query_as(&statement, &Access::WHOLE)).await.map_err(of_lake)?;
    let took = clock.now().mono.saturating_sub(began);
    print(&result, question.format, question.out.as_deref())?;
    if io::stderr().is_terminal() || question.out.is_some() {
        let _ = writeln!(io::stderr(), "{}", summary(&result, took));
    }
    Ok(())
}

/// What `asking` gives; a terminal sees meanwhile how long it has been at it.
pub(crate) async fn watched<T>(asking: impl Future<Output = T>) -> T {
    // It draws on standard error, and nothing where that is no terminal.
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    tokio::pin!(asking);
    let answer = tokio::select! {
        answer = &mut asking => return answer,
        () = tokio::time::sleep(QUICK) => {
            bar.set_message("asking the lake; Ctrl-C stops it");
            bar.enable_steady_tick(TICK);
            asking.await
        }
    };
    bar.finish_and_clear();
    answer
}

/// `12 rows in 0.031 s`.
pub(crate) fn summary(result: &QueryResult, took: Duration) -> String {
    let rows = if result.n_rows() == 1 { "row" } else { "rows" };
    format!("{} {rows} in {}.{:03} s", result.n_rows(), took.as_secs(), took.subsec_millis())
}

/// Writes the rows to `out`, or to standard output.
fn print(result: &QueryResult, format: Format, out: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = out else {
        let mut stdout = io::stdout();
        if matches!(format, Format::Parquet | Format::Arrow) && stdout.is_terminal() {
            return Err(UserError::new(
                "Parquet and Arrow are not for a terminal",
                "add --out FILE, or redirect the output",
            )
            .into());
        }
        return write(result, format, &mut stdout).context("print the rows");
    };
    // Written beside it and renamed: a reader never meets half a file.
    let part = PathBuf::from(format!("{}.part", path.display()));
    let mut file =
        io::BufWriter::new(File::create(&part).with_context(|| format!("create {}", part.display()))?);
    write(result, format, &mut file)
        .and_then(|()| file.flush())
        .with_context(|| format!("write {}", part.display()))?;
    std::fs::rename(&part, path).with_context(|| format!("write {}", path.display()))
}

fn write(result: &QueryResult, format: Format, out: &mut (impl Write + Send)) -> io::Result<()> {
    match format {
        Format::Table => lake::write_table(result, out),
        Format::Csv => lake::write_csv(result, out),
        Format::Json => lake::write_json(result, out),
        Format::Parquet => lake::write_parquet(result, out),
        Format::Arrow => lake::write_arrow(result, out),
    }
}

fn list() -> anyhow::Result<()> {
    let rows = saved_queries()
        .iter()
        .map(|query| vec![query.audience.to_owned(), query.name.to_owned(), query.title.to_owned()]);
    super::print_table(&["for", "name", "what it says"], rows, "");
    Ok(())
}

/// The statement of a delivered query, for a period.
pub(crate) fn saved(
    name: &str,
    from: Option<&str>,
    to: Option<&str>,
    now: DateTime<Utc>,
) -> Result<String, UserError> {
    let Some(query) = SavedQuery::named(name) else {
        return Err(UserError::new(
            format!("there is no delivered query {name:?}"),
            "`tollbook sql --list` names them",
        ));
    };
    let to = to.map_or(Ok(now), instant)?;
    let earlier = to.checked_sub_days(Days::new(DAYS_ASKED)).unwrap_or(to);
    let from = from.map_or(Ok(earlier), instant)?;
    if from >= to {
        return Err(UserError::new(
            format!("the period from {from} to {to} is empty"),
            "--to is exclusive, and later than --from",
        ));
    }
    Ok(query.statement(from, to))
}

/// A day, from its midnight UTC, or an instant.
fn instant(text: &str) -> Result<DateTime<Utc>, UserError> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    text.parse().map_err(|_| {
        UserError::new(format!("{text:?} is no day and no time"), "write 2026-10-05 or 2026-10-05T08:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_of_a_delivered_query_ends_now_if_nobody_says_when() {
        let now = "2026-11-05T12:00:00Z".parse().unwrap();
        let statement = saved("daily-close", None, None, now).unwrap();
        assert!(statement.contains("start_at >= TIMESTAMP '2026-10-06T12:00:00.000000'"), "{statement}");
        let statement = saved("daily-close", Some("2026-10-01"), Some("2026-10-02T06:00:00Z"), now).unwrap();
        assert!(statement.contains("start_at < TIMESTAMP '2026-10-02T06:00:00.000000'"), "{statement}");
        assert!(!statement.contains(":from") && !statement.contains(":to"), "{statement}");
    }

    #[test]
    fn period_that_is_none_is_refused() {
        let now = "2026-11-05T12:00:00Z".parse().unwrap();
        for (from, to) in
            [("2026-10-02", "2026-10-02"), ("yesterday", "2026-10-02"), ("'; drop", "2026-10-02")]
        {
            assert!(saved("daily-close", Some(from), Some(to), now).is_err(), "{from}");
        }
        assert!(saved("daily-clothes", None, None, now).is_err());
    }
}
