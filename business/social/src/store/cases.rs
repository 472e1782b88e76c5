//! Reports, the cases that they make, and what staff did.

use std::collections::HashMap;

use backlot_business_api::{CaseId, PostId};
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;
use sea_orm::{DatabaseBackend, Value};

use super::{Store, execute, find};
use crate::limits::REPORTS_SHOWN_MAX;
use crate::rows::{AuditLine, Case, Report};

/// What is reported.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `post`, `comment` or `profile`.
    pub(crate) subject: &'static str,
    /// Its id.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) author: UserId,
    /// The post that it is, or is on.
    pub(crate) post: Option<PostId>,
}

/// A report to write.
#[derive(Debug, Clone)]
pub(crate) struct NewReport<'a> {
    pub(crate) reporter: UserId,
    pub(crate) reason: &'static str,
    pub(crate) text: &'a str,
    pub(crate) at: Timestamp,
}

/// Where a page of the queue begins: after this case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CasePosition {
    pub(crate) opened_at: Timestamp,
    pub(crate) id: CaseId,
}

impl Store {
    /// Cases in a state, those that wait longest first.
    pub(crate) async fn cases(
        &self,
        state: &str,
        after: Option<CasePosition>,
        limit: u64,
    ) -> Result<Vec<Case>, DbError> {
        let mut values: Vec<Value> = vec![state.into()];
        let later = after.map_or("", |after| {
            values.push(after.opened_at.into());
            values.push(after.id.into());
            "AND (opened_at, id) > ($2, $3)"
        });
        let sql = format!(
            "SELECT {} FROM social_cases WHERE state = $1 {later} ORDER BY opened_at, id LIMIT {limit}",
            Case::COLUMNS
        );
        self.all(&sql, values).await
    }

    /// One case.
    pub(crate) async fn case(&self, id: CaseId) -> Result<Option<Case>, DbError> {
        let sql = format!("SELECT {} FROM social_cases WHERE id = $1", Case::COLUMNS);
        self.one(&sql, vec![id.into()]).await
    }

    /// The newest reports of each of these cases.
    pub(crate) async fn reports(&self, cases: &[Case]) -> Result<HashMap<CaseId, Vec<Report>>, DbError> {
        let mut reports = HashMap::new();
        for case in cases {
            let sql = format!(
                "SELECT reason, text, created_at FROM social_reports WHERE case_id = $1
                 ORDER BY created_at DESC LIMIT {REPORTS_SHOWN_MAX}"
            );
            reports.insert(case.id, self.all(&sql, vec![case.id.into()]).await?);
        }
        Ok(reports)
    }

    /// What staff did, newest first, older than `before`.
    pub(crate) async fn audit(&self, before: Option<&str>, limit: u64) -> Result<Vec<AuditLine>, DbError> {
        let values: Vec<Value> = before.into_iter().map(Into::into).collect();
        let older = if values.is_empty() { "" } else { "WHERE id < $1" };
        let sql = format!(
            "SELECT id, at, actor_id, action, subject, target_id, detail FROM social_audit {older}
             ORDER BY id DESC LIMIT {limit}"
        );
        self.all(&sql, values).await
    }
}

/// Writes a report; the case of its target is opened, or opened again.
pub(crate) async fn report(tx: &WriteTx, target: &Target, new: &NewReport<'_>) -> Result<CaseId, DbError> {
    let sql = "INSERT INTO social_cases (id, subject, target_id, author_id, post_id, state, reports, decision, reason,
                   opened_at)
               VALUES ($1, $2, $3, $4, $5, 'open', 0, '', '', $6) ON CONFLICT DO NOTHING";
    let values = vec![
        CaseId::generate().into(),
        target.subject.into(),
        target.id.as_str().into(),
        target.author.into(),
        Value::String(target.post.map(|id| id.to_string())),
        new.at.into(),
    ];
    execute(tx, sql, values).await?;
    // Opened again after a decision: what was said before was answered.
    let sql = "UPDATE social_cases SET state = 'open', reports = 0, opened_at = $3
               WHERE subject = $1 AND target_id = $2 AND state = 'decided'";
    let at = vec![target.subject.into(), target.id.as_str().into(), new.at.into()];
    let reopened = execute(tx, sql, at).await? > 0;
    let sql = "SELECT id FROM social_cases WHERE subject = $1 AND target_id = $2";
    let row = super::query(tx, sql, vec![target.subject.into(), target.id.as_str().into()]).await?;
    let row = row.ok_or_else(|| sea_orm::DbErr::RecordNotFound("case".to_owned()))?;
    let id: CaseId = row.try_get("", "id")?;
    if reopened {
        execute(tx, "DELETE FROM social_reports WHERE case_id = $1", vec![id.into()]).await?;
    }
    let sql = "INSERT INTO social_reports (case_id, reporter_id, reason, text, created_at)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let values = vec![id.into(), new.reporter.into(), new.reason.into(), new.text.into(), new.at.into()];
    if execute(tx, sql, values).await? > 0 {
        execute(tx, "UPDATE social_cases SET reports = reports + 1 WHERE id = $1", vec![id.into()]).await?;
    }
    Ok(id)
}

/// A case, held for the rest of the transaction.
pub(crate) async fn lock(tx: &WriteTx, id: CaseId) -> Result<Option<Case>, DbError> {
    let lock = if tx.backend() == DatabaseBackend::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT {} FROM social_cases WHERE id = $1 {lock}", Case::COLUMNS);
    find(tx, &sql, vec![id.into()]).await
}

/// Writes a decision, and the line of the audit that says so.
pub(crate) async fn decide(
    tx: &WriteTx,
    case: &Case,
    decision: &str,
    reason: &str,
    by: UserId,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "UPDATE social_cases SET state = 'decided', decision = $2, reason = $3, decided_by = $4,
                   decided_at = $5 WHERE id = $1";
    execute(tx, sql, vec![case.id.into(), decision.into(), reason.into(), by.into(), now.into()]).await?;
    let detail = serde_json::json!({ "case": case.id, "reason": reason, "reports": case.reports,
        "before": case.decision });
    let sql = "INSERT INTO social_audit (id, at, actor_id, action, subject, target_id, detail)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = vec![
        Uuid::now_v7().to_string().into(),
        now.into(),
        by.into(),
        format!("moderation.{decision}").into(),
        case.subject.as_str().into(),
        case.target_id.as_str().into(),
        detail.to_string().into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}
