//! Giving mandates and showing them.

use std::collections::{BTreeMap, BTreeSet};

use backlot_foundation_db::WriteTx;
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::billing as events;
use backlot_infrastructure_api::{MandateId, OrganisationId, ProjectId, UserId};
use backlot_infrastructure_identity::audit;
use backlot_infrastructure_mandates::{
    ActionPattern, Conditions, Envelope, GiveRefusal, Link, Mandate, Proposal, SHARE_BPS_WHOLE, Source, give,
};
use serde_json::json;

use super::authority::envelope_of;
use super::{Service, check_amount, retried, used};
use crate::error::Error;
use crate::ledger::posting::moved;
use crate::ledger::{Account, EntryKind, take};
use crate::store;
use crate::store::keys::Key;
use crate::store::ledger::Ledger;
use crate::store::mandates::MandateRow;

/// Most live mandates of one organisation.
const MANDATES_MAX: i64 = 10_000;
/// Most live mandates that one person gives another. A request that names none considers a bounded number of the actor's;
/// so nobody can hide what others gave behind what they give.
const GIVEN_TO_ONE_MAX: i64 = 24;
/// Longest purpose, in characters.
const PURPOSE_CHARS_MAX: usize = 200;
/// Most patterns of actions of one mandate.
const ACTIONS_MAX: usize = 32;
/// The area of keys that stand for mandates.
const GIVEN: &str = "mandate";
/// Most tools of one mandate.
const TOOLS_MAX: usize = 64;

/// Somebody gives a part of a mandate of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveOrder {
    /// Where.
    pub organisation: OrganisationId,
    /// Who gives.
    pub giver: UserId,
    /// Out of which mandate.
    pub parent: MandateId,
    /// Who gets it.
    pub grantee: UserId,
    /// For which project; none: as wide as the parent's scope.
    pub project: Option<ProjectId>,
    /// What it allows.
    pub actions: BTreeSet<ActionPattern>,
    /// With which tools; none: all.
    pub tools: Option<BTreeSet<String>>,
    /// The highest price of one use.
    pub max_unit_price_micro: Option<i64>,
    /// How much may be spent.
    pub envelope: Envelope,
    /// How often it may be given on.
    pub depth_max: u32,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// The grantee's part of the benefit, in hundredths of a per cent.
    pub share_bps: u32,
    /// What for.
    pub purpose: String,
}

impl GiveOrder {
    fn validate(&self, now: Timestamp) -> Result<(), Error> {
        let invalid = |pointer, message: String| Err(Error::Invalid { pointer, message });
        if self.actions.is_empty() || self.actions.len() > ACTIONS_MAX {
            return invalid("/actions", format!("must name 1 to {ACTIONS_MAX} actions"));
        }
        if let Some(tools) = &self.tools {
            let is_name =
                |tool: &String| !tool.is_empty() && tool.len() <= 128 && !tool.contains(char::is_whitespace);
            if tools.is_empty() || tools.len() > TOOLS_MAX || !tools.iter().all(is_name) {
                return invalid("/tools", format!("must name 1 to {TOOLS_MAX} tools, without spaces"));
            }
        }
        if self.purpose.chars().count() > PURPOSE_CHARS_MAX || self.purpose.contains(char::is_control) {
            return invalid(
                "/purpose",
                format!("must be one line of at most {PURPOSE_CHARS_MAX} characters"),
            );
        }
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return invalid("/expires_at", "must lie in the future".to_owned());
        }
        if self.share_bps > SHARE_BPS_WHOLE {
            return invalid("/share_bps", format!("must be at most {SHARE_BPS_WHOLE}"));
        }
        if let Some(price) = self.max_unit_price_micro {
            check_amount(price, "/max_unit_price_micro")?;
        }
        match self.envelope {
            Envelope::Transfer { amount_micro: 0 } => {
                invalid("/envelope/amount_micro", "must be above 0 for a transfer".to_owned())
            }
            envelope => check_amount(envelope.limit_micro().unwrap_or(0), "/envelope/amount_micro"),
        }
    }

    /// What a repetition must agree in.
    fn parts(&self) -> Vec<String> {
        let (mode, limit, period) = store::mandates::envelope_parts(self.envelope);
        let joined = |names: Option<&BTreeSet<String>>| {
            names
                .map_or_else(|| "all".to_owned(), |names| names.iter().cloned().collect::<Vec<_>>().join(" "))
        };
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        vec![
            self.giver.to_string(),
            self.parent.to_string(),
            self.grantee.to_string(),
            self.project.map(|id| id.to_string()).unwrap_or_default(),
            self.actions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            joined(self.tools.as_ref()),
            number(self.max_unit_price_micro),
            format!("{mode} {} {period}", number(limit)),
            self.depth_max.to_string(),
            number(self.expires_at.map(Timestamp::micros)),
            self.share_bps.to_string(),
            self.purpose.clone(),
        ]
    }

    fn proposal(&self, id: MandateId) -> Proposal {
        Proposal {
            id,
            grantee: self.grantee,
            project: self.project,
            actions: self.actions.clone(),
            conditions: Conditions {
                tools: self.tools.clone(),
                max_unit_price_micro: self.max_unit_price_micro,
            },
            envelope: self.envelope,
            depth_max: self.depth_max,
            not_before: None,
            expires_at: self.expires_at,
            share_bps: self.share_bps,
            purpose: self.purpose.clone(),
        }
    }
}

