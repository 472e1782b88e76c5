//! Who is on a board and where they point: known while somebody is connected, and never stored.

use std::collections::HashMap;

use backlot_business_api::doors::Named;
use backlot_foundation_time::Timestamp;
use serde_json::{Map, Value};

use crate::frames::{self, Presence};
use crate::limits::{
    AWARENESS_BYTES_MAX, AWARENESS_PER_SESSION_MAX, PRESENCE_SILENCE, PRESENCES_ELSEWHERE_MAX,
};

/// Where somebody is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At this replica, with this connection.
    Here(u64),
    /// At another one, which spoke of them last at this moment.
    Elsewhere(Timestamp),
}

/// A presence, and whose it is.
#[derive(Debug)]
struct Known {
    presence: Presence,
    place: Place,
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

    /// Those who are connected here, each with whose presence it is.
    pub(crate) fn here(&self) -> Vec<(String, Presence)> {
        let here = self.0.values().filter(|known| matches!(known.place, Place::Here(_)));
        here.map(|known| (known.actor.clone(), known.presence.clone())).collect()
    }

    /// Takes in what a connection says, and answers what is new in it.
    ///
    /// Nobody speaks for somebody else, and y-websocket repeats what it has heard of others: such parts are left
    /// out. The same person's next connection takes over what their lost one has left behind. Whatever a client
    /// says of who it is, its presence has the name of who is connected.
    pub(crate) fn hear(
        &mut self,
        session: u64,
        actor: &str,
        name: &Named,
        said: Vec<Presence>,
    ) -> Vec<Presence> {
        let mut heard = Vec::new();
        for presence in said {
            let before = self.0.get(&presence.client);
            let is_own = before.is_some_and(|known| known.place == Place::Here(session));
            let foreign = before.is_some_and(|known| !is_own && known.actor != actor);
            let old = before.is_some_and(|known| known.presence.clock > presence.clock);
            if foreign || old {
                continue;
            }
            let Some(presence) = signed(presence, actor, name) else { continue };
            if presence.json == GONE {
                self.0.remove(&presence.client);
            } else {
                let own = self.0.values().filter(|known| known.place == Place::Here(session)).count();
                if !is_own && own >= AWARENESS_PER_SESSION_MAX {
                    continue;
                }
                let (place, actor) = (Place::Here(session), actor.to_owned());
                self.0.insert(presence.client, Known { presence: presence.clone(), place, actor });
            }
            heard.push(presence);
        }
        heard
    }

    /// Takes in what another replica says of somebody there; true: it is new.
    pub(crate) fn hear_elsewhere(&mut self, actor: &str, presence: &Presence, now: Timestamp) -> bool {
        let before = self.0.get(&presence.client);
        let mut elsewhere = self.0.values().filter(|known| matches!(known.place, Place::Elsewhere(_)));
        let full = before.is_none() && elsewhere.nth(PRESENCES_ELSEWHERE_MAX - 1).is_some();
        let known_better = before.is_some_and(|known| {
            known.actor != actor
                || known.presence.clock > presence.clock
                || (matches!(known.place, Place::Here(_)) && known.presence.clock == presence.clock)
        });
        if full || known_better || presence.json.len() > AWARENESS_BYTES_MAX {
            return false;
        }
        let is_new = before.is_none_or(|known| known.presence != *presence);
        if presence.json == GONE {
            return self.0.remove(&presence.client).is_some();
        }
        let (place, actor) = (Place::Elsewhere(now), actor.to_owned());
        self.0.insert(presence.client, Known { presence: presence.clone(), place, actor });
        is_new
    }

    /// Forgets a connection that is gone; answers what the others are to hear of it.
    pub(crate) fn leave(&mut self, session: u64) -> Vec<(String, Presence)> {
        self.gone(|place| place == Place::Here(session))
    }

    /// Forgets whom another replica has not spoken of for long: it ended without a word.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<Presence> {
        let silent = |place| matches!(place, Place::Elsewhere(at) if at.plus(PRESENCE_SILENCE) <= now);
        self.gone(silent).into_iter().map(|(_, presence)| presence).collect()
    }

    fn gone(&mut self, is_gone: impl Fn(Place) -> bool) -> Vec<(String, Presence)> {
        let gone = self.0.extract_if(|_, known| is_gone(known.place));
        gone.map(|(_, known)| {
            let clock = known.presence.clock + 1;
            (known.actor, Presence { clock, json: GONE.to_owned(), ..known.presence })
        })
        .collect()
    }
}

/// What the presence of somebody says who is gone.
const GONE: &str = "null";

