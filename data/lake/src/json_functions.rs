//! `json_str`, `json_int`, `json_float` and `json_bool`: one value out of a JSON text by a dotted path.
//!
//! `json_str(data_json, 'failure.class')` is null where the path leads nowhere or to a value of another
//! type; a text that is not JSON is null, too, and never fails a query. Only the values on the path are
//! built; the rest of the text is skipped.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{DataFusionError, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use deltalake::arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringArray, StringBuilder,
    StringViewArray,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::DataType;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// What a function gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
}

/// The functions, ready to be registered.
pub(crate) fn all() -> [ScalarUDF; 4] {
    [Kind::Text, Kind::Integer, Kind::Float, Kind::Boolean]
        .map(|kind| ScalarUDF::from(JsonFunction::new(kind)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    kind: Kind,
    signature: Signature,
}

impl JsonFunction {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Text => "json_str",
            Kind::Integer => "json_int",
            Kind::Float => "json_float",
            Kind::Boolean => "json_bool",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(match self.kind {
            Kind::Text => DataType::Utf8,
            Kind::Integer => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Boolean => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [document, path] = arguments.args.as_slice() else {
            return exec_err!("{} takes a JSON text and a path", self.name());
        };
        let ColumnarValue::Scalar(path) = path else {
            return exec_err!("the path of {} must be a constant", self.name());
        };
        let Some(path) = path.try_as_str().flatten() else {
            return exec_err!("the path of {} must be a text", self.name());
        };
        let path: Vec<&str> = path.split('.').collect();
        let is_scalar = matches!(document, ColumnarValue::Scalar(_));
        let rows = if is_scalar { 1 } else { arguments.number_rows };
        let documents = document.to_array(rows)?;
        let values = self.pick_all(&documents, &path)?;
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?));
        }
        Ok(ColumnarValue::Array(values))
    }
}

impl JsonFunction {
    fn pick_all(&self, documents: &ArrayRef, path: &[&str]) -> Result<ArrayRef, DataFusionError> {
        if let Some(texts) = documents.as_any().downcast_ref::<StringArray>() {
            return Ok(self.build(texts.iter(), path));
        }
        if let Some(texts) = documents.as_any().downcast_ref::<StringViewArray>() {
            return Ok(self.build(texts.iter(), path));
        }
        let texts = cast(documents, &DataType::Utf8)?;
        let Some(texts) = texts.as_any().downcast_ref::<StringArray>() else {
            return exec_err!("{} reads texts", self.name());
        };
        Ok(self.build(texts.iter(), path))
    }

    fn build<'a>(&self, documents: impl Iterator<Item = Option<&'a str>>, path: &[&str]) -> ArrayRef {
        let values = documents.map(|document| document.and_then(|text| pick(text, path)));
        match self.kind {
            Kind::Text => {
                let mut builder = StringBuilder::new();
                values.for_each(|value| builder.append_option(value.as_ref().and_then(Value::as_str)));
                Arc::new(builder.finish())
            }
            Kind::Integer => {
                let mut builder = Int64Builder::new();
                values.for_each(|value| builder.append_option(value.as_ref().and_then(Value::as_i64)));
                Arc::new(builder.finish())
            }
            Kind::Float => {
                let mut builder = Float64Builder::new();
                values.for_each(|value| builder.append_option(value.as_ref().and_then(Value::as_f64)));
                Arc::new(builder.finish())
            }
            Kind::Boolean => {
                let mut builder = BooleanBuilder::new();
                values.for_each(|value| builder.append_option(value.as_ref().and_then(Value::as_bool)));
                Arc::new(builder.finish())
            }
        }
    }
}

/// The value at `path`, where there is one.
fn pick(document: &str, path: &[&str]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_str(document);
    Pick(path).deserialize(&mut reader).ok().flatten()
}

struct Pick<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let [wanted, rest @ ..] = self.0 else {
            return Ok(None);
        };
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if key == *wanted {
                found = map.next_value_seed(Pick(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_a_value_or_to_nothing() {
        let document = json!({"a": {"b": 7, "c": "x"}, "d": [1, {"b": 2}], "e": null}).to_string();
        let at = |path: &str| pick(&document, &path.split('.').collect::<Vec<_>>());
        assert_eq!(at("a.b"), Some(json!(7)));
        assert_eq!(at("a.c"), Some(json!("x")));
        assert_eq!(at("a.z"), None);
        assert_eq!(at("d.b"), None);
        assert_eq!(at("e"), Some(Value::Null));
        assert_eq!(pick("not json", &["a"]), None);
        assert_eq!(pick(r#"{"a":1,"b":"#, &["a"]), None);
        assert_eq!(pick(r#"{"\u0061": 1}"#, &["a"]), Some(json!(1)));
    }
}
