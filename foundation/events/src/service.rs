//! `Events.Tail` and `Events.Schemas`, served from a system's outbox.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_db::{Db, DbError};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::caller;
use backlot_foundation_time::SharedClock;
use futures::Stream;
use sea_orm::DatabaseBackend;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::outbox::{self, Cursor};
use crate::v1::events_server::{Events, EventsServer};
use crate::v1::tail_response::Item;
use crate::{EventSchema, v1};

/// Events read from the outbox at once.
const BATCH_EVENTS: u32 = 256;
/// Events on their way to one slow consumer before the reader waits for it.
const BUFFERED_EVENTS: usize = 512;
/// Longest silence of a healthy stream.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(200);
/// How often PostgreSQL is asked: another process may have written.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Serves one system's events to other systems. Cheap to clone.
#[derive(Clone)]
pub struct EventsService {
    db: Db,
    clock: SharedClock,
    schemas: Arc<Vec<EventSchema>>,
}

impl EventsService {
    /// Serves the outbox in `db`, whose events have these schemas.
    #[must_use]
    pub fn new(db: Db, clock: SharedClock, schemas: Vec<EventSchema>) -> Self {
        Self { db, clock, schemas: Arc::new(schemas) }
    }

    /// The gRPC service to add to a system's routes.
    #[must_use]
    pub fn server(&self) -> EventsServer<Self> {
        EventsServer::new(self.clone())
    }

    /// Refuses a position before the horizon: events between the two are gone.
    async fn check_kept(&self, cursor: Cursor) -> Result<(), Problem> {
        if cursor >= outbox::horizon(&self.db).await? {
            return Ok(());
        }
        let detail = "Events after this position were deleted, because nobody asked for them in time. Read what the \
                      source holds today, then begin with an empty cursor.";
        Err(Problem::new(&codes::CURSOR_EXPIRED, detail))
    }

    /// Reads and sends until the consumer goes away, the database fails, or what it would read next was deleted.
    async fn feed(
        self,
        start: Option<Cursor>,
        types: Vec<String>,
        sender: mpsc::Sender<Result<v1::TailResponse, Status>>,
    ) {
        let mut commits = self.db.commits();
        // Without a position of its own a consumer begins with what is kept.
        let mut cursor = start.unwrap_or_default();
        let mut is_placed = start.is_some();
        let mut last_heartbeat = tokio::time::Instant::now() - HEARTBEAT_INTERVAL;
        loop {
            // Marked as seen before reading: a commit in between wakes us again.
            commits.borrow_and_update();
            let batch = match outbox::read_after(&self.db, cursor, BATCH_EVENTS).await {
                Ok(batch) => batch,
                Err(error) => {
                    // The consumer logs and reconnects; nothing is lost, its cursor stands.
                    let _ = sender.send(Err(Problem::from(error).into())).await;
                    return;
                }
            };
            let caught_up = batch.len() < BATCH_EVENTS as usize;
            let beat_is_due = caught_up && last_heartbeat.elapsed() >= HEARTBEAT_INTERVAL;
            // After the read and before anything is said: what was deleted in between is then noticed.
            if is_placed
                && (!batch.is_empty() || beat_is_due)
                && let Err(problem) = self.check_kept(cursor).await
            {
                let _ = sender.send(Err(problem.into())).await;
                return;
            }
            for (position, event) in batch {
                (cursor, is_placed) = (position, true);
                if (types.is_empty() || types.contains(&event.r#type))
                    && !send(&sender, Item::Event(event)).await
                {
                    return;
                }
            }
            if !caught_up {
                continue;
            }
            if beat_is_due && !outbox::has_unsettled(&self.db, cursor).await.unwrap_or(true) {
                let beat = v1::Heartbeat { cursor: cursor.to_string(), time_us: self.clock.now().micros() };
                if !send(&sender, Item::Heartbeat(beat)).await {
                    return;
                }
                last_heartbeat = tokio::time::Instant::now();
            }
            let pause = if self.db.backend() == DatabaseBackend::Postgres {
                POLL_INTERVAL
            } else {
                HEARTBEAT_INTERVAL
            };
            tokio::select! {
                _ = commits.changed() => (),
                () = tokio::time::sleep(pause) => (),
                () = sender.closed() => return,
            }
        }
    }
}

async fn send(sender: &mpsc::Sender<Result<v1::TailResponse, Status>>, item: Item) -> bool {
    sender.send(Ok(v1::TailResponse { item: Some(item) })).await.is_ok()
}

#[tonic::async_trait]
impl Events for EventsService {
    type TailStream = Pin<Box<dyn Stream<Item = Result<v1::TailResponse, Status>> + Send>>;

    async fn tail(&self, request: Request<v1::TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        caller(&request)?.require_service()?;
        let request = request.into_inner();
        let cursor = match request.cursor.as_str() {
            "" if request.from_end => {
                Some(outbox::end(&self.db).await.map_err(|error: DbError| Problem::from(error))?)
            }
            "" => None,
            text => {
                let parsed = text.parse::<Cursor>();
                let cursor = parsed.map_err(|error| Problem::new(&codes::BAD_REQUEST, error.to_string()))?;
                self.check_kept(cursor).await?;
                Some(cursor)
            }
        };
        let (sender, receiver) = mpsc::channel(BUFFERED_EVENTS);
        // Owned by the stream: it ends as soon as its consumer goes away.
        tokio::spawn(self.clone().feed(cursor, request.types, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn schemas(
        &self,
        request: Request<v1::SchemasRequest>,
    ) -> Result<Response<v1::SchemasResponse>, Status> {
        caller(&request)?.require_service()?;
        let schemas = self.schemas.iter().map(|schema| v1::Schema {
            r#type: schema.event_type.to_owned(),
            version: schema.version,
            json: schema.json.clone(),
        });
        Ok(Response::new(v1::SchemasResponse { schemas: schemas.collect() }))
    }
}
