//! A tool's input: JSON Schema with assets.
//!
//! The schema is of an object whose properties are flat. A property with `"format": "asset"` holds an
//! asset's id; its `x-asset` says which media it takes. An array whose items have that format holds several.
//! Everything is checked at the door, and every fault names its field by JSON pointer.

use backlot_infrastructure_api::AssetId;
use jsonschema::{Validator, error::ValidationErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Largest input as JSON text: inference takes 256 KiB, signed URLs included.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// Most assets in one input.
const ASSETS_MAX: usize = 16;
/// Most faults that are reported at once.
const FAULTS_MAX: usize = 16;

/// A compiled schema.
#[derive(Debug)]
pub struct InputSchema {
    validator: Validator,
    properties: Map<String, Value>,
    assets: Vec<AssetField>,
    texts: Vec<String>,
}

/// A property that holds an asset's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetField {
    /// The property.
    pub property: String,
    /// What it takes.
    pub limits: AssetLimits,
    /// Whether it holds a list of them.
    pub is_list: bool,
}

/// What a property with `format: asset` takes; `None` or empty: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssetLimits {
    /// Media types, as sniffed.
    pub content_types: Vec<String>,
    /// Bytes.
    pub max_bytes: Option<i64>,
    /// Pixels.
    pub max_width_px: Option<i32>,
    /// Pixels.
    pub max_height_px: Option<i32>,
    /// Width × height.
    pub max_pixels: Option<i64>,
    /// Milliseconds.
    pub max_duration_ms: Option<i64>,
}

/// A fault in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer into the input.
    pub pointer: String,
    /// For people.
    pub message: String,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It is not a JSON Schema.
    #[error("{0}")]
    Schema(String),
    /// It is not an object's schema with `properties`.
    #[error("it must be of type object, with properties")]
    NotAnObject,
    /// Unknown properties would pass unseen.
    #[error("additionalProperties must be false")]
    Open,
    /// `x-asset` cannot be read.
    #[error("x-asset of \"{property}\" cannot be read")]
    AssetLimits {
        /// Which property.
        property: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Too many assets.
    #[error("at most {ASSETS_MAX} assets")]
    TooManyAssets,
}

impl InputSchema {
    /// Compiles a schema and reads its asset fields.
    pub fn compile(schema: &Value) -> Result<Self, InputError> {
        let properties = schema.get("properties").and_then(Value::as_object).cloned();
        let properties = properties.ok_or(InputError::NotAnObject)?;
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(InputError::Schema("the input schema is of type object".to_owned()));
        }
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(InputError::Open);
        }
        let validator = jsonschema::options()
            .with_format("asset", |text: &str| AssetId::parse(text).is_ok())
            .should_validate_formats(true)
            .build(schema)
            .map_err(|error| InputError::Schema(error.to_string()))?;
        let assets = asset_fields(&properties)?;
        let texts = properties.iter().filter(|(_, schema)| is_free_text(schema));
        let texts = texts.map(|(property, _)| property.clone()).collect();
        Ok(Self { validator, properties, assets, texts })
    }

    /// Whether the schema has this property.
    #[must_use]
    pub fn declares(&self, property: &str) -> bool {
        self.properties.contains_key(property)
    }

    /// The properties that hold assets.
    #[must_use]
    pub fn assets(&self) -> &[AssetField] {
        &self.assets
    }

    /// The properties that people write freely: texts that are neither a choice nor an asset.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The assets that this input names: which of [`Self::assets`], the JSON pointer without its first slash, and
    /// the id.
    #[must_use]
    pub fn named_assets(&self, input: &Value) -> Vec<(usize, String, String)> {
        let mut named = Vec::new();
        for (n, field) in self.assets.iter().enumerate() {
            match input.get(&field.property) {
                Some(Value::String(id)) => named.push((n, field.property.clone(), id.clone())),
                Some(Value::Array(items)) if field.is_list => {
                    let ids = items.iter().enumerate().filter_map(|(at, id)| Some((at, id.as_str()?)));
                    named.extend(ids.map(|(at, id)| (n, format!("{}/{at}", field.property), id.to_owned())));
                }
                _ => (),
            }
        }
        named
    }

    /// The input with its defaults filled in, or its faults.
    pub fn validate(&self, input: &Value) -> Result<Value, Vec<Fault>> {
        let root = |message: &str| vec![Fault { pointer: String::new(), message: message.to_owned() }];
        let Value::Object(given) = input else {
            return Err(root("the input is an object"));
        };
        if input.to_string().len() > INPUT_BYTES_MAX {
            return Err(root("the input is larger than 64 KiB"));
        }
        let mut filled = given.clone();
        for (property, schema) in &self.properties {
            if let Some(default) = schema.get("default") {
                filled.entry(property.clone()).or_insert_with(|| default.clone());
            }
        }
        let filled = Value::Object(filled);
        let faults: Vec<Fault> = self
            .validator
            .iter_errors(&filled)
            .take(FAULTS_MAX)
            .flat_map(|error| faults_of(&error))
            .collect();
        if faults.is_empty() { Ok(filled) } else { Err(faults) }
    }
}

