//! A machine of a pool: what its row says, and what follows from that alone.

use backlot_foundation_time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::pools::pause_ms;

/// Why machines go, as it stands in their rows.
pub(crate) mod reason {
    pub(crate) const NOT_NEEDED: &str = "not needed any more";
    pub(crate) const DID_NOT_COME: &str = "did not come";
    pub(crate) const NOT_THERE: &str = "it is not there any more";
    pub(crate) const TAKEN_AWAY: &str = "it is taken away";
    pub(crate) const UNKNOWN: &str = "nobody here ordered it";
}

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

    /// When it was lost before its agent had joined; nothing where it was not, or went because it was not needed.
    pub(crate) fn lost_at(&self) -> Option<Timestamp> {
        let lost =
            [reason::DID_NOT_COME, reason::NOT_THERE, reason::TAKEN_AWAY].contains(&self.reason.as_str());
        self.leaving_at.filter(|_| lost && self.joined_at.is_none())
    }

    /// Why its pool has one machine less than it should, for people.
    pub(crate) fn has_not_joined(&self, what: &str) -> String {
        let said = if self.message.is_empty() { "" } else { "; " };
        format!("{what}; its agent must reach inference.control.join_url{said}{}", self.message)
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

/// Machines of a pool that were lost one after another, none having joined since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Losses<'a> {
    /// The last of them.
    pub(crate) last: &'a Machine,
    /// Nothing is ordered before then.
    pub(crate) until: Timestamp,
}

/// What a pool's rows say of machines that did not join: by rows alone, so that a restart changes nothing.
pub(crate) fn losses<'a>(of_pool: impl Iterator<Item = &'a Machine> + Clone) -> Option<Losses<'a>> {
    let joined_at = of_pool.clone().filter_map(|one| one.joined_at).max();
    let since = of_pool.filter_map(|one| Some((one.lost_at()?, one)));
    let since = since.filter(|(at, _)| joined_at.is_none_or(|joined_at| joined_at < *at));
    let count = since.clone().count();
    let (at, last) = since.max_by_key(|(at, one)| (*at, &one.id))?;
    let pause_ms = pause_ms(u32::try_from(count).unwrap_or(u32::MAX));
    Some(Losses { last, until: at.plus(std::time::Duration::from_millis(jittered_ms(pause_ms, &last.id))) })
}

/// Three quarters of a pause to all of it, by whose pause it is: what failed together is not ordered together again.
fn jittered_ms(pause_ms: u64, id: &str) -> u64 {
    let share = u64::from(Sha256::digest(id)[0]);
    pause_ms - pause_ms * share / 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(id: &str) -> Machine {
        Machine {
            id: id.to_owned(),
            pool: "gpu".to_owned(),
            agent: String::new(),
            state: MachineState::Ordered,
            reason: String::new(),
            message: String::new(),
            epoch: 1,
            workers: 1,
            price_micro_per_hour: 1_200_000,
            ordered_at: Timestamp::from_micros(0),
            created_at: None,
            joined_at: None,
            leaving_at: None,
            gone_at: None,
        }
    }

    #[test]
    fn pauses_grow_with_what_was_lost_in_a_row_up_to_a_minute() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let lost = |second: i64, why: &str| {
            let mut one = machine(&format!("m{second}"));
            one.leave(at(second), MachineState::Deleting, why);
            one
        };
        let pause_ms = |rows: &[Machine]| {
            losses(rows.iter()).map(|found| found.until.since(found.last.leaving_at.unwrap()).as_millis())
        };
        let mut rows = vec![machine("in time"), lost(5, reason::NOT_NEEDED), lost(6, reason::UNKNOWN)];
        assert_eq!(pause_ms(&rows), None, "what was not needed is no loss");
        for (n, most_ms) in
            [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].into_iter().enumerate()
        {
            rows.push(lost(100 + n as i64, [reason::DID_NOT_COME, reason::NOT_THERE][n % 2]));
            let pause_ms = pause_ms(&rows).unwrap();
            assert!((most_ms * 3 / 4..=most_ms).contains(&pause_ms), "{n}: {pause_ms}");
        }
        assert_eq!(losses(rows.iter()).unwrap().last.id, "m107");
        let pauses: std::collections::BTreeSet<u64> =
            (0..9).map(|n| jittered_ms(60_000, &n.to_string())).collect();
        assert!(pauses.len() > 4, "not all at once: {pauses:?}");

        rows.push(Machine { joined_at: Some(at(106)), ..machine("joined") });
        let pause_ms = pause_ms(&rows).unwrap();
        assert!(pause_ms <= 1_000, "only what was lost since one joined counts: {pause_ms}");
        rows.push(Machine { joined_at: Some(at(200)), ..machine("joined later") });
        assert_eq!(losses(rows.iter()), None);
    }

    #[test]
    fn a_machine_costs_from_its_making_to_its_end() {
        let at = |hours: i64| Timestamp::from_micros(hours * 3_600_000_000);
        let mut machine = machine("m");
        assert_eq!(machine.cost_micro(at(0), at(10)), 0, "what nobody made costs nothing");
        machine.created_at = Some(at(1));
        assert_eq!(machine.cost_micro(at(0), at(3)), 2_400_000);
        assert_eq!(machine.cost_micro(at(2), at(3)), 1_200_000, "only what lies in the day");
        machine.gone_at = Some(at(2));
        assert_eq!(machine.cost_micro(at(0), at(9)), 1_200_000);
        assert_eq!(machine.cost_micro(at(4), at(9)), 0);
    }
}
