//! What always holds of mandates: no chain allows what an ancestor does not, nobody gives what they do
//! not hold, and no envelope is ever overdrawn.

use std::collections::{BTreeMap, BTreeSet};

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, OrganisationId, ProjectId, UserId};
use backlot_infrastructure_mandates::{
    ActionPattern, Chain, ChainError, Conditions, DEPTH_LIMIT, Decision, Envelope, GiveRefusal, Link,
    Mandate, Period, Proposal, Reason, Request, Scope, Source, State, decide, give, may_revoke, nearest,
};
use proptest::prelude::*;

const PATTERNS: [&str; 6] = ["*", "tools.*", "tools.run", "assets.*", "assets.read", "mandates.give"];
const ACTIONS: [&str; 4] = ["tools.run", "tools.quote", "assets.read", "mandates.give"];
const TOOLS: [&str; 3] = ["upscale", "animate", "echo"];
const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// Ids by number: runs are reproducible.
fn id(number: u128) -> MandateId {
    MandateId::parse(&format!("00000000-0000-7000-8000-{number:012x}")).unwrap()
}
fn person(number: u128) -> UserId {
    UserId::parse(&format!("00000000-0000-7000-9000-{number:012x}")).unwrap()
}
fn organisation() -> OrganisationId {
    OrganisationId::parse("00000000-0000-7000-a000-000000000001").unwrap()
}
fn project(number: u128) -> ProjectId {
    ProjectId::parse(&format!("00000000-0000-7000-b000-{number:012x}")).unwrap()
}

fn root() -> Mandate {
    Mandate {
        id: id(0),
        parent: None,
        grantor: person(0),
        grantee: person(0),
        scope: Scope { organisation: organisation(), project: None },
        actions: BTreeSet::from([ActionPattern::everything()]),
        conditions: Conditions::default(),
        envelope: Envelope::Unlimited,
        depth_max: DEPTH_LIMIT,
        not_before: Timestamp::from_micros(0),
        expires_at: None,
        share_bps: 0,
        state: State::Active,
        purpose: "root".to_owned(),
    }
}

fn link(mandate: Mandate) -> Link {
    let account_micro = match mandate.envelope {
        Envelope::Transfer { amount_micro } => amount_micro,
        _ => 0,
    };
    Link { mandate, counted_micro: 0, account_micro }
}

/// Leaf first.
fn chain(root_first: &[Mandate]) -> Chain {
    Chain::new(root_first.iter().rev().cloned().map(link).collect()).unwrap()
}

fn request(actor: UserId) -> Request<'static> {
    let scope = Scope { organisation: organisation(), project: Some(project(1)) };
    Request { actor, scope, action: "tools.run", tool: Some("upscale"), unit_price_micro: 5, amount_micro: 5 }
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    prop_oneof![
        Just(Envelope::Unlimited),
        (1_i64..200).prop_map(|limit_micro| Envelope::Cap { limit_micro, period: Period::Life }),
        (1_i64..100).prop_map(|amount_micro| Envelope::Transfer { amount_micro }),
    ]
}

prop_compose! {
    fn any_proposal()(
        grantee in 1_u128..6,
        in_project in proptest::option::of(1_u128..3),
        actions in proptest::collection::btree_set(proptest::sample::select(&PATTERNS[..]), 1..4),
        tools in proptest::option::of(proptest::collection::btree_set(proptest::sample::select(&TOOLS[..]), 1..3)),
        max_unit_price_micro in proptest::option::of(1_i64..20),
        envelope in any_envelope(),
        depth_max in 0_u32..DEPTH_LIMIT,
        expires_at in proptest::option::of(900_000_i64..2_000_000),
        share_bps in 0_u32..6_000,
    ) -> Proposal {
        Proposal {
            id: id(0),
            grantee: person(grantee),
            project: in_project.map(project),
            actions: actions.into_iter().map(|text| ActionPattern::parse(text).unwrap()).collect(),
            conditions: Conditions {
                tools: tools.map(|names| names.into_iter().map(str::to_owned).collect()),
                max_unit_price_micro,
            },
            envelope,
            depth_max,
            not_before: None,
            expires_at: expires_at.map(Timestamp::from_micros),
            share_bps,
            purpose: "test".to_owned(),
        }
    }
}