/// A mandate with what its envelope has seen and may still give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MandateView {
    /// The mandate.
    pub row: MandateRow,
    /// Mandates above it.
    pub depth: u32,
    /// Held and spent in the present period, or out of what was set aside.
    pub used_micro: i64,
    /// What its own envelope has left; none where it has no limit.
    pub left_micro: Option<i64>,
    /// The caps it counts on and the account that pays, as ids: none for the organisation's grants.
    pub paid_by: Option<MandateId>,
}

impl Service {
    /// Gives a mandate, after the same check that every spend passes. A transfer is set aside at once.
    ///
    /// # Errors
    /// A refusal, fields that break a rule, or too few credits for a transfer; nothing is given then.
    pub async fn give(&self, order: &GiveOrder) -> Result<MandateView, Error> {
        self.give_with_key(order, None).await
    }

    /// The same, once for each key: a repetition is answered with the mandate as it is now.
    ///
    /// # Errors
    /// As [`Service::give`], and a key that stands for another order.
    pub async fn give_with_key(&self, order: &GiveOrder, key: Option<&str>) -> Result<MandateView, Error> {
        let key = key.map(|key| Key::new(GIVEN, key, &order.parts()));
        let id = MandateId::generate();
        retried(|| self.give_once(id, order, key.as_ref())).await
    }

    async fn give_once(
        &self,
        id: MandateId,
        order: &GiveOrder,
        key: Option<&Key>,
    ) -> Result<MandateView, Error> {
        let tx = self.db().begin_write().await?;
        let mut ledger = store::ledger::lock(&tx, order.organisation).await?;
        let now = self.now();
        if let Some(given) = used(&tx, order.organisation, key).await? {
            let given = MandateId::parse(&given).map_err(|_| store::unreadable("subject", &given))?;
            let row = store::mandates::find(&*tx, order.organisation, given).await?;
            return view(&*tx, row.ok_or(Error::Unknown("mandate"))?, now).await;
        }
        order.validate(now)?;
        if !self.directory().is_member(&tx, order.organisation, order.grantee).await? {
            return Err(Error::GranteeNotMember(order.grantee));
        }
        if let Some(project) = order.project
            && !self.directory().has_project(&tx, order.organisation, project).await?
        {
            let message = "is no project of this organisation".to_owned();
            return Err(Error::Invalid { pointer: "/project_id", message });
        }
        let row = give_in(&tx, &mut ledger, now, order.parent, order.giver, order.proposal(id), "").await?;
        if let Some(key) = key {
            store::keys::insert(&tx, order.organisation, key, &id.to_string(), now).await?;
        }
        write_down(&tx, now, order.giver, "mandate.given", &row.mandate).await?;
        let view = view(&*tx, row, now).await?;
        tx.commit().await?;
        Ok(view)
    }

