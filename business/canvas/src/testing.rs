//! What tests of boards begin with.

use backlot_business_api::BoardId;
use backlot_foundation_testkit::{TestDb, databases};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, ProjectId};

use crate::migrations::Migrator;
use crate::store::BoardRow;

/// SQLite, and PostgreSQL where there is one, each with the canvas's tables.
pub(crate) async fn migrated() -> Vec<TestDb> {
    let all = databases("business").await;
    for one in &all {
        migrate(one).await;
    }
    all
}

/// SQLite alone.
pub(crate) async fn migrated_sqlite() -> TestDb {
    let one = TestDb::sqlite("business").await;
    migrate(&one).await;
    one
}

async fn migrate(one: &TestDb) {
    one.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
    one.db.migrate::<Migrator>().await.unwrap();
}

/// A new board of an organisation of its own.
pub(crate) fn board_row() -> BoardRow {
    let at = Timestamp::from_micros(1_000_000);
    BoardRow {
        id: BoardId::generate(),
        organisation_id: OrganisationId::generate(),
        project_id: Some(ProjectId::generate()),
        title: "Harbour".to_owned(),
        created_by: "ada".to_owned(),
        is_template: false,
        parent_board_id: None,
        parent_post_id: None,
        nodes: 0,
        seq: 0,
        access_version: 0,
        preview_asset: None,
        created_at: at,
        updated_at: at,
    }
}
