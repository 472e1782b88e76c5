//! Proving the ledger, and sealing it.

use std::collections::BTreeSet;
use std::time::Duration;

use backlot_infrastructure_api::OrganisationId;
use sea_orm::ConnectionTrait;
use tokio::sync::SemaphorePermit;

use super::grants::uses;
use super::{Service, retried};
use crate::error::Error;
use crate::ledger::seal::{GENESIS, SealedTransaction, seal};
use crate::store;
use crate::store::ledger::TransactionRow;
use crate::store::seals::SealRow;

/// Transactions of one seal.
const SEAL_TRANSACTIONS_MAX: i64 = 500;
/// Seals that are read at once.
const SEALS_PAGE: i64 = 100;
/// Ledgers that one round of the sealer visits.
const LEDGERS_PER_ROUND: i64 = 100;
/// Ledgers that are read at once when all are checked.
const LEDGERS_PAGE: i64 = 200;
/// Longest that somebody who asks for a proof waits for those who asked before.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Problems that a report names; more say nothing more.
const PROBLEMS_MAX: usize = 100;

/// What the fold of a journal, or of all, says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// Whether every invariant holds.
    pub balanced: bool,
    /// Transactions in the journal.
    pub transactions: i64,
    /// Of them covered by a seal.
    pub sealed_transactions: i64,
    /// Whether every seal reproduces from the journal.
    pub chain_verified: bool,
    /// Holds that have not ended.
    pub open_holds: i64,
    /// What does not hold, for people.
    pub problems: Vec<String>,
}

impl LedgerReport {
    fn find(&mut self, problem: String) {
        self.balanced = false;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    fn add(&mut self, organisation: OrganisationId, other: Self) {
        self.balanced &= other.balanced;
        self.chain_verified &= other.chain_verified;
        self.transactions += other.transactions;
        self.sealed_transactions += other.sealed_transactions;
        self.open_holds += other.open_holds;
        let room = PROBLEMS_MAX - self.problems.len();
        let named =
            other.problems.into_iter().map(|problem| format!("organisation {organisation}: {problem}"));
        self.problems.extend(named.take(room));
    }
}

impl Service {
    /// [`Service::check_ledger`] for whoever asks from outside: one at a time. It reads a whole journal, and whoever may
    /// look at a balance may ask for it as often as they like; the connections and the processor that it takes are
    /// everybody's.
    ///
    /// # Errors
    /// Its own, and where the turn did not come in time.
    pub async fn prove_for(&self, organisation: OrganisationId) -> Result<LedgerReport, Error> {
        let _turn = self.turn(TURN_WAIT_MAX).await?;
        self.check_ledger(organisation).await
    }

    async fn turn(&self, wait: Duration) -> Result<SemaphorePermit<'_>, Error> {
        match tokio::time::timeout(wait, self.inner.proofs.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(Error::ProofBusy),
        }
    }

    /// Folds the whole journal of one organisation and compares it with everything that claims to follow
    /// from it; verifies the hash chain. Reads one point in time and blocks nobody.
    ///
    /// # Errors
    /// An unknown organisation.
    pub async fn check_ledger(&self, organisation: OrganisationId) -> Result<LedgerReport, Error> {
        let snapshot = self.db().begin_snapshot().await?;
        if !store::ledger::exists(&snapshot, organisation).await? {
            return Err(Error::UnknownOrganisation(organisation));
        }
        let mut report = LedgerReport { balanced: true, chain_verified: true, ..LedgerReport::default() };
        check_journal(&snapshot, organisation, &mut report).await?;
        check_grants(&snapshot, organisation, &mut report).await?;
        check_envelopes(&snapshot, organisation, &mut report).await?;
        check_seals(&snapshot, organisation, &mut report).await?;
        snapshot.commit().await?;
        Ok(report)
    }

    /// The same for every organisation, added up.
    ///
    /// # Errors
    /// The database's.
    pub async fn check_all(&self) -> Result<LedgerReport, Error> {
        let mut total = LedgerReport { balanced: true, chain_verified: true, ..LedgerReport::default() };
        let mut after = String::new();
        loop {
            let page = store::ledger::organisations(self.db().read(), &after, LEDGERS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(total) };
            after = last.to_string();
            for organisation in page {
                total.add(organisation, self.check_ledger(organisation).await?);
            }
        }
    }

