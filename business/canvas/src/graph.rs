//! The board as a graph of tools: what depends on what, in which order, and what makes no sense. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::command::has_long_text;
use crate::limits::PROMPT_CHARS_MAX;
use crate::model::{Board, Edge, Node, NodeKind};

/// What flows over an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A picture.
    Image,
    /// A clip.
    Video,
    /// A sound.
    Audio,
    /// A text.
    Text,
    /// A value that is no medium: nothing takes it.
    Data,
}

impl Kind {
    /// The kind of a media type.
    #[must_use]
    pub(crate) fn of_media(content_type: &str) -> Self {
        match content_type.split('/').next() {
            Some("image") => Self::Image,
            Some("video") => Self::Video,
            Some("audio") => Self::Audio,
            _ => Self::Data,
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Image => "a picture",
            Self::Video => "a clip",
            Self::Audio => "a sound",
            Self::Text => "a text",
            Self::Data => "a value",
        }
    }
}

/// What the graph must know of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToolShape {
    /// The version that runs.
    pub version: String,
    /// What each input property takes.
    pub ports: BTreeMap<String, BTreeSet<Kind>>,
    /// Properties that must be there.
    pub required: BTreeSet<String>,
    /// What comes out.
    pub makes: Option<Kind>,
}

/// Something about the board that keeps it from running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// Stable: `board_cyclic`, `board_type_mismatch`, `board_input_missing`, `board_asset_missing`,
    /// `board_prompt_too_long`, `tool_unknown`, `tool_input_invalid`.
    pub code: String,
    /// The node that it is about.
    pub node: Option<String>,
    /// The edge that it is about.
    pub edge: Option<String>,
    /// For people.
    pub message: String,
}

impl Fault {
    pub(crate) fn of_node(code: &str, node: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), node: Some(node.to_owned()), edge: None, message: message.into() }
    }

    fn of_edge(code: &str, edge: &Edge, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            node: Some(edge.to.clone()),
            edge: Some(edge.id.clone()),
            message: message.into(),
        }
    }
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// An asset that lies on the board.
    Asset(String),
    /// A text that stands on the board.
    Text(String),
    /// What the tool at this node makes.
    Node(String),
}

/// A tool's node, ready to be resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Its id.
    pub node: String,
    /// Name of the tool.
    pub tool: String,
    /// The version that runs.
    pub version: String,
    /// Inputs that stand in the node.
    pub literal: Map<String, Value>,
    /// Inputs that come over edges.
    pub wired: BTreeMap<String, Source>,
}

impl Step {
    /// Tool nodes that must have run before.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &str> {
        self.wired.values().filter_map(|source| match source {
            Source::Node(node) => Some(node.as_str()),
            Source::Asset(_) | Source::Text(_) => None,
        })
    }
}

/// The tools that are needed for these nodes (none: all), each after what it needs; and what is wrong.
pub(crate) fn analyse(
    board: &Board,
    wanted: &[String],
    tool: impl Fn(&Node) -> Option<ToolShape>,
) -> (Vec<Step>, Vec<Fault>) {
    let mut walk = Walk { board, tool, steps: Vec::new(), faults: Vec::new(), seen: BTreeMap::new() };
    let all: Vec<String>;
    let wanted = if wanted.is_empty() {
        all = board.nodes.keys().cloned().collect();
        &all
    } else {
        wanted
    };
    for node in wanted {
        if board.nodes.contains_key(node) {
            walk.visit(node, &mut Vec::new());
        } else {
            walk.faults.push(Fault::of_node("board_input_missing", node, "there is no such node"));
        }
    }
    (walk.steps, walk.faults)
}

/// The source behind a node that a clip shows, through shots.
#[must_use]
pub(crate) fn shown<'a>(board: &'a Board, node: &'a str) -> Option<&'a Node> {
    let mut node = board.nodes.get(node)?;
    for _ in 0..board.nodes.len() {
        if node.kind != NodeKind::Shot {
            return Some(node);
        }
        node = board.nodes.get(&board.incoming(&node.id).next()?.from)?;
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open,
    Done,
}

struct Walk<'a, F> {
    board: &'a Board,
    tool: F,
    steps: Vec<Step>,
    faults: Vec<Fault>,
    seen: BTreeMap<String, Mark>,
}

