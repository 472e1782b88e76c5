//! All SQL of mandates and billing. Both engines read the same statements.
//!
//! Every transaction that writes locks the organisation's ledger row first ([`ledger::lock`]), so that
//! writes of one organisation follow one another and never wait for each other in a circle; different
//! organisations share no row.

pub(crate) mod checks;
pub(crate) mod grants;
pub(crate) mod holds;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod mandates;
pub(crate) mod plans;
pub(crate) mod seals;

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};

/// Rows of one INSERT; more are sent in several.
const INSERT_ROWS_MAX: usize = 200;

pub(crate) async fn execute(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    Ok(connection.execute_raw(statement).await?.rows_affected())
}

pub(crate) async fn one<T>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
    decode: impl Fn(&QueryResult) -> Result<T, DbErr>,
) -> Result<Option<T>, DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    connection.query_one_raw(statement).await?.as_ref().map(decode).transpose()
}

pub(crate) async fn all<T>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
    decode: impl Fn(&QueryResult) -> Result<T, DbErr>,
) -> Result<Vec<T>, DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    connection.query_all_raw(statement).await?.iter().map(decode).collect()
}

/// Inserts many rows of the same columns. `head` is everything before VALUES, `tail` everything after.
pub(crate) async fn insert_many<T>(
    connection: &impl ConnectionTrait,
    head: &str,
    rows: Vec<Vec<Value>>,
    tail: &str,
    decode: impl Fn(&QueryResult) -> Result<T, DbErr>,
) -> Result<Vec<T>, DbErr> {
    let mut answers = Vec::new();
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut values = Vec::new();
        let mut tuples = Vec::new();
        for row in rows.by_ref().take(INSERT_ROWS_MAX) {
            let places: Vec<String> = (1..=row.len()).map(|n| format!("${}", values.len() + n)).collect();
            tuples.push(format!("({})", places.join(", ")));
            values.extend(row);
        }
        let sql = format!("{head} VALUES {} {tail}", tuples.join(", "));
        answers.extend(all(connection, &sql, values, &decode).await?);
    }
    Ok(answers)
}

/// A text column that holds no value of its type: somebody else wrote it.
pub(crate) fn unreadable(column: &str, text: &str) -> DbErr {
    DbErr::Type(format!("column {column} holds \"{text}\""))
}
