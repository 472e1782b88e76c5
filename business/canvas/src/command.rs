//! Commands: changes of a board for programs that speak no CRDT. All of a request are applied, or none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::limits::{
    CLIP_MS_MAX, CLIPS_MAX, EDGES_MAX, ID_CHARS_MAX, NODES_MAX, ORDER_CHARS_MAX, PARAMS_BYTES_MAX, PLACE_MAX,
    PROMPT_CHARS_MAX, TRACKS_MAX,
};
use crate::model::{Board, Clip, Edge, Node, NodeKind, Track, Transition, order_after};

/// A node's size where a command names none.
const SIZE: (f64, f64) = (240.0, 180.0);
/// The output port of nodes with one output.
const PORT: &str = "out";

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// A new node.
    AddNode {
        /// Left out: the server makes one.
        id: Option<String>,
        /// What it is.
        kind: NodeKind,
        /// Left.
        #[serde(default)]
        x: f64,
        /// Top.
        #[serde(default)]
        y: f64,
        /// Width.
        w: Option<f64>,
        /// Height.
        h: Option<f64>,
        /// By kind.
        #[serde(default)]
        #[schema(value_type = Object)]
        params: Map<String, Value>,
    },
    /// Sets parameters; null removes one.
    UpdateNode {
        /// Which.
        id: String,
        /// What changes.
        #[schema(value_type = Object)]
        params: Map<String, Value>,
    },
    /// Moves or resizes a node.
    MoveNode {
        /// Which.
        id: String,
        /// Left.
        x: f64,
        /// Top.
        y: f64,
        /// Width.
        w: Option<f64>,
        /// Height.
        h: Option<f64>,
    },
    /// Removes a node with its edges and clips. Its takes stay.
    RemoveNode {
        /// Which.
        id: String,
    },
    /// Connects two nodes.
    Connect {
        /// Left out: the server makes one.
        id: Option<String>,
        /// From this node.
        from: String,
        /// Left out: `out`.
        from_port: Option<String>,
        /// To this node.
        to: String,
        /// Of a tool, the name of an input property; left out: `in`.
        to_port: Option<String>,
    },
    /// Removes a connection.
    Disconnect {
        /// Which.
        id: String,
    },
    /// Chooses the take that counts.
    ChooseTake {
        /// Of this node.
        node: String,
        /// Null: the newest.
        take: Option<String>,
    },
    /// A new track.
    AddTrack {
        /// Left out: the server makes one.
        id: Option<String>,
        /// `video` or `audio`.
        kind: String,
    },
    /// Removes a track with its clips.
    RemoveTrack {
        /// Which.
        id: String,
    },
    /// A new clip.
    AddClip {
        /// Left out: the server makes one.
        id: Option<String>,
        /// On this track.
        track: String,
        /// Shows this node.
        node: String,
        /// Left out: after the last.
        order: Option<String>,
        /// Where in the source it begins.
        in_ms: Option<i64>,
        /// Where in the source it ends.
        out_ms: Option<i64>,
        /// How it begins.
        transition: Option<Transition>,
    },
    /// Changes a clip; what is left out stays.
    UpdateClip {
        /// Which.
        id: String,
        /// Shows this node.
        node: Option<String>,
        /// Its place.
        order: Option<String>,
        /// Where in the source it begins.
        in_ms: Option<i64>,
        /// Where in the source it ends.
        out_ms: Option<i64>,
        /// How it begins.
        transition: Option<Transition>,
    },
    /// Removes a clip.
    RemoveClip {
        /// Which.
        id: String,
    },
}

/// A change of the document that was checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    Node(Node),
    Params { id: String, set: Map<String, Value> },
    Place { id: String, x: f64, y: f64, w: Option<f64>, h: Option<f64> },
    Take { id: String, take: Option<String> },
    RemoveNode(String),
    Edge(Edge),
    RemoveEdge(String),
    Track(Track),
    RemoveTrack(String),
    Clip { track: String, clip: Clip },
    RemoveClip { track: String, id: String },
}

/// Why a command cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command {index}: {message}")]
pub struct Invalid {
    /// Which command.
    pub index: usize,
    /// Why, for people.
    pub message: String,
    /// The node whose text is too long, where that is the reason.
    pub prompt_of: Option<String>,
}

