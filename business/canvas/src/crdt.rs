//! The document: a Yjs document on the server, and the three maps that a board is made of.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use yrs::types::ToJson as _;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{
    Any, Doc, In, Map as _, MapPrelim, MapRef, OffsetKind, Options, Out, ReadTxn as _, StateVector,
    TextPrelim, Transact as _, TransactionMut, Update,
};

use crate::command::{Write, has_long_text};
use crate::limits::{CHECK_AFTER_BYTES, CLIPS_MAX, EDGES_MAX, NODES_MAX, TRACKS_MAX, WAITING_BYTES_MAX};
use crate::model::{Board, Clip, Edge, Node, Track};

/// Parameters that are kept as a shared text, so that two people can write in them at once.
const TEXTS: &[&str] = &["prompt", "text"];

/// Why an update is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the bytes are no update")]
    Unreadable,
    #[error("it builds on changes that are not here")]
    Incomplete,
    #[error("the board has more than {max} {what}")]
    TooMany { what: &'static str, max: usize },
    #[error("a text of node {0} is longer than a prompt may be")]
    LongText(String),
}

/// A board's document. Whoever has it has it alone.
pub(crate) struct Document {
    doc: Doc,
    nodes: MapRef,
    edges: MapRef,
    tracks: MapRef,
    /// Bytes of updates since texts and counts were last checked in full.
    unchecked_bytes: usize,
    /// Bytes of updates that build on changes which have not come yet.
    waiting_bytes: usize,
}

impl Document {
    /// An empty document.
    pub(crate) fn new() -> Self {
        let options = Options { offset_kind: OffsetKind::Utf16, ..Options::default() };
        let doc = Doc::with_options(options);
        let (nodes, edges) = (doc.get_or_insert_map("nodes"), doc.get_or_insert_map("edges"));
        let tracks = doc.get_or_insert_map("tracks");
        Self { doc, nodes, edges, tracks, unchecked_bytes: 0, waiting_bytes: 0 }
    }

    /// Applies what was accepted before: it was checked then.
    pub(crate) fn replay(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let update = Update::decode_v1(bytes).map_err(|_| Refusal::Unreadable)?;
        self.doc.transact_mut().apply_update(update).map_err(|_| Refusal::Unreadable)
    }

