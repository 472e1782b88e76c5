//! Walks of feeds over more posts than one part of a walk looks at.

use backlot_foundation_testkit::{TestDb, databases};
use sea_orm::{ConnectionTrait as _, Statement};

use super::*;
use crate::migrations::Migrator;

/// More than two windows of a search.
const POSTS: usize = 2 * SEARCH_WINDOW as usize + 100;
const AUTHORS: usize = 3;

struct World {
    _db: TestDb,
    store: Store,
    /// The oldest first.
    posts: Vec<PostId>,
    authors: Vec<UserId>,
    viewer: UserId,
}

/// Each post has the words `common` and `n` with its number, every seventh `seven`, every hundredth `rare` and the tag
/// `t1`; authors take turns, and the viewer follows all but the first.
async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for one in databases("business").await {
        one.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        one.db.migrate::<Migrator>().await.unwrap();
        let mut posts: Vec<PostId> = (0..POSTS).map(|_| PostId::generate()).collect();
        posts.sort_unstable();
        let authors: Vec<UserId> = (0..AUTHORS).map(|_| UserId::generate()).collect();
        let viewer = UserId::generate();
        let mut rows: [Vec<String>; 3] = Default::default();
        for (n, id) in posts.iter().enumerate() {
            let author = authors[n % AUTHORS];
            rows[0].push(format!(
                "('{id}', '{author}', '{author}', 'public', '{author}', 'image', 1, 1, 0, '', '', '[]', TRUE, TRUE, '', '', '', '', '',
                  0, 0, 0, {n}, TRUE, 1, '', 0, '', 0, 0)"
            ));
            let words = ["common".to_owned(), format!("n{n}"), format!("@{author}")].into_iter();
            let words = words.chain((n % 7 == 0).then(|| "seven".to_owned()));
            let words = words.chain((n % 100 == 0).then(|| "rare".to_owned()));
            rows[1].extend(words.map(|word| format!("('{word}', '{id}')")));
            rows[2].extend((n % 100 == 0).then(|| format!("('t1', '{id}', {n})")));
        }
        let columns = "id, author_id, organisation_id, state, asset_id, kind, width_px, height_px, duration_ms, title,
            text, tags, share_parameters, remixable, tool, tool_version, model, model_version, parameters, likes, comments,
            remixes, hot, granted, grant_version, removed_because, tries, last_error, created_at, updated_at";
        let follows = authors[1..].iter().map(|author| format!("('{viewer}', '{author}', 0)")).collect();
        let tx = one.db.begin_write().await.unwrap();
        for (table, columns, rows) in [
            ("social_posts", columns, &rows[0]),
            ("social_terms", "word, post_id", &rows[1]),
            ("social_tags", "tag, post_id, hot", &rows[2]),
            ("social_follows", "follower_id, followee_id, created_at", &follows),
        ] {
            let sql = format!("INSERT INTO {table} ({columns}) VALUES {}", rows.join(", "));
            tx.execute_raw(Statement::from_string(tx.backend(), sql)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let store = Store::new(one.db.clone());
        worlds.push(World { _db: one, store, posts, authors, viewer });
    }
    worlds
}

impl World {
    /// All posts of a feed, in parts of 32.
    async fn walk(&self, source: Source<'_>, order: Order) -> Vec<PostId> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let chunk = self.store.feed(source, order, after, 32).await.unwrap();
            ids.extend(chunk.posts.iter().map(|post| post.id));
            assert!(ids.len() <= POSTS, "a walk ends");
            match chunk.last {
                Some(last) => after = Some(last),
                None => return ids,
            }
        }
    }

    async fn found(&self, any: &[&str], change: impl Fn(&mut Words)) -> Vec<PostId> {
        let any = any.iter().map(|word| (*word).to_owned()).collect();
        let mut words = Words { any, also: Vec::new(), beginning: None, tag: None, author: None };
        change(&mut words);
        self.walk(Source::Words(&words), Order::New).await
    }

    /// The newest first.
    fn every(&self, takes: impl Fn(usize) -> bool) -> Vec<PostId> {
        let all = self.posts.iter().enumerate().rev();
        all.filter(|(n, _)| takes(*n)).map(|(_, id)| *id).collect()
    }
}

#[tokio::test]
async fn a_search_finds_each_post_once_however_far_apart_they_are() {
    for world in worlds().await {
        assert_eq!(world.found(&["common"], |_| ()).await, world.every(|_| true));
        let also = |word: &'static str| move |words: &mut Words| words.also.push(word.to_owned());
        assert_eq!(world.found(&["common"], also("rare")).await, world.every(|n| n % 100 == 0));
        assert_eq!(world.found(&["common"], also("no")).await, []);
        let begins = |words: &mut Words| words.beginning = Some("n111".to_owned());
        assert_eq!(
            world.found(&["common"], begins).await,
            world.every(|n| n == 111 || (1_110..1_120).contains(&n))
        );
        let either = world.every(|n| n % 7 == 0 || n % 100 == 0);
        assert_eq!(world.found(&["seven", "rare", "no"], |_| ()).await, either);
        let tagged = |words: &mut Words| words.tag = Some("t1".to_owned());
        assert_eq!(world.found(&["seven"], tagged).await, world.every(|n| n % 700 == 0));
        let by = |words: &mut Words| words.author = Some(world.authors[2]);
        assert_eq!(world.found(&["seven", "rare"], by).await, {
            let fits = |n: usize| n % AUTHORS == 2 && (n.is_multiple_of(7) || n.is_multiple_of(100));
            world.every(fits)
        });
        assert_eq!(world.found(&[], |_| ()).await, []);
    }
}

#[tokio::test]
async fn every_feed_is_walked_to_its_end() {
    for world in worlds().await {
        for order in [Order::New, Order::Hot] {
            assert_eq!(world.walk(Source::All, order).await, world.every(|_| true));
            let own = world.every(|n| n % AUTHORS == 1);
            assert_eq!(world.walk(Source::Author(world.authors[1]), order).await, own);
            assert_eq!(world.walk(Source::Tag("t1"), order).await, world.every(|n| n % 100 == 0));
        }
        let followed = world.every(|n| n % AUTHORS != 0);
        assert_eq!(world.walk(Source::Following(world.viewer), Order::New).await, followed);
        assert_eq!(world.walk(Source::Following(world.authors[0]), Order::New).await, []);
    }
}
