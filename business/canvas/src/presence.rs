//! Who is on a board and where they point: known while somebody is connected, and never stored.

use std::collections::HashMap;

use crate::frames::{self, Presence};
use crate::limits::{AWARENESS_BYTES_MAX, AWARENESS_PER_SESSION_MAX};

/// A presence, and whose connection it is.
#[derive(Debug)]
struct Known {
    presence: Presence,
    session: u64,
    actor: String,
}

/// The presences of a board, by Yjs client.
#[derive(Debug, Default)]
pub(crate) struct Presences(HashMap<u64, Known>);

impl Presences {
    /// All of them as a message; `None`: nobody shows where they are.
    pub(crate) fn message(&self) -> Option<Vec<u8>> {
        (!self.0.is_empty()).then(|| frames::awareness(self.0.values().map(|known| &known.presence)))
    }

    /// Takes in what a connection says, and answers what is new in it.
    ///
    /// Nobody speaks for somebody else, and y-websocket repeats what it has heard of others: such parts are left
    /// out. The same person's next connection takes over what their lost one has left behind.
    pub(crate) fn hear(&mut self, session: u64, actor: &str, said: Vec<Presence>) -> Vec<Presence> {
        let mut heard = Vec::new();
        for presence in said {
            let before = self.0.get(&presence.client);
            let foreign = before.is_some_and(|known| known.session != session && known.actor != actor);
            let old = before.is_some_and(|known| known.presence.clock > presence.clock);
            if foreign || old || presence.json.len() > AWARENESS_BYTES_MAX {
                continue;
            }
            if presence.json == "null" {
                self.0.remove(&presence.client);
            } else {
                let own = self.0.values().filter(|known| known.session == session).count();
                let is_own = before.is_some_and(|known| known.session == session);
                if !is_own && own >= AWARENESS_PER_SESSION_MAX {
                    continue;
                }
                let known = Known { presence: presence.clone(), session, actor: actor.to_owned() };
                self.0.insert(presence.client, known);
            }
            heard.push(presence);
        }
        heard
    }

    /// Forgets a connection that is gone; answers what the others are to hear of it.
    pub(crate) fn leave(&mut self, session: u64) -> Vec<Presence> {
        let gone = self.0.extract_if(|_, known| known.session == session);
        gone.map(|(_, known)| Presence {
            clock: known.presence.clock + 1,
            json: "null".to_owned(),
            ..known.presence
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(client: u64, clock: u64, json: &str) -> Vec<Presence> {
        vec![Presence { client, clock, json: json.to_owned() }]
    }

    /// How many clients the board knows.
    fn count(presences: &Presences) -> usize {
        presences.0.len()
    }

    #[test]
    fn nobody_speaks_for_somebody_else() {
        let mut presences = Presences::default();
        assert_eq!(presences.hear(1, "ada", says(7, 1, "{}")).len(), 1);
        assert!(presences.hear(2, "bob", says(7, 2, "{\"cursor\":1}")).is_empty());
        assert!(presences.hear(2, "bob", says(7, 2, "null")).is_empty());
        assert_eq!(count(&presences), 1);
    }

    #[test]
    fn the_same_persons_next_connection_takes_over() {
        let mut presences = Presences::default();
        presences.hear(1, "ada", says(7, 1, "{}"));
        assert_eq!(presences.hear(2, "ada", says(7, 1, "{}")).len(), 1);
        assert!(presences.leave(1).is_empty(), "what the new connection says stays");
        assert_eq!(presences.leave(2), says(7, 2, "null"));
        assert_eq!(count(&presences), 0);
    }

    #[test]
    fn size_and_count_have_limits() {
        let mut presences = Presences::default();
        let large = format!("\"{}\"", "x".repeat(AWARENESS_BYTES_MAX));
        assert!(presences.hear(1, "ada", says(1, 1, &large)).is_empty());
        for client in 0..100 {
            presences.hear(1, "ada", says(client, 1, "{}"));
        }
        assert_eq!(count(&presences), AWARENESS_PER_SESSION_MAX);
        // Another connection of the same person has as many of its own, and takes none of the others' beyond that.
        for client in 0..100 {
            presences.hear(2, "ada", says(client, 2, "{}"));
        }
        let gone = presences.leave(2).len();
        assert_eq!(gone, AWARENESS_PER_SESSION_MAX);
    }

    #[test]
    fn what_was_overtaken_is_not_heard_and_what_left_may_come_back() {
        let mut presences = Presences::default();
        presences.hear(1, "ada", says(7, 5, "{}"));
        assert!(presences.hear(1, "ada", says(7, 4, "{\"old\":true}")).is_empty());
        assert_eq!(presences.hear(1, "ada", says(7, 6, "null")).len(), 1);
        assert!(presences.message().is_none());
        assert_eq!(presences.hear(1, "ada", says(7, 7, "{}")).len(), 1);
    }
}