    /// [`Service::check_all`] for whoever watches: the findings go to the log, their number and the time to gauges.
    ///
    /// # Errors
    /// The database's; the gauge of the time then stays behind.
    pub async fn prove(&self) -> Result<LedgerReport, Error> {
        let report = self.check_all().await?;
        for problem in &report.problems {
            tracing::error!(problem, "the ledger does not hold");
        }
        metrics::gauge!("backlot_billing_ledger_problems").set(report.problems.len() as f64);
        metrics::gauge!("backlot_billing_ledger_transactions").set(report.transactions as f64);
        metrics::gauge!("backlot_billing_ledger_proved_seconds").set(self.now().seconds() as f64);
        Ok(report)
    }

    /// Seals what was appended since the last round; answers how many seals it wrote. It holds no lock
    /// that a hold waits for.
    ///
    /// # Errors
    /// The database's.
    pub async fn seal(&self) -> Result<usize, Error> {
        let unsealed = store::seals::unsealed(self.db().read(), LEDGERS_PER_ROUND).await?;
        let mut written = 0;
        for organisation in unsealed {
            loop {
                match retried(|| self.seal_once(organisation)).await {
                    Ok(true) => written += 1,
                    Ok(false) => break,
                    // One ledger that cannot be sealed must not keep the others: the next round tries it again.
                    Err(error) => {
                        tracing::error!(%error, %organisation, "a ledger could not be sealed");
                        break;
                    }
                }
            }
        }
        Ok(written)
    }

    /// Writes one seal; false where nothing is left, or another sealer was first.
    async fn seal_once(&self, organisation: OrganisationId) -> Result<bool, Error> {
        let connection = self.db().read();
        let previous = store::seals::last(connection, organisation).await?;
        let sealed = previous.as_ref().map_or(0, |seal| seal.last_number);
        let end = store::ledger::last_number(connection, organisation).await?;
        let end = end.min(sealed + SEAL_TRANSACTIONS_MAX);
        if end <= sealed {
            return Ok(false);
        }
        let rows = store::ledger::transactions(connection, organisation, sealed + 1, end).await?;
        let previous_hash = previous.map_or_else(|| hex::encode(GENESIS), |seal| seal.hash);
        let hash = hash_of(&previous_hash, organisation, rows);
        let row = SealRow { first_number: sealed + 1, last_number: end, previous_hash, hash };
        let tx = self.db().begin_write().await?;
        let is_first = store::seals::insert(&tx, organisation, &row, self.now()).await?;
        tx.commit().await?;
        Ok(is_first)
    }
}

fn hash_of(previous_hash: &str, organisation: OrganisationId, rows: Vec<TransactionRow>) -> String {
    let mut previous = GENESIS;
    // A broken text of the hash before changes the hash after: verification fails, as it should.
    if hex::decode_to_slice(previous_hash, &mut previous).is_err() {
        previous = [0xff; 32];
    }
    let transactions: Vec<SealedTransaction> = rows
        .into_iter()
        .map(|row| SealedTransaction {
            number: row.number,
            kind: row.kind,
            subject: row.subject,
            created_at_us: row.created_at.micros(),
            postings: row.postings,
        })
        .collect();
    hex::encode(seal(&previous, &organisation.to_string(), &transactions))
}

async fn check_journal(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    report: &mut LedgerReport,
) -> Result<(), Error> {
    let (total, last_written, last_given) = store::checks::numbers(connection, organisation).await?;
    report.transactions = total;
    if total != last_written || last_written != last_given {
        report.find(format!("{total} transactions, the last is {last_written}, given out were {last_given}"));
    }
    for number in store::checks::unbalanced(connection, organisation).await? {
        report.find(format!("transaction {number} does not sum to zero"));
    }
    let snapshot = store::checks::balances(connection, organisation).await?;
    let fold = store::checks::fold(connection, organisation).await?;
    let accounts: BTreeSet<_> = snapshot.keys().chain(fold.keys()).collect();
    for key in accounts {
        let (shown, folded) = (snapshot.get(key).unwrap_or(&0), fold.get(key).unwrap_or(&0));
        if shown != folded {
            report.find(format!("balance of {} is {shown}, its fold is {folded}", key.0));
        }
        if key.0.holds_credits() && *folded < 0 {
            report.find(format!("account {} is overdrawn: {folded}", key.0));
        }
    }
    let sum: i128 = fold.values().map(|amount| i128::from(*amount)).sum();
    if sum != 0 {
        report.find(format!("the journal sums to {sum}"));
    }
    Ok(())
}

