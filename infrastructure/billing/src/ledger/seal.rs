//! The hash chain over sealed transactions.
//!
//! A seal covers a run of transactions of one organisation without a gap, and the seal before it. A
//! journal that was changed afterwards does not reproduce its seals.

use sha2::{Digest, Sha256};

/// The hash before the first seal of a ledger.
pub const GENESIS: [u8; 32] = [0; 32];

/// One transaction as it is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedTransaction {
    /// Its number in the organisation's ledger.
    pub number: i64,
    /// Why it was made.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// When, in microseconds.
    pub created_at_us: i64,
    /// Account, grant (empty for costs) and amount of each line, in order.
    pub postings: Vec<(String, String, i64)>,
}

/// The hash of a batch: SHA-256 over the hash before, the organisation, and each transaction with its
/// lines, every text preceded by its length so that no two journals read the same.
#[must_use]
pub fn seal(previous: &[u8; 32], organisation: &str, transactions: &[SealedTransaction]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    text(&mut hasher, organisation);
    for transaction in transactions {
        hasher.update(transaction.number.to_be_bytes());
        text(&mut hasher, &transaction.kind);
        text(&mut hasher, &transaction.subject);
        hasher.update(transaction.created_at_us.to_be_bytes());
        hasher.update((transaction.postings.len() as u64).to_be_bytes());
        for (account, grant, amount_micro) in &transaction.postings {
            text(&mut hasher, account);
            text(&mut hasher, grant);
            hasher.update(amount_micro.to_be_bytes());
        }
    }
    hasher.finalize().into()
}

fn text(hasher: &mut Sha256, text: &str) {
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(number: i64, amount_micro: i64) -> SealedTransaction {
        SealedTransaction {
            number,
            kind: "hold".to_owned(),
            subject: "s".to_owned(),
            created_at_us: 1,
            postings: vec![("hold".to_owned(), String::new(), amount_micro)],
        }
    }

    #[test]
    fn any_change_changes_the_seal() {
        let journal = [transaction(1, 5), transaction(2, 6)];
        let sealed = seal(&GENESIS, "o", &journal);
        assert_eq!(seal(&GENESIS, "o", &journal), sealed);
        assert_ne!(seal(&GENESIS, "o", &[transaction(1, 5), transaction(2, 7)]), sealed);
        assert_ne!(seal(&GENESIS, "o", &journal[..1]), sealed);
        assert_ne!(seal(&sealed, "o", &journal), sealed);
        assert_ne!(seal(&GENESIS, "p", &journal), sealed);
    }
}
