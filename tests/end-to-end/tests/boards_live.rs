//! Boards under strain: a kill in the middle of an edit, authority that ends while somebody is connected, silence, and
//! people of other organisations.

use std::time::{Duration, Instant};

use backlot_tests_end_to_end::{
    Account, Answer, Api, Studio, board, commands, connect, eventually, hears, update, upload_photo, yjs,
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
    let Some(said) = yjs("quiet.cjs", &order).await else { return };
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
