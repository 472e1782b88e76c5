//! Feeds and search: a walk of an index, and what the viewer is not to meet left out.

use std::collections::HashSet;

use backlot_business_api::PostId;

use super::{Service, Viewer};
use crate::error::Error;
use crate::limits::{EXPANSIONS_MAX, QUERY_CHARS_MAX, SCAN_CHUNK, SCAN_MAX, TAG_LIST_MAX};
use crate::rows::{Post, Word, post_state};
use crate::store::{self, Order, Position, Source};
use crate::text::{self, Search};

/// Longest list of authors that is read for one page of "following".
const FOLLOWING_CHUNK: u64 = 100;

/// How much more is read of an index each time that a page is not full yet.
const GROWTH: u64 = 4;

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

/// Conditions beside the index that is walked; all of them are in the post's own row.
struct Filter {
    author: Option<backlot_infrastructure_api::UserId>,
    tag: Option<String>,
    search: Option<Search>,
}

impl Filter {
    fn takes(&self, post: &Post) -> bool {
        post.state == post_state::PUBLIC
            && self.author.is_none_or(|author| post.author_id == author)
            && self.tag.as_ref().is_none_or(|tag| post.tags().contains(tag))
            && self.search.as_ref().is_none_or(|search| search.finds(&store::words_of(post)))
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
            Some(search) => self.driving_words(search).await?,
            None => Vec::new(),
        };
        let hot = query.feed == Feed::Hot && search.is_none();
        let order = if hot { Order::Hot } else { Order::New };
        let after = query.before.as_deref().map(|text| position(text, order)).transpose()?;
        let source = match (&search, query.feed, author, &tag) {
            (Some(_), ..) => Source::Words(&words),
            (None, Feed::Following, ..) => Source::Following(viewer.user),
            (None, _, Some(author), _) => Source::Author(author),
            (None, _, None, Some(tag)) => Source::Tag(tag),
            (None, _, None, None) => Source::All,
        };
        let filter = Filter { author, tag: tag.clone(), search };
        self.walk(viewer, source, order, after, &filter, query.limit).await
    }

    async fn walk(
        &self,
        viewer: &Viewer,
        source: Source<'_>,
        order: Order,
        after: Option<Position>,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page<Post>, Error> {
        let selective = matches!(source, Source::Words(_))
            || (filter.author.is_some() && !matches!(source, Source::Author(_)))
            || (filter.tag.is_some() && !matches!(source, Source::Tag(_)));
        let most = if matches!(source, Source::Following(_)) { FOLLOWING_CHUNK } else { SCAN_CHUNK };
        // One more than the page tells whether there is a next one. Where little fits, more is read each time.
        let mut size = (limit as u64 + 1).min(most);
        let mut page = Page { items: Vec::new(), next: None };
        let (mut after, mut scanned) = (after, 0);
        loop {
            let chunk = self.store().feed(source, order, after, size).await?;
            let full = chunk.len() as u64 == size;
            let authors: HashSet<_> = chunk.iter().map(|post| post.author_id).collect();
            let hidden = self.store().hidden_among(viewer.user, &authors).await?;
            for post in chunk {
                scanned += 1;
                after = Some(Position::of(&post));
                if hidden.contains(&post.author_id) || !filter.takes(&post) {
                    continue;
                }
                if page.items.len() == limit {
                    page.next = page.items.last().map(|last| cursor(Position::of(last), order));
                    return Ok(page);
                }
                page.items.push(post);
            }
            if !full {
                return Ok(page);
            }
            if selective {
                size = (size * GROWTH).min(most);
            }
            if scanned >= SCAN_MAX {
                page.next = after.map(|position| cursor(position, order));
                return Ok(page);
            }
        }
    }

    /// The words whose posts are looked at: the rarest whole word, or what the only word may begin.
    async fn driving_words(&self, search: &Search) -> Result<Vec<String>, Error> {
        if search.whole.is_empty() {
            let found = self.store().top_words(&search.beginning, EXPANSIONS_MAX).await?;
            let mut words: Vec<String> = found.into_iter().map(|word| word.word).collect();
            if !words.contains(&search.beginning) {
                words.push(search.beginning.clone());
            }
            return Ok(words);
        }
        let counts = self.store().word_counts(&search.whole).await?;
        if counts.len() < search.whole.iter().collect::<HashSet<_>>().len() {
            return Ok(Vec::new());
        }
        Ok(counts.into_iter().min_by_key(|word| word.posts).map(|word| word.word).into_iter().collect())
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
