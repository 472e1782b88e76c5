//! What a job writes, through the issuer, to assets with lineage.

use std::time::Duration;

use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::v1;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, Person, World, encoded, png, read, sha256, worlds};

pub(crate) struct Job {
    id: String,
    capability: String,
}

pub(crate) async fn open_job(world: &World) -> Job {
    open_job_with(world, 3, 1 << 20).await
}

async fn open_job_with(world: &World, max_outputs: i32, max_bytes: i64) -> Job {
    let id = Uuid::now_v7().to_string();
    let issuer =
        world.rpc().create_issuer(terms(world, &id, max_outputs, max_bytes)).await.unwrap().into_inner();
    assert_eq!(issuer.url, format!("{}/v1/outputs", world.base));
    Job { id, capability: issuer.capability }
}

fn terms(world: &World, id: &str, max_outputs: i32, max_bytes: i64) -> v1::CreateIssuerRequest {
    v1::CreateIssuerRequest {
        job_id: id.to_owned(),
        organisation_id: world.alice.organisation.to_string(),
        project_id: String::new(),
        actor_id: world.alice.user.to_string(),
        ttl_s: 3_600,
        max_bytes,
        max_outputs,
    }
}

/// What an agent does: without any token, the capability in the body.
async fn announce(world: &World, job: &Job, fence: &str, n: i32, bytes: &[u8]) -> Answer {
    let body = json!({ "capability": job.capability, "fence": fence, "n": n, "name": format!("out{n}.png"),
        "content_type": "image/png", "size_bytes": bytes.len(), "sha256": sha256(bytes) });
    announce_raw(world, body).await
}

async fn announce_raw(world: &World, body: Value) -> Answer {
    read(world.http.post(format!("{}/v1/outputs", world.base)).json(&body).send().await.unwrap()).await
}

pub(crate) async fn write(world: &World, job: &Job, fence: &str, n: i32, bytes: &[u8]) -> v1::Output {
    let ticket = announce(world, job, fence, n, bytes).await.ok();
    let put = world.put(&ticket, bytes).await;
    assert!(put.status.is_success(), "{put:?}");
    named(&ticket, n, bytes)
}

fn named(ticket: &Value, n: i32, bytes: &[u8]) -> v1::Output {
    v1::Output {
        object_key: ticket["object_key"].as_str().unwrap().to_owned(),
        name: format!("out{n}.png"),
        content_type: "image/png".to_owned(),
        size_bytes: bytes.len() as i64,
        sha256: sha256(bytes),
    }
}

pub(crate) fn success(
    job: &Job,
    fence: &str,
    outputs: Vec<v1::Output>,
    inputs: Vec<String>,
) -> v1::FinalizeOutputsRequest {
    v1::FinalizeOutputsRequest {
        job_id: job.id.clone(),
        run_id: job.id.clone(),
        fence: fence.to_owned(),
        outputs,
        input_asset_ids: inputs,
        tool: "upscale".to_owned(),
        tool_version: "1".to_owned(),
    }
}

pub(crate) async fn finalize(
    world: &World,
    request: &v1::FinalizeOutputsRequest,
) -> Result<Vec<v1::Asset>, String> {
    match world.rpc().finalize_outputs(request.clone()).await {
        Ok(answer) => Ok(answer.into_inner().assets),
        Err(status) => Err(Problem::from(status).code),
    }
}

#[tokio::test]
async fn the_winners_outputs_become_assets_with_lineage() {
    for world in worlds().await {
        let source = world.upload("in.png", "image/png", &png(16, 16)).await.ok();
        let source_id = source["id"].as_str().unwrap().to_owned();
        let job = open_job(&world).await;
        let (large, small) = (png(64, 64), encoded(32, 32, image::ImageFormat::Jpeg));
        let stale = write(&world, &job, "1-1", 0, &png(9, 9)).await;
        let first = write(&world, &job, "1-2", 0, &large).await;
        let second = write(&world, &job, "1-2", 1, &small).await;
        assert!(first.object_key.ends_with(&format!("{}/1-2/0", job.id)), "{}", first.object_key);
        let request = success(&job, "1-2", vec![first.clone(), second], vec![source_id.clone()]);
        let assets = finalize(&world, &request).await.unwrap();
        assert_eq!((assets[0].width_px, assets[1].width_px), (64, 32), "{}", world.name);
        assert_eq!(assets[1].content_type, "image/jpeg", "by its bytes, whatever the model called it");
        assert_eq!(assets[0].run_id, job.id);
        assert_eq!(finalize(&world, &request).await.unwrap(), assets, "again: the same assets");
        let total = (source["size_bytes"].as_i64().unwrap()) + (large.len() + small.len()) as i64;
        assert_eq!(world.usage().await, (total, 0), "counted once");

        let read_back = world.get(&format!("/v1/assets/{}", assets[0].id)).await.ok();
        assert_eq!(read_back["inputs"], json!([source_id]));
        let lineage = world.get(&format!("/v1/assets/{source_id}/lineage")).await.ok();
        assert_eq!(lineage["nodes"].as_array().unwrap().len(), 3);
        assert_eq!(lineage["edges"][0]["from"], source_id);
        assert_eq!(lineage["edges"][0]["run_id"], job.id);
        let upwards = world.get(&format!("/v1/assets/{}/lineage", assets[0].id)).await.ok();
        assert_eq!(upwards["edges"].as_array().unwrap().len(), 1);

        // What the loser wrote is gone, and the door is shut.
        assert!(world.files().iter().all(|file| !file.contains("outputs/")), "{:?}", world.files());
        assert_eq!(announce(&world, &job, "1-3", 0, &large).await.code(), "outputs_ended");
        let other_winner = success(&job, "1-1", vec![stale], vec![]);
        assert_eq!(finalize(&world, &other_winner).await.unwrap_err(), "issuer_conflict");
        world.rpc().discard_outputs(v1::DiscardOutputsRequest { job_id: job.id.clone() }).await.unwrap();
        assert_eq!(world.get(&format!("/v1/assets/{}", assets[0].id)).await.ok()["state"], "ready");
    }
}

