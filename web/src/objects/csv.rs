//! Objects as files: one row an object, one column a field. A file that is sent in is taken whole or not at all; what is wrong is told by
//! line.
//!
//! A column that is missing leaves its field as it is; an empty cell puts it back to what holds where nothing is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use store::{Edit, EditFault, FaultKind, FieldFault, Objects};

use super::api::{is_dry_run, problem_of};
use super::table::{Field, FieldKind, Resource, put, read, written};
use crate::Shared;
use crate::api::Query;
use crate::guard::SignedIn;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// Rows of one file.
const ROWS_MAX: usize = 100_000;

/// Letters of a line: a file of commas alone would be kept as many empty cells.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Faults told at once.
const FAULTS_MAX: usize = 100;

/// A spreadsheet takes a text that begins so for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// All objects of a kind, without their secrets.
pub(crate) async fn download(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Response, Problem> {
    require(&user, Right::Provisioning, "see what is provisioned")?;
    let directory = (shared.desk.directory)();
    let extras = super::extras(&shared, resource.kind).await?;
    let text = table_of(resource, &Objects::of(&directory, &extras)).map_err(Refusal::failed)?;
    let name = format!("attachment; filename=\"{}.csv\"", resource.path);
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, text).into_response())
}

fn table_of(resource: &Resource, objects: &Objects<'_>) -> Result<Vec<u8>, csv::Error> {
    let fields: Vec<&Field> =
        resource.fields.iter().filter(|field| field.kind != FieldKind::Secret).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields.iter().map(|field| field.path))?;
    let mut places: Vec<(String, usize)> = objects.keys(resource.kind).into_iter().zip(0..).collect();
    places.sort_unstable();
    for (_, place) in places {
        let object = resource.kind.shown(&objects.at(resource.kind, place));
        writer.write_record(fields.iter().map(|field| guarded(written(&object, field))))?;
    }
    writer.into_inner().map_err(|why| csv::Error::from(why.into_error()))
}

/// A text that no spreadsheet takes for a formula.
fn guarded(text: String) -> String {
    if text.starts_with(FORMULA) { format!("'{text}") } else { text }
}

fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(text)
}

/// Makes and changes objects by a file.
pub(crate) async fn upload(
    resource: &'static Resource,
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(parameters): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    require(&user, resource.change, "change this")?;
    let dry_run = is_dry_run(&parameters)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != "text/csv" {
        let detail = "send text/csv".to_owned();
        return Err(Problem::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail, Vec::new()));
    }
    let (n_added, n_changed, n_unchanged, revision) = take(&shared, &user, resource, &body, dry_run).await?;
    let body = json!({
        "added": n_added, "changed": n_changed, "unchanged": n_unchanged, "revision": revision, "dry_run": dry_run,
    });
    Ok(axum::Json(body).into_response())
}

/// Counts of what was made, changed and left alone, and the revision in force.
pub(crate) async fn take(
    shared: &Shared,
    user: &SignedIn,
    resource: &'static Resource,
    file: &[u8],
    dry_run: bool,
) -> Result<(usize, usize, usize, i64), Problem> {
    let (rows, faults) = rows_of(resource, file);
    let line = |place: usize| Some(rows.get(place).map_or(1, |(line, _)| *line));
    if !faults.is_empty() {
        // The place of such a fault is its line.
        return Err(problem_of(&faults, |place| u64::try_from(place).ok()));
    }
    let edits: Vec<Edit> = rows.iter().map(|(_, object)| Edit::Upload(object.clone())).collect();
    let desk = &shared.desk.provisioning;
    let now = (shared.desk.clock)().wall;
    let edited = shared.desk.store.edit(resource.kind, &edits, &desk.rules, dry_run, now, &user.name).await?;
    let edited = edited.map_err(|faults| problem_of(&faults, line))?;
    let n_added = edited.objects.iter().filter(|object| object.before.is_none()).count();
    let is_changed = |object: &&store::EditedObject| object.before.is_some() && object.is_changed;
    let n_changed = edited.objects.iter().filter(is_changed).count();
    if !dry_run && n_added + n_changed > 0 {
        (desk.announce)(edited.revision).await;
    }
    Ok((n_added, n_changed, edited.objects.len() - n_added - n_changed, edited.revision))
}

