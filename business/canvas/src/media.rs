//! The media on a board, for people who are on it and belong to another organisation.
//!
//! A role on a board lets one look at what is on it. An id alone does not: whoever may edit could write any id into the
//! document. So a file is shown to strangers where the board's own organisation has put it there, or where a run of the
//! board has made it.

use std::collections::BTreeSet;

use backlot_business_api::BoardId;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::AssetId;
use backlot_infrastructure_api::v1::SignDownloadRequest;
use backlot_infrastructure_api::v1::storage_client::StorageClient;

use crate::error::Error;
use crate::limits::{MEDIA_OF_UPDATE_MAX, MEDIA_TTL_S};
use crate::model::Board;
use crate::role::Role;
use crate::service::{Actor, Service};

/// Characters of an id as text.
const ID_CHARS: usize = 36;

impl Service {
    /// An address of a file on the board, or of its preview, for a while.
    pub(crate) async fn media_address(
        &self,
        actor: &Actor,
        id: BoardId,
        asset: AssetId,
        preview: bool,
    ) -> Result<String, Error> {
        let (board, _) = self.at_least(actor, id, Role::Viewer).await?;
        let unknown = || Error::MediaUnknown(asset.to_string());
        let is_home = board.organisation_id == actor.organisation;
        let text = asset.to_string();
        let shown = self.store().was_made_here(id, &text).await?
            || ((is_home || self.store().was_put_here(id, &text).await?)
                && (board.preview_asset.as_deref() == Some(&text) || self.is_on(actor, id, &text).await?));
        if !shown {
            return Err(unknown());
        }
        let request = SignDownloadRequest {
            asset_id: text,
            organisation_id: board.organisation_id.to_string(),
            ttl_s: MEDIA_TTL_S,
            preview,
        };
        match StorageClient::new(self.infrastructure()).sign_download(request).await.map_err(Problem::from) {
            Ok(signed) => Ok(signed.into_inner().url),
            Err(problem) if problem.is_transient() => Err(problem.into()),
            // It was deleted, or never was this organisation's.
            Err(_) => Err(unknown()),
        }
    }

    async fn is_on(&self, actor: &Actor, id: BoardId, asset: &str) -> Result<bool, Error> {
        Ok(assets_of(&self.read(actor, id).await?.board).contains(asset))
    }
}

/// Everything in a board's parameters that may be a file.
pub(crate) fn assets_of(board: &Board) -> BTreeSet<String> {
    let texts = board.nodes.values().map(|node| serde_json::Value::Object(node.params.clone()).to_string());
    texts.flat_map(|text| ids_in(text.as_bytes())).collect()
}

/// Everything in these bytes that reads like an id. A text stands in an update as it is.
pub(crate) fn ids_in(bytes: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at + ID_CHARS <= bytes.len() && found.len() < MEDIA_OF_UPDATE_MAX {
        let part = &bytes[at..at + ID_CHARS];
        let is_id = part.iter().enumerate().all(|(n, byte)| match n {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
        });
        if is_id {
            found.insert(String::from_utf8_lossy(part).into_owned());
            at += ID_CHARS;
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Write;
    use crate::crdt::Document;

    #[test]
    fn a_file_is_found_in_the_update_that_puts_it_on_a_board() {
        let asset = AssetId::generate().to_string();
        let node = serde_json::json!({ "n": { "kind": "image", "params": { "asset": asset } } });
        let board = Board::read(&node, &serde_json::Value::Null, &serde_json::Value::Null);
        assert_eq!(assets_of(&board), BTreeSet::from([asset.clone()]));
        let update = Document::new().write(&[Write::Node(board.nodes["n"].clone())]);
        assert_eq!(ids_in(&update), BTreeSet::from([asset]));
    }

    #[test]
    fn what_only_looks_like_an_id_is_none() {
        for text in
            ["", "0197-", "01970000-0000-7000-8000-00000000000", "01970000+0000-7000-8000-000000000000"]
        {
            assert!(ids_in(text.as_bytes()).is_empty(), "{text}");
        }
        let two = "01970000-0000-7000-8000-00000000000101970000-0000-7000-8000-000000000002";
        assert_eq!(ids_in(two.as_bytes()).len(), 2);
    }
}
