//! `tollbook sql`: a question to the lake, whether the installation runs or not.

use std::io::{IsTerminal, Read};

use anyhow::Context;
use lake::Lake;

use crate::cli::Format;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::of_lake;

/// Runs one query and prints its rows.
pub(crate) async fn sql(config: &Config, query: Option<String>, format: Format) -> anyhow::Result<()> {
    let query = match query {
        Some(query) => query,
        None => read_query()?,
    };
    let lake = Lake::open_read_only(&config.lake.dir).map_err(of_lake)?;
    let result = lake.query(&query).await.map_err(of_lake)?;
    let mut out = std::io::stdout().lock();
    match format {
        Format::Table => lake::write_table(&result, &mut out),
        Format::Csv => lake::write_csv(&result, &mut out),
        Format::Json => lake::write_json(&result, &mut out),
    }
    .context("print the rows")
}

fn read_query() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        return Err(UserError::new(
            "no query",
            "give one, such as `tollbook sql \"select count(*) from calls\"`",
        )
        .into());
    }
    let mut query = String::new();
    std::io::stdin().read_to_string(&mut query).context("read the query from standard input")?;
    Ok(query)
}
