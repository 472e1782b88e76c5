//! Accounts, sessions, organisations, projects, memberships, invitations, API keys, audit.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, string_len, string_len_null, text, text_null,
};

/// Characters of an id's text.
const ID: u32 = 36;
/// Characters of a SHA-256 in hexadecimal.
const SHA256: u32 = 64;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        // For analysts: stable, read-only, without anything by which a person can be known.
        let views = [
            "CREATE VIEW users AS SELECT id, kind, is_staff, state, created_at, deleted_at FROM identity_users",
            "CREATE VIEW organisations AS SELECT id, kind, created_at, closed_at FROM identity_organisations",
            "CREATE VIEW memberships AS SELECT organisation_id, user_id, role, created_at FROM identity_memberships",
        ];
        for view in views {
            manager.get_connection().execute_unprepared(view).await?;
        }
        Ok(())
    }
}

fn table(name: &'static str, mut columns: Vec<ColumnDef>) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name);
    for column in &mut columns {
        table.col(column.take());
    }
    table.take()
}

fn id(name: &'static str) -> ColumnDef {
    string_len(name, ID)
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        table(
            "identity_users",
            vec![
                id("id").primary_key().take(),
                string_len_null("email", 254),
                string_len_null("email_normalised", 254).unique_key().take(),
                string_len_null("name", 120),
                text_null("password_hash"),
                string_len("kind", 16),
                boolean("is_staff"),
                string_len("state", 16),
                big_integer("created_at"),
                big_integer_null("deleted_at"),
            ],
        ),
        table(
            "identity_install",
            vec![integer("id").primary_key().take(), id("first_user_id"), big_integer("created_at")],
        ),
        table(
            "identity_sessions",
            vec![
                id("id").primary_key().take(),
                id("user_id"),
                string_len("token_sha256", SHA256).unique_key().take(),
                string_len_null("organisation_id", ID),
                big_integer("created_at"),
                big_integer("last_seen_at"),
                big_integer("expires_at"),
                big_integer_null("ended_at"),
            ],
        ),
        table(
            "identity_organisations",
            vec![
                id("id").primary_key().take(),
                string_len("name", 120),
                string_len("kind", 16),
                big_integer("authority_version"),
                big_integer("created_at"),
                big_integer_null("closed_at"),
            ],
        ),
        table(
            "identity_projects",
            vec![
                id("id").primary_key().take(),
                id("organisation_id"),
                string_len("name", 120),
                big_integer("created_at"),
            ],
        ),
        memberships(),
        table(
            "identity_invitations",
            vec![
                id("id").primary_key().take(),
                id("organisation_id"),
                string_len_null("email_normalised", 254),
                string_len("role", 16),
                string_len("token_sha256", SHA256).unique_key().take(),
                id("invited_by"),
                big_integer("created_at"),
                big_integer("expires_at"),
                big_integer_null("accepted_at"),
                string_len_null("accepted_by", ID),
                big_integer_null("revoked_at"),
            ],
        ),
        table(
            "identity_api_keys",
            vec![
                id("id").primary_key().take(),
                id("organisation_id"),
                id("user_id"),
                string_len("name", 120),
                string_len("prefix", 16),
                string_len("key_sha256", SHA256).unique_key().take(),
                text("scopes"),
                big_integer("created_at"),
                big_integer_null("expires_at"),
                big_integer_null("last_used_at"),
                big_integer_null("revoked_at"),
            ],
        ),
        table(
            "identity_audit",
            vec![
                id("id").primary_key().take(),
                string_len_null("organisation_id", ID),
                string_len("actor", 64),
                string_len("action", 64),
                string_len("subject", 64),
                text("detail"),
                big_integer("at"),
            ],
        ),
    ]
}

fn memberships() -> TableCreateStatement {
    let columns =
        vec![id("organisation_id"), id("user_id"), string_len("role", 16), big_integer("created_at")];
    table("identity_memberships", columns)
        .primary_key(Index::create().col("organisation_id").col("user_id"))
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let index = |table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create();
        index.name(format!("{table}_by_{}", columns.join("_"))).table(table);
        for column in columns {
            index.col(*column);
        }
        index.take()
    };
    vec![
        index("identity_sessions", &["user_id", "id"]),
        index("identity_sessions", &["expires_at"]),
        index("identity_projects", &["organisation_id", "id"]),
        index("identity_memberships", &["user_id"]),
        index("identity_invitations", &["organisation_id", "id"]),
        index("identity_invitations", &["email_normalised"]),
        index("identity_api_keys", &["organisation_id", "id"]),
        index("identity_api_keys", &["user_id"]),
        index("identity_audit", &["organisation_id", "id"]),
        index("identity_audit", &["actor", "id"]),
    ]
}
