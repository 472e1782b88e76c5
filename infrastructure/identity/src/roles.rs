//! What a membership's role may do, and the rule that nobody gives what they do not hold.

use std::fmt;
use std::str::FromStr;

/// A person's place in an organisation, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Holds the root mandate; at least one in every organisation.
    Owner,
    /// Manages people, projects and keys.
    Admin,
    /// Works.
    Member,
    /// Looks.
    Viewer,
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is none of owner, admin, member, viewer")]
pub struct UnknownRole;

impl Role {
    /// Every role, strongest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Viewer];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Owner => 3,
            Self::Admin => 2,
            Self::Member => 1,
            Self::Viewer => 0,
        }
    }

    /// Whether this role contains `other`: it is the same or stronger.
    pub const fn contains(self, other: Self) -> bool {
        self.rank() >= other.rank()
    }

    /// Whether this role may invite, change roles and remove people at all.
    pub const fn manages_people(self) -> bool {
        self.contains(Self::Admin)
    }

    /// Whether somebody of this role may turn `from` into `to` (no role: a stranger). Both ends must lie
    /// within what they hold: an admin neither makes an owner nor unmakes one.
    pub fn may_change(self, from: Option<Self>, to: Option<Self>) -> bool {
        self.manages_people() && from.into_iter().chain(to).all(|role| self.contains(role))
    }

    /// Whether this role may create projects.
    pub const fn creates_projects(self) -> bool {
        self.contains(Self::Admin)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gives_what_they_do_not_hold() {
        for role in Role::ALL {
            for from in Role::ALL.map(Some).into_iter().chain([None]) {
                for to in Role::ALL.map(Some).into_iter().chain([None]) {
                    let allowed = role.may_change(from, to);
                    let above = from.into_iter().chain(to).any(|other| other.rank() > role.rank());
                    assert_eq!(allowed, role.manages_people() && !above, "{role} {from:?} {to:?}");
                }
            }
        }
    }

    #[test]
    fn names_go_both_ways() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
    }
}