type Checked<T> = Result<T, String>;

/// Checks commands against a board that it changes on the way; answers the writes and, for each command,
/// the id that it made or touched. `new_id` makes ids.
pub(crate) fn check(
    board: &mut Board,
    commands: &[Command],
    mut new_id: impl FnMut() -> String,
) -> Result<(Vec<Write>, Vec<String>), Invalid> {
    let mut writes = Vec::new();
    let mut ids = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        if let Some(id) = long_text_of(command) {
            let message = format!("a text has at most {PROMPT_CHARS_MAX} characters");
            return Err(Invalid { index, message, prompt_of: Some(id) });
        }
        let one = one(board, command, &mut new_id);
        let (made, id) = one.map_err(|message| Invalid { index, message, prompt_of: None })?;
        for write in &made {
            apply(board, write);
        }
        writes.extend(made);
        ids.push(id);
    }
    Ok((writes, ids))
}

/// The node whose text is longer than a prompt may be.
fn long_text_of(command: &Command) -> Option<String> {
    let (id, params) = match command {
        Command::AddNode { id, params, .. } => (id.clone().unwrap_or_default(), params),
        Command::UpdateNode { id, params } => (id.clone(), params),
        _ => return None,
    };
    has_long_text(params).then_some(id)
}

/// Whether a text in these parameters is longer than a prompt may be.
pub(crate) fn has_long_text(params: &Map<String, Value>) -> bool {
    params.values().any(|value| match value {
        // Bytes first: counting characters of every short text would cost more than it saves.
        Value::String(text) => text.len() > PROMPT_CHARS_MAX && text.chars().count() > PROMPT_CHARS_MAX,
        Value::Object(inner) => has_long_text(inner),
        _ => false,
    })
}

fn one(
    board: &Board,
    command: &Command,
    new_id: &mut impl FnMut() -> String,
) -> Checked<(Vec<Write>, String)> {
    match command.clone() {
        Command::AddNode { id, kind, x, y, w, h, params } => {
            let id = fresh(id, &board.nodes, NODES_MAX, "nodes", new_id)?;
            check_params(&params)?;
            let (w, h) = (w.unwrap_or(SIZE.0), h.unwrap_or(SIZE.1));
            check_place(&[x, y, w, h])?;
            let tool = None;
            let node = Node { id: id.clone(), kind, x, y, w, h, params, chosen_take: None, tool };
            Ok((vec![Write::Node(node)], id))
        }
        Command::UpdateNode { id, params } => {
            let node = known_node(board, &id)?;
            let mut merged = node.params.clone();
            merge(&mut merged, &params);
            check_params(&merged)?;
            Ok((vec![Write::Params { id: id.clone(), set: params }], id))
        }
        Command::MoveNode { id, x, y, w, h } => {
            known_node(board, &id)?;
            check_place(&[x, y, w.unwrap_or(1.0), h.unwrap_or(1.0)])?;
            Ok((vec![Write::Place { id: id.clone(), x, y, w, h }], id))
        }
        Command::RemoveNode { id } => {
            known_node(board, &id)?;
            Ok((remove_node(board, &id), id))
        }
        Command::Connect { id, from, from_port, to, to_port } => {
            connect(board, id, from, from_port, to, to_port, new_id)
        }
        Command::Disconnect { id } => {
            known(&board.edges, &id, "connection")?;
            Ok((vec![Write::RemoveEdge(id.clone())], id))
        }
        Command::ChooseTake { node, take } => {
            known_node(board, &node)?;
            if let Some(take) = &take {
                check_id(take)?;
            }
            Ok((vec![Write::Take { id: node.clone(), take }], node))
        }
        Command::AddTrack { id, kind } => {
            if !matches!(kind.as_str(), "video" | "audio") {
                return Err("a track is \"video\" or \"audio\"".to_owned());
            }
            let id = fresh(id, &board.tracks, TRACKS_MAX, "tracks", new_id)?;
            Ok((vec![Write::Track(Track { id: id.clone(), kind, clips: Vec::new() })], id))
        }
        Command::RemoveTrack { id } => {
            known(&board.tracks, &id, "track")?;
            Ok((vec![Write::RemoveTrack(id.clone())], id))
        }
        Command::AddClip { .. } => add_clip(board, command, new_id),
        Command::UpdateClip { .. } => update_clip(board, command),
        Command::RemoveClip { id } => {
            let (track, _) = board.clip(&id).ok_or_else(|| format!("there is no clip {id}"))?;
            Ok((vec![Write::RemoveClip { track: track.id.clone(), id: id.clone() }], id))
        }
    }
}

