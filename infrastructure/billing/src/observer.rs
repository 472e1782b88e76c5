//! What follows from identity's changes, in identity's transactions: ledgers, root mandates, and the
//! authority that comes with a role.

use std::collections::BTreeSet;

use async_trait::async_trait;
use backlot_foundation_db::WriteTx;
use backlot_foundation_errors::Problem;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, OrganisationId, UserId};
use backlot_infrastructure_identity::{
    AuthorityCheck, AuthorityQuestion, MembershipChange, OrganisationObserver, Role,
};
use backlot_infrastructure_mandates::{
    ActionPattern, Conditions, DEPTH_LIMIT, Envelope, Mandate, Period, Proposal, Scope, State,
};

use crate::error::Error;
use crate::service::{CheckOrder, Service, authority, give, revoke};
use crate::store;
use crate::store::ledger::Ledger;
use crate::store::mandates::MandateRow;

#[async_trait]
impl OrganisationObserver for Service {
    async fn created(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        owner: UserId,
        at: Timestamp,
    ) -> Result<(), Problem> {
        Ok(self.organisation_created(tx, organisation, owner, at).await?)
    }

    async fn membership_changed(&self, tx: &WriteTx, change: &MembershipChange) -> Result<(), Problem> {
        if change.previous == change.role {
            return Ok(());
        }
        Ok(place_changed(tx, change).await?)
    }

    /// The ledger is locked until identity commits: a hold that comes at the same time is either before the end, or
    /// sees it.
    async fn closed(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        _owner: UserId,
        at: Timestamp,
    ) -> Result<(), Problem> {
        Ok(self.organisation_closed(tx, organisation, at).await?)
    }
}

#[async_trait]
impl AuthorityCheck for Service {
    async fn check(&self, tx: &WriteTx, question: &AuthorityQuestion<'_>) -> Result<(), Problem> {
        let order = CheckOrder {
            organisation: question.organisation,
            actor: question.actor,
            mandate: None,
            action: question.action.to_owned(),
            project: question.project,
            tool: String::new(),
            unit_price_micro: 0,
            amount_micro: 0,
        };
        authority::check_in(&**tx, question.at, &order).await?;
        Ok(())
    }
}

impl Service {
    /// A closed organisation: nobody is asked for money any more. Its ledger and what is held stay.
    ///
    /// # Errors
    /// The database's; the organisation stays open then.
    pub async fn organisation_closed(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        at: Timestamp,
    ) -> Result<(), Error> {
        store::ledger::lock(tx, organisation).await?;
        self.end_plan(tx, organisation, at).await
    }

    /// A new organisation: its ledger, its root mandate, the free plan and its credits.
    ///
    /// # Errors
    /// The database's; the organisation is not made then.
    pub async fn organisation_created(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        owner: UserId,
        at: Timestamp,
    ) -> Result<(), Error> {
        store::ledger::open(tx, organisation, at).await?;
        let mut ledger = store::ledger::lock(tx, organisation).await?;
        let root = MandateRow {
            mandate: Mandate {
                id: MandateId::generate(),
                parent: None,
                grantor: owner,
                grantee: owner,
                scope: Scope { organisation, project: None },
                actions: BTreeSet::from([ActionPattern::everything()]),
                conditions: Conditions::default(),
                envelope: Envelope::Unlimited,
                depth_max: DEPTH_LIMIT,
                not_before: at,
                expires_at: None,
                share_bps: 0,
                state: State::Active,
                purpose: "The organisation itself".to_owned(),
            },
            funded_by: None,
            role: Role::Owner.as_str().to_owned(),
            created_at: at,
            ended_at: None,
        };
        store::mandates::insert(tx, &root).await?;
        give::publish_given(tx, &root.mandate, at).await?;
        self.begin_free(tx, &mut ledger, at).await
    }
}

/// Ends what came with the old place, and gives what comes with the new one.
async fn place_changed(tx: &WriteTx, change: &MembershipChange) -> Result<(), Error> {
    let (organisation, user) = (change.organisation, change.user);
    let mut ledger = store::ledger::lock(tx, organisation).await?;
    for row in store::mandates::held_by(&**tx, organisation, user).await? {
        let is_root = row.mandate.parent.is_none();
        if is_root && change.role != Some(Role::Owner) {
            hand_over(tx, &mut ledger, &row, user, change.at).await?;
        }
        // Who leaves loses everything; who changes place loses what came with the place.
        if !is_root && (change.role.is_none() || !row.role.is_empty()) {
            // An earlier round may have ended it with one above.
            let now = store::mandates::find(&**tx, organisation, row.mandate.id).await?;
            if let Some(row) = now.filter(|row| row.mandate.state == State::Active) {
                revoke::end(tx, &mut ledger, change.at, row, State::Revoked, Some(change.by)).await?;
            }
        }
    }
    match change.role {
        Some(role) => give_role(tx, &mut ledger, user, role, change.at).await,
        None => Ok(()),
    }
}

/// The root goes to another owner, whose own mandate of that role it replaces.
async fn hand_over(
    tx: &WriteTx,
    ledger: &mut Ledger,
    root: &MandateRow,
    from: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    let below = store::mandates::children(&**tx, ledger.organisation, root.mandate.id).await?;
    let is_owner = |row: &&MandateRow| row.role == Role::Owner.as_str() && row.mandate.grantee != from;
    let heir = below.iter().find(is_owner).ok_or(Error::RootProtected)?;
    store::mandates::hand_root_to(tx, root.mandate.id, heir.mandate.grantee).await?;
    store::ledger::raise_mandate_version(tx, ledger.organisation).await?;
    let held = Mandate { grantee: heir.mandate.grantee, grantor: from, ..root.mandate.clone() };
    give::publish_given(tx, &held, now).await
}

/// What comes with a place: authority, and no credits except an owner's.
async fn give_role(
    tx: &WriteTx,
    ledger: &mut Ledger,
    user: UserId,
    role: Role,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(root) = store::mandates::root(&**tx, ledger.organisation).await? else {
        return Err(Error::Unknown("mandate"));
    };
    if root.mandate.grantee == user {
        return Ok(());
    }
    let none = Envelope::Cap { limit_micro: 0, period: Period::Life };
    let (actions, envelope, depth_max): (&[&str], Envelope, u32) = match role {
        Role::Owner => (&["*"], Envelope::Unlimited, DEPTH_LIMIT - 1),
        Role::Admin => (&["members.*", "projects.*", "assets.*", "billing.read"], none, 0),
        Role::Member => (&["projects.read", "assets.*"], none, 0),
        Role::Viewer => (&["projects.read", "assets.read"], none, 0),
    };
    let patterns = actions.iter().map(|action| ActionPattern::parse(action));
    let actions = patterns
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Invalid { pointer: "/actions", message: error.to_string() })?;
    let proposal = Proposal {
        id: MandateId::generate(),
        grantee: user,
        project: None,
        actions,
        conditions: Conditions::default(),
        envelope,
        depth_max,
        not_before: Some(now),
        expires_at: None,
        share_bps: 0,
        purpose: format!("Comes with the role {role}"),
    };
    // Identity has asked for the authority to change places; the mandate itself comes out of the root, so
    // that it does not end with whoever happened to invite.
    let giver = root.mandate.grantee;
    give::give_in(tx, ledger, now, root.mandate.id, giver, proposal, role.as_str()).await?;
    Ok(())
}