    /// Applies a change of somebody, and answers what is new in it; `None`: nothing. After a refusal the
    /// document holds what was refused and must be thrown away.
    pub(crate) fn apply(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let update = Update::decode_v1(bytes).map_err(|_| Refusal::Unreadable)?;
        let mut txn = self.doc.transact_mut();
        txn.apply_update(update).map_err(|_| Refusal::Unreadable)?;
        // y-websocket sends what is typed right after it has come back before what was typed while it was away:
        // such a change waits inside the document, and is new when what it builds on has come.
        let waits = txn.has_missing_updates();
        self.waiting_bytes = if waits { self.waiting_bytes + bytes.len() } else { 0 };
        if self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(Refusal::Incomplete);
        }
        if !txn.has_changes() {
            return Ok(None);
        }
        txn.commit();
        let new = txn.encode_update_v1();
        drop(txn);
        self.unchecked_bytes += new.len();
        self.check()?;
        Ok(Some(new))
    }

    /// Writes checked changes, and answers them as an update.
    pub(crate) fn write(&mut self, writes: &[Write]) -> Vec<u8> {
        let mut txn = self.doc.transact_mut();
        for write in writes {
            self.write_one(&mut txn, write);
        }
        txn.commit();
        txn.encode_update_v1()
    }

    fn write_one(&self, txn: &mut TransactionMut<'_>, write: &Write) {
        match write {
            Write::Node(node) => {
                self.nodes.insert(txn, node.id.as_str(), node_map(node));
            }
            Write::Params { id, set } => {
                if let Some(node) = inner(&self.nodes, txn, id) {
                    set_params(txn, &node, set);
                }
            }
            Write::Place { id, x, y, w, h } => {
                if let Some(node) = inner(&self.nodes, txn, id) {
                    let places = [("x", Some(*x)), ("y", Some(*y)), ("w", *w), ("h", *h)];
                    for (name, value) in places {
                        if let Some(value) = value {
                            node.insert(txn, name, Any::from(value));
                        }
                    }
                }
            }
            Write::Take { id, take } => {
                if let Some(node) = inner(&self.nodes, txn, id) {
                    node.insert(txn, "chosen_take", text_or_null(take.as_deref()));
                }
            }
            Write::RemoveNode(id) => {
                self.nodes.remove(txn, id);
            }
            Write::Edge(edge) => {
                self.edges.insert(txn, edge.id.as_str(), edge_map(edge));
            }
            Write::RemoveEdge(id) => {
                self.edges.remove(txn, id);
            }
            Write::Track(track) => {
                self.tracks.insert(txn, track.id.as_str(), track_map(track));
            }
            Write::RemoveTrack(id) => {
                self.tracks.remove(txn, id);
            }
            Write::Clip { track, clip } => {
                if let Some(clips) = self.clips(txn, track) {
                    clips.insert(txn, clip.id.as_str(), clip_map(clip));
                }
            }
            Write::RemoveClip { track, id } => {
                if let Some(clips) = self.clips(txn, track) {
                    clips.remove(txn, id);
                }
            }
        }
    }

    fn clips(&self, txn: &mut TransactionMut<'_>, track: &str) -> Option<MapRef> {
        let track = inner(&self.tracks, txn, track)?;
        match inner(&track, txn, "clips") {
            Some(clips) => Some(clips),
            None => Some(track.insert(txn, "clips", MapPrelim::default())),
        }
    }

    /// The board as it is now.
    pub(crate) fn board(&self) -> Board {
        let txn = self.doc.transact();
        let read = |map: &MapRef| json(&map.to_json(&txn));
        Board::read(&read(&self.nodes), &read(&self.edges), &read(&self.tracks))
    }

    /// How many nodes there are.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len(&self.doc.transact()) as usize
    }

    /// What is here, as a state vector.
    pub(crate) fn state_vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    /// What somebody with this state vector lacks.
    pub(crate) fn diff(&self, state_vector: &[u8]) -> Result<Vec<u8>, Refusal> {
        let theirs = StateVector::decode_v1(state_vector).map_err(|_| Refusal::Unreadable)?;
        Ok(self.doc.transact().encode_state_as_update_v1(&theirs))
    }

    /// Everything, as one update.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Counts at every change; texts, which cost a walk over the board, after some bytes of changes.
    fn check(&mut self) -> Result<(), Refusal> {
        let txn = self.doc.transact();
        let counts = [
            ("nodes", self.nodes.len(&txn), NODES_MAX),
            ("edges", self.edges.len(&txn), EDGES_MAX),
            ("tracks", self.tracks.len(&txn), TRACKS_MAX),
        ];
        for (what, count, max) in counts {
            if count as usize > max {
                return Err(Refusal::TooMany { what, max });
            }
        }
        drop(txn);
        if self.unchecked_bytes < CHECK_AFTER_BYTES {
            return Ok(());
        }
        self.unchecked_bytes = 0;
        let board = self.board();
        if board.tracks.values().map(|track| track.clips.len()).sum::<usize>() > CLIPS_MAX {
            return Err(Refusal::TooMany { what: "clips", max: CLIPS_MAX });
        }
        let long = board.nodes.values().find(|node| has_long_text(&node.params));
        long.map_or(Ok(()), |node| Err(Refusal::LongText(node.id.clone())))
    }
}

fn inner(map: &MapRef, txn: &TransactionMut<'_>, key: &str) -> Option<MapRef> {
    match map.get(txn, key) {
        Some(Out::YMap(inner)) => Some(inner),
        _ => None,
    }
}

fn set_params(txn: &mut TransactionMut<'_>, node: &MapRef, set: &Map<String, Value>) {
    let params = match inner(node, txn, "params") {
        Some(params) => params,
        None => node.insert(txn, "params", MapPrelim::default()),
    };
    for (name, value) in set {
        if value.is_null() {
            params.remove(txn, name);
        } else {
            params.insert(txn, name.as_str(), param(name, value));
        }
    }
}

