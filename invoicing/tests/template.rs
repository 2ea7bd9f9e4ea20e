//! A tenant's own template: what it may change, what it may not reach, and where its mistakes are.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like the tests")]

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use invoicing::{Template, render_pdf, sample_documents, sample_invoice};
use model::Language;

fn with(files: &[(&str, &str)]) -> Result<Template, invoicing::InvoicingError> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    Template::with(files)
}

/// What is wrong with a layout.
#[track_caller]
fn check(layout: &str, expected: Expect) {
    let template = with(&[("invoice.typ", layout)]).unwrap();
    let error = render_pdf(&sample_invoice(Language::English).unwrap(), &template).unwrap_err();
    expected.assert_eq(&error.to_string());
}

#[test]
fn mistake_is_shown_with_line_and_column() {
    check(
        "#let invoice = json(\"invoice.json\")\n\n  #invoice.nummer\n",
        expect![[
            r#"the invoice template invoice.typ, line 3, column 12, is wrong: dictionary does not contain key "nummer""#
        ]],
    );
    check(
        "= Title\n#let x = (\n",
        expect!["the invoice template invoice.typ, line 2, column 10, is wrong: unclosed delimiter"],
    );
}

#[test]
fn template_reads_nothing_outside_its_folder() {
    for path in ["/etc/passwd", "../../../etc/passwd", "words-fr.json", "main.typ/../../x"] {
        let template = with(&[("invoice.typ", &format!("#read({path:?})"))]).unwrap();
        let error =
            render_pdf(&sample_invoice(Language::English).unwrap(), &template).unwrap_err().to_string();
        assert!(error.contains("line 1, column 7,"), "{error}");
        assert!(error.contains("denied") || error.contains("escape") || error.contains("project"), "{error}");
    }
    check(
        "#import \"@preview/tablex:0.0.8\": *",
        expect![
            "the invoice template invoice.typ, line 1, column 9, is wrong: failed to load file (access denied)"
        ],
    );
}

#[test]
fn loop_without_end_is_stopped() {
    check(
        "#while true { }",
        expect!["the invoice template invoice.typ, line 1, column 8, is wrong: condition is always true"],
    );
}

#[test]
fn words_and_logo_of_the_tenant_are_printed_and_the_rest_stays() {
    let logo = r#"<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="20" height="20"/></svg>"#;
    let layout =
        "#set document(title: \"t\")\n#image(\"logo.svg\", alt: \"Logo\")\n#json(\"words.json\").number";
    let template = with(&[
        ("invoice.typ", layout),
        ("logo.svg", logo),
        ("words-de.json", r#"{"number": "Belegnummer"}"#),
    ])
    .unwrap();
    for language in Language::ALL {
        render_pdf(&sample_invoice(*language).unwrap(), &template).unwrap();
    }
    let words = |template: &Template| {
        let found = template.files().find(|(name, _)| *name == "words-de.json").unwrap().1.to_vec();
        serde_json::from_slice::<BTreeMap<String, String>>(&found).unwrap()
    };
    let (ours, theirs) = (words(&Template::default()), words(&template));
    assert_eq!((theirs["number"].as_str(), &theirs["date"]), ("Belegnummer", &ours["date"]));
}

#[test]
fn file_that_is_no_words_is_refused_with_its_place() {
    let refused = |text: &str| with(&[("words-de.json", text)]).unwrap_err().to_string();
    assert!(
        refused("{\n\"number\" \"x\"}").starts_with("the invoice template words-de.json, line 2, column 10,")
    );
    assert!(refused(r#"{"nummer": "x"}"#).contains("no word of ours is named \"nummer\""));
    let too_large = Template::with(BTreeMap::from([("logo.png".to_owned(), vec![0; 9 * 1024 * 1024])]));
    assert!(too_large.unwrap_err().to_string().contains("too much"));
}

/// Every language has every word, so no invoice fails for one.
#[test]
fn our_own_template_prints_every_sample_document() {
    let keys = |name: &str| {
        let template = Template::default();
        let found = template.files().find(|(file, _)| *file == name).unwrap().1.to_vec();
        serde_json::from_slice::<BTreeMap<String, String>>(&found).unwrap().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(keys("words-en.json"), keys("words-de.json"));
    assert_eq!(keys("words-en.json"), keys("words-vi.json"));
    for document in sample_documents().unwrap() {
        document.check().unwrap();
        render_pdf(&document, &Template::default()).unwrap();
    }
}
