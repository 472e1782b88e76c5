//! How the people on a board are called: asked of the community, and remembered for a while.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use backlot_business_api::doors::{Named, People};
use backlot_foundation_time::Timestamp;
use parking_lot::Mutex;

use crate::limits::{NAMES_KEPT_FOR, NAMES_KEPT_MAX};
use crate::service::Service;

/// What somebody is called whose name cannot be found now.
const SOMEBODY: &str = "Somebody";
/// What services are called: `service:NAME`.
const SERVICE: &str = "service:";

/// Whom to ask, and what they said.
#[derive(Default)]
pub(crate) struct Names {
    door: OnceLock<Arc<dyn People>>,
    known: Mutex<HashMap<String, (Named, Timestamp)>>,
}

impl Service {
    /// Says whom to ask how people are called. Until then everybody is somebody.
    pub fn set_people(&self, people: Arc<dyn People>) {
        // A second answer would be a mistake of the composition; the first one stays.
        let _ = self.names().door.set(people);
    }

    /// How each of these is called. Names never stand in the way: who cannot be asked about is somebody.
    pub(crate) async fn called(&self, users: BTreeSet<String>) -> HashMap<String, Named> {
        let now = self.now();
        let mut called = HashMap::with_capacity(users.len());
        {
            let known = self.names().known.lock();
            let fresh = |user: &String| {
                let (named, at) = known.get(user)?;
                (at.plus(NAMES_KEPT_FOR) > now).then(|| (user.clone(), named.clone()))
            };
            called.extend(users.iter().filter_map(fresh));
        }
        let missing: Vec<String> = users.into_iter().filter(|user| !called.contains_key(user)).collect();
        if !missing.is_empty() {
            self.ask_names(&missing, now, &mut called).await;
        }
        for user in missing {
            called.entry(user).or_insert_with_key(|user| unknown(user));
        }
        called
    }

    /// How one is called.
    pub(crate) async fn name_of(&self, user: &str) -> Named {
        self.called(BTreeSet::from([user.to_owned()])).await.remove(user).unwrap_or_else(|| unknown(user))
    }

    async fn ask_names(&self, missing: &[String], now: Timestamp, called: &mut HashMap<String, Named>) {
        let Some(door) = self.names().door.get() else { return };
        match door.named(missing).await {
            Ok(found) => {
                let mut known = self.names().known.lock();
                if known.len() + found.len() > NAMES_KEPT_MAX {
                    known.clear();
                }
                known.extend(found.iter().map(|(user, named)| (user.clone(), (named.clone(), now))));
                called.extend(found);
            }
            Err(problem) => tracing::warn!(%problem, "names cannot be asked for now"),
        }
    }
}

fn unknown(user: &str) -> Named {
    let name = user.strip_prefix(SERVICE).filter(|name| !name.is_empty()).unwrap_or(SOMEBODY);
    Named { name: name.to_owned(), handle: None }
}
