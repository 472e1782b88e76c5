//! Types of events and their JSON Schemas: what producers declare in their contract crates.

use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

/// Data of one type of event. Pseudonymous ids only: no e-mail, no prompt, no URL, no name of a file.
pub trait EventType: Serialize + JsonSchema {
    /// `system.thing.happened`.
    const TYPE: &'static str;
    /// Rises when the schema changes in a way that an old reader cannot read.
    const VERSION: u32;
}

/// One entry of the schema registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSchema {
    /// The event's type.
    pub event_type: &'static str,
    /// The schema's version.
    pub version: u32,
    /// JSON Schema, pretty.
    pub json: String,
}

impl EventSchema {
    /// The name of its file: `type.vN.json`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.v{}.json", self.event_type, self.version)
    }
}

/// The schema of an event's data.
#[must_use]
pub fn schema_of<E: EventType>() -> EventSchema {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<E>();
    let json = serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n";
    EventSchema { event_type: E::TYPE, version: E::VERSION, json }
}

/// For the drift test of a contract crate: the files in `folder` must say what the types say.
/// With the environment variable `UPDATE` set, the files are written instead.
///
/// # Panics
/// Where a file is missing, differs, or belongs to no type.
pub fn check_schemas(folder: &Path, schemas: &[EventSchema]) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(folder).expect("schemas folder can be made");
        for schema in schemas {
            std::fs::write(folder.join(schema.file_name()), &schema.json).expect("schema can be written");
        }
    }
    for schema in schemas {
        let path = folder.join(schema.file_name());
        let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            on_disk == schema.json,
            "{} is out of date: run the test with UPDATE=1 and review",
            path.display()
        );
    }
    let known: Vec<String> = schemas.iter().map(EventSchema::file_name).collect();
    for entry in std::fs::read_dir(folder).expect("schemas folder exists") {
        let name = entry.expect("entry can be read").file_name().to_string_lossy().into_owned();
        assert!(known.contains(&name), "{name} belongs to no event type: delete it, or keep its type");
    }
}