fn is_free_text(schema: &Value) -> bool {
    let may_be_text = match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => true,
    };
    may_be_text
        && schema.get("enum").is_none()
        && schema.get("const").is_none()
        && schema.get("format").is_none()
}

fn asset_fields(properties: &Map<String, Value>) -> Result<Vec<AssetField>, InputError> {
    let mut fields = Vec::new();
    for (property, schema) in properties {
        let is_asset = |schema: &Value| schema.get("format").and_then(Value::as_str) == Some("asset");
        let is_list = schema.get("items").is_some_and(is_asset);
        if !is_list && !is_asset(schema) {
            continue;
        }
        let limits = match schema.get("x-asset") {
            None => AssetLimits::default(),
            Some(limits) => AssetLimits::deserialize(limits)
                .map_err(|source| InputError::AssetLimits { property: property.clone(), source })?,
        };
        fields.push(AssetField { property: property.clone(), limits, is_list });
    }
    if fields.len() > ASSETS_MAX { Err(InputError::TooManyAssets) } else { Ok(fields) }
}

/// Names the field that a person can change, which is not always where the validator stood.
fn faults_of(error: &jsonschema::ValidationError<'_>) -> Vec<Fault> {
    let at = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Fault { pointer: format!("{at}/{name}"), message: "is required".to_owned() }]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| Fault {
                pointer: format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                message: "is not a field of this tool".to_owned(),
            })
            .collect(),
        ValidationErrorKind::Format { format } if format == "asset" => {
            vec![Fault { pointer: at, message: "is not an asset's id".to_owned() }]
        }
        _ => vec![Fault { pointer: at, message: error.masked_with("this").to_string() }],
    }
}

/// What storage says about an asset, as far as a tool's limits need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetView<'a> {
    /// Whether it is complete.
    pub ready: bool,
    /// As sniffed.
    pub content_type: &'a str,
    /// Bytes.
    pub size_bytes: i64,
    /// Pixels.
    pub width_px: i32,
    /// Pixels.
    pub height_px: i32,
    /// Milliseconds.
    pub duration_ms: i64,
}