    /// All mandates of an organisation, parents before children.
    ///
    /// # Errors
    /// The database's.
    pub async fn mandates(&self, organisation: OrganisationId) -> Result<Vec<MandateView>, Error> {
        let (connection, now) = (self.db().read(), self.now());
        let rows = store::mandates::of_organisation(connection, organisation, MANDATES_MAX).await?;
        let mut links: BTreeMap<MandateId, Link> = BTreeMap::new();
        let mut depths: BTreeMap<MandateId, u32> = BTreeMap::new();
        let mut views = Vec::new();
        for row in rows {
            let link = store::mandates::link(connection, row.mandate.clone(), now).await?;
            let above = row.mandate.parent.and_then(|parent| depths.get(&parent));
            let depth = above.map_or(0, |above| above + 1);
            depths.insert(row.mandate.id, depth);
            links.insert(row.mandate.id, link.clone());
            let paid_by = payer(&row.mandate, &links);
            views.push(MandateView::new(row, &link, depth, paid_by));
        }
        Ok(views)
    }

    /// One mandate.
    ///
    /// # Errors
    /// Where there is none, or it is another organisation's.
    pub async fn mandate(&self, organisation: OrganisationId, id: MandateId) -> Result<MandateView, Error> {
        let connection = self.db().read();
        let row = store::mandates::find(connection, organisation, id).await?;
        view(connection, row.ok_or(Error::Unknown("mandate"))?, self.now()).await
    }
}

impl MandateView {
    fn new(row: MandateRow, link: &Link, depth: u32, paid_by: Option<MandateId>) -> Self {
        let (used_micro, left_micro) = match row.mandate.envelope {
            Envelope::Unlimited => (0, None),
            Envelope::Cap { limit_micro, .. } => {
                (link.counted_micro, Some(limit_micro.saturating_sub(link.counted_micro).max(0)))
            }
            Envelope::Transfer { amount_micro } => {
                (amount_micro.saturating_sub(link.account_micro), Some(link.account_micro))
            }
        };
        Self { row, depth, used_micro, left_micro, paid_by }
    }
}

/// The nearest transfer at or above a mandate.
fn payer(mandate: &Mandate, known: &BTreeMap<MandateId, Link>) -> Option<MandateId> {
    let mut next = Some(mandate.id);
    while let Some(link) = next.and_then(|id| known.get(&id)) {
        if matches!(link.mandate.envelope, Envelope::Transfer { .. }) {
            return Some(link.mandate.id);
        }
        next = link.mandate.parent;
    }
    None
}

async fn view(
    connection: &impl sea_orm::ConnectionTrait,
    row: MandateRow,
    now: Timestamp,
) -> Result<MandateView, Error> {
    let chain = store::mandates::chain(connection, row.mandate.clone(), now).await?;
    let depth = u32::try_from(chain.links().len() - 1).unwrap_or(u32::MAX);
    let is_transfer = |link: &&Link| matches!(link.mandate.envelope, Envelope::Transfer { .. });
    let paid_by = chain.links().iter().find(is_transfer).map(|link| link.mandate.id);
    Ok(MandateView::new(row, &chain.links()[0], depth, paid_by))
}