fn connect(
    board: &Board,
    id: Option<String>,
    from: String,
    from_port: Option<String>,
    to: String,
    to_port: Option<String>,
    new_id: &mut impl FnMut() -> String,
) -> Checked<(Vec<Write>, String)> {
    known_node(board, &from)?;
    known_node(board, &to)?;
    if from == to {
        return Err("a node cannot be connected to itself".to_owned());
    }
    let id = fresh(id, &board.edges, EDGES_MAX, "connections", new_id)?;
    let from_port = from_port.unwrap_or_else(|| PORT.to_owned());
    let to_port = to_port.unwrap_or_else(|| "in".to_owned());
    check_id(&from_port)?;
    check_id(&to_port)?;
    Ok((vec![Write::Edge(Edge { id: id.clone(), from, from_port, to, to_port })], id))
}

fn add_clip(
    board: &Board,
    command: &Command,
    new_id: &mut impl FnMut() -> String,
) -> Checked<(Vec<Write>, String)> {
    let Command::AddClip { id, track, node, order, in_ms, out_ms, transition } = command.clone() else {
        return Err("not a clip".to_owned());
    };
    let on = board.tracks.get(&track).ok_or_else(|| format!("there is no track {track}"))?;
    known_node(board, &node)?;
    let clips: BTreeMap<String, ()> =
        board.tracks.values().flat_map(|track| &track.clips).map(|clip| (clip.id.clone(), ())).collect();
    let id = fresh(id, &clips, CLIPS_MAX, "clips", new_id)?;
    let order = order.unwrap_or_else(|| order_after(on.clips.last().map(|clip| clip.order.as_str())));
    let clip = Clip {
        id: id.clone(),
        node,
        order,
        in_ms: in_ms.unwrap_or(0),
        out_ms,
        transition: transition.unwrap_or_default(),
    };
    check_clip(&clip)?;
    Ok((vec![Write::Clip { track, clip }], id))
}

fn update_clip(board: &Board, command: &Command) -> Checked<(Vec<Write>, String)> {
    let Command::UpdateClip { id, node, order, in_ms, out_ms, transition } = command.clone() else {
        return Err("not a clip".to_owned());
    };
    let (track, before) = board.clip(&id).ok_or_else(|| format!("there is no clip {id}"))?;
    if let Some(node) = &node {
        known_node(board, node)?;
    }
    let clip = Clip {
        id: id.clone(),
        node: node.unwrap_or_else(|| before.node.clone()),
        order: order.unwrap_or_else(|| before.order.clone()),
        in_ms: in_ms.unwrap_or(before.in_ms),
        out_ms: out_ms.or(before.out_ms),
        transition: transition.unwrap_or_else(|| before.transition.clone()),
    };
    check_clip(&clip)?;
    Ok((vec![Write::Clip { track: track.id.clone(), clip }], id))
}

fn remove_node(board: &Board, id: &str) -> Vec<Write> {
    let edges = board.edges.values().filter(|edge| edge.from == id || edge.to == id);
    let mut writes: Vec<Write> = edges.map(|edge| Write::RemoveEdge(edge.id.clone())).collect();
    for track in board.tracks.values() {
        let shown = track.clips.iter().filter(|clip| clip.node == id);
        writes.extend(shown.map(|clip| Write::RemoveClip { track: track.id.clone(), id: clip.id.clone() }));
    }
    writes.push(Write::RemoveNode(id.to_owned()));
    writes
}

fn check_id(id: &str) -> Checked<()> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if !id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(sound) {
        return Ok(());
    }
    Err(format!("an id has 1 to {ID_CHARS_MAX} of the characters A-Z a-z 0-9 - _ . :"))
}

fn fresh<T>(
    id: Option<String>,
    taken: &BTreeMap<String, T>,
    max: usize,
    what: &str,
    new_id: &mut impl FnMut() -> String,
) -> Checked<String> {
    if taken.len() >= max {
        return Err(format!("a board has at most {max} {what}"));
    }
    let Some(id) = id else { return Ok(new_id()) };
    check_id(&id)?;
    if taken.contains_key(&id) {
        return Err(format!("the id {id} is taken"));
    }
    Ok(id)
}

