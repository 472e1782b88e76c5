//! Boards under strain: a kill in the middle of an edit, authority that ends while somebody is connected, silence, and
//! people of other organisations.

use std::time::{Duration, Instant};

use backlot_tests_end_to_end::{
    Account, Answer, Api, PHOTO, Studio, board, commands, connect, eventually, hears, photo_put, update,
    upload_photo, yjs,
};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Nodes that are added while the process is killed.
const EDITS: usize = 60;

/// Adds nodes one after another until the server is gone; answers how many were acknowledged.
async fn adds_nodes(url: String, key: String, board: String, round: usize) -> usize {
    let http = reqwest::Client::new();
    for n in 0..EDITS {
        let add = json!({ "commands": [{ "op": "add_node", "id": format!("{round}-{n}"), "kind": "note" }] });
        let request = http.post(format!("{url}/v1/boards/{board}/commands"));
        let request = request.bearer_auth(&key).json(&add);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => (),
            _ => return n,
        }
    }
    EDITS
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_was_acknowledged_or_heard_is_there_after_a_kill() {
    let mut studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Director").await;
    let id = board(&account.api).await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let mut listener = connect(studio.url(), &id, &account.key, None).await.expect("a connection");
        hears(&mut listener, "role").await.expect("a role");
        let heard = tokio::spawn(async move {
            let mut updates = 0_usize;
            while let Some(Ok(message)) = listener.next().await {
                updates += usize::from(message.into_data().starts_with(&[0, 2]));
            }
            updates
        });
        let edits = tokio::spawn(adds_nodes(studio.url().to_owned(), account.key.clone(), id.clone(), round));
        let (before, enough) = (expected.len(), 10 * (round + 1));
        eventually("some edits were made", Duration::from_secs(30), || async {
            let board = account.api.get(&format!("/v1/boards/{id}")).await.body;
            (board["nodes"].as_u64()? as usize >= before + enough).then_some(())
        })
        .await;
        studio = studio.kill_and_restart().await;
        let acknowledged = edits.await.expect("the edits end");
        let heard = heard.await.expect("the listener ends");
        assert!(acknowledged >= enough, "{acknowledged}");
        let document = account.api.get(&format!("/v1/boards/{id}/document")).await.body;
        let nodes: Vec<&str> = document["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .filter_map(|node| node["id"].as_str())
            .collect();
        for n in 0..acknowledged {
            let name = format!("{round}-{n}");
            assert!(nodes.contains(&name.as_str()), "{name} was acknowledged and is lost: {nodes:?}");
        }
        assert!(nodes.len() >= before + heard, "{heard} were heard, {} are there", nodes.len() - before);
        expected = nodes.into_iter().map(str::to_owned).collect();
    }
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn y_websocket_stays_connected_in_silence_and_hears_why_it_is_cut_off() {
    let studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Director").await;
    let id = board(&account.api).await;
    let order = json!({ "url": studio.url(), "board": id, "key": account.key, "quiet_s": 100 });
    let said = yjs("quiet.cjs", &order).await;
    assert_eq!((&said["quiet"], &said["seen"]), (&json!([]), &json!(2)), "{said}");
    // A prompt of 100,000 characters, written by a client and not by a command.
    assert_eq!((&said["refused"], &said["other"]), (&json!(4422), &json!(0)), "{said}");
    let document = account.api.get(&format!("/v1/boards/{id}/document")).await.body;
    assert_eq!(document["nodes"], json!([]), "{document}");
    studio.process.terminate().await;
}

/// Somebody else's member, who acts there, with a key of that organisation.
async fn member(of: &Account, url: &str) -> (Account, String) {
    let guest = Account::sign_up(url, "Guest").await;
    let invitation = json!({ "email": guest.email, "role": "member" });
    let token = of.session.post("/v1/identity/invitations", &invitation).await.text("/token");
    guest.session.post("/v1/identity/invitations/accept", &json!({ "token": token })).await;
    let switch = json!({ "organisation_id": of.ids["organisation"]["id"] });
    guest.session.post("/v1/identity/switch", &switch).await;
    let key = guest.session.post("/v1/identity/api-keys", &json!({ "name": "there" })).await.text("/key");
    (guest, key)
}

async fn give(owner: &Account, to: &Account, actions: Value) -> String {
    let root = owner.session.get("/v1/mandates").await.text("/items/0/id");
    let mandate = json!({
        "parent_id": root, "grantee_id": to.ids["user"]["id"], "actions": actions,
        "envelope": { "amount_micro": 0, "mode": "cap" }, "depth_max": 0, "purpose": "boards",
    });
    let given = owner.session.post("/v1/mandates", &mandate).await;
    assert_eq!(given.status, StatusCode::CREATED, "{given:?}");
    given.text("/id")
}

async fn revoke(owner: &Account, mandate: &str) -> Answer {
    let answer = owner.session.post(&format!("/v1/mandates/{mandate}/revoke"), &json!({})).await;
    assert!(answer.status.is_success(), "{answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_that_ends_takes_the_role_away_within_a_second() {
    let studio = Studio::start().await;
    let owner = Account::sign_up(studio.url(), "Owner").await;
    let (guest, key) = member(&owner, studio.url()).await;
    let id = board(&owner.api).await;
    let api = Api::with_key(studio.url(), &key);
    let edits = give(&owner, &guest, json!(["boards.edit"])).await;
    let reads = give(&owner, &guest, json!(["boards.read"])).await;
    let mut socket = connect(studio.url(), &id, &key, None).await.expect("an editor by mandate");
    assert_eq!(hears(&mut socket, "role").await.expect("a role")["role"], "editor");
    assert!(
        commands(&api, &id, json!([{ "op": "add_node", "id": "a", "kind": "note" }]))
            .await
            .status
            .is_success()
    );

    // Down to a viewer while connected: what is sent now changes nothing.
    let began = Instant::now();
    revoke(&owner, &edits).await;
    let role = hears(&mut socket, "role").await.expect("a new role");
    assert_eq!((&role["role"], &role["may_edit"]), (&json!("viewer"), &json!(false)));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let before = owner.api.get(&format!("/v1/boards/{id}/document")).await.body;
    // An editor's connection would be closed for these bytes.
    socket.send(update(&[200; 40])).await.expect("it is sent");
    let refused = commands(&api, &id, json!([{ "op": "remove_node", "id": "a" }])).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "board_role_missing"));
    assert_eq!(owner.api.get(&format!("/v1/boards/{id}/document")).await.body, before);

    let began = Instant::now();
    revoke(&owner, &reads).await;
    assert_eq!(hears(&mut socket, "never").await, Err(4403));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(api.get(&format!("/v1/boards/{id}")).await.code(), "board_unknown");
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_another_organisation_sees_what_is_on_the_board_and_nothing_else() {
    let studio = Studio::start().await;
    let owner = Account::sign_up(studio.url(), "Owner").await;
    let guest = Account::sign_up(studio.url(), "Guest").await;
    let (shown, hidden) = (upload_photo(&owner.api).await, upload_photo(&owner.api).await);
    let id = board(&owner.api).await;
    let image = |id: &str, asset: &str| json!({ "op": "add_node", "id": id, "kind": "image", "params": { "asset": asset } });
    commands(&owner.api, &id, json!([image("shown", &shown)])).await;
    let media = |asset: &str| format!("/v1/boards/{id}/media/{asset}");
    assert_eq!(guest.api.get(&media(&shown)).await.code(), "board_unknown");
    let share = owner.api.post(&format!("/v1/boards/{id}/shares"), &json!({ "role": "editor" })).await;
    guest.api.post("/v1/boards/shares/accept", &json!({ "token": share.text("/token") })).await;

    let original = owner.api.download(&format!("/v1/assets/{shown}/content")).await;
    assert_eq!(guest.api.download(&media(&shown)).await, original);
    assert!(guest.api.download(&format!("{}?preview=true", media(&shown))).await.len() > 100);
    assert_eq!(guest.api.get(&format!("/v1/assets/{shown}")).await.status, StatusCode::NOT_FOUND);
    // Whoever may edit can write any id into the document: that opens nothing.
    assert!(commands(&guest.api, &id, json!([image("wished", &hidden)])).await.status.is_success());
    for wished in [&hidden, &guest.ids["user"]["id"].as_str().expect("an id").to_owned()] {
        let refused = guest.api.get(&media(wished)).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::NOT_FOUND, "board_media_unknown"),
            "{refused:?}"
        );
    }
    let picture = json!({ "preview_asset": hidden });
    let refused = guest.api.send(Method::PATCH, &format!("/v1/boards/{id}"), Some(&picture), &[]).await;
    assert_eq!(refused.code(), "board_media_unknown");
    // Only the organisation that pays runs the board, and says so.
    let run = guest.api.post(&format!("/v1/boards/{id}/runs"), &json!({})).await;
    assert_eq!((run.status, run.code()), (StatusCode::FORBIDDEN, "board_role_missing"), "{run:?}");

    // What is no longer on the board is no longer shown, and neither is what was deleted.
    commands(&owner.api, &id, json!([{ "op": "remove_node", "id": "shown" }])).await;
    assert_eq!(guest.api.get(&media(&shown)).await.code(), "board_media_unknown");
    studio.process.terminate().await;
}

