//! The cases as a list for readers, `docs/hard-cases.md`: made of the files beside this one, so that it says neither more nor less than they do.

use std::fmt::Write as _;

use expect_test::expect_file;

/// Cases that the house promises, each with its working in a comment of its own.
const WORKED_MIN: usize = 120;

const FILES: &[&str] = &[
    include_str!("intervals.rs"),
    include_str!("peak_borders.rs"),
    include_str!("clock_changes.rs"),
    include_str!("flat_amounts.rs"),
    include_str!("fee_choice.rs"),
    include_str!("ported.rs"),
    include_str!("balances.rs"),
    include_str!("fragments.rs"),
    include_str!("compat.rs"),
];

/// A case: its name, and the comment that stands before it.
fn cases(text: &str) -> Vec<(String, String)> {
    let (mut found, mut working): (Vec<(String, String)>, String) = (Vec::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("// ") {
            working = format!("{working} {comment}").trim().to_owned();
            continue;
        }
        let names = names(line);
        if names.is_empty() {
            if line != "(" {
                working.clear();
            }
        } else {
            // One working stands for all the cases of its line.
            found.extend(names.into_iter().map(|name| (name, working.clone())));
            working.clear();
        }
    }
    found
}

/// The names of the cases that begin in a line: each behind a bracket, or one alone on the line after its bracket.
fn names(line: &str) -> Vec<String> {
    let is_case = line.starts_with("(\"") || line.contains("&[(\"") || line.starts_with('"');
    // Not the bracket of a function that is called.
    let is_bracket = |place: usize| !line[..place].ends_with(|c: char| c.is_ascii_alphanumeric());
    let brackets = line.match_indices("(\"").filter(|(place, _)| is_bracket(*place));
    let beginnings = brackets.map(|(place, _)| &line[place + 2..]).chain(line.strip_prefix('"'));
    let names =
        beginnings.filter(|_| is_case).filter_map(|rest| rest.split_once("\",")).map(|(name, _)| name);
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| "_ ".contains(c) || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    names.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_list_for_readers_has_every_case() {
    let mut list = "# Hard cases of rating\n\n\
        Each is a test (`rating/src/tests/hard_cases/`): a tariff, calls and what they cost, worked by hand. Behind a name is its working, where it\n\
        needs one beside what its file says. This list is made of the tests and held to them by one.\n"
        .to_owned();
    let (mut n_cases, mut n_worked) = (0, 0);
    for text in FILES {
        let title: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
        let title = title.join(" ");
        let of_file = cases(text);
        write!(list, "\n## {title}\n\n{} cases.\n\n", of_file.len()).unwrap();
        for (name, working) in of_file {
            n_cases += 1;
            n_worked += usize::from(!working.is_empty());
            let working = if working.is_empty() { String::new() } else { format!(": {working}") };
            writeln!(list, "{n_cases}. `{name}`{working}").unwrap();
        }
    }
    write!(list, "\n{n_cases} cases, {n_worked} of them with a working of their own.\n").unwrap();
    assert!(n_worked >= WORKED_MIN, "{n_worked}");
    expect_file!["../../../../docs/hard-cases.md"].assert_eq(&list);
}
