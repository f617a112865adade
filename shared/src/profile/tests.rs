//! Files in, profiles out.

use super::model::{Fact, Source};
use super::*;
use crate::oid::Oid;

fn library(files: &[(&str, &str)]) -> (Library, Vec<String>) {
    let files = files
        .iter()
        .map(|(name, text)| SourceFile {
            name: Arc::from(*name),
            text: (*text).to_owned().into(),
        })
        .collect();
    let (library, notes) = Library::load(vec![files]);
    (library, notes.iter().map(ToString::to_string).collect())
}

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

fn names(library: &Library, id: &str, descr: &str) -> Vec<String> {
    let id = (!id.is_empty()).then(|| oid(id));
    let applied = library.applying(id.as_ref(), descr, &mut |_| Presence::Nothing);
    applied
        .iter()
        .map(|applied| applied.profile.name.to_string())
        .collect()
}

#[test]
fn the_most_specific_profile_comes_first_and_generic_ones_last() {
    let (library, notes) = library(&[
        (
            "all.yaml",
            "generic: true\nselector: [{sysdescr: {matches: ['.']}}]",
        ),
        (
            "vendor.yaml",
            "selector: [{sysobjectid: {include: ['1.3.6.1.4.1.9.*']}}]",
        ),
        (
            "line.yaml",
            "selector: [{sysobjectid: ['1.3.6.1.4.1.9.1.*']}]",
        ),
        (
            "model.yaml",
            "selector: [{sysobjectid: {include: [.1.3.6.1.4.1.9.1.5]}}]",
        ),
        (
            "regex.yaml",
            r"selector: [{sysobjectid: {include: ['1\.3\.6\.1\.4\.1\.9\.1\.(5|7)$']}}]",
        ),
        (
            "both.yaml",
            "selector: [{sysobjectid: ['1.3.6.1.4.1.9.1.*'], sysdescr: {include: [NX-OS]}}]",
        ),
        (
            "not.yaml",
            "selector: [{sysobjectid: {include: ['1.3.6.1.4.1.9.*'], exclude: [1.3.6.1.4.1.9.1.5]}}]",
        ),
    ]);
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(
        names(&library, "1.3.6.1.4.1.9.1.5", "Cisco nx-os"),
        [
            "model.yaml",
            "both.yaml",
            "line.yaml",
            "regex.yaml",
            "vendor.yaml",
            "all.yaml"
        ]
    );
    assert_eq!(names(&library, "1.3.6.1.4.1.90.1", "x"), ["all.yaml"]);
    assert_eq!(names(&library, "", ""), Vec::<String>::new());
}

#[test]
fn what_a_selector_asks_for_decides() {
    let (library, _) = library(&[
        (
            "nas.yaml",
            "selector: [{present: [{OID: 1.3.6.1.4.1.6574.1.5.1.0, name: modelName, matches: RS}]}]",
        ),
        (
            "old.yaml",
            "selector: [{sysdescr: {include: [linux]}, absent: [{OID: 1.3.6.1.4.1.6574, name: synology}]}]",
        ),
    ]);
    let model = oid("1.3.6.1.4.1.6574.1.5.1.0");
    assert_eq!(
        library.questions(None, "Linux"),
        [oid("1.3.6.1.4.1.6574"), model.clone()]
    );
    assert_eq!(
        library.questions(None, "Windows"),
        std::slice::from_ref(&model)
    );
    let of = |text: Option<&str>| {
        let mut has = |asked: &Oid| match text {
            Some(text) if *asked == model => Presence::Value(text.to_owned()),
            Some(text) => Presence::Below(text.to_owned()),
            None => Presence::Nothing,
        };
        let applied = library.applying(None, "Linux", &mut has);
        applied
            .iter()
            .map(|applied| applied.profile.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Some("RS2212")), ["nas.yaml"]);
    assert_eq!(of(Some("DS")), Vec::<String>::new());
    assert_eq!(of(None), ["old.yaml"]);
}