/// Begins a file of a board and sends its bytes; answers the route that completes it, or the refusal.
async fn brings(api: &Api, board: &str, name: &str, bytes: &[u8]) -> Result<(String, String), Answer> {
    let body = json!({ "name": name, "size_bytes": bytes.len() });
    let begun = api.post(&format!("/v1/boards/{board}/media"), &body).await;
    if begun.status != StatusCode::CREATED {
        return Err(begun);
    }
    let asset = begun.text("/asset_id");
    assert!(photo_put(&begun.body["upload"], bytes).await.is_success());
    Ok((format!("/v1/boards/{board}/media/{asset}/complete"), asset))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_brings_files_which_belong_to_the_boards_organisation() {
    let studio = Studio::start().await;
    let owner = Account::sign_up(studio.url(), "Owner").await;
    let guest = Account::sign_up(studio.url(), "Gerda Guest").await;
    let id = board(&owner.api).await;
    let refused = brings(&guest.api, &id, "photo.jpg", PHOTO).await.expect_err("a stranger brings nothing");
    assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, "board_unknown"));
    let user = guest.ids["user"]["id"].as_str().expect("an id");
    let role = |role: &str| json!({ "user_id": user, "role": role });
    let members = format!("/v1/boards/{id}/members");
    let named = owner.api.post(&members, &role("commenter")).await;
    assert_eq!(named.text("/name"), "Gerda Guest", "{named:?}");
    let refused = brings(&guest.api, &id, "photo.jpg", PHOTO).await.expect_err("a commenter brings nothing");
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "board_role_missing"));
    owner.api.post(&members, &role("editor")).await;
    let listed = guest.api.get(&members).await;
    assert_eq!(listed.text("/items/1/name"), "Gerda Guest", "{listed:?}");
    assert_eq!(listed.text("/items/0/name"), "Owner", "{listed:?}");

    let used = |api: Api| async move { api.get("/v1/assets/usage").await.integer("/used_bytes") };
    let before = (used(owner.api.clone()).await, used(guest.api.clone()).await);
    let (complete, asset) = brings(&guest.api, &id, "photo.jpg", PHOTO).await.expect("an editor");
    let foreign = owner.api.post(&complete, &json!({})).await;
    assert_eq!(foreign.code(), "board_media_unknown", "only who brings it completes it: {foreign:?}");
    let made = guest.api.post(&complete, &json!({})).await;
    assert_eq!(
        (made.text("/content_type"), made.text("/asset_id")),
        ("image/jpeg".to_owned(), asset.clone())
    );
    assert_eq!(guest.api.post(&complete, &json!({})).await.body, made.body, "again, and the same");
    assert_eq!(used(owner.api.clone()).await, before.0 + PHOTO.len() as i64, "the board's organisation pays");
    assert_eq!(used(guest.api.clone()).await, before.1);
    let media = made.text("/media_url");
    assert_eq!(guest.api.get(&media).await.code(), "board_media_unknown", "nothing shows it yet");
    let node = json!([{ "op": "add_node", "id": "n", "kind": "image", "params": { "asset": asset } }]);
    assert!(commands(&guest.api, &id, node).await.status.is_success());
    assert_eq!(guest.api.download(&media).await, owner.api.download(&media).await);
    assert_eq!(owner.api.get(&format!("/v1/assets/{asset}")).await.text("/state"), "ready");
    assert_eq!(guest.api.get(&format!("/v1/assets/{asset}")).await.status, StatusCode::NOT_FOUND);

    a_guests_odd_files(&guest.api, &id).await;
    what_is_begun_can_be_taken_back(&guest.api, &owner.api, &id, &asset).await;
    // Cut off while the bytes are on their way.
    let (complete, asset) = brings(&guest.api, &id, "late.jpg", PHOTO).await.expect("an editor");
    owner.api.send(Method::DELETE, &format!("{members}/{user}"), None, &[]).await;
    let refused = guest.api.post(&complete, &json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, "board_unknown"));
    assert_eq!(owner.api.get(&format!("/v1/assets/{asset}")).await.text("/state"), "uploading");
    assert_eq!(used(owner.api.clone()).await, before.0 + PHOTO.len() as i64);
    owner.api.post(&members, &role("editor")).await;
    guests_have_limits(&guest.api, &id).await;
    studio.process.terminate().await;
}

