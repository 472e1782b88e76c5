//! The folder store's own addresses.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use backlot_infrastructure_storage::{Config, Error, Service};

use crate::world::{World, folder_world, png, read, worlds, worlds_with};

async fn content_url(world: &World, bytes: &[u8]) -> String {
    let asset = world.upload("Übung \"1\".png", "image/png", bytes).await.ok();
    let path = format!("/v1/assets/{}/content", asset["id"].as_str().unwrap());
    let redirect = world.send(&world.alice, Method::GET, &path, None).await;
    redirect.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_served_can_do_no_harm() {
    let world = folder_world().await;
    let picture = png(8, 8);
    let answer = world.http.get(content_url(&world, &picture).await).send().await.unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "image/png");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-security-policy"), "default-src 'none'; sandbox");
    assert_eq!(header("accept-ranges"), "bytes");
    assert_eq!(
        header("content-disposition"),
        "inline; filename=\"_bung _1_.png\"; filename*=UTF-8''%C3%9Cbung%20%221%22.png"
    );
    assert_eq!(header("content-length"), picture.len().to_string());
}

#[tokio::test]
async fn a_player_gets_the_range_it_asks_for() {
    let world = folder_world().await;
    let picture = png(64, 64);
    let url = content_url(&world, &picture).await;
    let size = picture.len();
    let ask = async |range: String| world.http.get(&url).header("range", range).send().await.unwrap();
    let part = ask("bytes=10-19".to_owned()).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 10-19/{size}"));
    assert_eq!(part.bytes().await.unwrap(), picture[10..20]);
    let end = ask("bytes=-5".to_owned()).await;
    assert_eq!(end.bytes().await.unwrap(), picture[size - 5..]);
    let beyond = ask(format!("bytes={size}-")).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(read(beyond).await.body["code"], "range_invalid");
    assert_eq!(ask("bytes=9-1".to_owned()).await.status(), StatusCode::OK);
    let head = world.http.head(&url).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], size.to_string());
    let etag = head.headers()["etag"].clone();
    let same = world.http.get(&url).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_changed_address_is_refused() {
    let world = folder_world().await;
    let picture = png(8, 8);
    let url = content_url(&world, &picture).await;
    let other = content_url(&world, &picture).await;
    let key = |url: &str| url.split("/v1/objects/").nth(1).unwrap().split('?').next().unwrap().to_owned();
    let changed = [
        url.replace("type=image%2Fpng", "type=text%2Fhtml"),
        url.replace("expires=", "expires=9"),
        url.replace("signature=", "signature=0"),
        url.split("&signature=").next().unwrap().to_owned(),
        url.split('?').next().unwrap().to_owned(),
        format!("{url}&more=1"),
        url.replace(&key(&url), &key(&other)),
        url.replace("/assets/", "/previews/"),
        url.replace("/v1/objects/assets/", "/v1/objects/%2e%2e%2fassets/"),
        url.replace("/v1/objects/assets/", "/v1/objects//assets/"),
    ];
    for address in changed {
        let answer = read(world.http.get(&address).send().await.unwrap()).await;
        assert!(
            answer.status == StatusCode::FORBIDDEN && answer.code() == "signed_url_invalid",
            "{address}: {answer:?}"
        );
    }
    // Ordinary clients resolve dots themselves; these arrive as they are.
    for dots in
        ["assets/../assets/", "assets/%2e%2e/assets/", "assets/./", "..%2f..%2fassets/", "../objects/assets/"]
    {
        let address = url.replace("/v1/objects/assets/", &format!("/v1/objects/{dots}"));
        let path = address.strip_prefix(&world.base).unwrap();
        assert_eq!(raw_status(&world.base, path).await, "403", "{path}");
    }
    let put = read(world.http.put(&url).body(picture.clone()).send().await.unwrap()).await;
    assert_eq!(put.code(), "signed_url_invalid");
    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(read(world.http.get(&url).send().await.unwrap()).await.code(), "signed_url_expired");
}

