//! Says in the metadata of a PDF that it carries Factur-X: the typesetter writes PDF/A metadata, but no schema of others.
//!
//! In: a PDF with a cross-reference table and one metadata stream that is not compressed, as the typesetter writes it. Out: the
//! same PDF with four properties more in that stream and their description as PDF/A demands it (ISO 19005-3, 6.6.2.3; Factur-X 1.0,
//! 6.3). All other bytes stay; the offsets behind the stream move by what was added.

/// Marks the metadata stream's dictionary.
const METADATA: &[u8] = b"/Type/Metadata/Subtype/XML>>";

/// The schema's description, a further entry of the list that is there.
const SCHEMA: &str = concat!(
    r#"<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>"#,
    r#"<pdfaSchema:namespaceURI>urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#</pdfaSchema:namespaceURI>"#,
    r#"<pdfaSchema:prefix>fx</pdfaSchema:prefix><pdfaSchema:property><rdf:Seq>"#,
    r#"<rdf:li rdf:parseType="Resource"><pdfaProperty:name>DocumentFileName</pdfaProperty:name>"#,
    r#"<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"#,
    r#"<pdfaProperty:description>The name of the embedded XML document</pdfaProperty:description></rdf:li>"#,
    r#"<rdf:li rdf:parseType="Resource"><pdfaProperty:name>DocumentType</pdfaProperty:name>"#,
    r#"<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"#,
    r#"<pdfaProperty:description>The type of the hybrid document in capital letters</pdfaProperty:description></rdf:li>"#,
    r#"<rdf:li rdf:parseType="Resource"><pdfaProperty:name>Version</pdfaProperty:name>"#,
    r#"<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"#,
    r#"<pdfaProperty:description>The version of the standard of the embedded XML</pdfaProperty:description></rdf:li>"#,
    r#"<rdf:li rdf:parseType="Resource"><pdfaProperty:name>ConformanceLevel</pdfaProperty:name>"#,
    r#"<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"#,
    r#"<pdfaProperty:description>The conformance level of the embedded XML</pdfaProperty:description></rdf:li>"#,
    r#"</rdf:Seq></pdfaSchema:property></rdf:li>"#,
);
const SCHEMA_BEFORE: &[u8] = b"</rdf:Bag></pdfaExtension:schemas>";

/// The properties.
const PROPERTIES: &str = concat!(
    r#"<rdf:Description rdf:about="" xmlns:fx="urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#">"#,
    "<fx:DocumentType>INVOICE</fx:DocumentType><fx:DocumentFileName>factur-x.xml</fx:DocumentFileName>",
    "<fx:Version>1.0</fx:Version><fx:ConformanceLevel>EN 16931</fx:ConformanceLevel></rdf:Description>",
);
const PROPERTIES_BEFORE: &[u8] = b"</rdf:RDF>";

/// Adds the properties; an error says what of the PDF is not as expected.
pub(crate) fn declare_factur_x(pdf: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    let dictionary_end = find_last(&pdf, METADATA).ok_or("it has no metadata stream")? + METADATA.len();
    let length_at = find_last(&pdf[..dictionary_end], b"/Length ").ok_or("its metadata has no length")?
        + b"/Length ".len();
    let (length, length_width) =
        number_at(&pdf, length_at).ok_or("the length of its metadata is no number")?;
    let stream_at = dictionary_end
        + find(&pdf[dictionary_end..], b"stream\n").ok_or("its metadata is no stream")?
        + b"stream\n".len();
    let stream = pdf.get(stream_at..stream_at + length).ok_or("its metadata ends too early")?;
    let schema_at = find_last(stream, SCHEMA_BEFORE).ok_or("its metadata lists no extension schemas")?;
    let properties_at = find_last(stream, PROPERTIES_BEFORE).ok_or("its metadata is no RDF")?;
    if properties_at < schema_at {
        return Err("its metadata ends before its list of schemas");
    }
    let new_length = (length + SCHEMA.len() + PROPERTIES.len()).to_string();
    let moved = new_length.len() - length_width + SCHEMA.len() + PROPERTIES.len();
    let (head, tail) = (&pdf[..stream_at], &pdf[stream_at + length..]);

    let mut out = Vec::with_capacity(pdf.len() + moved);
    out.extend_from_slice(&head[..length_at]);
    out.extend_from_slice(new_length.as_bytes());
    out.extend_from_slice(&head[length_at + length_width..]);
    out.extend_from_slice(&stream[..schema_at]);
    out.extend_from_slice(SCHEMA.as_bytes());
    out.extend_from_slice(&stream[schema_at..properties_at]);
    out.extend_from_slice(PROPERTIES.as_bytes());
    out.extend_from_slice(&stream[properties_at..]);
    out.extend_from_slice(tail);
    move_offsets(&mut out, length_at, moved)?;
    Ok(out)
}