/// A chain that was given link by link; proposals that are refused are left out.
fn given_chain(proposals: Vec<Proposal>) -> Vec<Mandate> {
    let mut mandates = vec![root()];
    for proposal in proposals {
        let parent = chain(&mandates);
        let proposal = Proposal { id: id(mandates.len() as u128), ..proposal };
        if let Ok(given) = give(NOW, &parent, parent.leaf().grantee, 0, proposal) {
            mandates.push(given.mandate);
        }
    }
    mandates
}

/// What a single mandate allows by itself, said once more and plainly.
fn allows_alone(mandate: &Mandate, request: &Request<'_>) -> bool {
    let in_scope = mandate.scope.project.is_none() || mandate.scope.project == request.scope.project;
    let tool_allowed = match (&mandate.conditions.tools, request.tool) {
        (Some(tools), Some(tool)) => tools.contains(tool),
        _ => true,
    };
    let price_allowed =
        mandate.conditions.max_unit_price_micro.is_none_or(|most| request.unit_price_micro <= most);
    let live = mandate.state == State::Active
        && mandate.not_before <= NOW
        && mandate.expires_at.is_none_or(|expiry| NOW < expiry);
    let action_allowed = mandate.actions.iter().any(|pattern| pattern.allows(request.action));
    in_scope && tool_allowed && price_allowed && live && action_allowed
}

proptest! {
    /// A decision is the intersection along the chain: nothing more, and (without money) nothing less.
    #[test]
    fn a_chain_allows_exactly_what_each_link_allows(
        proposals in proptest::collection::vec(any_proposal(), 0..6),
        action in proptest::sample::select(&ACTIONS[..]),
        tool in proptest::option::of(proptest::sample::select(&TOOLS[..])),
        unit_price_micro in 0_i64..25,
        in_project in proptest::option::of(1_u128..3),
    ) {
        let mandates = given_chain(proposals);
        let chain = chain(&mandates);
        let scope = Scope { organisation: organisation(), project: in_project.map(project) };
        let request =
            Request { actor: chain.leaf().grantee, scope, action, tool, unit_price_micro, amount_micro: 0 };
        let expected = mandates.iter().all(|mandate| allows_alone(mandate, &request));
        let decision = decide(NOW, &chain, &request);
        prop_assert_eq!(matches!(decision, Decision::Allowed(_)), expected, "{:?}", decision);
    }

    /// Nobody gives what they do not hold: what a child is allowed, its parent is allowed too.
    #[test]
    fn a_child_is_never_allowed_more_than_its_parent(
        proposals in proptest::collection::vec(any_proposal(), 1..6),
        action in proptest::sample::select(&ACTIONS[..]),
        tool in proptest::sample::select(&TOOLS[..]),
        unit_price_micro in 0_i64..25,
    ) {
        let mandates = given_chain(proposals);
        let scope = Scope { organisation: organisation(), project: Some(project(1)) };
        let mut was_allowed = false;
        for length in (1..=mandates.len()).rev() {
            let chain = chain(&mandates[..length]);
            let actor = chain.leaf().grantee;
            let request = Request { actor, scope, action, tool: Some(tool), unit_price_micro, amount_micro: 0 };
            let allowed = matches!(decide(NOW, &chain, &request), Decision::Allowed(_));
            prop_assert!(allowed || !was_allowed, "child allowed, parent not, at {length}");
            was_allowed = allowed;
        }
    }

    /// Taking back or running out anywhere above denies at once.
    #[test]
    fn a_dead_ancestor_denies(
        proposals in proptest::collection::vec(any_proposal(), 0..6),
        which in any::<proptest::sample::Index>(),
        how in 0..3,
    ) {
        let mut mandates = given_chain(proposals);
        let index = which.index(mandates.len());
        match how {
            0 => mandates[index].state = State::Revoked,
            1 => mandates[index].state = State::Expired,
            _ => mandates[index].expires_at = Some(NOW),
        }
        let chain = chain(&mandates);
        let Decision::Refused(refusal) = decide(NOW, &chain, &request(chain.leaf().grantee)) else {
            return Err(TestCaseError::fail("allowed"));
        };
        prop_assert!(matches!(refusal.reason, Reason::Revoked | Reason::Expired));
        prop_assert_eq!(refusal.mandate, mandates[index].id);
        prop_assert!(give(NOW, &chain, chain.leaf().grantee, 0, proposal_to(9)).is_err());
    }

    /// Depth falls strictly, people do not repeat, scopes nest, along every chain that was given.
    #[test]
    fn given_chains_are_well_formed(proposals in proptest::collection::vec(any_proposal(), 0..12)) {
        let mandates = given_chain(proposals);
        for pair in mandates.windows(2) {
            prop_assert!(pair[1].depth_max < pair[0].depth_max);
            prop_assert!(pair[0].scope.contains(&pair[1].scope));
            prop_assert_eq!(pair[1].grantor, pair[0].grantee);
        }
        let people: BTreeSet<UserId> = mandates.iter().map(|mandate| mandate.grantee).collect();
        prop_assert_eq!(people.len(), mandates.len());
    }

    /// Caps and accounts, spent and transferred in any order through any mandate of a tree, are never
    /// overdrawn, and shares given out of one mandate never exceed the whole.
    #[test]
    fn envelopes_are_never_overdrawn(
        steps in proptest::collection::vec((any::<proptest::sample::Index>(), any_proposal(), 1_i64..40, any::<bool>()), 1..40),
    ) {
        let mut tree = Tree::new();
        for (which, proposal, amount_micro, gives) in steps {
            let holder = which.index(tree.links.len());
            if gives { tree.give(holder, proposal) } else { tree.spend(holder, amount_micro) }
            tree.check()?;
        }
    }

    /// The same mandates in any order choose the same one.
    #[test]
    fn the_nearest_mandate_is_deterministic(proposals in proptest::collection::vec(any_proposal(), 1..6), rotation in 0_usize..6) {
        let chains: Vec<Chain> = proposals
            .into_iter()
            .enumerate()
            .filter_map(|(index, proposal)| {
                let proposal = Proposal { id: id(index as u128 + 1), grantee: person(1), ..proposal };
                let given = give(NOW, &chain(&[root()]), person(0), 0, proposal).ok()?;
                Some(chain(&[root(), given.mandate]))
            })
            .collect();
        let mut rotated = chains.clone();
        rotated.rotate_left(if chains.is_empty() { 0 } else { rotation % chains.len() });
        let one = nearest(NOW, &chains, &request(person(1))).map(|(chain, result)| (chain.ids(), result.is_ok()));
        let other = nearest(NOW, &rotated, &request(person(1))).map(|(chain, result)| (chain.ids(), result.is_ok()));
        prop_assert_eq!(one.map(|(_, ok)| ok), other.clone().map(|(_, ok)| ok));
        if let (Some((ids, true)), Some((other_ids, true))) = (
            nearest(NOW, &chains, &request(person(1))).map(|(chain, result)| (chain.ids(), result.is_ok())),
            other,
        ) {
            prop_assert_eq!(ids, other_ids);
        }
    }
}

