//! The Delta table: created on the first append, appended exactly once, compacted now and then.

use std::num::NonZeroU64;
use std::sync::Arc;

use deltalake::datafusion::datasource::MemTable;
use deltalake::kernel::Transaction;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableError, TableProperty};
use tokio::sync::Mutex;
use url::Url;

use crate::event::{SCHEMA, delta_columns, to_batch};
use crate::view::{self, View, Waiting, WaitingEvent, WaitingSource};
use crate::{Config, Error, EventRow};

/// Commits between two checkpoints of the log.
const CHECKPOINT_COMMITS: &str = "64";
/// How long old versions of the log are kept.
const LOG_RETENTION: &str = "interval 1 days";
/// Files of one day are packed up to this size.
const COMPACTED_FILE_BYTES: NonZeroU64 = NonZeroU64::new(64 << 20).unwrap();

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// These rows are in the table now.
    Committed {
        /// Version of the table.
        version: u64,
    },
    /// An earlier call had committed them; nothing was done.
    AlreadyThere,
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Small files that were packed.
    pub files_removed: u64,
    /// Files they were packed into.
    pub files_added: u64,
    /// Files of old versions deleted from the store.
    pub files_deleted: usize,
}

/// A handle on the table `events`. Cheap to clone; opens nothing before it is used.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    location: Url,
    /// The table as last seen. Held only to look; nobody who reads waits for somebody who writes.
    table: Mutex<Option<DeltaTable>>,
    /// One writer at a time, so that this process never conflicts with itself.
    writer: Mutex<()>,
}

impl Lake {
    /// Checks the configuration; touches no disk and no network.
    pub fn new(config: Config) -> Result<Self, Error> {
        let location = config.location()?;
        Ok(Self {
            inner: Arc::new(Inner { config, location, table: Mutex::new(None), writer: Mutex::new(()) }),
        })
    }

    /// Appends events and records, in the same commit, that `application` has delivered everything up to the
    /// highest of their positions. Those that the table already has by that record are left out, so that
    /// calling again after a crash neither loses nor doubles. Positions of an application only rise.
    pub async fn append(&self, application: &str, events: &[WaitingEvent]) -> Result<Appended, Error> {
        let _writing = self.inner.writer.lock().await;
        let table = self.fresh(true).await?;
        let delivered = committed_position(&table, application).await?;
        let fresh: Vec<&WaitingEvent> = events.iter().filter(|event| event.position > delivered).collect();
        let Some(position) = fresh.iter().map(|event| event.position).max() else {
            return Ok(Appended::AlreadyThere);
        };
        let rows: Vec<&EventRow> = fresh.iter().map(|event| &event.row).collect();
        let batch = to_batch(&rows)?;
        let written = table
            .write([batch])
            .with_save_mode(SaveMode::Append)
            .with_session_state(Arc::new(view::writing_session(&self.inner.config)?))
            .with_commit_properties(
                CommitProperties::default()
                    .with_application_transaction(Transaction::new(application, position)),
            )
            .await;
        // Where it failed, the commit may have arrived although the answer did not: the next call looks again.
        let table = written?;
        let version = table.version().unwrap_or_default();
        self.remember(table).await;
        Ok(Appended::Committed { version })
    }

    /// The highest position that `application` has delivered; 0 where it delivered nothing.
    pub async fn position(&self, application: &str) -> Result<i64, Error> {
        let table = self.fresh(false).await?;
        Ok(committed_position(&table, application).await?)
    }

    /// Version of the table; `None` where there is none yet.
    pub async fn version(&self) -> Result<Option<u64>, Error> {
        Ok(self.fresh(false).await?.version())
    }

    /// A consistent view of the table and of what waits for it.
    ///
    /// What waits is read first and the table second: an event that moves in between is then in both, and
    /// the position in the table says which of the waiting ones to leave out. The other order could miss it.
    pub async fn read(&self, source: &dyn WaitingSource) -> Result<View, Error> {
        let mut waiting = source.waiting().await.map_err(Error::Waiting)?;
        let table = self.fresh(false).await?;
        let delivered = committed_position(&table, &waiting.application).await?;
        waiting.events.retain(|event| event.position > delivered);
        self.view(table, waiting).await
    }