/// The objects of a file, each with its line; or what is wrong, the line in place of the edit.
fn rows_of(resource: &'static Resource, file: &[u8]) -> (Vec<(u64, Value)>, Vec<EditFault>) {
    let file = with_plain_ends(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    let mut faults = Vec::new();
    let mut fault = |line: u64, FieldFault { field, rule }: FieldFault| {
        let place = usize::try_from(line).unwrap_or_default();
        faults.push(EditFault { place, kind: FaultKind::Invalid, field, rule });
    };
    if let Some(line) = file.split(|byte| *byte == b'\n').position(|line| line.len() > LINE_BYTES_MAX) {
        let rule = format!("a line has {LINE_BYTES_MAX} bytes at most");
        fault(line as u64 + 1, FieldFault::new("", rule));
        return (Vec::new(), faults);
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(file.as_slice());
    let mut columns: Vec<&'static Field> = Vec::new();
    match reader.headers() {
        Ok(names) if names.len() > resource.fields.len() => {
            let rule = format!("there are {} columns at most", resource.fields.len());
            fault(1, FieldFault::new("", rule));
        }
        Ok(names) => {
            for name in names {
                if let Some(field) = resource.field(name) {
                    columns.push(field);
                    continue;
                }
                let known: Vec<&str> = resource.fields.iter().map(|field| field.path).collect();
                let rule = format!("there is no such column; there are {}", known.join(", "));
                fault(1, FieldFault::new(name, rule));
            }
        }
        Err(why) => fault(1, FieldFault::new("", format!("this is no CSV: {why}"))),
    }
    let mut rows: Vec<(u64, Value)> = Vec::new();
    if faults.is_empty() {
        read_rows(&mut reader, &columns, &mut rows, &mut faults);
    }
    if rows.is_empty() && faults.is_empty() {
        let rule = "there is no row below the names of the columns".to_owned();
        faults.push(EditFault { place: 1, kind: FaultKind::Invalid, field: String::new(), rule });
    }
    (rows, faults)
}

/// Lines end with one letter: of those that end with two the reader counts the first as none.
fn with_plain_ends(file: &[u8]) -> Vec<u8> {
    let next = file.iter().skip(1).map(Some).chain([None]);
    file.iter()
        .zip(next)
        .filter(|(byte, next)| **byte != b'\r' || *next != Some(&b'\n'))
        .map(|(byte, _)| *byte)
        .collect()
}

fn read_rows(
    reader: &mut csv::Reader<&[u8]>,
    columns: &[&'static Field],
    rows: &mut Vec<(u64, Value)>,
    faults: &mut Vec<EditFault>,
) {
    let line_of = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
    for record in reader.records() {
        let mut fault = |line: u64, FieldFault { field, rule }: FieldFault| {
            let place = usize::try_from(line).unwrap_or_default();
            faults.push(EditFault { place, kind: FaultKind::Invalid, field, rule });
        };
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                fault(
                    line_of(why.position()),
                    FieldFault::new("", format!("this row cannot be read: {why}")),
                );
                return;
            }
        };
        let line = line_of(record.position());
        let mut object = json!({});
        for (field, cell) in columns.iter().zip(&record) {
            // A secret is taken letter by letter.
            let cell = if field.kind == FieldKind::Secret { cell } else { unguarded(cell.trim()) };
            match read(field, cell) {
                Ok(value) => put(&mut object, field.path, value),
                Err(wrong) => fault(line, wrong),
            }
        }
        rows.push((line, object));
        if rows.len() > ROWS_MAX {
            fault(line, FieldFault::new("", format!("a file has {ROWS_MAX} rows at most; send it in parts")));
        }
        if faults.len() >= FAULTS_MAX || rows.len() > ROWS_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_is_wrong_is_told() {
        let resource = Resource::named("subscribers").unwrap();
        let rows = |text: &str| {
            let (rows, faults) = rows_of(resource, text.as_bytes());
            let told: Vec<String> = faults.iter().map(|it| format!("{} {}", it.place, it.field)).collect();
            (rows.len(), told)
        };
        assert_eq!(rows("username,numbers\na,4351210 4351211\nb,\n"), (2, vec![]));
        assert_eq!(rows("username,number\na,1\n"), (0, vec!["1 number".to_owned()]));
        let (_, told) = rows("username,calls_max\na,-1\nb,2\nc,many\n");
        assert_eq!(told, ["2 calls_max", "4 calls_max"]);
        let (_, told) = rows("username,calls_max\r\na,-1\r\nb,2\r\nc,many\r\n");
        assert_eq!(told, ["2 calls_max", "4 calls_max"], "as a browser sends it");
        assert_eq!(rows("username\n").1, ["1 "]);
        assert_eq!(rows("username,domain\na\n").1, ["2 "]);
        assert_eq!(rows("").1.len(), 1);
        assert_eq!(rows(&format!("{}\na\n", "x,".repeat(100_000))).1, ["1 "]);
        assert_eq!(rows(&format!("username\n{}\n", ",".repeat(LINE_BYTES_MAX + 1))).1, ["2 "]);
    }

    #[test]
    fn blanks_of_a_password_are_part_of_it() {
        let resource = Resource::named("subscribers").unwrap();
        let (rows, faults) = rows_of(resource, b"username,password\n a , two words \n");
        assert_eq!(faults, []);
        assert_eq!(rows[0].1, json!({"username": "a", "password": " two words "}));
    }

    #[test]
    fn text_that_looks_like_a_formula_is_read_back_as_it_was() {
        for text in ["=1+1", "@cmd", "-5", "plain", "'quoted'"] {
            let cell = guarded(text.to_owned());
            assert!(!cell.starts_with(FORMULA), "{cell}");
            assert_eq!(unguarded(&cell), text);
        }
    }
}
