//! Crashes between the steps: whatever happens, an upload can be completed or removed, and the space is right.

use std::time::Duration;

use backlot_foundation_db::Db;
use backlot_foundation_time::SystemClock;
use backlot_infrastructure_storage::{AssetState, NewUpload, Service};

use crate::world::{World, folder_world, png};

/// Runs `work` on a runtime that is thrown away after `delay`, as a kill would.
fn killed_after<F: Future<Output = ()> + Send + 'static>(delay: Duration, work: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let _ = tokio::time::timeout(delay, tokio::spawn(work)).await;
    });
    runtime.shutdown_background();
}

#[test]
fn a_process_that_dies_while_it_looks_leaves_an_upload_that_can_be_completed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(folder_world());
    let picture = png(400, 400);
    // The world's own database stays open; the doomed process has a file of its own.
    let folder = tempfile::tempdir().unwrap();
    let db_config = backlot_foundation_db::DbConfig::sqlite(&folder.path().join("doomed.db"));
    let config = world.config.clone();
    let open = || {
        let (db_config, config) = (db_config.clone(), config.clone());
        async move {
            // The operating system frees the file of a killed process at once; dropped tasks take a moment.
            let db = loop {
                match Db::connect(&db_config, "infrastructure").await {
                    Ok(db) => break db,
                    Err(backlot_foundation_db::DbError::InUse(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            };
            db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
            db.migrate::<backlot_infrastructure_storage::Migrator>().await.unwrap();
            Service::new(db, SystemClock::shared(), config).await.unwrap()
        }
    };
    let actor = world.alice.actor();
    let organisation = actor.organisation;
    for delay_ms in [1, 3, 6, 10, 15, 20, 30, 45, 70, 110] {
        let id = {
            let (open, picture, actor) = (open(), picture.clone(), actor.clone());
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let service = open.await;
                let upload = begin(&service, &actor, &picture).await;
                place(&world, &format!("uploads/{organisation}/{upload}"), &picture);
                upload
            })
        };
        let doomed = open();
        killed_after(Duration::from_millis(delay_ms), async move {
            let service = doomed.await;
            let _ = service.complete_upload(organisation, id).await;
        });
        let survivor = open();
        runtime.block_on(async {
            let service = survivor.await;
            let asset = service.complete_upload(organisation, id).await.unwrap();
            assert_eq!(asset.state(), AssetState::Ready, "killed after {delay_ms} ms");
            let usage = service.usage(organisation).await.unwrap();
            assert_eq!((usage.used_bytes, usage.reserved_bytes), (picture.len() as i64, 0));
            service.delete(&actor, id).await.unwrap();
            service.reconcile().await.unwrap();
            let usage = service.usage(organisation).await.unwrap();
            assert_eq!((usage.used_bytes, usage.reserved_bytes), (0, 0));
            let objects: Vec<_> =
                world.files().into_iter().filter(|file| file.starts_with("objects/")).collect();
            assert_eq!(objects, Vec::<String>::new(), "killed after {delay_ms} ms");
        });
    }
    let _guard = runtime.enter();
    drop(world);
}

async fn begin(
    service: &Service,
    actor: &backlot_infrastructure_storage::Actor,
    bytes: &[u8],
) -> backlot_infrastructure_api::AssetId {
    let new = NewUpload {
        name: "a.png".to_owned(),
        content_type: "image/png".to_owned(),
        size_bytes: bytes.len() as i64,
        project: None,
    };
    service.begin_upload(actor, new).await.unwrap().asset.id()
}

/// Puts an object into the folder, as a PUT would have.
fn place(world: &World, key: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = world.folder.path().join("objects").join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn objects_without_a_row_are_removed_when_they_are_old() {
    let world = folder_world().await;
    let picture = png(8, 8);
    let kept = world.upload("a.png", "image/png", &picture).await.ok();
    let organisation = world.alice.organisation;
    let nobody = backlot_infrastructure_api::AssetId::generate();
    let id = kept["id"].as_str().unwrap();
    let stray = [
        format!("uploads/{organisation}/{nobody}"),
        format!("assets/{organisation}/{nobody}"),
        format!("previews/{organisation}/{nobody}"),
        // The upload's own object, which a crash kept from being removed.
        format!("uploads/{organisation}/{id}"),
        // Right id, wrong tenant.
        format!("assets/{}/{id}", backlot_infrastructure_api::OrganisationId::generate()),
        "outputs/no-such-job/1/0".to_owned(),
    ];
    for key in &stray {
        place(&world, key, b"stray");
    }
    assert_eq!(world.service.sweep_orphans().await.unwrap().orphans, 0, "too young to judge");
    world.clock.advance(Duration::from_secs(3 * 3_600));
    assert_eq!(world.service.sweep_orphans().await.unwrap().orphans, stray.len());
    let mut left = world.files();
    left.sort();
    assert_eq!(
        left,
        [format!("objects/assets/{organisation}/{id}"), format!("objects/previews/{organisation}/{id}")]
    );
}

#[tokio::test]
async fn leftovers_that_a_row_remembers_are_removed_in_the_next_round() {
    use sea_orm::ConnectionTrait;
    let world = folder_world().await;
    let asset = world.upload("a.png", "image/png", &png(8, 8)).await.ok();
    let (id, organisation) = (asset["id"].as_str().unwrap(), world.alice.organisation);
    world.call(reqwest::Method::DELETE, &format!("/v1/assets/{id}"), None).await;
    // As if the process had died between the row and the objects.
    place(&world, &format!("assets/{organisation}/{id}"), b"left");
    place(&world, &format!("uploads/{organisation}/{id}"), b"left");
    let tx = world.test_db.db.begin_write().await.unwrap();
    tx.execute_unprepared("UPDATE storage_assets SET objects_pending = TRUE").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.service.reconcile().await.unwrap().leftovers, 1);
    world.assert_nothing_kept("leftovers").await;
    assert_eq!(world.service.reconcile().await.unwrap().leftovers, 0);
}

#[tokio::test]
async fn scratch_files_of_a_dead_process_go_at_the_start() {
    let world = folder_world().await;
    let scratch = world.folder.path().join("tmp");
    std::fs::write(scratch.join(".tmpleft"), b"half of a photograph").unwrap();
    let TestDbAgain { db, _folder } = TestDbAgain::open().await;
    Service::new(db, SystemClock::shared(), world.config.clone()).await.unwrap();
    assert_eq!(world.files(), Vec::<String>::new());
}

/// A second database, since the first one's file has an owner.
struct TestDbAgain {
    db: Db,
    _folder: tempfile::TempDir,
}

impl TestDbAgain {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = backlot_foundation_db::DbConfig::sqlite(&folder.path().join("again.db"));
        let db = Db::connect(&config, "infrastructure").await.unwrap();
        db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        db.migrate::<backlot_infrastructure_storage::Migrator>().await.unwrap();
        Self { db, _folder: folder }
    }
}
