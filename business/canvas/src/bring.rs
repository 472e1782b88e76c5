//! Files that people bring to a board.
//!
//! A file belongs to the board's organisation, which pays for its space and may keep it: that is where runs and films
//! of the board look for it. Who belongs elsewhere brings it on the authority of whoever named them on the board, and
//! within limits of their own.

use backlot_business_api::BoardId;
use backlot_foundation_errors::{Kind, Problem, codes};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::AssetId;
use backlot_infrastructure_api::v1::storage_client::StorageClient;
use backlot_infrastructure_api::v1::{
    Asset, BeginUploadRequest, CancelUploadRequest, CompleteUploadRequest, Upload,
};

use crate::error::Error;
use crate::limits::{GUEST_BYTES_MAX, GUEST_FILE_BYTES_MAX, GUEST_UPLOAD_LIFE, GUEST_UPLOADS_OPEN_MAX};
use crate::role::Role;
use crate::service::{Actor, Service};
use crate::store::{BoardRow, UploadRow};

/// What a mandate must allow to bring files into an organisation.
const ACTION_BRING: &str = "assets.write";

/// A file to bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewFile {
    pub(crate) name: String,
    pub(crate) content_type: String,
    pub(crate) size_bytes: i64,
}

impl Service {
    /// Says where the bytes of a file go, and what its asset will be called.
    pub(crate) async fn begin_file(
        &self,
        actor: &Actor,
        id: BoardId,
        file: NewFile,
    ) -> Result<(AssetId, Upload), Error> {
        let (board, _) = self.at_least(actor, id, Role::Editor).await?;
        self.may_bring(actor, &board).await?;
        let is_guest = board.organisation_id != actor.organisation;
        if is_guest && file.size_bytes > GUEST_FILE_BYTES_MAX {
            let message = format!("a guest's file has at most {GUEST_FILE_BYTES_MAX} bytes");
            return Err(Error::Field { pointer: "/size_bytes", message });
        }
        let asset = AssetId::generate();
        let now = self.now();
        // The row first: what storage knows of after a crash is counted here, too.
        let row = UploadRow {
            asset_id: asset,
            user_id: actor.id.clone(),
            size_bytes: file.size_bytes.max(0),
            created_at: now,
            completed_at: None,
        };
        if is_guest {
            let open_since = Timestamp::from_micros(now.micros() - GUEST_UPLOAD_LIFE.as_micros() as i64);
            let brought = self.store().insert_guest_upload(id, &row, open_since).await?;
            if brought.open > GUEST_UPLOADS_OPEN_MAX {
                return Err(Error::Full {
                    what: "files that a guest is bringing",
                    max: GUEST_UPLOADS_OPEN_MAX,
                });
            }
            if brought.bytes > GUEST_BYTES_MAX {
                return Err(Error::Full { what: "bytes of a guest", max: GUEST_BYTES_MAX as u64 });
            }
        } else {
            self.store().insert_upload(id, &row).await?;
        }
        let request = BeginUploadRequest {
            asset_id: asset.to_string(),
            organisation_id: board.organisation_id.to_string(),
            project_id: board.project_id.map(|id| id.to_string()).unwrap_or_default(),
            actor_id: actor.id.clone(),
            name: file.name,
            content_type: file.content_type,
            size_bytes: file.size_bytes,
        };
        match StorageClient::new(self.infrastructure()).begin_upload(request).await.map_err(Problem::from) {
            Ok(upload) => Ok((asset, upload.into_inner())),
            Err(problem) => {
                // It holds no place of the guest's; where this fails, the place is free again in an hour.
                self.store().forget_upload(id, asset).await?;
                Err(problem.into())
            }
        }
    }

    /// Makes what was uploaded a file of the board. Doing it again gives the same answer.
    pub(crate) async fn complete_file(
        &self,
        actor: &Actor,
        id: BoardId,
        asset: AssetId,
    ) -> Result<Asset, Error> {
        let unknown = || Error::MediaUnknown(asset.to_string());
        let (board, _) = self.at_least(actor, id, Role::Editor).await?;
        let upload = self.store().upload(id, asset).await?.ok_or_else(unknown)?;
        if upload.user_id != actor.id {
            return Err(unknown());
        }
        let request = CompleteUploadRequest {
            asset_id: asset.to_string(),
            organisation_id: board.organisation_id.to_string(),
        };
        let made = StorageClient::new(self.infrastructure()).complete_upload(request).await;
        let made = match made.map_err(Problem::from) {
            Ok(made) => made.into_inner(),
            Err(problem) => {
                // Refused for good, and not only because its bytes have not arrived: it is no longer on its way.
                if matches!(
                    problem.kind,
                    Kind::UnsupportedMedia | Kind::TooLarge | Kind::Unprocessable | Kind::Gone
                ) {
                    self.store().forget_upload(id, asset).await?;
                }
                return Err(problem.into());
            }
        };
        // Looking at a large file takes a while: who was cut off meanwhile has put nothing on the board.
        self.at_least(actor, id, Role::Editor).await?;
        self.store().complete_upload(id, asset, self.now()).await?;
        Ok(made)
    }

    /// Takes back what was begun and is not yet a file: its place and its space are free at once.
    pub(crate) async fn cancel_file(&self, actor: &Actor, id: BoardId, asset: AssetId) -> Result<(), Error> {
        let unknown = || Error::MediaUnknown(asset.to_string());
        // Who may only look by now still takes back what they began.
        let (board, _) = self.at_least(actor, id, Role::Viewer).await?;
        let upload = self.store().upload(id, asset).await?.ok_or_else(unknown)?;
        if upload.user_id != actor.id {
            return Err(unknown());
        }
        let request = CancelUploadRequest {
            asset_id: asset.to_string(),
            organisation_id: board.organisation_id.to_string(),
            actor_id: actor.id.clone(),
        };
        // Storage first: after a crash in between it is asked again, and has nothing more to do.
        let canceled = StorageClient::new(self.infrastructure()).cancel_upload(request).await;
        if let Err(problem) = canceled.map_err(Problem::from)
            && problem.kind != Kind::NotFound
        {
            return Err(problem.into());
        }
        self.store().forget_upload(id, asset).await?;
        Ok(())
    }

    /// Own people bring files with a mandate of theirs; others with that of whoever named them.
    async fn may_bring(&self, actor: &Actor, board: &BoardRow) -> Result<(), Error> {
        let is_home = board.organisation_id == actor.organisation;
        let sponsor = match self.store().member(board.id, &actor.id).await? {
            Some(member) if !is_home => member.added_by,
            Some(_) | None => actor.id.clone(),
        };
        let sponsor = Actor { organisation: board.organisation_id, id: sponsor, credential: String::new() };
        if self.mandate_allows(&sponsor, ACTION_BRING, board.project_id).await? {
            return Ok(());
        }
        let detail = match is_home {
            true => format!("Bringing files here takes a mandate with the action \"{ACTION_BRING}\"."),
            false => "Whoever named you on this board may not bring files into its organisation any more. \
                      Ask its owner to name you again."
                .to_owned(),
        };
        Err(Problem::new(&codes::FORBIDDEN, detail).into())
    }
}
