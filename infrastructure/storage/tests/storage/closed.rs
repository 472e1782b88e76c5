//! Whoever deletes their account takes their media along.

use std::time::Duration;

use backlot_foundation_time::Clock as _;
use backlot_infrastructure_storage::organisation_closed;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::outputs::{finalize, open_job, success, write};
use crate::world::{Person, World, folder_world, png, worlds};

async fn close(world: &World, person: &Person) {
    let tx = world.test_db.db.begin_write().await.unwrap();
    organisation_closed(&tx, person.organisation, world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// State and name of every row of an organisation.
async fn rows(world: &World, person: &Person) -> Vec<(String, String)> {
    let db = &world.test_db.db;
    let sql = "SELECT state, name FROM storage_assets WHERE organisation_id = $1 ORDER BY id";
    let statement = Statement::from_sql_and_values(db.backend(), sql, [person.organisation.into()]);
    let rows = db.read().query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "state").unwrap(), row.try_get("", "name").unwrap())).collect()
}

#[tokio::test]
async fn everything_of_an_organisation_that_closed_is_deleted_and_nothing_of_another() {
    for mut world in worlds().await {
        let picture = png(16, 16);
        world.upload("my face.png", "image/png", &picture).await.ok();
        world.begin("begun.png", "image/png", picture.len()).await.ok();
        let leaver = std::mem::replace(&mut world.alice, Person::new());
        let kept = world.upload("kept.png", "image/png", &picture).await.ok();
        close(&world, &leaver).await;
        // The process ends before anything is deleted; the row remembers.
        world.restart(|_| ()).await;
        assert_eq!(world.service.reconcile().await.unwrap().of_closed, 2, "{}", world.name);
        let gone = ("deleted".to_owned(), String::new());
        assert_eq!(rows(&world, &leaver).await, [gone.clone(), gone]);
        assert_eq!(world.service.reconcile().await.unwrap().of_closed, 0);
        assert_eq!(world.service.usage(leaver.organisation).await.unwrap().used_bytes, 0);
        assert_eq!(
            world.get(&format!("/v1/assets/{}", kept["id"].as_str().unwrap())).await.ok()["state"],
            "ready"
        );
        let theirs = leaver.organisation.to_string();
        assert!(!world.files().iter().any(|file| file.contains(&theirs)), "{:?}", world.files());
    }
}

#[tokio::test]
async fn what_a_run_delivers_after_the_end_is_deleted_too() {
    for world in worlds().await {
        let (job, picture) = (open_job(&world).await, png(8, 8));
        let output = write(&world, &job, "1", 0, &picture).await;
        close(&world, &world.alice).await;
        assert_eq!(world.service.reconcile().await.unwrap().of_closed, 0);
        finalize(&world, &success(&job, "1", vec![output], Vec::new())).await.unwrap();
        assert_eq!(world.service.reconcile().await.unwrap().of_closed, 1, "{}", world.name);
        assert_eq!(rows(&world, &world.alice).await, [("deleted".to_owned(), String::new())]);
    }
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_nothing_else_from_being() {
    let world = folder_world().await;
    let picture = png(8, 8);
    let mut ids = Vec::new();
    for name in ["a.png", "b.png"] {
        let asset = world.upload(name, "image/png", &picture).await.ok();
        ids.push(asset["id"].as_str().unwrap().to_owned());
        world.call(reqwest::Method::DELETE, &format!("/v1/assets/{}", ids.last().unwrap()), None).await;
    }
    let place =
        |id: &str| world.folder.path().join(format!("objects/assets/{}/{id}", world.alice.organisation));
    // In the first one's place stands something that is no file.
    std::fs::create_dir_all(place(&ids[0]).join("in the way")).unwrap();
    std::fs::write(place(&ids[1]), b"left").unwrap();
    let late = world.begin("late.png", "image/png", picture.len()).await.ok();
    let tx = world.test_db.db.begin_write().await.unwrap();
    tx.execute_unprepared("UPDATE storage_assets SET objects_pending = TRUE WHERE state = 'deleted'")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    world.clock.advance(Duration::from_secs(2 * 3_600));
    let removed = world.service.reconcile().await.unwrap();
    assert_eq!((removed.expired_uploads, removed.leftovers), (1, 1), "{late}");
    assert!(!place(&ids[1]).exists());
}
