//! Every limit of a board.

use std::time::Duration;

/// Nodes of a board.
pub(crate) const NODES_MAX: usize = 2_000;
/// Edges of a board.
pub(crate) const EDGES_MAX: usize = 4_000;
/// Tracks of a board.
pub(crate) const TRACKS_MAX: usize = 16;
/// Clips of a board.
pub(crate) const CLIPS_MAX: usize = 1_000;
/// Characters of a prompt, or of any other text in a node's parameters.
pub(crate) const PROMPT_CHARS_MAX: usize = 20_000;
/// Bytes of a node's parameters as JSON.
pub(crate) const PARAMS_BYTES_MAX: usize = 128 << 10;
/// Characters of an id in the document.
pub(crate) const ID_CHARS_MAX: usize = 64;
/// Characters of a fractional index.
pub(crate) const ORDER_CHARS_MAX: usize = 256;
/// Farthest place of a node from the origin.
pub(crate) const PLACE_MAX: f64 = 10_000_000.0;
/// Longest clip, in milliseconds: four hours.
pub(crate) const CLIP_MS_MAX: i64 = 4 * 3_600_000;
/// Commands of one request.
pub(crate) const COMMANDS_MAX: usize = 500;

/// Bytes of one update.
pub(crate) const UPDATE_BYTES_MAX: usize = 2 << 20;
/// Bytes of a message that is read at all. Larger than an update may be, so that it can be refused in words.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a document with its history.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Bytes of updates that may wait for changes which they build on.
pub(crate) const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes of updates after which texts and counts are checked again in full.
pub(crate) const CHECK_AFTER_BYTES: usize = 4 << 10;
/// Updates after which the log is folded into the snapshot.
pub(crate) const TAIL_UPDATES_MAX: usize = 200;
/// Bytes of updates after which the log is folded into the snapshot.
pub(crate) const TAIL_BYTES_MAX: usize = 1 << 20;

/// Files that one update may put on a board.
pub(crate) const MEDIA_OF_UPDATE_MAX: usize = 2_000;
/// Seconds for which the address of a file on a board is good.
pub(crate) const MEDIA_TTL_S: i64 = 900;
/// Bytes of one person's presence: with its envelope it fits into a notification of PostgreSQL.
pub(crate) const AWARENESS_BYTES_MAX: usize = 7 << 10;
/// Presences of one connection.
pub(crate) const AWARENESS_PER_SESSION_MAX: usize = 4;
/// People on a board at once.
pub(crate) const SESSIONS_MAX: usize = 128;
/// Messages that a slow connection may be behind before it is closed.
pub(crate) const OUTBOX_MESSAGES: usize = 512;
/// Requests that wait for a board.
pub(crate) const ROOM_QUEUE: usize = 256;
/// Requests that a board takes at once: they share a commit.
pub(crate) const ROOM_BATCH: usize = 64;
/// Boards in memory.
pub(crate) const ROOMS_MAX: usize = 10_000;
/// How long a board without people stays in memory.
pub(crate) const ROOM_IDLE: Duration = Duration::from_secs(30);
/// How often a board looks whether another replica has written.
pub(crate) const REPLICA_POLL: Duration = Duration::from_millis(250);

/// How often a board passes on to other replicas who moved: the last place of each.
pub(crate) const RELAY_EVERY: Duration = Duration::from_millis(100);
/// News that wait to be passed on; more are dropped, and the database tells.
pub(crate) const RELAY_QUEUE: usize = 4_096;
/// News that are passed on in one statement.
pub(crate) const RELAY_BATCH: usize = 64;
/// Pause before a lost connection for news is opened again.
pub(crate) const RELAY_PAUSE: Duration = Duration::from_millis(500);
/// Presences of a board that other replicas may tell.
pub(crate) const PRESENCES_ELSEWHERE_MAX: usize = 512;
/// Silence after which a presence on another replica is over. Yjs clients say theirs again every 15 seconds.
pub(crate) const PRESENCE_SILENCE: Duration = Duration::from_secs(45);
/// How long somebody's name is remembered.
pub(crate) const NAMES_KEPT_FOR: Duration = Duration::from_secs(30);
/// Names that are remembered.
pub(crate) const NAMES_KEPT_MAX: usize = 20_000;
/// Files that one guest may be bringing to a board at once.
pub(crate) const GUEST_UPLOADS_OPEN_MAX: u64 = 24;
/// Bytes of one file of a guest.
pub(crate) const GUEST_FILE_BYTES_MAX: i64 = 256 << 20;
/// Bytes that one guest may bring to a board in all.
pub(crate) const GUEST_BYTES_MAX: i64 = 1 << 30;
/// An upload that was not completed for so long is not open any more: storage has ended it, too.
pub(crate) const GUEST_UPLOAD_LIFE: Duration = Duration::from_secs(3_600);

/// Boards of an organisation.
pub(crate) const BOARDS_MAX: u64 = 20_000;
/// People of a board.
pub(crate) const MEMBERS_MAX: u64 = 500;
/// Share links of a board.
pub(crate) const SHARES_MAX: u64 = 100;
/// Comments of a board.
pub(crate) const COMMENTS_MAX: u64 = 10_000;

/// Nodes that one run may run.
pub(crate) const RUN_NODES_MAX: usize = 200;
/// Takes of a board that a plan looks at, newest first.
pub(crate) const TAKES_READ_MAX: u64 = 20_000;
/// Runs of boards that an organisation may have open.
pub(crate) const OPEN_RUNS_MAX: u64 = 200;
/// Open runs that are driven at once.
pub(crate) const DRIVEN_MAX: u64 = 1_000;
/// How often an open run is looked at although nothing was heard.
pub(crate) const RUN_POLL: Duration = Duration::from_secs(1);
/// Least time between two looks.
pub(crate) const RUN_PAUSE: Duration = Duration::from_millis(100);