async fn a_guests_odd_files(api: &Api, board: &str) {
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".as_slice();
    let archive = [PHOTO, b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    for (name, bytes) in [("hostile.svg", svg), ("polyglot.jpg", &archive)] {
        let (complete, _) = brings(api, board, name, bytes).await.expect("it is begun");
        let refused = api.post(&complete, &json!({})).await;
        let known = ["asset_type_unsupported", "asset_type_mismatch"].contains(&refused.code());
        assert!(known && refused.status.is_client_error(), "{name}: {refused:?}");
    }
}

/// `file` was brought, and is a file of the board.
async fn what_is_begun_can_be_taken_back(guest: &Api, owner: &Api, board: &str, file: &str) {
    let reserved = |api: Api| async move { api.get("/v1/assets/usage").await.integer("/reserved_bytes") };
    let cancel = |api: Api, asset: String| {
        let route = format!("/v1/boards/{board}/media/{asset}");
        async move { api.send(Method::DELETE, &route, None, &[]).await }
    };
    let before = reserved(owner.clone()).await;
    let (complete, asset) = brings(guest, board, "oops.jpg", PHOTO).await.expect("an editor");
    assert_eq!(reserved(owner.clone()).await, before + PHOTO.len() as i64);
    let foreign = cancel(owner.clone(), asset.clone()).await;
    assert_eq!(foreign.code(), "board_media_unknown", "only who brings it takes it back: {foreign:?}");
    let canceled = cancel(guest.clone(), asset.clone()).await;
    assert_eq!(canceled.status, StatusCode::NO_CONTENT, "{canceled:?}");
    assert_eq!(reserved(owner.clone()).await, before);
    assert_eq!(cancel(guest.clone(), asset).await.code(), "board_media_unknown", "nothing is left of it");
    assert_eq!(guest.post(&complete, &json!({})).await.code(), "board_media_unknown");
    let late = cancel(guest.clone(), file.to_owned()).await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "upload_closed"), "{late:?}");
    assert_eq!(cancel(guest.clone(), "nonsense".to_owned()).await.code(), "board_media_unknown");
}

async fn guests_have_limits(api: &Api, board: &str) {
    let begin = format!("/v1/boards/{board}/media");
    for (size, code) in [(0, "invalid_fields"), (1_i64 << 40, "invalid_fields")] {
        let refused = api.post(&begin, &json!({ "name": "n", "size_bytes": size })).await;
        assert_eq!(refused.code(), code, "{size}: {refused:?}");
    }
    let mut open = 0;
    let refused = loop {
        let begun = api.post(&begin, &json!({ "name": "n", "size_bytes": 10 })).await;
        if begun.status != StatusCode::CREATED {
            break begun;
        }
        open += 1;
        assert!(open < 100, "there is a limit");
    };
    assert_eq!(refused.code(), "board_too_large", "{refused:?}");
}
