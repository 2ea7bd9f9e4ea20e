//! The README and the files themselves say what the columns mean.

use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use expect_test::expect_file;

use crate::world::{World, call, rows, tree};

const README: &str = include_str!("../../README.md");

#[test]
fn readme_lists_every_table_and_column_as_it_is() {
    let (head, _) = README.split_once("<!-- made from").unwrap();
    let (_, after) = README.split_once("<!-- made from").unwrap();
    let marker = format!("<!-- made from{}\n", after.lines().next().unwrap());
    let mut text = format!("{head}{marker}");
    let mut described = Vec::new();
    for table in lake::table_docs(&lake::Access::WHOLE) {
        if table.name == "calls_history" {
            continue;
        }
        let title = if table.name == "calls" {
            "`calls` and `calls_history`".to_owned()
        } else {
            format!("`{}`", table.name)
        };
        text.push_str(&format!("\n### {title}\n\n{}", table.meaning));
        // What has the columns of another table is described there.
        let names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        if let Some((of, _)) = described.iter().find(|(_, known)| *known == names) {
            text.push_str(&format!(" Columns as in `{of}`.\n"));
            continue;
        }
        text.push_str("\n\n| column | type | unit | meaning | example |\n|---|---|---|---|---|\n");
        for column in &table.columns {
            let nullable = if column.nullable { ", may be NULL" } else { "" };
            text.push_str(&format!(
                "| `{}` | {}{nullable} | {} | {} | `{}` |\n",
                column.name, column.sql_type, column.unit, column.meaning, column.example
            ));
        }
        described.push((table.name, names));
    }
    expect_file!["../../README.md"].assert_eq(&text);
}

#[test]
fn no_column_is_without_meaning_and_example_and_none_comes_twice() {
    let mut names: Vec<_> = lake::columns().iter().map(|column| column.name).collect();
    assert!(lake::columns().iter().all(|column| !column.meaning.is_empty() && !column.example.is_empty()));
    let n_columns = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), n_columns);
}

#[tokio::test]
async fn files_carry_unit_meaning_and_example_of_each_column() {
    let world = World::new();
    world.open().commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    let path = tree(&world.path()).into_iter().find(|path| path.ends_with(".parquet")).unwrap();
    let file = std::fs::File::open(world.path().join(path)).unwrap();
    let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
    for (field, column) in schema.fields().iter().zip(lake::columns()) {
        assert_eq!(field.name(), column.name);
        assert_eq!(field.metadata()["description"], column.meaning);
        assert_eq!(field.metadata()["example"], column.example);
        assert_eq!(field.metadata()["unit"], column.unit);
    }
}
