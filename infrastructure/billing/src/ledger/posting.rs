//! Accounts, postings and entries of the journal.

use std::collections::BTreeMap;
use std::fmt;

use backlot_infrastructure_api::{GrantId, MandateId};

/// Most postings of one entry; even, so that a pair is never cut.
pub const POSTINGS_MAX: usize = 4_096;

/// An account of an organisation's ledger.
///
/// Sign: what is owed to somebody or earned is positive; what it cost, or who paid it in, is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Credits of a grant that may be used.
    Grant(GrantId),
    /// Credits set aside for a mandate.
    Envelope(MandateId),
    /// Credits that open holds have taken.
    Hold,
    /// Credits spent.
    Earnings,
    /// What others charge us for running a job.
    ProviderCost,
    /// What we absorb of that.
    ProviderLoss,
    /// What creators are owed.
    CreatorPayable,
    /// Credits that ran out unused.
    Breakage,
    /// Credits that were given.
    PromoExpense,
    /// A chargeback on credits already spent.
    Debt,
    /// Credits that were paid for.
    CashClearing,
}

impl Account {
    /// Whether it holds credits of somebody: such an account never goes below zero.
    #[must_use]
    pub const fn holds_credits(self) -> bool {
        matches!(self, Self::Grant(_) | Self::Envelope(_) | Self::Hold)
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(id) = text.strip_prefix("grant:") {
            return GrantId::parse(id).ok().map(Self::Grant);
        }
        if let Some(id) = text.strip_prefix("envelope:") {
            return MandateId::parse(id).ok().map(Self::Envelope);
        }
        let plain = [
            Self::Hold,
            Self::Earnings,
            Self::ProviderCost,
            Self::ProviderLoss,
            Self::CreatorPayable,
            Self::Breakage,
            Self::PromoExpense,
            Self::Debt,
            Self::CashClearing,
        ];
        plain.into_iter().find(|account| account.to_string() == text)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(grant) => write!(formatter, "grant:{grant}"),
            Self::Envelope(mandate) => write!(formatter, "envelope:{mandate}"),
            Self::Hold => formatter.write_str("hold"),
            Self::Earnings => formatter.write_str("earnings"),
            Self::ProviderCost => formatter.write_str("provider_cost"),
            Self::ProviderLoss => formatter.write_str("provider_loss"),
            Self::CreatorPayable => formatter.write_str("creator_payable"),
            Self::Breakage => formatter.write_str("breakage"),
            Self::PromoExpense => formatter.write_str("promo_expense"),
            Self::Debt => formatter.write_str("debt"),
            Self::CashClearing => formatter.write_str("cash_clearing"),
        }
    }
}

/// Why an entry was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Credits came in.
    Grant,
    /// Credits that were not used were taken back.
    GrantRevoked,
    /// Credits ran out.
    GrantExpired,
    /// A run took credits.
    Hold,
    /// A run was charged; the rest returned.
    Settle,
    /// A run's credits returned.
    Void,
    /// A charge was given back.
    Refund,
    /// Credits were set aside for a mandate.
    Transfer,
    /// A mandate's unspent credits returned.
    TransferReturned,
}

impl EntryKind {
    /// As text, in rows and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::GrantRevoked => "grant_revoked",
            Self::GrantExpired => "grant_expired",
            Self::Hold => "hold",
            Self::Settle => "settle",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Transfer => "transfer",
            Self::TransferReturned => "transfer_returned",
        }
    }
}

/// One line of an entry: an amount into (or, below zero, out of) an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// The grant whose credits they are; none for costs.
    pub grant: Option<GrantId>,
    /// How much; never zero.
    pub amount_micro: i64,
}

/// Lines that do not make an entry: a fault of ours, never of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// The credits of one grant, or the costs, do not sum to zero.
    #[error("postings of {grant:?} sum to {sum} and not to zero")]
    Sum {
        /// Of which grant; none: of costs.
        grant: Option<GrantId>,
        /// The sum that should be zero.
        sum: i128,
    },
    /// More than [`POSTINGS_MAX`] lines.
    #[error("{0} postings are more than one entry may have")]
    TooMany(usize),
}

/// A balanced set of postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    kind: EntryKind,
    postings: Vec<Posting>,
}

