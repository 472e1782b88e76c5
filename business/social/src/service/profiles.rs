//! Profiles: how people call themselves in the community.

use backlot_infrastructure_api::{AssetId, OrganisationId, UserId};

use super::{Service, Viewer, admit};
use crate::error::Error;
use crate::handle::Handle;
use crate::limits::{AVATAR_LEASE, BIO_CHARS_MAX, NAME_CHARS_MAX, PROFILES};
use crate::rows::Profile;
use crate::store::{self, NewProfile, Revocation, Saved, Standing};
use crate::systems::Grant;
use crate::text::{self, TextError};

/// Digits of an account's id that tell equal names apart, from its end.
const SUFFIX_CHARS: [usize; 5] = [0, 4, 6, 8, 12];

/// A profile as its person wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileChange {
    pub(crate) handle: String,
    pub(crate) name: String,
    pub(crate) bio: String,
    pub(crate) avatar: Option<AssetId>,
}

/// A picture that a profile is to show.
struct Picture {
    asset: AssetId,
    organisation: OrganisationId,
    /// Of the row that would take it back; `None` where it is shown already.
    version: Option<i64>,
}

impl Service {
    /// The caller's profile; where they have taken no part yet, what it would be is in the problem.
    pub(crate) async fn me(&self, viewer: &Viewer) -> Result<Profile, Error> {
        if let Some(profile) = self.store().profile(viewer.user).await? {
            return Ok(profile);
        }
        let new = self.suggested(viewer.user).await?;
        Err(Error::NoProfile { handle: new.handle, name: new.name })
    }

    /// The caller's profile, written where they take part for the first time.
    pub(crate) async fn participant(&self, viewer: &Viewer) -> Result<Profile, Error> {
        // A second request of the same person may write it first, or another person take the handle.
        for _ in 0..SUFFIX_CHARS.len() {
            if let Some(profile) = self.store().profile(viewer.user).await? {
                return if profile.is_active() { Ok(profile) } else { Err(Error::Banned) };
            }
            let new = self.suggested(viewer.user).await?;
            let tx = self.store().begin().await?;
            if store::save_profile(&tx, &new).await? == Saved::Yes {
                tx.commit().await?;
            }
        }
        Err(Error::HandleTaken("of that name".to_owned()))
    }

    async fn suggested(&self, user: UserId) -> Result<NewProfile, Error> {
        let shown = self.systems().display_name(user).await?;
        let name: String = shown.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        let name = text::line(&name, NAME_CHARS_MAX).unwrap_or_else(|_| "Somebody".to_owned());
        let tail: String = user.uuid().simple().to_string().chars().rev().collect();
        let mut handle = Handle::suggest(&name, &tail);
        for chars in SUFFIX_CHARS {
            handle = Handle::suggest(&name, tail.get(..chars).unwrap_or_default());
            if self.store().is_free(user, &handle.skeleton()).await? {
                break;
            }
        }
        Ok(NewProfile {
            user,
            skeleton: handle.skeleton(),
            handle: handle.as_str().to_owned(),
            name,
            bio: String::new(),
            avatar: None,
            at: self.now(),
        })
    }