fn known<T>(map: &BTreeMap<String, T>, id: &str, what: &str) -> Checked<()> {
    if map.contains_key(id) { Ok(()) } else { Err(format!("there is no {what} {}", short(id))) }
}

fn known_node<'a>(board: &'a Board, id: &str) -> Checked<&'a Node> {
    board.nodes.get(id).ok_or_else(|| format!("there is no node {}", short(id)))
}

fn short(id: &str) -> String {
    id.chars().take(ID_CHARS_MAX).collect()
}

fn check_params(params: &Map<String, Value>) -> Checked<()> {
    let bytes = serde_json::to_string(params).map_or(usize::MAX, |text| text.len());
    if bytes <= PARAMS_BYTES_MAX {
        Ok(())
    } else {
        Err(format!("parameters have at most {PARAMS_BYTES_MAX} bytes"))
    }
}

fn check_place(numbers: &[f64]) -> Checked<()> {
    let sound = |number: &f64| number.is_finite() && number.abs() <= PLACE_MAX;
    if numbers.iter().all(sound) {
        Ok(())
    } else {
        Err("a place is a number of at most ten million".to_owned())
    }
}

fn check_clip(clip: &Clip) -> Checked<()> {
    if clip.order.is_empty() || clip.order.len() > ORDER_CHARS_MAX || !clip.order.is_ascii() {
        return Err(format!("an order has 1 to {ORDER_CHARS_MAX} ASCII characters"));
    }
    let range = 0..=CLIP_MS_MAX;
    if !range.contains(&clip.in_ms)
        || clip.out_ms.is_some_and(|out| !range.contains(&out) || out <= clip.in_ms)
    {
        return Err("a clip ends after it begins, within four hours".to_owned());
    }
    match clip.transition.kind.as_str() {
        "cut" => Ok(()),
        "cross_fade" if (1..=10_000).contains(&clip.transition.ms) => Ok(()),
        "cross_fade" => Err("a cross-fade takes 1 to 10,000 ms".to_owned()),
        _ => Err("a transition is \"cut\" or \"cross_fade\"".to_owned()),
    }
}

fn merge(params: &mut Map<String, Value>, set: &Map<String, Value>) {
    for (name, value) in set {
        if value.is_null() {
            params.remove(name);
        } else {
            params.insert(name.clone(), value.clone());
        }
    }
}

/// The same change on the plain board, so that the next command sees it.
fn apply(board: &mut Board, write: &Write) {
    match write.clone() {
        Write::Node(node) => {
            board.nodes.insert(node.id.clone(), node);
        }
        Write::Params { id, set } => {
            if let Some(node) = board.nodes.get_mut(&id) {
                merge(&mut node.params, &set);
            }
        }
        Write::Place { id, x, y, w, h } => {
            if let Some(node) = board.nodes.get_mut(&id) {
                (node.x, node.y) = (x, y);
                (node.w, node.h) = (w.unwrap_or(node.w), h.unwrap_or(node.h));
            }
        }
        Write::Take { id, take } => {
            if let Some(node) = board.nodes.get_mut(&id) {
                node.chosen_take = take;
            }
        }
        Write::RemoveNode(id) => {
            board.nodes.remove(&id);
        }
        Write::Edge(edge) => {
            board.edges.insert(edge.id.clone(), edge);
        }
        Write::RemoveEdge(id) => {
            board.edges.remove(&id);
        }
        Write::Track(track) => {
            board.tracks.insert(track.id.clone(), track);
        }
        Write::RemoveTrack(id) => {
            board.tracks.remove(&id);
        }
        Write::Clip { track, clip } => {
            if let Some(track) = board.tracks.get_mut(&track) {
                track.clips.retain(|other| other.id != clip.id);
                track.clips.push(clip);
                track.clips.sort_by(|a, b| (&a.order, &a.id).cmp(&(&b.order, &b.id)));
            }
        }
        Write::RemoveClip { track, id } => {
            if let Some(track) = board.tracks.get_mut(&track) {
                track.clips.retain(|clip| clip.id != id);
            }
        }
    }
}
