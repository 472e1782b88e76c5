//! What a room says to the other replicas of its board, and hears from them.

use super::Room;
use crate::frames::{self, Presence};
use crate::relay::Word;

impl Room {
    /// Takes in what another replica says.
    pub(super) fn relayed(&mut self, word: Word) {
        match word {
            Word::Presence { actor, client, clock, state } => {
                let presence = Presence { client, clock, json: state.to_string() };
                if self.presences.hear_elsewhere(&actor, &presence, self.ground.clock.now()) {
                    self.send(&frames::awareness(std::iter::once(&presence)), None);
                }
            }
            Word::Who => {
                let here = self.presences.here();
                self.say_later(here);
            }
            Word::News(news) => self.tell(&news),
        }
    }

    /// Asks the others who is with them, and says who is here.
    pub(super) fn ask_who(&mut self) {
        if let Some(relay) = &self.ground.relay {
            relay.say(self.id, Word::Who);
        }
        let here = self.presences.here();
        self.say_later(here);
    }

    /// Remembers what the others are to hear: of each client the last.
    pub(super) fn say_later(&mut self, presences: Vec<(String, Presence)>) {
        if self.ground.relay.is_some() {
            let named = presences.into_iter().map(|(actor, presence)| (presence.client, (actor, presence)));
            self.unsaid.extend(named);
        }
    }

    /// Says it.
    pub(super) fn say_presences(&mut self) {
        let Some(relay) = &self.ground.relay else { return };
        for (actor, presence) in self.unsaid.drain().map(|(_, said)| said) {
            if let Some(word) = Word::of(actor, presence) {
                relay.say(self.id, word);
            }
        }
    }
}