impl<F: Fn(&Node) -> Option<ToolShape>> Walk<'_, F> {
    /// Depth first; what is met again while it is open closes a cycle. A board has at most two thousand
    /// nodes, so the depth is bounded.
    fn visit(&mut self, id: &str, path: &mut Vec<String>) {
        match self.seen.get(id) {
            Some(Mark::Done) => return,
            Some(Mark::Open) => {
                let from = path.iter().position(|other| other == id).unwrap_or(0);
                let names = path[from..].join(" → ");
                let message = format!("{names} → {id} is a circle: nothing in it can be first");
                self.faults.push(Fault::of_node("board_cyclic", id, message));
                return;
            }
            None => (),
        }
        self.seen.insert(id.to_owned(), Mark::Open);
        path.push(id.to_owned());
        let board = self.board;
        for edge in board.incoming(id) {
            self.visit(&edge.from, path);
        }
        path.pop();
        self.seen.insert(id.to_owned(), Mark::Done);
        if let Some(node) = board.nodes.get(id) {
            self.check(node);
        }
    }

    fn check(&mut self, node: &Node) {
        if has_long_text(&node.params) {
            let message = format!("a text has at most {PROMPT_CHARS_MAX} characters");
            self.faults.push(Fault::of_node("board_prompt_too_long", &node.id, message));
            return;
        }
        if node.kind != NodeKind::Tool {
            return;
        }
        let Some(shape) = (self.tool)(node) else {
            let name = node.tool.as_deref().unwrap_or("(none)");
            let name: String = name.chars().take(64).collect();
            self.faults.push(Fault::of_node("tool_unknown", &node.id, format!("there is no tool {name}")));
            return;
        };
        let literal = node.params.get("input").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut step = Step {
            node: node.id.clone(),
            tool: node.tool.clone().unwrap_or_default(),
            version: shape.version.clone(),
            literal,
            wired: BTreeMap::new(),
        };
        let board = self.board;
        for edge in board.incoming(&node.id) {
            match self.source_of(edge, &shape) {
                Ok(source) if !step.wired.contains_key(&edge.to_port) => {
                    step.literal.remove(&edge.to_port);
                    step.wired.insert(edge.to_port.clone(), source);
                }
                Ok(_) => {
                    let message = format!("two edges enter \"{}\"", edge.to_port);
                    self.faults.push(Fault::of_edge("board_type_mismatch", edge, message));
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        for property in &shape.required {
            if !step.wired.contains_key(property) && !step.literal.contains_key(property) {
                let message = format!("\"{property}\" is missing: connect something, or fill it in");
                self.faults.push(Fault::of_node("board_input_missing", &node.id, message));
            }
        }
        self.steps.push(step);
    }

    fn source_of(&self, edge: &Edge, shape: &ToolShape) -> Result<Source, Fault> {
        let mismatch = |message: String| Fault::of_edge("board_type_mismatch", edge, message);
        let takes = shape
            .ports
            .get(&edge.to_port)
            .ok_or_else(|| mismatch(format!("the tool has no input \"{}\"", edge.to_port)))?;
        let missing = |what: &str| Fault::of_node("board_input_missing", &edge.from, what);
        let from = shown(self.board, &edge.from).ok_or_else(|| missing("nothing comes into this shot"))?;
        let (source, kind) = match from.kind {
            NodeKind::Image | NodeKind::Video | NodeKind::Audio => {
                let asset = from.text("asset").filter(|asset| !asset.is_empty());
                let asset =
                    asset.ok_or_else(|| Fault::of_node("board_asset_missing", &from.id, "choose a file"))?;
                let kind = match from.kind {
                    NodeKind::Image => Kind::Image,
                    NodeKind::Video => Kind::Video,
                    _ => Kind::Audio,
                };
                (Source::Asset(asset.to_owned()), kind)
            }
            NodeKind::Prompt => {
                (Source::Text(from.text("prompt").unwrap_or_default().to_owned()), Kind::Text)
            }
            NodeKind::Tool => {
                let makes = (self.tool)(from).and_then(|shape| shape.makes).unwrap_or(Kind::Data);
                (Source::Node(from.id.clone()), makes)
            }
            NodeKind::Note | NodeKind::Group | NodeKind::Shot => {
                return Err(mismatch("nothing comes out of a note or a group".to_owned()));
            }
        };
        if takes.contains(&kind) {
            return Ok(source);
        }
        let wants: Vec<&str> = takes.iter().map(|kind| kind.in_words()).collect();
        let wants = if wants.is_empty() { "nothing over an edge".to_owned() } else { wants.join(" or ") };
        Err(mismatch(format!("\"{}\" takes {wants}, and this is {}", edge.to_port, kind.in_words())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape(node: &Node) -> Option<ToolShape> {
        let port = |name: &str, kind| (name.to_owned(), BTreeSet::from([kind]));
        let required = |name: &str| BTreeSet::from([name.to_owned()]);
        Some(match node.tool.as_deref()? {
            "upscale" => ToolShape {
                version: "1.0.0".to_owned(),
                ports: BTreeMap::from([port("image", Kind::Image)]),
                required: required("image"),
                makes: Some(Kind::Image),
            },
            "narrate" => ToolShape {
                version: "1.0.0".to_owned(),
                ports: BTreeMap::from([port("text", Kind::Text)]),
                required: required("text"),
                makes: Some(Kind::Audio),
            },
            _ => return None,
        })
    }

    /// `a:image b:upscale c:upscale` and `a>b:image b>c:image`; answers the order, then the faults.
    fn check(nodes: &str, edges: &str) -> String {
        let node = |text: &str| {
            let (id, kind) = text.split_once(':').unwrap();
            let value = match kind {
                "image" => json!({ "kind": "image", "params": { "asset": "x" } }),
                "prompt" => json!({ "kind": "prompt", "params": { "prompt": "sea" } }),
                "shot" | "note" => json!({ "kind": kind }),
                tool => json!({ "kind": "tool", "params": { "tool": tool } }),
            };
            (id.to_owned(), value)
        };
        let edge = |text: &str| {
            let (from, rest) = text.split_once('>').unwrap();
            let (to, port) = rest.split_once(':').unwrap();
            (text.to_owned(), json!({ "from": from, "to": to, "to_port": port }))
        };
        let nodes: Map<String, Value> = nodes.split_whitespace().map(node).collect();
        let edges: Map<String, Value> = edges.split_whitespace().map(edge).collect();
        let board = Board::read(&Value::Object(nodes), &Value::Object(edges), &Value::Null);
        let (steps, faults) = analyse(&board, &[], shape);
        let steps: Vec<_> = steps.iter().map(|step| step.node.clone()).collect();
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| format!("{}@{}", fault.code, fault.node.as_deref().unwrap_or("")))
            .collect();
        format!("{} | {}", steps.join(" "), faults.join(" "))
    }

    #[test]
    fn what_is_needed_comes_first() {
        assert_eq!(check("c:upscale b:upscale z:image", "z>b:image b>c:image"), "b c | ");
    }

    #[test]
    fn a_shot_passes_on_what_comes_in() {
        assert_eq!(check("a:image s:shot u:upscale", "a>s:in s>u:image"), "u | ");
    }

    #[test]
    fn a_circle_is_refused() {
        let said = check("a:upscale b:upscale", "a>b:image b>a:image");
        assert!(said.contains("board_cyclic@"), "{said}");
        let said = check("s:shot t:shot", "s>t:in t>s:in");
        assert!(said.contains("board_cyclic@"), "{said}");
    }

    #[test]
    fn types_must_fit() {
        assert_eq!(
            check("p:prompt u:upscale", "p>u:image"),
            "u | board_type_mismatch@u board_input_missing@u"
        );
        assert_eq!(check("p:prompt n:narrate", "p>n:text"), "n | ");
        assert_eq!(
            check("n:narrate u:upscale p:prompt", "p>n:text n>u:image"),
            "n u | board_type_mismatch@u board_input_missing@u"
        );
        assert_eq!(
            check("i:image u:upscale", "i>u:pixels"),
            "u | board_type_mismatch@u board_input_missing@u"
        );
    }

    #[test]
    fn unknown_tools_and_edges_from_nowhere_are_named() {
        assert_eq!(check("u:dream", ""), " | tool_unknown@u");
        assert_eq!(check("u:upscale", "gone>u:image"), "u | board_input_missing@u");
    }
}