#[tokio::test]
async fn asking_for_an_issuer_again_gives_the_same_capability() {
    for world in worlds().await {
        let job = open_job(&world).await;
        let again = world.rpc().create_issuer(terms(&world, &job.id, 3, 1 << 20)).await.unwrap().into_inner();
        assert_eq!(again.capability, job.capability);
        let other_limits = world.rpc().create_issuer(terms(&world, &job.id, 4, 1 << 20)).await.unwrap_err();
        assert_eq!(Problem::from(other_limits).code, "issuer_conflict");
        let mut other_tenant = terms(&world, &job.id, 3, 1 << 20);
        other_tenant.organisation_id = Person::new().organisation.to_string();
        assert_eq!(
            Problem::from(world.rpc().create_issuer(other_tenant).await.unwrap_err()).code,
            "not_found"
        );
        for bad in [
            v1::CreateIssuerRequest { job_id: "../x".to_owned(), ..terms(&world, "", 1, 1) },
            v1::CreateIssuerRequest { ttl_s: 0, ..terms(&world, "a", 1, 1) },
            terms(&world, "a", 0, 1),
            terms(&world, "a", 1, 0),
        ] {
            assert_eq!(
                Problem::from(world.rpc().create_issuer(bad).await.unwrap_err()).code,
                "invalid_fields"
            );
        }
    }
}

#[tokio::test]
async fn a_job_keeps_its_capability_while_the_secret_is_exchanged_and_gets_another_afterwards() {
    for mut world in worlds().await {
        let (first, second) = (open_job(&world).await, open_job(&world).await);
        let picture = png(4, 4);
        let old = world.config.signing_secret.clone();
        world
            .restart(|config| {
                config.signing_secret = "another secret".to_owned();
                config.signing_secrets_accepted = vec![old];
            })
            .await;
        // Whoever asks again must hear what the job that it may have sent already carries.
        let ask = |world: &World, id: &str| {
            let (mut rpc, terms) = (world.rpc(), terms(world, id, 3, 1 << 20));
            async move { rpc.create_issuer(terms).await.unwrap().into_inner().capability }
        };
        assert_eq!(ask(&world, &first.id).await, first.capability);
        write(&world, &first, "1", 0, &picture).await;

        world.restart(|config| config.signing_secrets_accepted.clear()).await;
        for job in [&first, &second] {
            assert_eq!(announce(&world, job, "2", 0, &picture).await.code(), "capability_invalid");
        }
        let capability = ask(&world, &second.id).await;
        assert_ne!(capability, second.capability);
        let renewed = Job { id: second.id.clone(), capability };
        write(&world, &renewed, "2", 0, &picture).await;
        assert_eq!(announce(&world, &second, "2", 1, &picture).await.code(), "capability_invalid");
    }
}