impl Entry {
    /// Takes the lines, leaving out those of zero. The credits of each grant must sum to zero by
    /// themselves: so an entry never turns one grant's credits into another's.
    pub fn new(kind: EntryKind, mut postings: Vec<Posting>) -> Result<Self, Unbalanced> {
        postings.retain(|posting| posting.amount_micro != 0);
        if postings.len() > POSTINGS_MAX {
            return Err(Unbalanced::TooMany(postings.len()));
        }
        let mut sums: BTreeMap<Option<GrantId>, i128> = BTreeMap::new();
        for posting in &postings {
            *sums.entry(posting.grant).or_default() += i128::from(posting.amount_micro);
        }
        match sums.into_iter().find(|(_, sum)| *sum != 0) {
            Some((grant, sum)) => Err(Unbalanced::Sum { grant, sum }),
            None => Ok(Self { kind, postings }),
        }
    }

    /// The same in as many entries as it takes: what an organisation can make many of, such as envelopes, must not add
    /// up to something that can never be posted. The lines come in pairs that sum to zero, as [`moved`] and [`absorbed`]
    /// give them.
    pub fn several(kind: EntryKind, mut postings: Vec<Posting>) -> Result<Vec<Self>, Unbalanced> {
        postings.retain(|posting| posting.amount_micro != 0);
        postings.chunks(POSTINGS_MAX).map(|lines| Self::new(kind, lines.to_vec())).collect()
    }

    /// Why it is made.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Its lines.
    #[must_use]
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// What it changes, by account and grant.
    #[must_use]
    pub fn changes(&self) -> BTreeMap<(Account, Option<GrantId>), i64> {
        let mut changes = BTreeMap::new();
        for posting in &self.postings {
            *changes.entry((posting.account, posting.grant)).or_default() += posting.amount_micro;
        }
        changes
    }
}

/// The two lines that move one grant's credits from one account to another.
#[must_use]
pub fn moved(from: Account, to: Account, grant: GrantId, amount_micro: i64) -> [Posting; 2] {
    [
        Posting { account: from, grant: Some(grant), amount_micro: -amount_micro },
        Posting { account: to, grant: Some(grant), amount_micro },
    ]
}

/// The two lines of a cost that we absorb.
#[must_use]
pub fn absorbed(amount_micro: i64) -> [Posting; 2] {
    [
        Posting { account: Account::ProviderLoss, grant: None, amount_micro: -amount_micro },
        Posting { account: Account::ProviderCost, grant: None, amount_micro },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_reads_its_own_text() {
        let accounts = [
            Account::Grant(GrantId::generate()),
            Account::Envelope(MandateId::generate()),
            Account::Hold,
            Account::ProviderLoss,
            Account::CashClearing,
        ];
        for account in accounts {
            assert_eq!(Account::parse(&account.to_string()), Some(account));
        }
        assert_eq!(Account::parse("grant:"), None);
        assert_eq!(Account::parse("purse"), None);
    }

    #[test]
    fn credits_of_one_grant_never_become_another_grants() {
        let (one, other) = (GrantId::generate(), GrantId::generate());
        let crossed = vec![
            Posting { account: Account::Grant(one), grant: Some(one), amount_micro: -5 },
            Posting { account: Account::Hold, grant: Some(other), amount_micro: 5 },
        ];
        assert!(Entry::new(EntryKind::Hold, crossed).is_err());
        let straight = moved(Account::Grant(one), Account::Hold, one, 5).to_vec();
        assert!(Entry::new(EntryKind::Hold, straight).is_ok());
    }

    #[test]
    fn more_lines_than_one_entry_takes_become_several_that_balance() {
        let grant = GrantId::generate();
        let lines: Vec<Posting> = (0..5_000_i64)
            .flat_map(|n| {
                moved(Account::Envelope(MandateId::generate()), Account::Grant(grant), grant, n % 7)
            })
            .collect();
        let total: i64 = lines.iter().map(|line| line.amount_micro.max(0)).sum();
        assert!(Entry::new(EntryKind::TransferReturned, lines.clone()).is_err());
        let entries = Entry::several(EntryKind::TransferReturned, lines).unwrap();
        assert_eq!(entries.len(), 3);
        let moved = entries.iter().flat_map(Entry::postings).map(|line| line.amount_micro.max(0));
        assert_eq!(moved.sum::<i64>(), total);
        assert!(Entry::several(EntryKind::Void, Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn sums_do_not_wrap() {
        let grant = GrantId::generate();
        let line = |amount_micro| Posting { account: Account::Hold, grant: Some(grant), amount_micro };
        let wrapped = vec![line(i64::MAX), line(i64::MAX), line(2)];
        assert!(Entry::new(EntryKind::Hold, wrapped).is_err());
    }
}
