//! What a call takes in the files, column by column.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use datafusion::parquet::file::reader::FileReader;
use datafusion::parquet::file::serialized_reader::SerializedFileReader;
use lake::Lake;

pub(crate) fn print(lake: &Lake, with_columns: bool) {
    let mut columns: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let (mut rows, mut bytes, mut files, mut groups) = (0_i64, 0_u64, 0_u64, 0_usize);
    for path in parquet_files(lake) {
        let file = File::open(&path).expect("a file");
        bytes += file.metadata().expect("its size").len();
        files += 1;
        let reader = SerializedFileReader::new(file).expect("Parquet");
        rows += reader.metadata().file_metadata().num_rows();
        groups += reader.metadata().num_row_groups();
        for column in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
            let entry = columns.entry(column.column_path().string()).or_default();
            entry.0 += column.compressed_size();
            entry.1 += i64::from(column.bloom_filter_length().unwrap_or(0));
        }
    }
    println!(
        "{files} files, {groups} row groups, {rows} rows, {:.1} bytes a call",
        bytes as f64 / rows as f64
    );
    if !with_columns {
        return;
    }
    let mut columns: Vec<_> = columns.into_iter().collect();
    columns.sort_by_key(|(_, (data, bloom))| -(data + bloom));
    for (name, (data, bloom)) in columns {
        println!("{name:<28} {:>7.3} {:>7.3}", data as f64 / rows as f64, bloom as f64 / rows as f64);
    }
}

fn parquet_files(lake: &Lake) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for day in std::fs::read_dir(lake.place().join("cdrs")).expect("days").flatten() {
        let files = std::fs::read_dir(day.path()).expect("files").flatten();
        found.extend(
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "parquet")),
        );
    }
    found
}