#[tokio::test]
async fn an_output_is_written_once_within_its_limits() {
    for world in worlds().await {
        let picture = png(20, 20);
        let job = open_job_with(&world, 2, 2 * picture.len() as i64).await;
        let ticket = announce(&world, &job, "1-1", 0, &picture).await.ok();
        announce(&world, &job, "1-1", 0, &picture).await.ok();
        assert_eq!(announce(&world, &job, "1-1", 0, &png(21, 21)).await.code(), "output_exists");
        assert!(world.put(&ticket, &picture).await.status.is_success());
        // Whoever lost the answer asks again, and is told that it is there.
        let ticket = announce(&world, &job, "1-1", 0, &picture).await.ok();
        if world.name.ends_with("folder") {
            assert_eq!(world.put(&ticket, &picture).await.code(), "object_exists");
            let second = announce(&world, &job, "1-1", 1, &picture).await.ok();
            let mut other = picture.clone();
            *other.last_mut().unwrap() ^= 1;
            assert_eq!(world.put(&second, &other).await.code(), "asset_hash_mismatch");
        }
        announce(&world, &job, "1-1", 1, &picture).await.ok();
        assert_eq!(announce(&world, &job, "1-1", 2, &picture[..1]).await.code(), "output_limit", "too many");
        assert_eq!(
            announce(&world, &job, "1-2", 0, &[7; 5_000_000]).await.code(),
            "output_limit",
            "too large"
        );
        announce(&world, &job, "1-2", 0, &picture).await.ok();
    }
}

#[tokio::test]
async fn a_capability_is_needed_and_ends() {
    for world in worlds().await {
        let job = open_job(&world).await;
        let picture = png(4, 4);
        let other = Job { capability: format!("{}x", job.capability), id: job.id.clone() };
        assert_eq!(announce(&world, &other, "1", 0, &picture).await.code(), "capability_invalid");
        let good = json!({ "capability": job.capability, "fence": "1", "n": 0, "name": "a", "size_bytes": 5,
            "sha256": sha256(b"") });
        for (field, value) in [
            ("fence", json!("../../assets")),
            ("fence", json!("a/b")),
            ("fence", json!("..")),
            ("fence", json!("")),
            ("n", json!(-1)),
            ("n", json!(256)),
            ("size_bytes", json!(0)),
            ("sha256", json!("zz")),
            ("surprise", json!(1)),
        ] {
            let mut body = good.clone();
            body[field] = value;
            assert_eq!(announce_raw(&world, body).await.code(), "invalid_fields", "{field}");
        }
        world.clock.advance(Duration::from_secs(3_600));
        assert_eq!(announce(&world, &job, "1", 0, &picture).await.code(), "capability_expired");
    }
}

#[tokio::test]
async fn a_success_that_does_not_fit_makes_nothing() {
    for world in worlds().await {
        let job = open_job(&world).await;
        let picture = png(30, 30);
        let ticket = announce(&world, &job, "2", 0, &picture).await.ok();
        let output = named(&ticket, 0, &picture);
        let attempt =
            |output: v1::Output, fence: &str, inputs: Vec<String>| success(&job, fence, vec![output], inputs);
        let check = async |request: v1::FinalizeOutputsRequest, code: &str| {
            assert_eq!(finalize(&world, &request).await.unwrap_err(), code, "{}", world.name);
        };
        check(attempt(output.clone(), "2", vec![]), "output_missing").await;
        world.put(&ticket, &picture).await;
        check(attempt(output.clone(), "3", vec![]), "output_missing").await;
        let smaller = v1::Output { size_bytes: 1, ..output.clone() };
        check(attempt(smaller, "2", vec![]), "output_mismatch").await;
        let other_hash = v1::Output { sha256: sha256(b"x"), ..output.clone() };
        check(attempt(other_hash, "2", vec![]), "output_mismatch").await;
        let elsewhere = v1::Output { object_key: "assets/x/y".to_owned(), ..output.clone() };
        check(attempt(elsewhere, "2", vec![]), "output_missing").await;
        check(success(&job, "2", vec![output.clone(), output.clone()], vec![]), "output_mismatch").await;
        let foreign = backlot_infrastructure_api::AssetId::generate().to_string();
        check(attempt(output.clone(), "2", vec![foreign]), "not_found").await;
        assert_eq!(world.get("/v1/assets").await.ok()["items"].as_array().unwrap().len(), 0);
        assert_eq!(world.usage().await, (0, 0));
        assert_eq!(
            finalize(&world, &attempt(output, "2", vec![])).await.unwrap().len(),
            1,
            "and then it fits"
        );
    }
}

#[tokio::test]
async fn an_output_that_is_no_medium_is_refused_and_can_be_discarded() {
    for world in worlds().await {
        let job = open_job(&world).await;
        let good = write(&world, &job, "1", 0, &png(10, 10)).await;
        let bad = write(&world, &job, "1", 1, b"<html><script>alert(1)</script></html>").await;
        let request = success(&job, "1", vec![good, bad], vec![]);
        assert_eq!(finalize(&world, &request).await.unwrap_err(), "asset_type_mismatch");
        for _ in 0..2 {
            world.rpc().discard_outputs(v1::DiscardOutputsRequest { job_id: job.id.clone() }).await.unwrap();
        }
        world.assert_nothing_kept("discarded").await;
        assert_eq!(finalize(&world, &request).await.unwrap_err(), "outputs_ended");
        assert_eq!(announce(&world, &job, "1", 2, &png(4, 4)).await.code(), "outputs_ended");
        let unknown = v1::DiscardOutputsRequest { job_id: "never-heard-of".to_owned() };
        world.rpc().discard_outputs(unknown).await.unwrap();
    }
}

