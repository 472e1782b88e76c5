//! Reads definitions and refuses what is not one, naming file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlot_data_api::{Definition, Exclusion, ExclusionRule, People};

use crate::rules;

/// Most definitions that are read.
const DEFINITIONS_MAX: usize = 500;
/// Largest definition, in bytes.
const DEFINITION_BYTES_MAX: u64 = 64 << 10;
/// The file that holds the rules of exclusion.
const EXCLUSIONS_FILE: &str = "exclusions.yaml";

/// The definitions that ship, in the order in which they are listed.
const SHIPPED: &[(&str, &str)] = &[
    ("dau.yaml", include_str!("../../definitions/dau.yaml")),
    ("wau.yaml", include_str!("../../definitions/wau.yaml")),
    ("mau.yaml", include_str!("../../definitions/mau.yaml")),
    ("retention_d1.yaml", include_str!("../../definitions/retention_d1.yaml")),
    ("generation_success_rate.yaml", include_str!("../../definitions/generation_success_rate.yaml")),
    ("time_to_first_result_p50.yaml", include_str!("../../definitions/time_to_first_result_p50.yaml")),
    ("time_to_first_result_p90.yaml", include_str!("../../definitions/time_to_first_result_p90.yaml")),
    ("credit_burn.yaml", include_str!("../../definitions/credit_burn.yaml")),
    ("cost_per_run.yaml", include_str!("../../definitions/cost_per_run.yaml")),
    ("posts_published.yaml", include_str!("../../definitions/posts_published.yaml")),
    ("likes_given.yaml", include_str!("../../definitions/likes_given.yaml")),
    ("remix_share.yaml", include_str!("../../definitions/remix_share.yaml")),
    ("visitors.yaml", include_str!("../../definitions/visitors.yaml")),
    ("any_event.yaml", include_str!("../../definitions/any_event.yaml")),
    ("runs_succeeded.yaml", include_str!("../../definitions/runs_succeeded.yaml")),
    ("runs_judged.yaml", include_str!("../../definitions/runs_judged.yaml")),
    ("runs_ended.yaml", include_str!("../../definitions/runs_ended.yaml")),
    ("remixes_published.yaml", include_str!("../../definitions/remixes_published.yaml")),
    ("compute_cost.yaml", include_str!("../../definitions/compute_cost.yaml")),
    (EXCLUSIONS_FILE, include_str!("../../definitions/exclusions.yaml")),
];

/// A definition that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct DefinitionError {
    /// File name, or path of a file of the operator's.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// One definition with where it came from.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it says.
    pub definition: Definition,
    /// As it was written.
    pub text: String,
    /// For messages.
    pub file: String,
    /// Whether it is one of the operator's, not one that ships.
    pub own: bool,
}

impl Document {
    /// An error at the line of `field`.
    #[must_use]
    pub fn error_at(&self, field: &str, message: impl Into<String>) -> DefinitionError {
        DefinitionError { file: self.file.clone(), line: line_of(&self.text, field), message: message.into() }
    }
}

/// All definitions, checked against each other.
#[derive(Debug, Clone)]
pub struct Catalogue {
    documents: Vec<Document>,
    by_name: BTreeMap<String, usize>,
    people: Option<People>,
    parameters: BTreeMap<String, f64>,
}

impl Catalogue {
    /// The definitions that ship and those in `folder`, where there is one: a file there with the name of a
    /// metric that ships takes its place. `parameters` are the configured values.
    pub fn load(folder: Option<&Path>, parameters: BTreeMap<String, f64>) -> Result<Self, DefinitionError> {
        let mut files: Vec<(String, String, bool)> =
            SHIPPED.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned(), false)).collect();
        if let Some(folder) = folder {
            files.extend(read_folder(folder)?);
        }
        Self::from_files(files, parameters)
    }

    /// From file names, their texts, and whether they are the operator's own.
    pub fn from_files(
        files: Vec<(String, String, bool)>,
        parameters: BTreeMap<String, f64>,
    ) -> Result<Self, DefinitionError> {
        let mut catalogue =
            Self { documents: Vec::new(), by_name: BTreeMap::new(), people: None, parameters };
        for (file, text, own) in files {
            if file.rsplit('/').next() == Some(EXCLUSIONS_FILE) {
                catalogue.people = Some(parse(&file, &text)?);
            } else {
                catalogue.add(Document { definition: parse(&file, &text)?, text, file, own })?;
            }
        }
        for document in &catalogue.documents {
            rules::check(document, &catalogue)?;
        }
        Ok(catalogue)
    }

    fn add(&mut self, document: Document) -> Result<(), DefinitionError> {
        let name = document.definition.name.clone();
        match self.by_name.get(&name) {
            Some(&index) if document.own && !self.documents[index].own => self.documents[index] = document,
            Some(&index) => {
                let other = &self.documents[index].file;
                return Err(document.error_at("name", format!("the metric \"{name}\" is already in {other}")));
            }
            None => {
                self.by_name.insert(name, self.documents.len());
                self.documents.push(document);
            }
        }
        Ok(())
    }

    /// All of them, in order.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter()
    }

    /// One by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Document> {
        self.by_name.get(name).map(|&index| &self.documents[index])
    }

    /// How it is known who is to be left out.
    #[must_use]
    pub fn people(&self) -> Option<&People> {
        self.people.as_ref()
    }

    /// How it is known that someone is to be left out for this reason.
    #[must_use]
    pub fn exclusion(&self, exclusion: Exclusion) -> Option<&ExclusionRule> {
        self.people.as_ref()?.exclusions.iter().find(|rule| rule.name == exclusion)
    }

    /// The configured value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<f64> {
        self.parameters.get(name).copied()
    }

    /// The definitions that `definition` is made of, itself not among them; each once.
    #[must_use]
    pub fn inputs(&self, definition: &Definition) -> Vec<&Document> {
        let mut names = BTreeSet::new();
        rules::references(definition)
            .filter(|(_, name)| names.insert(*name))
            .filter_map(|(_, name)| self.get(name))
            .collect()
    }
}

fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, DefinitionError> {
    serde_yaml_ng::from_str(text).map_err(|error| {
        // A missing field has no place of its own: the parser then points at the document's start.
        let line = error.location().map_or(1, |location| location.line());
        DefinitionError { file: file.to_owned(), line, message: error.to_string() }
    })
}

fn read_folder(folder: &Path) -> Result<Vec<(String, String, bool)>, DefinitionError> {
    let failed =
        |path: &Path, message: String| DefinitionError { file: path.display().to_string(), line: 1, message };
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, error.to_string()))?;
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    paths.sort();
    if paths.len() > DEFINITIONS_MAX {
        return Err(failed(folder, format!("there are more than {DEFINITIONS_MAX} definitions")));
    }
    let read = |path: &Path| {
        if std::fs::metadata(path)?.len() > DEFINITION_BYTES_MAX {
            return Err(std::io::Error::other(format!("it is larger than {DEFINITION_BYTES_MAX} bytes")));
        }
        std::fs::read_to_string(path)
    };
    paths
        .iter()
        .map(|path| {
            let text = read(path).map_err(|error| failed(path, error.to_string()))?;
            Ok((path.display().to_string(), text, true))
        })
        .collect()
}

/// The line on which a top-level field begins; the first where it is not there.
fn line_of(text: &str, field: &str) -> usize {
    let begins = |line: &str| line.strip_prefix(field).is_some_and(|rest| rest.trim_start().starts_with(':'));
    text.lines().position(begins).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_ships_and_is_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../definitions");
        let mut on_disk: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".yaml"))
            .collect();
        let mut shipped: Vec<_> = SHIPPED.iter().map(|(file, _)| (*file).to_owned()).collect();
        on_disk.sort();
        shipped.sort();
        assert_eq!(on_disk, shipped);
        Catalogue::load(None, crate::Config::default().parameters).unwrap();
    }

    const GOOD: &str = "name: x\nlabel: X\ndescription: d\nversion: 1\ntype: simple\nunit: runs\n\
        events: [a.b]\nagg: count\nexpr: id\nactor: actor\ntime_zone: UTC\nweek_starts_on: monday\n\
        window_kind: calendar_day\nexclusions: []\nlate_data_horizon: 1 hours\n";

    fn error_of(text: &str) -> String {
        let files = vec![("x.yaml".to_owned(), text.to_owned(), true)];
        match Catalogue::from_files(files, BTreeMap::new()) {
            Ok(_) => "sound".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        assert!(GOOD.contains(from));
        let error = error_of(&GOOD.replace(from, to));
        assert!(error.starts_with(expected), "expected {expected:?}, got {error:?}");
    }

    #[test]
    fn a_broken_definition_names_file_and_line() {
        assert_eq!(error_of(GOOD), "sound");
        check("version: 1", "version: one", "x.yaml:4: ");
        check("agg: count", "agg: average", "x.yaml:8: ");
        check("agg: count\n", "agg: count\nagg_time: x\n", "x.yaml:9: ");
        check("agg: count\n", "", "x.yaml:5: a simple metric needs \"agg\"");
        check("UTC", "Europe/Berlin", "x.yaml:11: ");
        check("1 hours", "soon", "x.yaml:15: ");
        check("calendar_day", "trailing", "x.yaml:13: ");
        check("name: x", "name: X-1", "x.yaml:1: ");
        check("[a.b]", "[]", "x.yaml:7: ");
        check("[]", "[staff]", "x.yaml:14: ");
        check("expr: id", "expr: '{rate}'", "x.yaml:9: ");
        check("type: simple", "type: ratio", "x.yaml:7: ");
        check("expr: id\n", "expr: id\nnumerator: y\n", "x.yaml:10: ");
        check("label: X", "label: [", "x.yaml:");
    }

    #[test]
    fn a_name_given_twice_is_an_error() {
        let files = |own| {
            vec![("x.yaml".to_owned(), GOOD.to_owned(), false), ("y.yaml".to_owned(), GOOD.to_owned(), own)]
        };
        let twice = Catalogue::from_files(files(false), BTreeMap::new()).unwrap_err();
        assert_eq!(twice.to_string(), "y.yaml:1: the metric \"x\" is already in x.yaml");
        let replaced = Catalogue::from_files(files(true), BTreeMap::new()).unwrap();
        assert_eq!(replaced.get("x").unwrap().file, "y.yaml");
    }
}