    /// A view of no events, to check statements with; touches no disk and no network.
    pub async fn blank(&self) -> Result<View, Error> {
        let context = view::context(&self.inner.config)?;
        view::register_functions(&context);
        context.register_table("waiting", Arc::new(MemTable::try_new(SCHEMA.clone(), vec![vec![]])?))?;
        View::new(context, None, 0, None).await
    }

    async fn view(&self, table: DeltaTable, waiting: Waiting) -> Result<View, Error> {
        let context = view::context(&self.inner.config)?;
        view::register_functions(&context);
        if table.version().is_some() {
            table.update_datafusion_session(&context.state())?;
            context.register_table("lake", table.table_provider().await?)?;
        }
        let rows: Vec<&EventRow> = waiting.events.iter().map(|event| &event.row).collect();
        let batch = to_batch(&rows)?;
        context.register_table("waiting", Arc::new(MemTable::try_new(SCHEMA.clone(), vec![vec![batch]])?))?;
        View::new(context, table.version(), rows.len(), waiting.as_of_us).await
    }

    /// Packs the small files of each day and deletes the files of versions older than a week.
    pub async fn compact(&self) -> Result<Compacted, Error> {
        let _writing = self.inner.writer.lock().await;
        let table = self.fresh(false).await?;
        if table.version().is_none() {
            return Ok(Compacted { files_removed: 0, files_added: 0, files_deleted: 0 });
        }
        let (table, packed) = table
            .optimize()
            .with_target_size(COMPACTED_FILE_BYTES)
            .with_max_concurrent_tasks(1)
            .with_session_state(Arc::new(view::writing_session(&self.inner.config)?))
            .await?;
        let (table, swept) = table.vacuum().await?;
        self.remember(table).await;
        Ok(Compacted {
            files_removed: packed.num_files_removed,
            files_added: packed.num_files_added,
            files_deleted: swept.files_deleted.len(),
        })
    }

    /// The table at its newest version; opened, and where asked created, on first use.
    async fn fresh(&self, create: bool) -> Result<DeltaTable, Error> {
        let mut slot = self.inner.table.lock().await;
        // Taken out: a table whose update failed is not kept.
        let mut table = match slot.take() {
            Some(table) if table.version().is_some() => table,
            Some(_) | None => self.open().await?,
        };
        if table.version().is_some() {
            table.update_state().await?;
        } else if create {
            table = self.create(table).await?;
        }
        *slot = Some(table.clone());
        Ok(table)
    }

    /// Keeps what was just written, unless something newer was seen in between.
    async fn remember(&self, table: DeltaTable) {
        let mut slot = self.inner.table.lock().await;
        if slot.as_ref().is_none_or(|known| known.version() < table.version()) {
            *slot = Some(table);
        }
    }

    async fn open(&self) -> Result<DeltaTable, Error> {
        if let Ok(path) = self.inner.location.to_file_path() {
            std::fs::create_dir_all(&path).map_err(|source| Error::Folder { path, source })?;
        }
        let options = self.inner.config.storage_options();
        Ok(DeltaTable::try_from_url_with_storage_options(self.inner.location.clone(), options).await?)
    }

    async fn create(&self, table: DeltaTable) -> Result<DeltaTable, Error> {
        let created = table
            .create()
            .with_table_name("events")
            .with_comment("Every event of every system, validated and without duplicates")
            .with_columns(delta_columns())
            .with_partition_columns(["date"])
            .with_configuration_property(TableProperty::CheckpointInterval, Some(CHECKPOINT_COMMITS))
            .with_configuration_property(TableProperty::LogRetentionDuration, Some(LOG_RETENTION))
            .with_configuration_property(TableProperty::EnableExpiredLogCleanup, Some("true"))
            .with_save_mode(SaveMode::ErrorIfExists)
            .await;
        match created {
            Ok(table) => Ok(table),
            // Another process created it in between: use that one.
            Err(error) => match self.open().await? {
                table if table.version().is_some() => Ok(table),
                _ => Err(error.into()),
            },
        }
    }
}

async fn committed_position(table: &DeltaTable, application: &str) -> Result<i64, DeltaTableError> {
    if table.version().is_none() {
        return Ok(0);
    }
    let store = table.log_store();
    Ok(table.snapshot()?.transaction_version(store.as_ref(), application).await?.unwrap_or(0))
}
