//! ELAN's annotation format (EAF schema 3.0).
#![forbid(unsafe_code)]

use super::Annotation;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;

/// An .eaf document with a tier for each tier. Times are whole milliseconds; intervals shorter than one are left out.
pub fn eaf(annotation: &Annotation) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 4);
    // Writing to memory cannot fail.
    let _ = document(&mut writer, annotation);
    let mut text = String::from_utf8(writer.into_inner()).unwrap_or_default();
    text.push('\n');
    text
}

fn document(writer: &mut Writer<Vec<u8>>, annotation: &Annotation) -> io::Result<()> {
    let millis = |seconds: f64| (seconds.clamp(0.0, annotation.seconds) * 1000.0).round() as u64;
    // Each boundary has a slot; annotations of a tier that touch have two, as ELAN itself writes them.
    let mut slots = Vec::new();
    let mut tiers = Vec::new();
    for tier in &annotation.tiers {
        let mut annotations = Vec::new();
        for interval in &tier.intervals {
            let (start, end) = (millis(interval.start), millis(interval.end));
            if start < end {
                slots.extend([start, end]);
                annotations.push((slots.len() - 1, slots.len(), interval.text.as_str()));
            }
        }
        tiers.push((tier.name.as_str(), annotations));
    }
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let root = writer.create_element("ANNOTATION_DOCUMENT").with_attributes([
        ("AUTHOR", "formant"),
        ("DATE", "1970-01-01T00:00:00+00:00"),
        ("FORMAT", "3.0"),
        ("VERSION", "3.0"),
        ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
        ("xsi:noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"),
    ]);
    root.write_inner_content(|writer| {
        let header =
            writer.create_element("HEADER").with_attributes([("MEDIA_FILE", ""), ("TIME_UNITS", "milliseconds")]);
        header.write_inner_content(|writer| {
            let url = ("MEDIA_URL", annotation.recording.as_str());
            let kind = ("MIME_TYPE", "audio/x-wav");
            let relative = ("RELATIVE_MEDIA_URL", annotation.recording.as_str());
            writer.create_element("MEDIA_DESCRIPTOR").with_attributes([url, kind, relative]).write_empty()?;
            Ok(())
        })?;
        writer.create_element("TIME_ORDER").write_inner_content(|writer| {
            for (n, slot) in slots.iter().enumerate() {
                let (id, value) = (format!("ts{}", n + 1), slot.to_string());
                let slot = [("TIME_SLOT_ID", id.as_str()), ("TIME_VALUE", value.as_str())];
                writer.create_element("TIME_SLOT").with_attributes(slot).write_empty()?;
            }
            Ok(())
        })?;
        let mut count = 0;
        for (name, annotations) in &tiers {
            let kind = [("LINGUISTIC_TYPE_REF", "default-lt"), ("TIER_ID", *name)];
            writer.create_element("TIER").with_attributes(kind).write_inner_content(|writer| {
                for &(start, end, text) in annotations {
                    count += 1;
                    aligned(writer, count, [start, end], text)?;
                }
                Ok(())
            })?;
        }
        let kind = [("GRAPHIC_REFERENCES", "false"), ("LINGUISTIC_TYPE_ID", "default-lt"), ("TIME_ALIGNABLE", "true")];
        writer.create_element("LINGUISTIC_TYPE").with_attributes(kind).write_empty()?;
        Ok(())
    })?;
    Ok(())
}

/// One annotation between two slots.
fn aligned(writer: &mut Writer<Vec<u8>>, number: usize, slots: [usize; 2], text: &str) -> io::Result<()> {
    writer.create_element("ANNOTATION").write_inner_content(|writer| {
        let [id, start, end] = [format!("a{number}"), format!("ts{}", slots[0]), format!("ts{}", slots[1])];
        let slots = [("ANNOTATION_ID", id.as_str()), ("TIME_SLOT_REF1", &start), ("TIME_SLOT_REF2", &end)];
        writer.create_element("ALIGNABLE_ANNOTATION").with_attributes(slots).write_inner_content(|writer| {
            writer.create_element("ANNOTATION_VALUE").write_text_content(BytesText::new(text))?;
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn as_elan_reads_it() {
        let text = eaf(&example());
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
        assert!(text.contains("<TIME_SLOT TIME_SLOT_ID=\"ts2\" TIME_VALUE=\"750\"/>"));
        assert!(text.contains("<TIER LINGUISTIC_TYPE_REF=\"default-lt\" TIER_ID=\"phones\">"));
        assert!(text.contains("&lt;hi&gt;"));
        assert_eq!(text.matches("<ALIGNABLE_ANNOTATION").count(), 5);
    }
}
