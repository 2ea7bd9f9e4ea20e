//! The prompt of `tollbook sql`: statements end with `;`, the arrow keys bring earlier ones back, Tab completes names.
//!
//! Ctrl-C stops a query that runs and leaves the prompt; Ctrl-D leaves it.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use lake::{Access, Lake, saved_queries, table_docs};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Editor, Helper};

use crate::clock::Clock;
use crate::commands::sql::{saved, summary, watched};

const HELP: &str = "\
statements end with ;   Tab completes   Ctrl-C stops a query   Ctrl-D leaves
\\d             the tables
\\d TABLE       the columns of one, with unit and meaning
\\l             the delivered queries
\\l NAME [FROM [TO]]   one of them, for a period of days
\\?             this
";
const HISTORY_LINES_MAX: usize = 2_000;
const WORDS: [&str; 24] = [
    "select",
    "from",
    "where",
    "group by",
    "order by",
    "limit",
    "having",
    "join",
    "left join",
    "count(*)",
    "count(distinct",
    "sum(",
    "avg(",
    "filter (where",
    "between",
    "interval",
    "date_trunc(",
    "date_part(",
    "case when",
    "explain",
    "number_prefix(",
    "coalesce(",
    "desc",
    "distinct",
];

/// What may be typed at the prompt.
struct Names {
    words: Vec<String>,
}

impl Names {
    fn new() -> Self {
        let mut words: Vec<String> = WORDS.map(str::to_owned).to_vec();
        for table in table_docs(&Access::WHOLE) {
            words.push(table.name.to_owned());
            words.extend(table.columns.iter().map(|column| column.name.to_owned()));
        }
        words.extend(saved_queries().iter().map(|query| query.name.to_owned()));
        words.sort();
        words.dedup();
        Self { words }
    }

    /// Where the word at the cursor begins, and what it can become.
    fn completed(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        let start = before
            .rfind(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '-'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = before[start..].to_lowercase();
        if word.is_empty() {
            return (start, Vec::new());
        }
        (start, self.words.iter().filter(|known| known.starts_with(&word)).cloned().collect())
    }
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.completed(line, cursor);
        let pair = |word: String| Pair { display: word.clone(), replacement: word };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Validator for Names {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Hinter for Names {
    type Hint = String;
}
impl Highlighter for Names {}
impl Helper for Names {}

/// Whether there is nothing more to come: a command, nothing, or a statement with its `;`.
fn is_whole(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with('\\') || text.ends_with(';')
}

/// Reads and answers until the end of the input.
pub(crate) async fn talk(lake: Lake, clock: Clock, history: &Path) -> anyhow::Result<()> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LINES_MAX)
        .context("set up the prompt")?
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Names, FileHistory> = Editor::with_config(config).context("open the terminal")?;
    editor.set_helper(Some(Names::new()));
    // The first time there is none.
    let _ = editor.load_history(history);
    say("tollbook sql: \\? for help\n");
    loop {
        // The editor waits for keys on its own thread; nothing else is to be done meanwhile.
        let (back, read) = tokio::task::spawn_blocking(move || {
            let read = editor.readline("tollbook> ");
            (editor, read)
        })
        .await
        .context("read from the terminal")?;
        editor = back;
        match read {
            Ok(text) => answer(&lake, &clock, text.trim()).await,
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(why) => return Err(why).context("read from the terminal"),
        }
        if let Err(why) = editor.save_history(history) {
            tracing::debug!(%why, "the history of statements could not be kept");
        }
    }
    Ok(())
}

fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

async fn answer(lake: &Lake, clock: &Clock, text: &str) {
    let mut words = text.trim_end_matches(';').split_whitespace();
    let statement = match (words.next(), words.next(), words.next(), words.next()) {
        (None, ..) => return,
        (Some("\\?"), ..) => return say(HELP),
        (Some("\\q"), ..) => return say("Ctrl-D leaves\n"),
        (Some("\\d"), None, ..) => {
            for table in table_docs(&Access::WHOLE) {
                say(&format!("{:<18} {}\n", table.name, table.meaning));
            }
            return;
        }
        (Some("\\d"), Some(name), ..) => {
            let Some(table) = table_docs(&Access::WHOLE).into_iter().find(|table| table.name == name) else {
                return say(&format!("there is no table {name}; \\d lists them\n"));
            };
            for column in table.columns {
                say(&format!(
                    "{:<28} {:<14} {} ({})\n",
                    column.name, column.sql_type, column.meaning, column.unit
                ));
            }
            return;
        }
        (Some("\\l"), None, ..) => {
            for query in saved_queries() {
                say(&format!("{:<9} {:<24} {}\n", query.audience, query.name, query.title));
            }
            return;
        }
        (Some("\\l"), Some(name), from, to) => match saved(name, from, to, clock.utc()) {
            Ok(statement) => statement,
            Err(why) => return say(&format!("error: {why:#}\n")),
        },
        (Some(word), ..) if word.starts_with('\\') => return say(HELP),
        (Some(_), ..) => text.trim_end_matches(';').to_owned(),
    };
    let began = clock.now().mono;
    let asked = tokio::select! {
        result = watched(lake.query_as(&statement, &Access::WHOLE)) => result,
        // Dropped, the query ends.
        _ = tokio::signal::ctrl_c() => return say("stopped\n"),
    };
    let took = clock.now().mono.saturating_sub(began);
    match asked {
        Ok(result) => {
            let _ = lake::write_table(&result, &mut io::stdout());
            say(&format!("{}\n", summary(&result, took)));
        }
        Err(why) => say(&format!("error: {why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_completes_tables_columns_and_words() {
        let names = Names::new();
        let completed = |line: &str| names.completed(line, line.len());
        assert_eq!(completed("select * from invoice_l"), (14, vec!["invoice_lines".to_owned()]));
        assert_eq!(completed("select sum(customer_co"), (11, vec!["customer_cost".to_owned()]));
        assert!(completed("SEL").1.contains(&"select".to_owned()));
        assert_eq!(completed("select ").1, Vec::<String>::new());
        assert_eq!(completed("\\l daily-c").1, ["daily-close"]);
        // The cursor is anywhere.
        assert_eq!(names.completed("select é, pdd_ from calls", 15).1, ["pdd_ms", "pdd_us"]);
    }

    #[test]
    fn statement_goes_on_until_its_semicolon() {
        assert!(!is_whole("select 1\nfrom calls"));
        assert!(is_whole("select 1\nfrom calls; "));
        assert!(is_whole("\\d calls") && is_whole(""));
    }
}