/// A tree of mandates with its counters, as a store keeps them.
struct Tree {
    links: Vec<Link>,
    shares: BTreeMap<MandateId, u32>,
}

impl Tree {
    fn new() -> Self {
        Self { links: vec![link(root())], shares: BTreeMap::new() }
    }

    fn chain_of(&self, index: usize) -> Chain {
        let mut links = vec![self.links[index].clone()];
        while let Some(parent) = links.last().and_then(|link| link.mandate.parent) {
            links.push(self.links.iter().find(|link| link.mandate.id == parent).unwrap().clone());
        }
        Chain::new(links).unwrap()
    }

    fn book(&mut self, charge: &backlot_infrastructure_mandates::Charge, amount_micro: i64) {
        for link in &mut self.links {
            if charge.caps.contains(&link.mandate.id) {
                link.counted_micro += amount_micro;
            }
            if charge.source == Source::Envelope(link.mandate.id) {
                link.account_micro -= amount_micro;
            }
        }
    }

    fn give(&mut self, holder: usize, proposal: Proposal) {
        let parent = self.chain_of(holder);
        let shared = self.shares.get(&parent.leaf().id).copied().unwrap_or(0);
        let proposal = Proposal {
            id: id(self.links.len() as u128),
            grantee: person(self.links.len() as u128),
            ..proposal
        };
        if let Ok(given) = give(NOW, &parent, parent.leaf().grantee, shared, proposal) {
            if let (Some(charge), Some(amount)) = (&given.charge, given.mandate.envelope.limit_micro()) {
                self.book(charge, amount);
            }
            *self.shares.entry(parent.leaf().id).or_default() += given.mandate.share_bps;
            self.links.push(link(given.mandate));
        }
    }