/// Gives inside a transaction that has locked the ledger.
pub(crate) async fn give_in(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    parent: MandateId,
    giver: UserId,
    proposal: Proposal,
    role: &str,
) -> Result<MandateRow, Error> {
    let organisation = ledger.organisation;
    let limit = usize::try_from(MANDATES_MAX).unwrap_or(usize::MAX);
    if store::mandates::count_active(&**tx, organisation).await? >= MANDATES_MAX {
        return Err(Error::MandateLimit(limit));
    }
    // What comes with a place is given in the root's name, and is one of each.
    if role.is_empty()
        && store::mandates::count_given(&**tx, organisation, giver, proposal.grantee).await?
            >= GIVEN_TO_ONE_MAX
    {
        return Err(Error::GivenLimit(GIVEN_TO_ONE_MAX));
    }
    let parent = store::mandates::find(&**tx, organisation, parent).await?;
    let parent = parent.ok_or(Error::Unknown("mandate"))?;
    let shared_bps = store::mandates::shared_bps(&**tx, organisation, parent.mandate.id).await?;
    let chain = store::mandates::chain(&**tx, parent.mandate, now).await?;
    let needed_micro = proposal.envelope.limit_micro().unwrap_or(0);
    let given = give(now, &chain, giver, shared_bps, proposal).map_err(|refusal| match refusal {
        GiveRefusal::Chain(refusal) => Error::refused(&chain, refusal, needed_micro),
        refusal => Error::GiveRefused(refusal),
    })?;
    let funded_by = given.charge.as_ref().and_then(|charge| match charge.source {
        Source::Envelope(mandate) => Some(mandate),
        Source::Grants => None,
    });
    let row = MandateRow {
        mandate: given.mandate,
        funded_by,
        role: role.to_owned(),
        created_at: now,
        ended_at: None,
    };
    store::mandates::insert(tx, &row).await?;
    if let (Envelope::Transfer { amount_micro }, Some(charge)) = (row.mandate.envelope, given.charge) {
        set_aside(tx, ledger, now, &row.mandate, envelope_of(charge.source), amount_micro).await?;
        for link in chain.links().iter().filter(|link| charge.caps.contains(&link.mandate.id)) {
            store::mandates::count(tx, &row.mandate.id.to_string(), &link.mandate, amount_micro, now).await?;
        }
    }
    store::ledger::raise_mandate_version(tx, organisation).await?;
    publish_given(tx, &row.mandate, now).await?;
    Ok(row)
}

/// Moves credits from the account that pays into the mandate's own.
async fn set_aside(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    mandate: &Mandate,
    source: Option<Account>,
    amount_micro: i64,
) -> Result<(), Error> {
    let lots = store::ledger::lots(&**tx, ledger.organisation, source).await?;
    let taken = take(now, lots, amount_micro).map_err(|short| Error::InsufficientCredits {
        needed_micro: amount_micro,
        available_micro: short.available_micro,
    })?;
    let lines = taken.iter().flat_map(|taken| {
        let from = source.unwrap_or(Account::Grant(taken.grant));
        moved(from, Account::Envelope(mandate.id), taken.grant, taken.amount_micro)
    });
    let (subject, lines) = (mandate.id.to_string(), lines.collect());
    store::ledger::post_lines(tx, ledger, now, &subject, EntryKind::Transfer, lines).await
}

/// Writes into the organisation's audit log that somebody gave a mandate or took it back. What was given out of it ends
/// with it, and has no row of its own.
pub(super) async fn write_down(
    tx: &WriteTx,
    at: Timestamp,
    actor: UserId,
    action: &'static str,
    mandate: &Mandate,
) -> Result<(), Error> {
    let (mode, amount, _) = store::mandates::envelope_parts(mandate.envelope);
    let entry = audit::Entry {
        organisation: Some(mandate.scope.organisation),
        actor: &actor.to_string(),
        action,
        subject: mandate.id.to_string(),
        detail: json!({"grantee_id": mandate.grantee, "envelope": mode, "amount_micro": amount}),
        at,
    };
    Ok(audit::write(&**tx, entry).await?)
}

pub(crate) async fn publish_given(tx: &WriteTx, mandate: &Mandate, now: Timestamp) -> Result<(), Error> {
    let (mode, amount, _) = store::mandates::envelope_parts(mandate.envelope);
    let event = events::MandateGiven {
        mandate_id: mandate.id,
        parent_id: mandate.parent,
        organisation_id: mandate.scope.organisation,
        project_id: mandate.scope.project,
        grantor_id: mandate.grantor,
        grantee_id: mandate.grantee,
        envelope_mode: mode.to_owned(),
        envelope_micro: amount,
        expires_at_us: mandate.expires_at.map(Timestamp::micros),
    };
    let meta = EventMeta {
        subject: mandate.id.to_string(),
        organisation: mandate.scope.organisation.to_string(),
        actor: mandate.grantor.to_string(),
        time: now,
    };
    Ok(outbox::publish(tx, meta, &event).await?)
}