impl AssetField {
    /// The first rule that the asset breaks.
    #[must_use]
    pub fn fault(&self, asset: &AssetView<'_>) -> Option<Fault> {
        let limits = &self.limits;
        let too_much = |value: i64, limit: Option<i64>| limit.is_some_and(|limit| value > limit);
        let pixels = i64::from(asset.width_px) * i64::from(asset.height_px);
        let types = &limits.content_types;
        let message = if !asset.ready {
            "is not complete: finish its upload first".to_owned()
        } else if !types.is_empty() && !types.iter().any(|wanted| wanted == asset.content_type) {
            format!("is {}; this tool takes {}", asset.content_type, types.join(", "))
        } else if too_much(asset.size_bytes, limits.max_bytes) {
            format!("is larger than {} bytes", limits.max_bytes.unwrap_or_default())
        } else if too_much(i64::from(asset.width_px), limits.max_width_px.map(i64::from)) {
            format!("is wider than {} pixels", limits.max_width_px.unwrap_or_default())
        } else if too_much(i64::from(asset.height_px), limits.max_height_px.map(i64::from)) {
            format!("is higher than {} pixels", limits.max_height_px.unwrap_or_default())
        } else if too_much(pixels, limits.max_pixels) {
            format!("has more than {} pixels", limits.max_pixels.unwrap_or_default())
        } else if too_much(asset.duration_ms, limits.max_duration_ms) {
            format!("is longer than {} ms", limits.max_duration_ms.unwrap_or_default())
        } else {
            return None;
        };
        Some(Fault { pointer: format!("/{}", self.property), message })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::manifest::Tool;

    fn check(input: &Value, expected: &Expect) {
        let tool = Tool::parse("t", include_str!("../catalogue/upscale-1.0.0.yaml")).unwrap();
        let text = match tool.input.validate(input) {
            Ok(filled) => filled.to_string(),
            Err(faults) => {
                let lines: Vec<String> =
                    faults.iter().map(|f| format!("{} {}", f.pointer, f.message)).collect();
                lines.join("; ")
            }
        };
        expected.assert_eq(&text);
    }

    const ID: &str = "019298e4-7c1e-7b6a-9a55-0d2f4d3c2b1a";

    #[test]
    fn defaults_are_filled_in() {
        check(
            &json!({"image": ID}),
            &expect![[r#"{"image":"019298e4-7c1e-7b6a-9a55-0d2f4d3c2b1a","scale":2}"#]],
        );
    }

    #[test]
    fn faults_name_their_field() {
        check(&json!({}), &expect!["/image is required"]);
        check(
            &json!({"image": "x", "scale": 3}),
            &expect!["/image is not an asset's id; /scale this is not one of 2 or 4"],
        );
        check(&json!({"image": ID, "prompt/x": 1}), &expect!["/prompt~1x is not a field of this tool"]);
        check(&json!([]), &expect![" the input is an object"]);
        check(&json!({"image": "x".repeat(70_000)}), &expect![" the input is larger than 64 KiB"]);
    }

    #[test]
    fn an_asset_must_be_ready_of_the_right_kind_and_small_enough() {
        let tool = Tool::parse("t", include_str!("../catalogue/upscale-1.0.0.yaml")).unwrap();
        let field = &tool.input.assets()[0];
        let good = AssetView {
            ready: true,
            content_type: "image/png",
            size_bytes: 1_000,
            width_px: 100,
            height_px: 100,
            duration_ms: 0,
        };
        let fault = |asset: AssetView<'_>| field.fault(&asset).map(|fault| fault.message);
        assert_eq!(fault(good.clone()), None);
        assert!(fault(AssetView { ready: false, ..good.clone() }).unwrap().contains("upload"));
        assert!(
            fault(AssetView { content_type: "video/mp4", ..good.clone() }).unwrap().contains("image/png")
        );
        assert!(fault(AssetView { size_bytes: 1 << 40, ..good.clone() }).unwrap().contains("bytes"));
        assert!(fault(AssetView { width_px: 5_000, ..good.clone() }).unwrap().contains("wider"));
        assert!(fault(AssetView { width_px: 4_000, height_px: 4_000, ..good }).unwrap().contains("pixels"));
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
            Just(Value::from(ID)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("image|scale|seconds|move|.{0,8}", inner, 0..4)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<String, Value>>())),
            ]
        })
    }

    proptest! {
        /// Whatever a stranger sends is either faults or an input that has a price.
        #[test]
        fn any_json_is_priced_or_refused(input in anything(), px in -5_i32..40_000) {
            for tool in crate::catalogue::Catalogue::shipped().unwrap().all() {
                match tool.input.validate(&input) {
                    Err(faults) => prop_assert!(!faults.is_empty()),
                    Ok(filled) => {
                        let facts = crate::price::AssetFacts { width_px: px, height_px: px, duration_ms: 0 };
                        let assets = std::collections::BTreeMap::from([("image".to_owned(), facts)]);
                        if let Ok(price) = tool.manifest.price.work_out(&filled, &assets) {
                            prop_assert!(price.total >= tool.manifest.price.minimum);
                        }
                    }
                }
            }
        }
    }
}