    fn spend(&mut self, holder: usize, amount_micro: i64) {
        let chain = self.chain_of(holder);
        let scope = chain.leaf().scope;
        let request = Request {
            actor: chain.leaf().grantee,
            scope,
            action: "tools.run",
            tool: None,
            unit_price_micro: 0,
            amount_micro,
        };
        if let Decision::Allowed(allowance) = decide(NOW, &chain, &request) {
            self.book(&allowance.charge, amount_micro);
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for link in &self.links {
            match link.mandate.envelope {
                Envelope::Unlimited => {}
                Envelope::Cap { limit_micro, .. } => prop_assert!(link.counted_micro <= limit_micro),
                Envelope::Transfer { .. } => prop_assert!(link.account_micro >= 0),
            }
        }
        prop_assert!(self.shares.values().all(|share| *share <= 10_000));
        Ok(())
    }
}

fn proposal_to(grantee: u128) -> Proposal {
    Proposal {
        id: id(99),
        grantee: person(grantee),
        project: None,
        actions: BTreeSet::from([ActionPattern::parse("tools.run").unwrap()]),
        conditions: Conditions::default(),
        envelope: Envelope::Cap { limit_micro: 100, period: Period::Life },
        depth_max: 1,
        not_before: None,
        expires_at: None,
        share_bps: 0,
        purpose: "test".to_owned(),
    }
}

#[test]
fn nobody_raises_themselves_through_somebody_they_gave_to() {
    let given = give(NOW, &chain(&[root()]), person(0), 0, proposal_to(1)).unwrap();
    let below = chain(&[root(), given.mandate]);
    let back = Proposal { depth_max: 0, ..proposal_to(0) };
    assert_eq!(give(NOW, &below, person(1), 0, back), Err(GiveRefusal::SelfRaise));
    let to_self = Proposal { depth_max: 0, ..proposal_to(1) };
    assert_eq!(give(NOW, &below, person(1), 0, to_self), Err(GiveRefusal::SelfRaise));
}

#[test]
fn an_exceeded_envelope_names_whose_mandate_it_is() {
    let given = give(NOW, &chain(&[root()]), person(0), 0, proposal_to(1)).unwrap();
    let below = chain(&[root(), given.mandate]);
    let asked = Request { amount_micro: 101, ..request(person(1)) };
    let Decision::Refused(refusal) = decide(NOW, &below, &asked) else { panic!("allowed") };
    assert_eq!(
        (refusal.reason, refusal.holder, refusal.left_micro),
        (Reason::EnvelopeExceeded, person(1), Some(100))
    );
}

#[test]
fn a_cap_above_counts_what_it_transfers_once() {
    let capped = give(NOW, &chain(&[root()]), person(0), 0, proposal_to(1)).unwrap().mandate;
    let transfer = Proposal {
        id: id(2),
        envelope: Envelope::Transfer { amount_micro: 60 },
        depth_max: 0,
        ..proposal_to(2)
    };
    let given = give(NOW, &chain(&[root(), capped.clone()]), person(1), 0, transfer).unwrap();
    let charge = given.charge.unwrap();
    assert_eq!((charge.source, charge.caps), (Source::Grants, vec![capped.id]));
    let used_up = Link { counted_micro: 100, ..link(capped) };
    let below = Chain::new(vec![link(given.mandate), used_up, link(root())]).unwrap();
    let asked = Request { amount_micro: 60, ..request(person(2)) };
    let Decision::Allowed(allowance) = decide(NOW, &below, &asked) else { panic!("refused") };
    assert_eq!((allowance.charge.source, allowance.charge.caps), (Source::Envelope(id(2)), vec![]));
}

#[test]
fn only_those_above_and_the_holder_take_a_mandate_back() {
    let given = give(NOW, &chain(&[root()]), person(0), 0, proposal_to(1)).unwrap().mandate;
    let below = chain(&[root(), given]);
    assert!(may_revoke(NOW, &below, person(0)));
    assert!(may_revoke(NOW, &below, person(1)));
    assert!(!may_revoke(NOW, &below, person(2)));
    assert!(!may_revoke(NOW, &chain(&[root()]), person(0)), "the root is protected");
}

#[test]
fn rows_that_make_no_chain_are_refused() {
    let orphan = Mandate { id: id(1), parent: Some(id(7)), ..root() };
    assert_eq!(Chain::new(vec![]), Err(ChainError::Empty));
    assert_eq!(Chain::new(vec![link(orphan.clone())]), Err(ChainError::Broken(id(1))));
    assert_eq!(Chain::new(vec![link(orphan), link(root())]), Err(ChainError::Broken(id(1))));
    let own_parent = Mandate { id: id(1), parent: Some(id(1)), ..root() };
    assert_eq!(Chain::new(vec![link(own_parent.clone()), link(own_parent)]), Err(ChainError::Cyclic(id(1))));
}