/// The presence with its person's id, name and handle under `user`; `None` where it is none, or too large.
fn signed(presence: Presence, actor: &str, name: &Named) -> Option<Presence> {
    if presence.json == GONE {
        return Some(presence);
    }
    if presence.json.len() > AWARENESS_BYTES_MAX {
        return None;
    }
    let mut state: Map<String, Value> = serde_json::from_str(&presence.json).ok()?;
    let user = state.entry("user").or_insert_with(|| Value::Object(Map::new()));
    if !user.is_object() {
        *user = Value::Object(Map::new());
    }
    user["id"] = actor.into();
    user["name"] = name.name.as_str().into();
    user["handle"] = name.handle.as_deref().into();
    let json = Value::Object(state).to_string();
    (json.len() <= AWARENESS_BYTES_MAX).then_some(Presence { json, ..presence })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Named {
        Named { name: name.to_owned(), handle: None }
    }

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
        assert_eq!(presences.hear(1, "ada", &named("Ada"), says(7, 1, "{}")).len(), 1);
        assert!(presences.hear(2, "bob", &named("Bob"), says(7, 2, "{\"cursor\":1}")).is_empty());
        assert!(presences.hear(2, "bob", &named("Bob"), says(7, 2, "null")).is_empty());
        assert_eq!(count(&presences), 1);
    }

    #[test]
    fn the_same_persons_next_connection_takes_over() {
        let mut presences = Presences::default();
        presences.hear(1, "ada", &named("Ada"), says(7, 1, "{}"));
        assert_eq!(presences.hear(2, "ada", &named("Ada"), says(7, 1, "{}")).len(), 1);
        assert!(presences.leave(1).is_empty(), "what the new connection says stays");
        let gone: Vec<Presence> = presences.leave(2).into_iter().map(|(_, presence)| presence).collect();
        assert_eq!(gone, says(7, 2, "null"));
        assert_eq!(count(&presences), 0);
    }

    #[test]
    fn size_and_count_have_limits() {
        let mut presences = Presences::default();
        let large = format!("{{\"x\":\"{}\"}}", "x".repeat(AWARENESS_BYTES_MAX));
        assert!(presences.hear(1, "ada", &named("Ada"), says(1, 1, &large)).is_empty());
        for client in 0..100 {
            presences.hear(1, "ada", &named("Ada"), says(client, 1, "{}"));
        }
        assert_eq!(count(&presences), AWARENESS_PER_SESSION_MAX);
        // Another connection of the same person has as many of its own, and takes none of the others' beyond that.
        for client in 0..100 {
            presences.hear(2, "ada", &named("Ada"), says(client, 2, "{}"));
        }
        let gone = presences.leave(2).len();
        assert_eq!(gone, AWARENESS_PER_SESSION_MAX);
    }

    #[test]
    fn what_was_overtaken_is_not_heard_and_what_left_may_come_back() {
        let mut presences = Presences::default();
        presences.hear(1, "ada", &named("Ada"), says(7, 5, "{}"));
        assert!(presences.hear(1, "ada", &named("Ada"), says(7, 4, "{\"old\":true}")).is_empty());
        assert_eq!(presences.hear(1, "ada", &named("Ada"), says(7, 6, "null")).len(), 1);
        assert!(presences.message().is_none());
        assert_eq!(presences.hear(1, "ada", &named("Ada"), says(7, 7, "{}")).len(), 1);
    }

    #[test]
    fn a_presence_has_the_name_of_who_is_connected() {
        let mut presences = Presences::default();
        let name = Named { name: "Ada".to_owned(), handle: Some("ada_l".to_owned()) };
        let lies = says(7, 1, r##"{"user":{"name":"Bob","color":"#fff"},"cursor":{"x":1}}"##);
        let heard = presences.hear(1, "ada", &name, lies);
        let state: Value = serde_json::from_str(&heard[0].json).unwrap();
        let user = serde_json::json!({ "id": "ada", "name": "Ada", "handle": "ada_l", "color": "#fff" });
        assert_eq!((&state["user"], &state["cursor"]["x"]), (&user, &1.into()));
        for odd in [r#"{"user":7}"#, "{}"] {
            let heard = presences.hear(1, "ada", &name, says(7, 2, odd));
            assert!(heard[0].json.contains("\"Ada\""), "{odd}");
        }
        for none in ["7", "\"x\"", "[]", "{"] {
            assert!(presences.hear(1, "ada", &name, says(8, 1, none)).is_empty(), "{none}");
        }
    }

    #[test]
    fn who_is_elsewhere_is_known_until_nobody_speaks_of_them() {
        let mut presences = Presences::default();
        let (ada, at) = (named("Ada"), Timestamp::from_micros);
        let said = says(7, 1, "{}").remove(0);
        assert!(presences.hear_elsewhere("bob", &said, at(0)));
        assert!(!presences.hear_elsewhere("bob", &said, at(40_000_000)), "it is known, and heard of again");
        assert!(!presences.hear_elsewhere("eve", &Presence { clock: 9, ..said.clone() }, at(0)));
        assert!(
            presences.hear(1, "ada", &ada, says(7, 5, "{}")).is_empty(),
            "nobody speaks for somebody else"
        );
        assert!(presences.here().is_empty() && presences.message().is_some());
        assert!(presences.expire(at(84_000_000)).is_empty());
        let gone = presences.expire(at(85_000_000));
        assert_eq!(gone, says(7, 2, "null"));
        // Who comes from there is here, whatever is still said there.
        presences.hear_elsewhere("ada", &said, at(0));
        assert_eq!(presences.hear(1, "ada", &ada, says(7, 2, "{}")).len(), 1);
        let late = Presence { json: "null".to_owned(), clock: 2, ..said };
        assert!(!presences.hear_elsewhere("ada", &late, at(0)));
        assert_eq!(presences.here().len(), 1);
    }
}
