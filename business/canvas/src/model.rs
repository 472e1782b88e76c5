//! A board as plain data: what the document says at one moment, read leniently.
//!
//! Anybody with an editor's role can write anything into the document, so nothing here fails: an entry
//! that is no node, edge or clip is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A picture: `params.asset`.
    Image,
    /// A clip: `params.asset`.
    Video,
    /// A sound: `params.asset`.
    Audio,
    /// A text: `params.prompt`.
    Prompt,
    /// A tool: `params.tool`, `params.version`, `params.input`.
    Tool,
    /// A shot of the film: what comes over its edge.
    Shot,
    /// A note for people.
    Note,
    /// A frame around others.
    Group,
}

impl NodeKind {
    /// The stable text of this kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Prompt => "prompt",
            Self::Tool => "tool",
            Self::Shot => "shot",
            Self::Note => "note",
            Self::Group => "group",
        }
    }

    /// Reads the stable text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Image,
            Self::Video,
            Self::Audio,
            Self::Prompt,
            Self::Tool,
            Self::Shot,
            Self::Note,
            Self::Group,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Unique on the board.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
    /// By kind.
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// The take that counts; null: the newest.
    pub chosen_take: Option<String>,
    /// Name of the tool, of a tool's node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool: Option<String>,
}

impl Node {
    /// A text of the parameters.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Edge {
    /// Unique on the board.
    pub id: String,
    /// The node that it leaves.
    pub from: String,
    /// The port there.
    pub from_port: String,
    /// The node that it enters.
    pub to: String,
    /// The port there: of a tool, the name of an input property.
    pub to_port: String,
}

/// How a clip begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    /// `cut` or `cross_fade`.
    pub kind: String,
    /// Its length.
    pub ms: i64,
}

impl Default for Transition {
    fn default() -> Self {
        Self { kind: "cut".to_owned(), ms: 0 }
    }
}

/// A clip of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Clip {
    /// Unique on the board.
    pub id: String,
    /// The node that it shows.
    pub node: String,
    /// Fractional index: clips are ordered by this text, then by id.
    pub order: String,
    /// Where in the source it begins.
    pub in_ms: i64,
    /// Where in the source it ends; null: at its end, or after three seconds of a still.
    pub out_ms: Option<i64>,
    /// How it begins.
    pub transition: Transition,
}

/// A track of the film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Track {
    /// Unique on the board.
    pub id: String,
    /// `video` or `audio`.
    pub kind: String,
    /// In order.
    pub clips: Vec<Clip>,
}

/// The whole board.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// By id.
    pub nodes: BTreeMap<String, Node>,
    /// By id.
    pub edges: BTreeMap<String, Edge>,
    /// By id.
    pub tracks: BTreeMap<String, Track>,
}

impl Board {
    /// Reads the three maps of the document.
    #[must_use]
    pub fn read(nodes: &Value, edges: &Value, tracks: &Value) -> Self {
        Self {
            nodes: entries(nodes, node),
            edges: entries(edges, edge),
            tracks: entries(tracks, |id, value| Some(track(id, value))),
        }
    }

    /// The clip with this id, and its track's.
    #[must_use]
    pub fn clip(&self, id: &str) -> Option<(&Track, &Clip)> {
        self.tracks
            .values()
            .find_map(|track| track.clips.iter().find(|clip| clip.id == id).map(|clip| (track, clip)))
    }

    /// Edges that enter this node and come from one that exists.
    pub fn incoming<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Edge> {
        self.edges.values().filter(move |edge| edge.to == id && self.nodes.contains_key(&edge.from))
    }
}

fn entries<T>(value: &Value, read: impl Fn(&str, &Value) -> Option<T>) -> BTreeMap<String, T> {
    let map = value.as_object();
    map.into_iter().flatten().filter_map(|(id, value)| Some((id.clone(), read(id, value)?))).collect()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).filter(|number| number.is_finite()).unwrap_or(0.0)
}

/// Whole milliseconds, whatever a client wrote.
fn millis(value: &Value, name: &str) -> Option<i64> {
    let value = value.get(name)?;
    value.as_i64().or_else(|| value.as_f64().filter(|ms| ms.is_finite()).map(|ms| ms.round() as i64))
}