async fn check_grants(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    report: &mut LedgerReport,
) -> Result<(), Error> {
    let uses = uses(&store::checks::fold(connection, organisation).await?);
    let granted = store::checks::granted_and_revoked(connection, organisation).await?;
    let parts = store::checks::hold_parts(connection, organisation).await?;
    for row in store::grants::of_organisation(connection, organisation).await? {
        let used = uses.get(&row.id).copied().unwrap_or_default();
        let (given, revoked) = granted.get(&row.id).copied().unwrap_or_default();
        let accounted =
            used.available_micro + used.held_micro + used.spent_micro + used.expired_micro + revoked;
        if given != row.amount_micro || accounted != row.amount_micro {
            let id = row.id;
            report.find(format!(
                "grant {id} of {} was posted as {given} and adds up to {accounted}",
                row.amount_micro
            ));
        }
        if row.revoked_at.is_some() && used.available_micro != 0 {
            let (id, left) = (row.id, used.available_micro);
            report.find(format!("grant {id} was taken back, and {left} of it can be used"));
        }
        let (held, spent) = parts.get(&row.id).copied().unwrap_or_default();
        if (held, spent) != (used.held_micro, used.spent_micro) {
            let (id, journal_held, journal_spent) = (row.id, used.held_micro, used.spent_micro);
            report.find(format!(
                "grant {id}: holds say {held} held and {spent} spent, the journal {journal_held} and {journal_spent}"
            ));
        }
    }
    for run in store::checks::broken_holds(connection, organisation).await? {
        report.find(format!("the hold of run {run} does not add up"));
    }
    report.open_holds = store::checks::open_holds(connection, organisation).await?;
    Ok(())
}

async fn check_envelopes(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    report: &mut LedgerReport,
) -> Result<(), Error> {
    for mandate in store::checks::broken_counters(connection, organisation).await? {
        report.find(format!(
            "the counter of mandate {mandate} is not the sum of its charges, or over its limit"
        ));
    }
    for account in store::checks::stranded(connection, organisation).await? {
        report.find(format!("account {account} holds credits of a mandate that has ended"));
    }
    Ok(())
}

async fn check_seals(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    report: &mut LedgerReport,
) -> Result<(), Error> {
    let mut previous_hash = hex::encode(GENESIS);
    loop {
        let page =
            store::seals::after(connection, organisation, report.sealed_transactions, SEALS_PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for found in page {
            let (first, last) = (found.first_number, found.last_number);
            let rows = store::ledger::transactions(connection, organisation, first, last).await?;
            let follows = first == report.sealed_transactions + 1 && found.previous_hash == previous_hash;
            let hash = hash_of(&previous_hash, organisation, rows);
            if !follows || hash != found.hash {
                report.chain_verified = false;
                report.find(format!("the seal of transactions {first} to {last} does not reproduce"));
            }
            report.sealed_transactions = last;
            previous_hash = found.hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use backlot_foundation_testkit::TestDb;
    use backlot_foundation_time::SystemClock;

    use super::*;
    use crate::Config;
    use crate::service::Deps;

    #[tokio::test]
    async fn who_asks_for_a_proof_waits_for_those_before_and_not_for_ever() {
        let test_db = TestDb::sqlite("infrastructure").await;
        test_db.db.migrate::<crate::Migrator>().await.unwrap();
        let clock = SystemClock::shared();
        let service = Service::new(test_db.db.clone(), Deps::default(), Config::default(), clock);
        let first = service.turn(TURN_WAIT_MAX).await.unwrap();
        assert!(matches!(service.turn(Duration::ZERO).await, Err(Error::ProofBusy)));
        let report = service.prove().await.unwrap();
        assert!(report.balanced, "the daily one asks nobody");
        let nobody = OrganisationId::generate();
        let (waited, ()) = tokio::join!(service.prove_for(nobody), async { drop(first) });
        assert!(matches!(waited, Err(Error::UnknownOrganisation(_))), "its turn came: {waited:?}");
    }
}