    /// Writes what the caller wants to be called.
    pub(crate) async fn change_profile(
        &self,
        viewer: &Viewer,
        change: &ProfileChange,
    ) -> Result<Profile, Error> {
        let handle = Handle::parse(&change.handle).map_err(|error| Error::field("/handle", error))?;
        let name = text::line(&change.name, NAME_CHARS_MAX).map_err(|error| Error::field("/name", error))?;
        let bio = match text::lines(&change.bio, BIO_CHARS_MAX) {
            Ok(bio) => bio,
            Err(TextError::Empty) => String::new(),
            Err(error) => return Err(Error::field("/bio", error)),
        };
        let before = self.participant(viewer).await?;
        let avatar = self.avatar(viewer, &before, change.avatar).await?;
        let now = self.now();
        let new = NewProfile {
            user: viewer.user,
            skeleton: handle.skeleton(),
            handle: handle.as_str().to_owned(),
            name,
            bio,
            avatar: avatar.as_ref().map(|picture| (picture.asset, picture.organisation)),
            at: now,
        };
        let tx = self.store().begin().await?;
        admit(&tx, &before, PROFILES, now).await?;
        if store::save_profile(&tx, &new).await? == Saved::HandleTaken {
            return Err(Error::HandleTaken(new.handle));
        }
        if let Some(Picture { asset, version: Some(version), .. }) = avatar {
            store::revoked(&tx, asset, &viewer.user.to_string(), version).await?;
        }
        if let (Some(asset_id), Some(organisation_id)) = (before.avatar_asset, before.avatar_organisation)
            && avatar.as_ref().is_none_or(|picture| picture.asset != asset_id)
        {
            let (grant_id, version) = (viewer.user.to_string(), now.micros());
            store::revoke_later(&tx, &Revocation { asset_id, grant_id, organisation_id, version }, now)
                .await?;
        }
        tx.commit().await?;
        self.wake();
        self.me(viewer).await
    }

    /// The avatar is made public before the profile names it. First a row says that this is to be taken back, so
    /// that it is where a crash comes between; the profile's own transaction removes that row.
    async fn avatar(
        &self,
        viewer: &Viewer,
        before: &Profile,
        wanted: Option<AssetId>,
    ) -> Result<Option<Picture>, Error> {
        let Some(asset) = wanted else { return Ok(None) };
        if let (Some(old), Some(organisation)) = (before.avatar_asset, before.avatar_organisation)
            && old == asset
        {
            return Ok(Some(Picture { asset, organisation, version: None }));
        }
        let organisation = viewer.organisation.ok_or(Error::NoOrganisation)?;
        let media = self.systems().media(organisation, asset).await?;
        let fits = media.as_ref().filter(|media| media.ready && media.content_type.starts_with("image/"));
        let Some(media) = fits else {
            return Err(Error::field("/avatar_asset", "is no ready picture of your organisation"));
        };
        self.systems().may_publish(organisation, viewer.user, &media.project_id).await?;
        let (now, name) = (self.now(), viewer.user.to_string());
        let version = now.micros();
        let back = Revocation {
            asset_id: asset,
            grant_id: name.clone(),
            organisation_id: organisation,
            version: version + 1,
        };
        let tx = self.store().begin().await?;
        store::revoke_later(&tx, &back, now.plus(AVATAR_LEASE)).await?;
        tx.commit().await?;
        let grant = Grant { asset, organisation, name, version, public: true };
        self.systems().set_public(&grant).await?;
        Ok(Some(Picture { asset, organisation, version: Some(version + 1) }))
    }

    /// Somebody's profile, and how the caller stands to them; unknown where they block the caller.
    pub(crate) async fn profile_of(
        &self,
        viewer: &Viewer,
        handle: &str,
    ) -> Result<(Profile, Standing), Error> {
        let shown: String = handle.chars().take(64).collect();
        let unknown = || Error::ProfileUnknown(shown.clone());
        let handle = Handle::parse(handle).map_err(|_| unknown())?;
        let profile = self.store().profile_by_handle(handle.as_str()).await?.ok_or_else(unknown)?;
        let standing = self.store().standing(viewer.user, profile.user_id).await?;
        let own = profile.user_id == viewer.user;
        if own || viewer.staff || (profile.is_active() && !standing.is_blocked) {
            return Ok((profile, standing));
        }
        Err(unknown())
    }

    /// An address of somebody's picture.
    pub(crate) async fn avatar_address(&self, viewer: &Viewer, handle: &str) -> Result<String, Error> {
        let (profile, _) = self.profile_of(viewer, handle).await?;
        let asset = profile.avatar_asset.ok_or_else(|| Error::ProfileUnknown(profile.handle.clone()))?;
        Ok(self.systems().sign(asset, &profile.user_id.to_string(), true).await?)
    }
}
