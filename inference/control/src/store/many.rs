//! Many rows in few statements: what a commit carries is written by tables, not by rows.
//!
//! Statements have one of a few lengths, so that few of them are prepared.

use backlot_foundation_db::WriteTx;
use sea_orm::{DbErr, Value};

use super::execute;

/// Rows of one statement, the most first.
const LENGTHS: [usize; 4] = [64, 16, 4, 1];

/// Writes rows of equally many values; `sql` makes a statement of `($1, $2), ($3, $4), …`.
pub(super) async fn execute_many(
    tx: &WriteTx,
    rows: Vec<Vec<Value>>,
    sql: impl Fn(&str) -> String,
) -> Result<(), DbErr> {
    let mut rows = rows.into_iter();
    for length in LENGTHS {
        while rows.len() >= length {
            let part: Vec<Vec<Value>> = rows.by_ref().take(length).collect();
            let tuples = tuples(length, part.first().map_or(0, Vec::len));
            execute(tx, &sql(&tuples), part.into_iter().flatten().collect()).await?;
        }
    }
    Ok(())
}

/// `($1, $2), ($3, $4), …`: so many rows of so many values.
fn tuples(rows: usize, values: usize) -> String {
    let row = |n: usize| format!("({})", super::places(1 + n * values, values));
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// The same rows, the last one repeated up to the next length: for questions, where that changes no answer. Nothing where
/// there is no row.
pub(super) fn padded(mut rows: Vec<Vec<Value>>) -> Option<(String, Vec<Value>)> {
    let last = rows.last()?.clone();
    let lengths = [1, 4, 16, 64, crate::limits::COMMANDS_PER_COMMIT_MAX];
    let length = lengths.into_iter().find(|length| rows.len() <= *length).unwrap_or(rows.len());
    let values = last.len();
    rows.resize(length, last);
    Some((tuples(length, values), rows.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_have_one_of_a_few_lengths() {
        assert_eq!(padded(Vec::new()), None);
        let rows = |count: i64| (0..count).map(|n| vec![n.into(), "x".into()]).collect::<Vec<Vec<Value>>>();
        let (tuples, values) = padded(rows(2)).unwrap();
        assert_eq!(tuples, "($1, $2), ($3, $4), ($5, $6), ($7, $8)");
        assert_eq!(values[4..], [1_i64.into(), Value::from("x"), 1_i64.into(), Value::from("x")]);
        for (count, length) in [(1, 1), (4, 4), (5, 16), (65, 256), (256, 256), (300, 300)] {
            assert_eq!(padded(rows(count)).unwrap().1.len(), usize::try_from(length).unwrap() * 2);
        }
    }
}