/// Adds `moved` to every offset of the cross-reference table beyond `changed_at`, and to the table's own.
fn move_offsets(pdf: &mut Vec<u8>, changed_at: usize, moved: usize) -> Result<(), &'static str> {
    let start_at =
        find_last(pdf, b"startxref\n").ok_or("it has no cross-reference table")? + b"startxref\n".len();
    let (old_table_at, width) = number_at(pdf, start_at).ok_or("its startxref is no number")?;
    let table_at = old_table_at + moved;
    if table_at <= changed_at || !pdf.get(table_at..).is_some_and(|table| table.starts_with(b"xref\n")) {
        return Err("its cross-reference table is not where it says, or compressed");
    }
    // Entries are 20 bytes: an offset of ten digits, a generation of five, `n` or `f` (ISO 32000-1, 7.5.4).
    let mut at = table_at + b"xref\n".len();
    loop {
        let (_, first_width) = number_at(pdf, at).ok_or("its cross-reference table has no section")?;
        let (n_entries, count_width) = number_at(pdf, at + first_width + 1)
            .ok_or("a section of its cross-reference table has no count")?;
        at += first_width + 1 + count_width;
        while pdf.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        for _ in 0..n_entries {
            let entry = pdf.get(at..at + 20).ok_or("its cross-reference table ends too early")?;
            let (offset, _) =
                number_at(entry, 0).ok_or("an entry of its cross-reference table is no number")?;
            if entry[17] == b'n' && offset > changed_at {
                pdf[at..at + 10].copy_from_slice(format!("{:010}", offset + moved).as_bytes());
            }
            at += 20;
        }
        if pdf.get(at..).is_some_and(|rest| rest.starts_with(b"trailer")) {
            break;
        }
    }
    pdf.splice(start_at..start_at + width, table_at.to_string().into_bytes());
    Ok(())
}

/// A number in ASCII digits and how many there are.
fn number_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let digits = bytes.get(at..)?;
    let width = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&digits[..width]).ok()?.parse().ok()?;
    Some((number, width))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn find_last(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).rposition(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pdf_of_another_making_is_refused_and_not_broken() {
        for (pdf, problem) in [
            (&b"%PDF-1.7\n"[..], "it has no metadata stream"),
            (b"1 0 obj\n<</Length 3/Type/Metadata/Subtype/XML>>\nstream\nabc\nendstream", "its metadata lists no extension schemas"),
            (b"1 0 obj\n<</Length 300/Type/Metadata/Subtype/XML>>\nstream\nabc", "its metadata ends too early"),
            (
                b"<</Length 44/Type/Metadata/Subtype/XML>>\nstream\n</rdf:Bag></pdfaExtension:schemas></rdf:RDF>\nendstream",
                "it has no cross-reference table",
            ),
        ] {
            assert_eq!(declare_factur_x(pdf.to_vec()).unwrap_err(), problem);
        }
    }
}
