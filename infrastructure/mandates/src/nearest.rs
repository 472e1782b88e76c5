//! Which of several mandates a request uses when it names none.

use std::cmp::Reverse;

use backlot_foundation_time::Timestamp;

use crate::{Allowance, Chain, Decision, Refusal, Request, decide};

/// Decides over each chain and takes the nearest that allows: the narrowest scope first, then the longest
/// chain, then the earliest expiry (spend first what is lost first), then the smaller id.
///
/// Where none allows, the refusal is that of the nearest chain whose refusal came latest in the order of
/// checks: an exceeded envelope says more than somebody else's scope. None where there is no chain.
#[must_use]
pub fn nearest<'a>(
    now: Timestamp,
    chains: &'a [Chain],
    request: &Request<'_>,
) -> Option<(&'a Chain, Result<Allowance, Refusal>)> {
    let mut ordered: Vec<&Chain> = chains.iter().collect();
    ordered.sort_by_key(|chain| {
        let leaf = chain.leaf();
        let expiry = leaf.expires_at.map_or(i64::MAX, Timestamp::micros);
        (leaf.scope.project.is_none(), Reverse(chain.links().len()), expiry, leaf.id)
    });
    let mut best_refusal: Option<(&Chain, Refusal)> = None;
    for chain in ordered {
        match decide(now, chain, request) {
            Decision::Allowed(allowance) => return Some((chain, Ok(allowance))),
            Decision::Refused(refusal) => {
                if best_refusal.as_ref().is_none_or(|(_, best)| refusal.reason > best.reason) {
                    best_refusal = Some((chain, refusal));
                }
            }
        }
    }
    best_refusal.map(|(chain, refusal)| (chain, Err(refusal)))
}
