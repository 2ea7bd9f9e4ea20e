//! The page that says what the switch is held to names tests that there are.

use std::path::Path;

use crate::sip_points::has_point;

#[test]
fn page_of_acceptance_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/switch-acceptance.md")).unwrap();
    let mut sources = String::new();
    for dir in ["switch/src/tests", "switch/src/tests/torture", "tests/tests/it", "tests/tests/it/sip_points"]
    {
        for file in std::fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(file).unwrap();
            }
        }
    }
    let mut n_named = 0;
    // Every other piece between back quotes is a name.
    for (_, quoted) in page.split('`').enumerate().filter(|(n, _)| n % 2 == 1) {
        let Some((_, name)) = quoted.rsplit_once("::").filter(|_| !quoted.contains(['*', '/'])) else {
            continue;
        };
        let is_there =
            [format!("fn {name}("), format!("mod {name};")].iter().any(|text| sources.contains(text));
        assert!(is_there, "{quoted} is not there");
        n_named += 1;
    }
    assert!(n_named > 50, "{n_named}");
    let mut n_points = 0;
    let rows = page.lines().filter(|line| line.starts_with('|'));
    for (_, point) in rows.flat_map(|line| line.split('*').enumerate().filter(|(n, _)| n % 2 == 1)) {
        let point = point.trim_end_matches(" ...");
        if point.contains(' ') && !point.contains('`') {
            assert!(has_point(point), "there is no point {point:?}");
            n_points += 1;
        }
    }
    assert!(n_points > 20, "{n_points}");
}
