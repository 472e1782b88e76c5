//! Every limit of the community, with its unit.

use std::time::Duration;

/// Shortest handle.
pub(crate) const HANDLE_CHARS_MIN: usize = 3;
/// Longest handle.
pub(crate) const HANDLE_CHARS_MAX: usize = 30;
/// Longest shown name.
pub(crate) const NAME_CHARS_MAX: usize = 60;
/// Longest text about oneself.
pub(crate) const BIO_CHARS_MAX: usize = 300;
/// Longest title of a post.
pub(crate) const TITLE_CHARS_MAX: usize = 120;
/// Longest text of a post.
pub(crate) const TEXT_CHARS_MAX: usize = 2_000;
/// Longest comment.
pub(crate) const COMMENT_CHARS_MAX: usize = 1_000;
/// Longest reason of a report or a decision.
pub(crate) const REASON_CHARS_MAX: usize = 1_000;
/// Most tags of a post.
pub(crate) const TAGS_MAX: usize = 8;
/// Shortest tag.
pub(crate) const TAG_CHARS_MIN: usize = 2;
/// Longest tag, and longest word that is searched by.
pub(crate) const TAG_CHARS_MAX: usize = 32;
/// Most words of a post that it can be found by.
pub(crate) const WORDS_MAX: usize = 48;
/// Longest query.
pub(crate) const QUERY_CHARS_MAX: usize = 100;
/// Most words of a query that count.
pub(crate) const QUERY_WORDS_MAX: usize = 6;
/// Words that a beginning of a word stands for: those of most posts.
pub(crate) const EXPANSIONS_MAX: u64 = 16;
/// Most bytes of parameters that a post shows; longer ones are left out.
pub(crate) const PARAMETERS_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of a board's content that a post keeps for its remixes; of a larger board remixes begin with the medium.
pub(crate) const RECIPE_BYTES_MAX: usize = 256 * 1024;
/// Most accounts that one follows.
pub(crate) const FOLLOWS_MAX: i64 = 1_000;
/// Most accounts that one blocks or mutes, each.
pub(crate) const HIDDEN_MAX: i64 = 1_000;
/// Items of a list, unless the request names fewer.
pub(crate) const PAGE_DEFAULT: u64 = 24;
/// Most items of a list.
pub(crate) const PAGE_MAX: u64 = 100;
/// Posts that one request looks at for a filtered page; then it answers with what it found and where to go on.
pub(crate) const SCAN_MAX: u64 = 2_000;
/// Posts that are read at once where most may be left out.
pub(crate) const SCAN_CHUNK: u64 = 256;
/// Posts of a search's rarest word that are asked at once for the other words.
pub(crate) const SEARCH_WINDOW: u64 = 512;
/// Most tags of the list of tags.
pub(crate) const TAG_LIST_MAX: u64 = 50;
/// Most posts of a lineage.
pub(crate) const LINEAGE_NODES_MAX: usize = 200;
/// Most generations that a lineage is followed, each way.
pub(crate) const LINEAGE_GENERATIONS_MAX: usize = 32;
/// Accounts whose name is asked for at once.
pub(crate) const NAMES_AT_ONCE: usize = 8;
/// Largest body of a request.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Seconds for which the address of a published medium is good.
pub(crate) const MEDIA_TTL_S: i64 = 900;
/// Longest a request waits for storage before it answers that the post is being published.
pub(crate) const PUBLISH_INLINE: Duration = Duration::from_secs(10);
/// A post whose driver may have died is taken up again after this time.
pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// How often due posts are looked for.
pub(crate) const SWEEP: Duration = Duration::from_secs(2);
/// Posts that one sweep takes.
pub(crate) const DUE_MAX: u64 = 32;
/// Longest pause between two tries of one step.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(300);

/// What may be done so often by one person, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Its stable name in the table.
    pub(crate) action: &'static str,
    /// Most in a window.
    pub(crate) max: i64,
    /// The window.
    pub(crate) window: Duration,
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Posts.
pub(crate) const POSTS: Rate = Rate { action: "posts", max: 100, window: DAY };
/// Comments.
pub(crate) const COMMENTS: Rate = Rate { action: "comments", max: 120, window: HOUR };
/// Likes, and taking them back.
pub(crate) const LIKES: Rate = Rate { action: "likes", max: 1_200, window: HOUR };
/// Follows, blocks and mutes, and taking them back.
pub(crate) const RELATIONS: Rate = Rate { action: "relations", max: 600, window: HOUR };
/// Changes of a profile.
pub(crate) const PROFILES: Rate = Rate { action: "profiles", max: 30, window: DAY };
/// Reports.
pub(crate) const REPORTS: Rate = Rate { action: "reports", max: 50, window: DAY };
/// Remixes.
pub(crate) const REMIXES: Rate = Rate { action: "remixes", max: 60, window: DAY };

/// Unread notifications are counted so far; more are as many.
pub(crate) const UNREAD_MAX: i64 = 100;
/// Notifications are kept for this time.
pub(crate) const NOTIFICATIONS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Windows of rates are kept for this time.
pub(crate) const RATES_KEPT: Duration = Duration::from_secs(2 * 86_400);
/// Characters of a comment that its notification shows.
pub(crate) const EXCERPT_CHARS: usize = 140;
/// How often an open stream looks although nothing was heard: another process may have written.
pub(crate) const STREAM_POLL: Duration = Duration::from_millis(800);
/// A row that another process committed late is still found within this time.
pub(crate) const STREAM_LOOKBACK: Duration = Duration::from_secs(10);
/// Notifications that one look of a stream sends.
pub(crate) const STREAM_CHUNK: u64 = 50;
/// Silence after which a comment is sent, so that no proxy takes the stream for dead.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Streams that one process serves at once.
pub(crate) const STREAMS_MAX: usize = 10_000;
/// Reports of a case that its view shows.
pub(crate) const REPORTS_SHOWN_MAX: u64 = 20;
/// Rows of one kind that one step of an erasure takes.
pub(crate) const ERASE_CHUNK: u64 = 100;
/// A step of a profile's picture that was begun and not finished is taken back after this time.
pub(crate) const AVATAR_LEASE: Duration = Duration::from_secs(60);
/// How often what is old is forgotten.
pub(crate) const FORGET_EVERY: Duration = Duration::from_secs(3_600);