#[test]
fn parts_are_put_together_and_the_file_itself_counts_first() {
    let (library, notes) = library(&[
        (
            "_base.yaml",
            "metadata: {device: {fields: {vendor: {value: Base}, os: {value: BaseOS}}}}\nsensors:\n- {name: b, values: [{kind: fan, OID: 1.3.1.0, name: b}]}",
        ),
        (
            "_more.yaml",
            "extends: _base.yaml\nmetadata: {device: {fields: {os: {value: MoreOS}}}}",
        ),
        (
            "own.yaml",
            "extends: [_more.yaml]\nselector: [{sysobjectid: [1.3.6]}]\nmetadata: {device: {fields: {vendor: {value: Own}}}}\nsensors:\n- {name: o, values: [{kind: fan, OID: 1.3.2.0, name: o}]}",
        ),
    ]);
    assert_eq!(notes, Vec::<String>::new());
    let applied = library.applying(Some(&oid("1.3.6")), "", &mut |_| Presence::Nothing);
    let profile = &applied[0].profile;
    let fixed = |fact: Fact| match &profile.facts[&fact][0] {
        Source::Fixed(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (fixed(Fact::Vendor), fixed(Fact::Os)),
        ("Own".to_owned(), "MoreOS".to_owned())
    );
    let read: Vec<String> = profile
        .sensors
        .iter()
        .map(|item| item.values[0].object.name.to_string())
        .collect();
    assert_eq!(read, ["o", "b"]);
}

#[test]
fn whatever_is_wrong_is_said_with_its_line_and_the_rest_is_taken() {
    let (library, notes) = library(&[
        (
            "a.yaml",
            "selector:\n- sysobjectid: [1.3.6]\ncolour: red\nextends: [_none.yaml, a.yaml]\nsensors:\n- name: x\n  values:\n  - {kind: warmth, OID: 1.3.1.0, name: x}\n  - {kind: fan, OID: 1.x.0, name: y}\n  - {kind: fan, OID: 1.3.2.0, name: z}\nmetrics:\n- {MIB: X, symbol: {OID: 1.3.3.0, name: m, extract_value: '(?=a)'}}\n",
        ),
        ("b.yaml", "selector: [{sysobjectid: ['(']}]\n"),
        ("c.yaml", "selector: [\n"),
        ("d.yaml", ""),
    ]);
    for expected in [
        "a.yaml:3: warning: colour is not known here",
        "a.yaml:8: error: kind: \"warmth\" is not known",
        "a.yaml:9: error: OID: \"1.x.0\" is not digits and dots",
        "a.yaml:12: warning: extract_value",
        "a.yaml:4: error: extends _none.yaml: there is no such file",
        "a.yaml:4: error: extends a.yaml: which extends this file again",
        "b.yaml:1: error: sysobjectid",
        "c.yaml:",
        "d.yaml:1: warning: an empty file",
    ] {
        assert!(
            notes.iter().any(|note| note.starts_with(expected)),
            "{expected}: {notes:#?}"
        );
    }
    assert_eq!(library.len(), 1);
    let applied = library.applying(Some(&oid("1.3.6")), "", &mut |_| Presence::Nothing);
    assert_eq!(applied[0].profile.sensors[0].values.len(), 1);
}

#[test]
fn a_folder_on_top_hides_files_of_the_same_name() {
    let file = |text: &str| {
        vec![SourceFile {
            name: Arc::from("x.yaml"),
            text: text.to_owned().into(),
        }]
    };
    let (library, _) = Library::load(vec![
        file("selector: [{sysobjectid: [1.3.7]}]"),
        file("selector: [{sysobjectid: [1.3.6]}]"),
    ]);
    assert_eq!(names(&library, "1.3.7", ""), ["x.yaml"]);
    assert_eq!(names(&library, "1.3.6", ""), Vec::<String>::new());
}

/// A public library of several hundred files, where it is at hand.
#[test]
fn a_public_library_loads_unchanged() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/profiles/netdata/default");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        eprintln!("left out: no public library is at hand");
        return;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let files: Vec<SourceFile> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| SourceFile {
            name: Arc::from(path.file_name().unwrap().to_str().unwrap()),
            text: std::fs::read_to_string(&path).unwrap().into(),
        })
        .collect();
    assert!(files.len() > 200, "{}", files.len());
    let (library, notes) = Library::load(vec![files]);
    let errors: Vec<String> = notes
        .iter()
        .filter(|note| note.level == Level::Error)
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors, Vec::<String>::new());
    assert!(library.len() > 150, "{}", library.len());
}
