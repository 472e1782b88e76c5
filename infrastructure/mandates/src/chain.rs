//! A mandate with all its ancestors.

use std::collections::BTreeSet;

use backlot_infrastructure_api::{MandateId, UserId};

use crate::Mandate;

/// The longest chain, the root included.
pub const CHAIN_LINKS_MAX: usize = 9;

/// One mandate of a chain with what its envelope has seen so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The mandate.
    pub mandate: Mandate,
    /// For a cap: held and spent in the period of now, transfers to children included.
    pub counted_micro: i64,
    /// For a transfer: what lies in its account now.
    pub account_micro: i64,
}

/// Rows that make no chain: a fault of whoever stored them, never of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No mandate at all.
    #[error("a chain needs at least the root")]
    Empty,
    /// More than [`CHAIN_LINKS_MAX`].
    #[error("a chain of {0} mandates is longer than the limit")]
    TooLong(usize),
    /// A mandate that is not followed by its parent, or a last one that still names one.
    #[error("mandate {0} is not followed by its parent")]
    Broken(MandateId),
    /// A mandate that is its own ancestor.
    #[error("mandate {0} appears twice")]
    Cyclic(MandateId),
}

/// A mandate, its parent, and so on up to the root; never empty, acyclic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    links: Vec<Link>,
}

impl Chain {
    /// Takes the links from the mandate up to the root.
    pub fn new(links: Vec<Link>) -> Result<Self, ChainError> {
        if links.is_empty() {
            return Err(ChainError::Empty);
        }
        if links.len() > CHAIN_LINKS_MAX {
            return Err(ChainError::TooLong(links.len()));
        }
        let mut seen = BTreeSet::new();
        for (index, link) in links.iter().enumerate() {
            if !seen.insert(link.mandate.id) {
                return Err(ChainError::Cyclic(link.mandate.id));
            }
            let above = links.get(index + 1).map(|parent| parent.mandate.id);
            if link.mandate.parent != above {
                return Err(ChainError::Broken(link.mandate.id));
            }
        }
        Ok(Self { links })
    }

    /// The mandate at the bottom: the one that is used.
    #[must_use]
    pub fn leaf(&self) -> &Mandate {
        // A chain is never empty: `new` refuses it.
        &self.links[0].mandate
    }

    /// From the mandate up to the root.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Ids from the mandate up to the root.
    #[must_use]
    pub fn ids(&self) -> Vec<MandateId> {
        self.links.iter().map(|link| link.mandate.id).collect()
    }

    /// Whether this person holds any mandate of the chain.
    #[must_use]
    pub fn is_held_by(&self, person: UserId) -> bool {
        self.links.iter().any(|link| link.mandate.grantee == person)
    }
}