fn param(name: &str, value: &Value) -> In {
    match value {
        Value::String(text) if TEXTS.contains(&name) => TextPrelim::new(text.clone()).into(),
        // Literal inputs one by one, so that two people can change two of them at once.
        Value::Object(fields) if name == "input" => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), param(name, value)));
            MapPrelim::from_iter(fields).into()
        }
        other => In::Any(any(other)),
    }
}

fn text_or_null(text: Option<&str>) -> Any {
    text.map_or(Any::Null, |text| Any::String(Arc::from(text)))
}

fn node_map(node: &Node) -> MapPrelim {
    let params = node.params.iter().map(|(name, value)| (name.as_str(), param(name, value)));
    let params: MapPrelim = params.collect();
    MapPrelim::from_iter([
        ("kind", In::Any(Any::from(node.kind.as_str()))),
        ("x", In::Any(Any::from(node.x))),
        ("y", In::Any(Any::from(node.y))),
        ("w", In::Any(Any::from(node.w))),
        ("h", In::Any(Any::from(node.h))),
        ("params", params.into()),
        ("chosen_take", In::Any(text_or_null(node.chosen_take.as_deref()))),
    ])
}

fn edge_map(edge: &Edge) -> MapPrelim {
    let fields =
        [("from", &edge.from), ("from_port", &edge.from_port), ("to", &edge.to), ("to_port", &edge.to_port)];
    fields.into_iter().map(|(name, text)| (name, In::Any(Any::from(text.as_str())))).collect()
}

fn track_map(track: &Track) -> MapPrelim {
    let clips = track.clips.iter().map(|clip| (clip.id.as_str(), In::from(clip_map(clip))));
    let clips: MapPrelim = clips.collect();
    MapPrelim::from_iter([("kind", In::Any(Any::from(track.kind.as_str()))), ("clips", clips.into())])
}

fn clip_map(clip: &Clip) -> MapPrelim {
    let ms = |ms: i64| Any::from(ms as f64);
    MapPrelim::from_iter([
        ("node", In::Any(Any::from(clip.node.as_str()))),
        ("order", In::Any(Any::from(clip.order.as_str()))),
        ("in_ms", In::Any(ms(clip.in_ms))),
        ("out_ms", In::Any(clip.out_ms.map_or(Any::Null, ms))),
        ("transition", In::Any(Any::from(clip.transition.kind.as_str()))),
        ("transition_ms", In::Any(ms(clip.transition.ms))),
    ])
}

/// JSON as the document holds it: numbers as JavaScript has them.
fn any(value: &Value) -> Any {
    match value {
        Value::Null => Any::Null,
        Value::Bool(value) => Any::Bool(*value),
        Value::Number(number) => Any::from(number.as_f64().unwrap_or(0.0)),
        Value::String(text) => Any::String(Arc::from(text.as_str())),
        Value::Array(items) => Any::Array(items.iter().map(any).collect::<Vec<_>>().into()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), any(value)));
            Any::Map(Arc::new(fields.collect::<HashMap<_, _>>()))
        }
    }
}

/// What the document holds, as JSON: a whole number is whole, whatever JavaScript made of it.
fn json(value: &Any) -> Value {
    match value {
        Any::Null | Any::Undefined | Any::Buffer(_) => Value::Null,
        Any::Bool(value) => Value::Bool(*value),
        Any::Number(_) => serde_json::to_value(value).map_or(Value::Null, whole),
        Any::String(text) => Value::String(text.to_string()),
        Any::Array(items) => Value::Array(items.iter().map(json).collect()),
        Any::Map(fields) => {
            // Sorted, so that the same document always reads the same.
            let sorted: std::collections::BTreeMap<_, _> = fields.iter().collect();
            Value::Object(sorted.into_iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}

fn whole(value: Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() < EXACT => {
            Value::Number(Number::from(number as i64))
        }
        _ => value,
    }
}
