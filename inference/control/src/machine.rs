//! A machine of a pool: what its row says, and what follows from that alone.

use backlot_foundation_time::Timestamp;

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MachineState {
    /// Its row is written; whether its provider has heard of it is not known.
    Ordered,
    /// Its provider has it; its agent has not joined.
    Booting,
    /// Its agent has joined.
    Joined,
    /// It gets nothing new, and goes when its work is done.
    Draining,
    /// Its provider is to take it away.
    Deleting,
    /// It is no more.
    Gone,
}

impl MachineState {
    /// All of them, in the order of a life.
    pub(crate) const ALL: [Self; 6] =
        [Self::Ordered, Self::Booting, Self::Joined, Self::Draining, Self::Deleting, Self::Gone];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Booting => "booting",
            Self::Joined => "joined",
            Self::Draining => "draining",
            Self::Deleting => "deleting",
            Self::Gone => "gone",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it counts among those that its pool has.
    pub(crate) const fn counts(self) -> bool {
        matches!(self, Self::Ordered | Self::Booting | Self::Joined)
    }
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its id, and the key under which its provider knows it.
    pub(crate) id: String,
    pub(crate) pool: String,
    /// Its agent; empty before that has joined.
    pub(crate) agent: String,
    pub(crate) state: MachineState,
    /// Why it goes, or is gone.
    pub(crate) reason: String,
    /// What its provider said last where that failed, or what its agent wrote last before it joined.
    pub(crate) message: String,
    /// Epoch of the driver that ordered it.
    pub(crate) epoch: u64,
    /// Workers that it has.
    pub(crate) workers: u32,
    pub(crate) price_micro_per_hour: i64,
    pub(crate) ordered_at: Timestamp,
    /// When its provider had it.
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) joined_at: Option<Timestamp>,
    /// When it began to go.
    pub(crate) leaving_at: Option<Timestamp>,
    pub(crate) gone_at: Option<Timestamp>,
}

impl Machine {
    /// What it cost between two moments, micro-dollars: from when its provider had it until it was gone.
    pub(crate) fn cost_micro(&self, from: Timestamp, to: Timestamp) -> i64 {
        const HOUR_US: i128 = 3_600_000_000;
        let Some(created_at) = self.created_at else { return 0 };
        let begin = created_at.micros().max(from.micros());
        let end = self.gone_at.map_or(to.micros(), |gone_at| gone_at.micros().min(to.micros()));
        let held_us = i128::from((end - begin).max(0));
        i64::try_from(held_us * i128::from(self.price_micro_per_hour) / HOUR_US).unwrap_or(i64::MAX)
    }

    /// Why its pool has one machine less than it should, for people.
    pub(crate) fn has_not_joined(&self, what: &str) -> String {
        if self.message.is_empty() {
            format!("{what}; its agent must reach inference.control.join_url")
        } else {
            format!(
                "{what}; its agent must reach inference.control.join_url, and wrote last: {}",
                self.message
            )
        }
    }

    /// It goes, for this reason; what is already on its way stays so.
    pub(crate) fn leave(&mut self, now: Timestamp, state: MachineState, reason: &str) {
        if self.leaving_at.is_none() {
            self.leaving_at = Some(now);
            self.reason = reason.to_owned();
        }
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_costs_from_its_making_to_its_end() {
        let at = |hours: i64| Timestamp::from_micros(hours * 3_600_000_000);
        let mut machine = Machine {
            id: "m".to_owned(),
            pool: "gpu".to_owned(),
            agent: String::new(),
            state: MachineState::Ordered,
            reason: String::new(),
            message: String::new(),
            epoch: 1,
            workers: 1,
            price_micro_per_hour: 1_200_000,
            ordered_at: at(0),
            created_at: None,
            joined_at: None,
            leaving_at: None,
            gone_at: None,
        };
        assert_eq!(machine.cost_micro(at(0), at(10)), 0, "what nobody made costs nothing");
        machine.created_at = Some(at(1));
        assert_eq!(machine.cost_micro(at(0), at(3)), 2_400_000);
        assert_eq!(machine.cost_micro(at(2), at(3)), 1_200_000, "only what lies in the day");
        machine.gone_at = Some(at(2));
        assert_eq!(machine.cost_micro(at(0), at(9)), 1_200_000);
        assert_eq!(machine.cost_micro(at(4), at(9)), 0);
    }
}
