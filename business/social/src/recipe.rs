//! What a remix begins with: a board's content as it was published, without anybody's media, and the post's medium.
//!
//! The content is the canvas's plain data: `nodes`, `edges` and `tracks` by their ids. Only what is done here is
//! known of it: which nodes are notes, and that assets, takes and people are named by UUIDs.

use backlot_foundation_ids::Uuid;
use serde_json::{Map, Value, json};

/// The node that shows the post's medium, and the clip of a film.
const MEDIUM: &str = "published";
/// The track of the storyboard that shows a published film.
const TRACK: &str = "film";
/// Place of a track's first clip.
const ORDER_FIRST: &str = "a0";
/// Its size, and its distance to the rest.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 240.0;
const DISTANCE: f64 = 80.0;
/// Under which a medium's own name stands beside its id.
const FILE_NAMES: [&str; 4] = ["name", "file_name", "filename", "title"];
/// Deepest that parameters are looked into; below, nothing is kept.
const DEPTH_MAX: usize = 16;

/// The content without notes, which their writers kept for the board's people, and without any id of an asset, a
/// take or a person: an input that was a medium is left open.
#[must_use]
pub(crate) fn without_media(mut content: Value) -> Value {
    if let Some(nodes) = content.get_mut("nodes").and_then(Value::as_object_mut) {
        nodes.retain(|_, node| node["kind"] != "note");
        for node in nodes.values_mut().filter_map(Value::as_object_mut) {
            node.insert("chosen_take".to_owned(), Value::Null);
            if let Some(params) = node.get_mut("params") {
                *params = without_ids(params.take());
            }
        }
    }
    content
}

/// The value without texts that are UUIDs: entries of objects and items of lists that hold one go, and the file's name
/// beside it.
#[must_use]
pub(crate) fn without_ids(value: Value) -> Value {
    scrub(value, DEPTH_MAX).unwrap_or_else(|| json!({}))
}

fn scrub(value: Value, depth: usize) -> Option<Value> {
    match value {
        _ if depth == 0 => None,
        Value::String(text) if Uuid::try_parse(text.trim()).is_ok() => None,
        Value::Object(fields) => {
            let before = fields.len();
            let kept = fields.into_iter().filter_map(|(name, value)| Some((name, scrub(value, depth - 1)?)));
            let mut kept = kept.collect::<Map<String, Value>>();
            if kept.len() < before || kept.contains_key("asset") {
                // What named a medium may carry the name of somebody's file.
                FILE_NAMES.iter().for_each(|name| drop(kept.remove(*name)));
            }
            Some(Value::Object(kept))
        }
        Value::Array(items) => {
            Some(Value::Array(items.into_iter().filter_map(|item| scrub(item, depth - 1)).collect()))
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Some(plain),
    }
}

/// A board that shows the medium, to the left of what the recipe holds.
///
/// A film is its storyboard's only clip: so the board can be played and exported at once. The author's own cut is in the
/// film; its clips show media that stay with their author, and a storyboard with an empty clip is no film.
#[must_use]
pub(crate) fn with_medium(recipe: Option<Value>, asset: &str, kind: &str) -> Value {
    let mut board = recipe.filter(Value::is_object).unwrap_or_else(|| json!({}));
    for part in ["nodes", "edges", "tracks"] {
        if !board[part].is_object() {
            board[part] = json!({});
        }
    }
    let places = board["nodes"].as_object().into_iter().flat_map(Map::values);
    let left = places.filter_map(|node| node["x"].as_f64()).reduce(f64::min);
    board["nodes"][MEDIUM] = json!({
        "id": MEDIUM,
        "kind": kind,
        "x": left.map_or(0.0, |left| left - WIDTH - DISTANCE),
        "y": 0.0,
        "w": WIDTH,
        "h": HEIGHT,
        "params": { "asset": asset },
        "chosen_take": null,
    });
    if kind == "video" {
        let clip = json!({ "id": MEDIUM, "node": MEDIUM, "order": ORDER_FIRST, "in_ms": 0, "out_ms": null,
            "transition": { "kind": "cut", "ms": 0 } });
        board["tracks"] = json!({ TRACK: { "id": TRACK, "kind": kind, "clips": [clip] } });
    }
    board
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a207a5-8041-736f-9237-dfb9ff8fe8cb";

    #[test]
    fn what_was_private_on_the_board_does_not_come_along() {
        let content = json!({
            "nodes": {
                "n1": { "id": "n1", "kind": "image", "x": 5.0, "params": { "asset": ID, "title": "me" } },
                "n2": { "id": "n2", "kind": "note", "x": 0.0, "params": { "text": "call the client" } },
                "n3": { "id": "n3", "kind": "tool", "x": 9.0, "chosen_take": ID, "params": { "tool": "upscale",
                    "input": { "image": ID, "scale": 2, "stills": [ID, "plain"], "deep": { "asset": ID } } } },
            },
            "edges": { "e1": { "id": "e1", "from": "n1", "to": "n3" } },
            "tracks": {},
        });
        let kept = without_media(content);
        assert!(!kept.to_string().contains(ID) && !kept.to_string().contains("client"), "{kept}");
        assert_eq!(kept["nodes"]["n1"]["params"], json!({}), "a file's name stays at home");
        assert_eq!(
            kept["nodes"]["n3"]["params"]["input"],
            json!({ "scale": 2, "stills": ["plain"], "deep": {} })
        );
        assert_eq!(kept["edges"]["e1"]["to"], "n3");
        let board = with_medium(Some(kept), ID, "video");
        assert_eq!(
            (&board["nodes"][MEDIUM]["kind"], &board["nodes"][MEDIUM]["x"]),
            (&json!("video"), &json!(-395.0))
        );
    }

    #[test]
    fn a_remixed_film_is_the_storyboards_only_clip() {
        let clip = json!({ "id": "c", "node": "n", "order": "a0" });
        let content = json!({ "nodes": {}, "edges": {},
            "tracks": { "t": { "id": "t", "kind": "video", "clips": [clip] } } });
        let film = with_medium(Some(content.clone()), ID, "video");
        assert_eq!(film["tracks"].as_object().unwrap().len(), 1, "{film}");
        let clip = &film["tracks"][TRACK]["clips"][0];
        assert_eq!(film["nodes"][clip["node"].as_str().unwrap()]["params"]["asset"], ID);
        assert_eq!(film["tracks"][TRACK]["kind"], "video");
        let picture = with_medium(Some(content.clone()), ID, "image");
        assert_eq!(picture["tracks"], content["tracks"], "a picture changes no storyboard");
    }

    #[test]
    fn a_films_clips_do_not_tell_what_their_files_are_called() {
        let film =
            json!({ "assets": [ID], "fps": 24, "clips": [{ "asset": 0, "name": "me.png", "in_ms": 0 }] });
        assert_eq!(
            without_ids(film),
            json!({ "assets": [], "fps": 24, "clips": [{ "asset": 0, "in_ms": 0 }] })
        );
    }

    #[test]
    fn without_a_recipe_there_is_the_medium_alone() {
        let board = with_medium(None, ID, "image");
        assert_eq!(board["nodes"].as_object().unwrap().len(), 1);
        assert_eq!((&board["edges"], &board["tracks"]), (&json!({}), &json!({})));
    }
}