fn node(id: &str, value: &Value) -> Option<Node> {
    let kind = NodeKind::parse(value.get("kind")?.as_str()?)?;
    let params = value.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    let tool = (kind == NodeKind::Tool).then(|| params.get("tool").and_then(Value::as_str)).flatten();
    Some(Node {
        id: id.to_owned(),
        kind,
        x: number(value, "x"),
        y: number(value, "y"),
        w: number(value, "w"),
        h: number(value, "h"),
        tool: tool.map(str::to_owned),
        params,
        chosen_take: value.get("chosen_take").and_then(Value::as_str).map(str::to_owned),
    })
}

fn edge(id: &str, value: &Value) -> Option<Edge> {
    let edge = Edge {
        id: id.to_owned(),
        from: text(value, "from"),
        from_port: text(value, "from_port"),
        to: text(value, "to"),
        to_port: text(value, "to_port"),
    };
    (!edge.from.is_empty() && !edge.to.is_empty()).then_some(edge)
}

fn track(id: &str, value: &Value) -> Track {
    let clips = value.get("clips").unwrap_or(&Value::Null);
    let mut clips: Vec<Clip> = entries(clips, |id, value| Some(clip(id, value))).into_values().collect();
    clips.sort_by(|a, b| (&a.order, &a.id).cmp(&(&b.order, &b.id)));
    let kind = if text(value, "kind") == "audio" { "audio" } else { "video" };
    Track { id: id.to_owned(), kind: kind.to_owned(), clips }
}

fn clip(id: &str, value: &Value) -> Clip {
    let fades = text(value, "transition") == "cross_fade";
    let ms = millis(value, "transition_ms").unwrap_or(0).max(0);
    Clip {
        id: id.to_owned(),
        node: text(value, "node"),
        order: text(value, "order"),
        in_ms: millis(value, "in_ms").unwrap_or(0).max(0),
        out_ms: millis(value, "out_ms").filter(|ms| *ms > 0),
        transition: if fades && ms > 0 {
            Transition { kind: "cross_fade".to_owned(), ms }
        } else {
            Transition::default()
        },
    }
}

/// A fractional index behind `last`, which grows by a character in about thirty appends.
#[must_use]
pub(crate) fn order_after(last: Option<&str>) -> String {
    let Some(last) = last.filter(|last| !last.is_empty()) else { return "a0".to_owned() };
    let mut bytes = last.as_bytes().to_vec();
    while let Some(byte) = bytes.pop() {
        let next = match byte {
            b'0'..=b'8' | b'A'..=b'Y' | b'a'..=b'y' => byte + 1,
            b'9' => b'A',
            b'Z' => b'a',
            _ => continue,
        };
        bytes.push(next);
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    format!("{last}V")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_node_is_left_out() {
        let board = Board::read(
            &json!({ "a": { "kind": "prompt", "x": 1, "params": { "prompt": "sea" } }, "b": 7, "c": { "kind": "evil" } }),
            &json!({ "e": { "from": "a", "to": "x" }, "f": null }),
            &json!({ "t": { "clips": { "2": { "order": "b", "out_ms": 1.6 }, "1": { "order": "b" }, "0": { "order": "c" } } } }),
        );
        assert_eq!(board.nodes.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(board.nodes["a"].text("prompt"), Some("sea"));
        assert_eq!(board.edges.len(), 1);
        let clips = &board.tracks["t"].clips;
        assert_eq!(clips.iter().map(|clip| clip.id.as_str()).collect::<Vec<_>>(), ["1", "2", "0"]);
        assert_eq!(clips[1].out_ms, Some(2));
    }

    #[test]
    fn an_order_is_behind_the_last() {
        let mut last = order_after(None);
        for _ in 0..5_000 {
            let next = order_after(Some(&last));
            assert!(next > last, "{next} is not behind {last}");
            last = next;
        }
        assert!(last.len() < 200, "{}", last.len());
        assert!(order_after(Some("zz")).as_str() > "zz");
    }
}
