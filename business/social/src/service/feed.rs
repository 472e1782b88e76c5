//! Feeds and search: a walk of an index, and what the viewer is not to meet left out.

use std::collections::{BTreeSet, HashSet};

use backlot_business_api::PostId;
use backlot_infrastructure_api::UserId;

use super::{Service, Viewer};
use crate::error::Error;
use crate::limits::{EXPANSIONS_MAX, QUERY_CHARS_MAX, SCAN_CHUNK, SCAN_MAX, TAG_LIST_MAX};
use crate::rows::{Post, Word, post_state};
use crate::store::{Order, Position, Source, Words};
use crate::text::{self, Search};

/// Longest list of authors that is read for one page of "following".
const FOLLOWING_CHUNK: u64 = 128;
/// Fewest posts that are worth another look.
const CHUNK_MIN: u64 = 8;

/// Which feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Newest first.
    New,
    /// Hottest first.
    Hot,
    /// Of those whom the viewer follows, newest first.
    Following,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedQuery {
    pub(crate) feed: Feed,
    pub(crate) tag: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) search: Option<String>,
    pub(crate) before: Option<String>,
    pub(crate) limit: usize,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next page begins; `None`: this is the last.
    pub(crate) next: Option<String>,
}

/// Conditions beside the index that is walked; all of them are in the post's own row. A search has asked for them already.
struct Filter {
    author: Option<UserId>,
    tag: Option<String>,
}

impl Filter {
    fn takes(&self, post: &Post) -> bool {
        post.state == post_state::PUBLIC
            && self.author.is_none_or(|author| post.author_id == author)
            && self.tag.as_ref().is_none_or(|tag| post.tags().contains(tag))
    }
}

impl Service {
    /// A page of a feed.
    pub(crate) async fn feed(&self, viewer: &Viewer, query: &FeedQuery) -> Result<Page<Post>, Error> {
        let empty = Page { items: Vec::new(), next: None };
        let tag = match &query.tag {
            Some(tag) => Some(text::tag(tag).ok_or_else(|| Error::field("/tag", "is no tag"))?),
            None => None,
        };
        let author = match &query.author {
            Some(handle) => Some(self.profile_of(viewer, handle).await?.0.user_id),
            None => None,
        };
        let search = match &query.search {
            Some(text) if text.chars().count() > QUERY_CHARS_MAX => {
                return Err(Error::field("/q", format!("must have at most {QUERY_CHARS_MAX} characters")));
            }
            Some(text) => match Search::parse(text) {
                Some(search) => Some(search),
                None => return Ok(empty),
            },
            None => None,
        };
        let words = match &search {
            Some(search) => Some(self.words_of_search(search, tag.clone(), author).await?),
            None => None,
        };
        let hot = query.feed == Feed::Hot && words.is_none();
        let order = if hot { Order::Hot } else { Order::New };
        let after = query.before.as_deref().map(|text| position(text, order)).transpose()?;
        let source = match (&words, query.feed, author, &tag) {
            (Some(words), ..) => Source::Words(words),
            (None, Feed::Following, ..) => Source::Following(viewer.user),
            (None, _, Some(author), _) => Source::Author(author),
            (None, _, None, Some(tag)) => Source::Tag(tag),
            (None, _, None, None) => Source::All,
        };
        let filter = Filter { author, tag: tag.clone() };
        self.walk(viewer, source, order, after, &filter, query.limit).await
    }

    async fn walk(
        &self,
        viewer: &Viewer,
        source: Source<'_>,
        order: Order,
        mut after: Option<Position>,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page<Post>, Error> {
        let most = if matches!(source, Source::Following(_)) { FOLLOWING_CHUNK } else { SCAN_CHUNK };
        let mut page = Page { items: Vec::new(), next: None };
        // One more than the page tells whether there is a next one.
        let mut size = few_sizes(limit as u64 + 1).min(most);
        let (mut seen, mut scanned) = (0, 0);
        loop {
            let chunk = self.store().feed(source, order, after, size).await?;
            scanned += chunk.looked_at;
            seen += chunk.posts.len();
            let authors: HashSet<_> = chunk.posts.iter().map(|post| post.author_id).collect();
            let hidden = self.store().hidden_among(viewer.user, &authors).await?;
            for post in chunk.posts {
                if hidden.contains(&post.author_id) || !filter.takes(&post) {
                    continue;
                }
                if page.items.len() == limit {
                    page.next = page.items.last().map(|last| cursor(Position::of(last), order));
                    return Ok(page);
                }
                page.items.push(post);
            }
            let Some(last) = chunk.last else { return Ok(page) };
            if scanned >= SCAN_MAX {
                page.next = Some(cursor(last, order));
                return Ok(page);
            }
            after = Some(last);
            // As many as the missing ones take, if as few fit as until here.
            let missing = limit + 1 - page.items.len();
            let wanted = missing * (seen + 1) / (page.items.len() + 1);
            size = few_sizes(wanted as u64).clamp(CHUNK_MIN, most);
        }
    }

    /// What a search asks for: it walks the posts of its rarest whole word, or of what its only word may begin.
    async fn words_of_search(
        &self,
        search: &Search,
        tag: Option<String>,
        author: Option<UserId>,
    ) -> Result<Words, Error> {
        let mut words = Words { any: Vec::new(), also: Vec::new(), beginning: None, tag, author };
        if search.whole.is_empty() {
            let found = self.store().top_words(&search.beginning, EXPANSIONS_MAX).await?;
            words.any = found.into_iter().map(|word| word.word).collect();
            if !words.any.contains(&search.beginning) {
                words.any.push(search.beginning.clone());
            }
            return Ok(words);
        }
        let whole: BTreeSet<&String> = search.whole.iter().collect();
        let mut counts = self.store().word_counts(&search.whole).await?;
        if counts.len() < whole.len() {
            return Ok(words);
        }
        counts.sort_by_key(|word| word.posts);
        let mut rarest_first = counts.into_iter().map(|word| word.word);
        words.any.extend(rarest_first.next());
        words.also.extend(rarest_first);
        words.beginning = Some(search.beginning.clone());
        Ok(words)
    }

    /// The tags of most posts whose name begins so.
    pub(crate) async fn tags(&self, beginning: &str, limit: Option<u64>) -> Result<Vec<Word>, Error> {
        let beginning: String =
            beginning.trim_start_matches('#').chars().flat_map(char::to_lowercase).collect();
        if beginning.chars().count() > crate::limits::TAG_CHARS_MAX {
            return Ok(Vec::new());
        }
        Ok(self.store().top_tags(&beginning, limit.unwrap_or(TAG_LIST_MAX).clamp(1, TAG_LIST_MAX)).await?)
    }
}

/// Few different sizes make few different statements, which the database plans once; what is too many is little.
fn few_sizes(size: u64) -> u64 {
    size.next_power_of_two()
}

/// The text of a position: the post's id, after its place where the order is "hot".
fn cursor(position: Position, order: Order) -> String {
    match order {
        Order::New => position.id.to_string(),
        Order::Hot => format!("{}.{}", position.hot, position.id),
    }
}

fn position(text: &str, order: Order) -> Result<Position, Error> {
    let wrong = || Error::field("/before", "is not the \"next\" of a page of this feed");
    let (hot, id) = match order {
        Order::New => (0, text),
        Order::Hot => {
            let (hot, id) = text.split_once('.').ok_or_else(wrong)?;
            (hot.parse().map_err(|_| wrong())?, id)
        }
    };
    Ok(Position { hot, id: PostId::parse(id).map_err(|_| wrong())? })
}
