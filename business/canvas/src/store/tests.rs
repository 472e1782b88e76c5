//! Each fact on SQLite, and on PostgreSQL where there is one.

use backlot_business_api::{BoardRunId, BoardShareId, RunId, TakeId};
use backlot_foundation_testkit::TestDb;

use backlot_infrastructure_api::AssetId;

use super::media::Brought;
use super::*;
use crate::limits::{GUEST_BYTES_MAX, GUEST_UPLOADS_OPEN_MAX};
use crate::testing::{board_row, migrated};

async fn stores() -> Vec<(TestDb, Store)> {
    let databases = migrated().await.into_iter();
    databases
        .map(|database| {
            let store = Store::new(database.db.clone());
            (database, store)
        })
        .collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn update(bytes: &[u8]) -> NewUpdate {
    NewUpdate { bytes: bytes.to_vec(), actor: "ada".to_owned(), is_home: true }
}

#[tokio::test]
async fn an_update_is_there_in_order_and_folds_away() {
    for (_db, store) in stores().await {
        let row = board_row();
        store.insert(&row, Some(vec![9])).await.unwrap();
        let first = store.append(row.id, 0, &[update(b"a"), update(b"b")], 1, at(2)).await.unwrap().unwrap();
        assert_eq!(first, Appended { seq: 2, missed: Some(Vec::new()) });
        // Another replica that has seen nothing yet hears of both.
        let second = store.append(row.id, 0, &[update(b"c")], 2, at(3)).await.unwrap().unwrap();
        assert_eq!(second, Appended { seq: 3, missed: Some(vec![b"a".to_vec(), b"b".to_vec()]) });
        let stored = store.document(row.id).await.unwrap().unwrap();
        assert_eq!((stored.snapshot, stored.seq), (Some(vec![9]), 3));
        assert_eq!(stored.updates, [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);

        assert!(!store.compact(row.id, 2, vec![1]).await.unwrap(), "another has written since");
        assert!(store.compact(row.id, 3, vec![1, 2]).await.unwrap());
        let stored = store.document(row.id).await.unwrap().unwrap();
        assert_eq!((stored.snapshot, stored.updates.len(), stored.seq), (Some(vec![1, 2]), 0, 3));

        // Who has not seen what was folded is told to read everything, not that nothing came between.
        let late = store.append(row.id, 1, &[update(b"d")], 2, at(4)).await.unwrap().unwrap();
        assert_eq!(late, Appended { seq: 4, missed: None });

        store.delete(row.id, at(4)).await.unwrap();
        assert!(store.append(row.id, 4, &[update(b"d")], 2, at(5)).await.unwrap().is_none());
        assert!(
            store.document(row.id).await.unwrap().is_none() && store.board(row.id).await.unwrap().is_none()
        );
    }
}

#[tokio::test]
async fn the_last_owner_stays_and_every_change_raises_the_version() {
    for (_db, store) in stores().await {
        let row = board_row();
        store.insert(&row, None).await.unwrap();
        assert!(!store.remove_member(row.id, "ada").await.unwrap());
        assert_eq!(store.member(row.id, "ada").await.unwrap().unwrap().role, "owner");
        let before = store.versions(row.id).await.unwrap().unwrap().1;
        let bob = MemberRow {
            user_id: "bob".to_owned(),
            role: "owner".to_owned(),
            added_by: "ada".to_owned(),
            at: at(2),
        };
        store.put_member(row.id, &bob).await.unwrap();
        assert!(store.remove_member(row.id, "ada").await.unwrap());
        assert!(store.versions(row.id).await.unwrap().unwrap().1 >= before + 2);
        let roles = store.roles_of("bob", &[row.id, BoardId::generate()]).await.unwrap();
        assert_eq!(roles.get(&row.id).map(String::as_str), Some("owner"));
    }
}

#[tokio::test]
async fn lists_show_what_is_named_or_the_organisations() {
    for (_db, store) in stores().await {
        let own = board_row();
        let other = BoardRow { id: BoardId::generate(), created_by: "eve".to_owned(), ..own.clone() };
        let template = BoardRow { id: BoardId::generate(), is_template: true, ..own.clone() };
        for board in [&own, &other, &template] {
            store.insert(board, None).await.unwrap();
        }
        let list = async |whole, templates| {
            let listed = Listed { whole_organisation: whole, templates, limit: 10, ..Listed::default() };
            let rows = store.boards(own.organisation_id, "ada", &listed).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(list(false, false).await, [own.id]);
        assert_eq!(list(true, false).await.len(), 2);
        assert_eq!(list(false, true).await, [template.id]);
        assert_eq!(store.count_boards(own.organisation_id).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_link_opens_until_it_is_withdrawn_or_over() {
    for (_db, store) in stores().await {
        let row = board_row();
        store.insert(&row, None).await.unwrap();
        let share = ShareRow {
            id: BoardShareId::generate(),
            board_id: row.id,
            role: "viewer".to_owned(),
            created_by: "ada".to_owned(),
            created_at: at(1),
            expires_at: Some(at(10)),
        };
        store.insert_share(&share, "digest").await.unwrap();
        assert_eq!(store.share("digest", at(9)).await.unwrap(), Some(share.clone()));
        assert_eq!(store.share("digest", at(10)).await.unwrap(), None);
        assert!(store.withdraw_share(row.id, share.id, at(2)).await.unwrap());
        assert_eq!(store.share("digest", at(3)).await.unwrap(), None);
    }
}

fn run_of(board: &BoardRow) -> (RunRow, ChildRow) {
    let run = RunRow {
        id: BoardRunId::generate(),
        board_id: board.id,
        organisation_id: board.organisation_id,
        project_id: None,
        actor_id: "ada".to_owned(),
        mandate_id: None,
        kind: "nodes".to_owned(),
        revision: 1,
        state: "running".to_owned(),
        price_micro: 5,
        budget_micro: 5,
        settled_micro: 0,
        version: 0,
        cancel_requested_at: None,
        created_at: at(1),
        ended_at: None,
    };
    let child = ChildRow {
        ord: 0,
        node: "n".to_owned(),
        tool: "upscale".to_owned(),
        step: "{}".to_owned(),
        state: "waiting".to_owned(),
        order_json: None,
        input_hash: None,
        run_id: None,
        price_micro: 5,
        settled_micro: 0,
        problem: None,
        outputs: "[]".to_owned(),
        take_id: None,
        told: false,
    };
    (run, child)
}

#[tokio::test]
async fn of_two_drivers_one_advances_a_run_and_its_take_is_written_once() {
    for (_db, store) in stores().await {
        let board = board_row();
        store.insert(&board, None).await.unwrap();
        let (run, child) = run_of(&board);
        let key = RunKey { key_digest: "k".to_owned(), body_digest: "b".to_owned() };
        assert!(store.insert_run(&run, std::slice::from_ref(&child), Some(&key)).await.unwrap());
        let second = RunRow { id: BoardRunId::generate(), ..run.clone() };
        assert!(!store.insert_run(&second, &[], Some(&key)).await.unwrap(), "the key is used");
        assert_eq!(store.run_of_key(run.organisation_id, &key).await.unwrap(), Some((run.id, true)));
        assert!(store.run(second.id).await.unwrap().is_none());

        let take = TakeRow {
            id: TakeId::generate(),
            node: "n".to_owned(),
            run_id: RunId::generate(),
            tool: "upscale".to_owned(),
            tool_version: "1.0.0".to_owned(),
            input_hash: "h".to_owned(),
            asset_id: Some("a".to_owned()),
            content_type: "image/png".to_owned(),
            width: 2,
            height: 2,
            duration_ms: 0,
            value: None,
            cost_micro: 5,
            seed: Some(7),
            created_at: at(2),
        };
        let ended = ChildRow {
            state: "succeeded".to_owned(),
            run_id: Some(take.run_id),
            take_id: Some(take.id),
            settled_micro: 5,
            ..child
        };
        let settled = RunRow { settled_micro: 5, ..run.clone() };
        assert!(store.advance(&settled, Some(&ended), std::slice::from_ref(&take)).await.unwrap());
        assert!(!store.advance(&settled, Some(&ended), std::slice::from_ref(&take)).await.unwrap());
        assert_eq!(store.takes(board.id, Some("n"), None, 10).await.unwrap(), std::slice::from_ref(&take));
        assert_eq!(store.takes(board.id, None, Some(take.id), 10).await.unwrap(), []);
        assert_eq!(store.children(run.id).await.unwrap(), [ended]);

        store.request_cancel(run.id, at(3)).await.unwrap();
        let read = store.run(run.id).await.unwrap().unwrap();
        assert_eq!((read.cancel_requested_at, read.version, read.settled_micro), (Some(at(3)), 2, 5));
        assert_eq!(store.open_runs(10).await.unwrap(), [run.id]);
        let over = RunRow { state: "canceled".to_owned(), ended_at: Some(at(4)), ..read };
        assert!(store.advance(&over, None, &[]).await.unwrap());
        assert_eq!(store.open_runs(10).await.unwrap(), []);
        assert_eq!(store.count_open_runs(run.organisation_id).await.unwrap(), 0);
        assert_eq!(store.runs_of(board.id, None, 10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn comments_are_listed_resolved_once_and_deleted() {
    for (_db, store) in stores().await {
        let board = board_row();
        store.insert(&board, None).await.unwrap();
        let comment = CommentRow {
            id: backlot_business_api::BoardCommentId::generate(),
            node: Some("n".to_owned()),
            author_id: "ada".to_owned(),
            body: "brighter".to_owned(),
            created_at: at(1),
            resolved_at: None,
            resolved_by: None,
        };
        store.insert_comment(board.id, &comment).await.unwrap();
        store.resolve_comment(board.id, comment.id, "bob", at(2)).await.unwrap();
        store.resolve_comment(board.id, comment.id, "eve", at(3)).await.unwrap();
        let read = store.comments(board.id, None, 10).await.unwrap();
        assert_eq!(read[0].resolved_by.as_deref(), Some("bob"));
        assert_eq!(store.count_of("board_comments", board.id).await.unwrap(), 1);
        store.delete_comment(board.id, comment.id, at(4)).await.unwrap();
        assert_eq!(store.comments(board.id, None, 10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_guest_brings_so_much_and_no_more() {
    for (_db, store) in stores().await {
        let board = board_row();
        store.insert(&board, None).await.unwrap();
        let upload = |size_bytes: i64, created: i64| UploadRow {
            asset_id: AssetId::generate(),
            user_id: "gerda".to_owned(),
            size_bytes,
            created_at: at(created),
            completed_at: None,
        };
        let begin = |row: UploadRow, open_since: i64| {
            let (store, id) = (store.clone(), board.id);
            async move { store.insert_guest_upload(id, &row, at(open_since)).await.unwrap() }
        };
        let first = upload(7, 1);
        assert_eq!(begin(first.clone(), 0).await, Brought { open: 1, bytes: 7 });
        assert_eq!(store.upload(board.id, first.asset_id).await.unwrap(), Some(first.clone()));
        store.complete_upload(board.id, first.asset_id, at(2)).await.unwrap();
        assert!(store.was_put_here(board.id, &first.asset_id.to_string()).await.unwrap());
        // What arrived counts by its bytes; what is older than an upload lives does not count.
        assert_eq!(begin(upload(5, 3), 0).await, Brought { open: 1, bytes: 12 });
        assert_eq!(begin(upload(1, 9), 3).await, Brought { open: 1, bytes: 8 });
        let large = upload(GUEST_BYTES_MAX, 9);
        assert!(begin(large.clone(), 3).await.bytes > GUEST_BYTES_MAX);
        assert_eq!(store.upload(board.id, large.asset_id).await.unwrap(), None, "it left nothing");
        for open in 2..=GUEST_UPLOADS_OPEN_MAX {
            assert_eq!(begin(upload(0, 9), 3).await.open, open);
        }
        let last = upload(0, 9);
        assert_eq!(begin(last.clone(), 3).await.open, GUEST_UPLOADS_OPEN_MAX + 1);
        assert_eq!(store.upload(board.id, last.asset_id).await.unwrap(), None);
        // Elsewhere, and for somebody else, they count anew; a refused file holds no place.
        let other = UploadRow { user_id: "hans".to_owned(), ..upload(3, 9) };
        assert_eq!(begin(other.clone(), 3).await, Brought { open: 1, bytes: 3 });
        store.forget_upload(board.id, other.asset_id).await.unwrap();
        assert_eq!(store.upload(board.id, other.asset_id).await.unwrap(), None);
        store.forget_upload(board.id, first.asset_id).await.unwrap();
        assert!(store.upload(board.id, first.asset_id).await.unwrap().is_some(), "it is a file");
    }
}
