//! Typed ids: a UUIDv7 that says what it names.
//!
//! An id is stored and sent as its hyphenated text (36 characters), so that both databases, JSON, logs
//! and people read the same thing. Each system declares its own ids in its contract crate with
//! [`typed_id!`].

pub use schemars;
pub use sea_orm;
pub use serde;
pub use utoipa;
pub use uuid::Uuid;

/// A text that should have been an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {kind}: expected a UUID such as 019298e4-7c1e-7b6a-9a55-0d2f4d3c2b1a")]
pub struct ParseIdError {
    /// The name of the id's type.
    pub kind: &'static str,
    /// What was given, cut to 64 characters.
    pub text: String,
}

impl ParseIdError {
    /// Remembers at most 64 characters of what was given.
    pub fn new(kind: &'static str, text: &str) -> Self {
        Self { kind, text: text.chars().take(64).collect() }
    }
}

/// Declares a typed id: a `Copy` newtype over a UUID with text form everywhere.
///
/// ```
/// backlot_foundation_ids::typed_id!(
///     /// Names a shot.
///     ShotId
/// );
/// let id = ShotId::generate();
/// assert_eq!(ShotId::parse(&id.to_string()), Ok(id));
/// ```
#[macro_export]
macro_rules! typed_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($crate::Uuid);

        impl $name {
            /// A new id, ordered by its time of creation (UUIDv7).
            #[must_use]
            pub fn generate() -> Self {
                Self($crate::Uuid::now_v7())
            }

            /// Wraps a UUID that is known to name this kind of thing.
            #[must_use]
            pub const fn from_uuid(uuid: $crate::Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn uuid(self) -> $crate::Uuid {
                self.0
            }

            /// Reads the text form; an error where the text is no UUID.
            pub fn parse(text: &str) -> Result<Self, $crate::ParseIdError> {
                $crate::Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| $crate::ParseIdError::new(stringify!($name), text))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.as_hyphenated().fmt(formatter)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{}({})", stringify!($name), self.0.as_hyphenated())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ParseIdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as $crate::serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err($crate::serde::de::Error::custom)
            }
        }

        impl From<$name> for $crate::sea_orm::Value {
            fn from(id: $name) -> Self {
                $crate::sea_orm::Value::String(Some(id.to_string()))
            }
        }

        impl $crate::sea_orm::TryGetable for $name {
            fn try_get_by<I: $crate::sea_orm::ColIdx>(
                row: &$crate::sea_orm::QueryResult,
                index: I,
            ) -> Result<Self, $crate::sea_orm::TryGetError> {
                let text = <String as $crate::sea_orm::TryGetable>::try_get_by(row, index)?;
                Self::parse(&text).map_err(|error| {
                    $crate::sea_orm::TryGetError::DbErr($crate::sea_orm::DbErr::Type(error.to_string()))
                })
            }
        }

        impl $crate::sea_orm::sea_query::ValueType for $name {
            fn try_from(
                value: $crate::sea_orm::Value,
            ) -> Result<Self, $crate::sea_orm::sea_query::ValueTypeErr> {
                match value {
                    $crate::sea_orm::Value::String(Some(text)) => {
                        Self::parse(&text).map_err(|_| $crate::sea_orm::sea_query::ValueTypeErr)
                    }
                    _ => Err($crate::sea_orm::sea_query::ValueTypeErr),
                }
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> $crate::sea_orm::sea_query::ArrayType {
                $crate::sea_orm::sea_query::ArrayType::String
            }

            fn column_type() -> $crate::sea_orm::sea_query::ColumnType {
                $crate::sea_orm::sea_query::ColumnType::String(
                    $crate::sea_orm::sea_query::StringLen::N(36),
                )
            }
        }

        impl $crate::sea_orm::sea_query::Nullable for $name {
            fn null() -> $crate::sea_orm::Value {
                $crate::sea_orm::Value::String(None)
            }
        }

        impl $crate::sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, $crate::sea_orm::DbErr> {
                Err($crate::sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }

        impl $crate::utoipa::PartialSchema for $name {
            fn schema() -> $crate::utoipa::openapi::RefOr<$crate::utoipa::openapi::schema::Schema> {
                $crate::utoipa::openapi::ObjectBuilder::new()
                    .schema_type($crate::utoipa::openapi::schema::Type::String)
                    .format(Some($crate::utoipa::openapi::SchemaFormat::KnownFormat(
                        $crate::utoipa::openapi::KnownFormat::Uuid,
                    )))
                    .build()
                    .into()
            }
        }

        impl $crate::utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }

        impl $crate::schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut $crate::schemars::SchemaGenerator) -> $crate::schemars::Schema {
                $crate::schemars::json_schema!({ "type": "string", "format": "uuid" })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    typed_id!(
        /// Names nothing.
        TestId
    );

    #[test]
    fn ids_are_ordered_by_creation() {
        let first = TestId::generate();
        let second = TestId::generate();
        assert!(first < second);
    }

    #[test]
    fn a_broken_text_is_an_error_that_names_the_kind() {
        let error = TestId::parse("nonsense").unwrap_err();
        assert!(error.to_string().contains("TestId"), "{error}");
    }
}