#[tokio::test]
async fn finalising_at_once_makes_the_assets_once() {
    for world in worlds().await {
        let job = open_job(&world).await;
        let output = write(&world, &job, "1", 0, &png(50, 50)).await;
        let request = success(&job, "1", vec![output], vec![]);
        let answers = join_all((0..5).map(|_| finalize(&world, &request))).await;
        let first = answers[0].clone().unwrap();
        for answer in answers {
            assert_eq!(answer.unwrap()[0].id, first[0].id, "{}", world.name);
        }
        let (types, _) = world.events().await;
        assert_eq!(types, ["storage.asset.created", "storage.asset.ready"]);
        assert_eq!(world.usage().await.0, first[0].size_bytes);
    }
}

#[tokio::test]
async fn a_download_is_signed_for_a_while() {
    for world in worlds().await {
        let picture = png(12, 12);
        let asset = world.upload("a.png", "image/png", &picture).await.ok();
        let ask = |ttl_s| v1::SignDownloadRequest {
            asset_id: asset["id"].as_str().unwrap().to_owned(),
            organisation_id: world.alice.organisation.to_string(),
            ttl_s,
            preview: false,
        };
        let signed = world.rpc().sign_download(ask(60)).await.unwrap().into_inner();
        let bytes = world.http.get(&signed.url).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes, picture, "{}", world.name);
        let preview = v1::SignDownloadRequest { preview: true, ..ask(60) };
        let preview = world.rpc().sign_download(preview).await.unwrap().into_inner();
        assert_eq!(preview.expires_at_us, signed.expires_at_us, "its preview for as long");
        for bad in [0, -1, 604_801] {
            assert_eq!(
                Problem::from(world.rpc().sign_download(ask(bad)).await.unwrap_err()).code,
                "invalid_fields"
            );
        }
        let begun = world.begin("b.png", "image/png", 10).await.ok();
        let unready = v1::SignDownloadRequest {
            asset_id: begun["asset"]["id"].as_str().unwrap().to_owned(),
            ..ask(60)
        };
        assert_eq!(
            Problem::from(world.rpc().sign_download(unready).await.unwrap_err()).code,
            "asset_not_ready"
        );
        world.call(Method::DELETE, &format!("/v1/assets/{}", asset["id"].as_str().unwrap()), None).await;
        assert_eq!(
            Problem::from(world.rpc().sign_download(ask(60)).await.unwrap_err()).code,
            "asset_deleted"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_can_be_looked_at_until_its_job_is_finalised() {
    for world in worlds().await {
        let job = open_job(&world).await;
        let bytes = png(40, 30);
        let written = write(&world, &job, "1-1", 0, &bytes).await;
        let ask = |key: &str| v1::SignOutputRequest {
            job_id: job.id.clone(),
            object_key: key.to_owned(),
            ttl_s: 60,
        };
        let signed = world.rpc().sign_output(ask(&written.object_key)).await.unwrap().into_inner();
        let got = world.http.get(signed.url).send().await.unwrap();
        assert_eq!(got.bytes().await.unwrap().as_ref(), bytes.as_slice());
        let unknown = world.rpc().sign_output(ask("outputs/other/1-1/0")).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);
        let discard = v1::DiscardOutputsRequest { job_id: job.id.clone() };
        world.rpc().discard_outputs(discard).await.unwrap();
        let ended = world.rpc().sign_output(ask(&written.object_key)).await.unwrap_err();
        assert_eq!(ended.code(), tonic::Code::AlreadyExists);
    }
}

#[tokio::test]
async fn a_run_begins_only_where_there_is_a_place_for_what_it_makes() {
    for world in worlds().await {
        let before = open_job(&world).await;
        let bytes = png(16, 16);
        let output = write(&world, &before, "1-1", 0, &bytes).await;
        world.service.set_quota(world.alice.organisation, Some(bytes.len() as i64)).await.unwrap();
        let mut rpc = world.rpc();
        // Begun before, it is delivered, and its issuer stays what it was.
        let later = Uuid::now_v7().to_string();
        rpc.finalize_outputs(success(&before, "1-1", vec![output], vec![])).await.unwrap();
        rpc.create_issuer(terms(&world, &before.id, 3, 1 << 20)).await.unwrap();
        let refused = rpc.create_issuer(terms(&world, &later, 3, 1 << 20)).await.unwrap_err();
        assert_eq!(Problem::from(refused).code, "quota_exceeded", "{}", world.name);
        // With space again, the same job is welcome.
        world.service.set_quota(world.alice.organisation, None).await.unwrap();
        rpc.create_issuer(terms(&world, &later, 3, 1 << 20)).await.unwrap();
    }
}
