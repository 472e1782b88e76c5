//! How people are called where they meet outside of the community: on boards.

use std::collections::HashMap;

use async_trait::async_trait;
use backlot_business_api::doors::{Named, People};
use backlot_foundation_errors::{Kind, Problem};
use backlot_infrastructure_api::UserId;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::Service;
use crate::error::Error;
use crate::limits::NAMES_AT_ONCE;
use crate::rows::profile_state;
use crate::view::GONE;

#[async_trait]
impl People for Service {
    /// As their profile says; who has none yet, as their account says.
    async fn named(&self, users: &[String]) -> Result<HashMap<String, Named>, Problem> {
        let users: Vec<UserId> = users.iter().filter_map(|user| UserId::parse(user).ok()).collect();
        let profiles = self.store().profiles(&users).await.map_err(Error::from)?;
        let others = users.into_iter().filter(|user| !profiles.contains_key(user));
        let accounts: Vec<(UserId, Option<String>)> = stream::iter(others)
            .map(|user| async move {
                match self.systems().display_name(user).await {
                    Ok(name) => Ok((user, Some(name).filter(|name| !name.trim().is_empty()))),
                    Err(problem) if problem.kind == Kind::NotFound => Ok((user, None)),
                    Err(problem) => Err(problem),
                }
            })
            .buffer_unordered(NAMES_AT_ONCE)
            .try_collect()
            .await?;
        let accounts = accounts.into_iter();
        let accounts = accounts.filter_map(|(user, name)| Some((user, Named { name: name?, handle: None })));
        let profiles = profiles.into_iter().map(|(user, profile)| {
            let gone = profile.state == profile_state::ERASED;
            let name = if gone { GONE.to_owned() } else { profile.name };
            (user, Named { name, handle: (!gone).then_some(profile.handle) })
        });
        Ok(profiles.chain(accounts).map(|(user, named)| (user.to_string(), named)).collect())
    }
}