/// The status of a GET whose path nobody touches on its way.
async fn raw_status(base: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn an_address_writes_once_and_only_what_it_was_made_for() {
    let world = folder_world().await;
    let picture = png(8, 8);
    let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
    let upload = &begun["upload"];
    let url = upload["url"].as_str().unwrap();
    let get = read(world.http.get(url).send().await.unwrap()).await;
    assert_eq!(get.code(), "signed_url_invalid", "an address for writing reads nothing");
    let larger = url.replace("size=", "size=1");
    assert_eq!(
        read(world.http.put(larger).body(picture.clone()).send().await.unwrap()).await.code(),
        "signed_url_invalid"
    );

    // Without a length in the header, the body itself is counted.
    for wrong in [vec![0; picture.len() + 1], vec![0; picture.len() - 1]] {
        let chunks = futures::stream::iter(
            wrong.chunks(7).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
        );
        let answer =
            read(world.http.put(url).body(reqwest::Body::wrap_stream(chunks)).send().await.unwrap()).await;
        assert_eq!(answer.code(), "asset_size_mismatch");
        assert_eq!(world.files(), Vec::<String>::new(), "nothing half-written");
    }
    assert!(world.put(upload, &picture).await.status.is_success());
    assert_eq!(world.put(upload, &picture).await.code(), "object_exists");
    world.complete(begun["asset"]["id"].as_str().unwrap()).await.ok();
    assert_eq!(world.put(upload, &picture).await.code(), "upload_closed");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let world = folder_world().await;
    let picture = png(64, 64);
    let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
    let url = begun["upload"]["url"].as_str().unwrap();
    let broken =
        futures::stream::iter([Ok(picture[..100].to_vec()), Err(std::io::Error::other("cable pulled"))]);
    let outcome = world.http.put(url).body(reqwest::Body::wrap_stream(broken)).send().await;
    assert!(outcome.is_err() || !outcome.unwrap().status().is_success());
    assert!(world.put(&begun["upload"], &picture).await.status.is_success(), "the address is still good");
    assert_eq!(world.complete(begun["asset"]["id"].as_str().unwrap()).await.ok()["state"], "ready");
}

#[tokio::test]
async fn browsers_of_other_origins_may_use_a_signed_address() {
    let world = folder_world().await;
    let begun = world.begin("a.png", "image/png", 10).await.ok();
    let preflight = world
        .http
        .request(Method::OPTIONS, begun["upload"]["url"].as_str().unwrap())
        .header("origin", "http://localhost:1")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
}

/// How long browsers may reuse what redirects to an asset's content and to its preview.
async fn reused_s(world: &World) -> Vec<u64> {
    let asset = world.upload("a.png", "image/png", &png(32, 16)).await.ok();
    let mut found = Vec::new();
    for part in ["content", "preview"] {
        let path = format!("/v1/assets/{}/{part}", asset["id"].as_str().unwrap());
        let redirect = world.send(&world.alice, Method::GET, &path, None).await;
        assert_eq!(redirect.status(), StatusCode::FOUND);
        let cache = redirect.headers()["cache-control"].to_str().unwrap();
        found.push(cache.strip_prefix("private, max-age=").unwrap().parse().unwrap());
    }
    found
}

#[tokio::test]
async fn a_redirection_is_not_reused_after_its_address_has_ended() {
    for (ttl_s, most) in [(3_600, 300), (30, 25), (3, 0), (1, 0)] {
        for world in worlds_with(|config| config.download_ttl_s = ttl_s).await {
            assert_eq!(reused_s(&world).await, [most; 2], "{} {ttl_s}", world.name);
        }
    }
}

/// Another replica over the same database, with a folder of its own.
async fn replica(world: &World, secret: &str) -> Result<(Service, tempfile::TempDir), Error> {
    let folder = tempfile::tempdir().unwrap();
    let signing_secret = secret.to_owned();
    let config = Config { folder: folder.path().to_owned(), signing_secret, ..world.config.clone() };
    let service = Service::new(world.test_db.db.clone(), world.clock.clone(), config).await?;
    Ok((service, folder))
}

#[tokio::test]
async fn where_there_may_be_replicas_none_signs_with_a_key_of_its_own() {
    for world in worlds().await {
        let alone = replica(&world, "").await;
        if world.test_db.db.backend() == sea_orm::DatabaseBackend::Sqlite {
            assert!(alone.is_ok(), "{}: one process owns the folder and its key", world.name);
            continue;
        }
        let refusal = alone.err().unwrap().to_string();
        for part in ["infrastructure.storage.signing_secret", "SIGNING_SECRET", "signing.key"] {
            assert!(refusal.contains(part), "{refusal}");
        }
        assert!(replica(&world, "what all replicas share").await.is_ok());
    }
}

/// What an address answers at the process that runs now; only the port is another after a restart.
async fn put_now(world: &World, target: &serde_json::Value, bytes: &[u8]) -> String {
    let url = target["url"].as_str().unwrap();
    let path = url.find("/v1/").map(|at| &url[at..]).unwrap();
    let answer = world.http.put(format!("{}{path}", world.base)).body(bytes.to_vec()).send().await.unwrap();
    let answer = read(answer).await;
    if answer.status.is_success() { "written".to_owned() } else { answer.code().to_owned() }
}

#[tokio::test]
async fn a_secret_is_exchanged_without_breaking_an_address_and_then_is_worth_nothing() {
    let mut world = folder_world().await;
    let picture = png(8, 8);
    let (old, new) = (world.config.signing_secret.clone(), "what all replicas share from now on".to_owned());
    let size = picture.len();
    let one = world.begin("a.png", "image/png", size).await.ok();
    let two = world.begin("b.png", "image/png", size).await.ok();

    // First every replica learns the new one, then every replica signs with it.
    world.restart(|config| config.signing_secrets_accepted = vec![new.clone()]).await;
    let three = world.begin("c.png", "image/png", size).await.ok();
    world
        .restart(|config| {
            config.signing_secret = new.clone();
            config.signing_secrets_accepted = vec![old.clone()];
        })
        .await;
    assert_eq!(put_now(&world, &one["upload"], &picture).await, "written");
    assert_eq!(put_now(&world, &three["upload"], &picture).await, "written");
    let four = world.begin("d.png", "image/png", size).await.ok();

    world.restart(|config| config.signing_secrets_accepted.clear()).await;
    assert_eq!(put_now(&world, &two["upload"], &picture).await, "signed_url_invalid");
    assert_eq!(put_now(&world, &four["upload"], &picture).await, "written");
}

#[tokio::test]
async fn an_accepted_secret_that_anybody_could_use_ends_the_start() {
    let world = folder_world().await;
    for (wrong, why) in
        [(vec!["x".to_owned(), " ".to_owned()], "number 2 is empty"), (vec!["x".to_owned(); 9], "at most 8")]
    {
        let config = Config { signing_secrets_accepted: wrong, ..world.config.clone() };
        let refusal =
            Service::new(world.test_db.db.clone(), world.clock.clone(), config).await.err().unwrap();
        let refusal = refusal.to_string();
        assert!(refusal.contains("signing_secrets_accepted") && refusal.contains(why), "{refusal}");
    }
}
