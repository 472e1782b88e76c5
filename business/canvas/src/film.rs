//! The film of a board: its tracks as one order of the tool `film`, and as OpenTimelineIO.
//!
//! Times are whole milliseconds in the document and whole frames in the film: a place is rounded once, and
//! lengths are differences of rounded places, so that rounding never adds up.

use std::collections::BTreeMap;

use backlot_business_api::{BoardId, codes};
use backlot_business_tools as tools;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::v1::storage_client::StorageClient;
use backlot_infrastructure_api::v1::{AssetState, GetAssetRequest};
use backlot_infrastructure_api::{AssetId, MandateId, OrganisationId};
use serde_json::{Value, json};

use crate::error::Error;
use crate::graph::{Fault, Kind, shown};
use crate::limits::TAKES_READ_MAX;
use crate::model::{Board, Clip, Node, NodeKind};
use crate::orders::key_of;
use crate::plan::{Takes, tools_actor};
use crate::role::Role;
use crate::runs::Frozen;
use crate::service::{Actor, Service};
use crate::store::{BoardRow, ChildRow, RunRow};

/// Name of the tool.
const TOOL: &str = "film";
/// The node that an export's only child names.
const NODE: &str = "film";
/// How long a still is shown, unless its clip says.
const STILL_MS: i64 = 3_000;
/// Clips of one film: an input of inference has at most 64 files.
const CLIPS_MAX: usize = 64;
/// Longest film.
const FILM_MS_MAX: i64 = 600_000;

/// A film to make.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FilmOrder {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: u32,
    pub(crate) loudness_lufs: f64,
    pub(crate) max_price_micro: Option<i64>,
    pub(crate) mandate: Option<MandateId>,
}

/// What a film would cost.
#[derive(Debug, Clone)]
pub(crate) struct FilmQuote {
    pub(crate) revision: i64,
    pub(crate) price_micro: i64,
    pub(crate) run_ms: i64,
    /// As it would be given to tools; its maximum is not set.
    order: Frozen,
}

impl FilmQuote {
    /// How long it would be.
    pub(crate) fn length_ms(&self) -> i64 {
        self.order.input["length_ms"].as_i64().unwrap_or(0)
    }

    /// How many clips it is cut from.
    pub(crate) fn clips(&self) -> usize {
        self.order.input["clips"].as_array().map_or(0, Vec::len)
    }
}

/// A clip with what it shows.
#[derive(Debug, Clone, PartialEq)]
struct Cut {
    asset: String,
    kind: Kind,
    in_ms: i64,
    out_ms: i64,
    fade_ms: i64,
    name: String,
}

impl Service {
    /// What a board's film would cost now. It promises nothing and holds nothing.
    pub(crate) async fn quote_film(
        &self,
        actor: &Actor,
        id: BoardId,
        order: &FilmOrder,
    ) -> Result<FilmQuote, Error> {
        let (board, _) = self.at_least(actor, id, Role::Viewer).await?;
        self.price_film(actor, &board, order).await
    }

    /// Accepts the export of a board's film: one child, a run of the tool `film`.
    pub(crate) async fn order_film(
        &self,
        actor: &Actor,
        id: BoardId,
        order: &FilmOrder,
        key: Option<&str>,
    ) -> Result<RunRow, Error> {
        let (board, _) = self.at_least(actor, id, Role::Editor).await?;
        let body = json!({ "film": id, "width": order.width, "height": order.height, "fps": order.fps,
            "loudness_lufs": order.loudness_lufs, "max_price_micro": order.max_price_micro, "mandate": order.mandate });
        let key = key.map(|key| key_of(key, &body));
        if let Some(before) = self.replayed(actor.organisation, key.as_ref()).await? {
            return Ok(before);
        }
        let quote = self.price_film(actor, &board, order).await?;
        let price_micro = quote.price_micro;
        self.check_price(actor, &board, price_micro, order.max_price_micro, order.mandate).await?;
        let budget_micro = order.max_price_micro.unwrap_or(price_micro);
        let frozen = Frozen { max_price_micro: budget_micro, ..quote.order };
        let money = (price_micro, budget_micro);
        let run = self.new_run(actor, &board, "film", quote.revision, money, order.mandate);
        self.accept(run, vec![child_of(&frozen, price_micro)?], key.as_ref()).await
    }

    /// The film as the board is now, as an order of the tool, with its price.
    async fn price_film(
        &self,
        actor: &Actor,
        board: &BoardRow,
        order: &FilmOrder,
    ) -> Result<FilmQuote, Error> {
        if board.organisation_id != actor.organisation {
            return Err(Error::RunsElsewhere);
        }
        let seen = self.read(actor, board.id).await?;
        let takes = Takes::of(self.store().takes(board.id, None, None, TAKES_READ_MAX).await?);
        let tracks = self.cuts(actor.organisation, &seen.board, &takes).await?;
        let input = input_of(&tracks, order)?;
        let tool = self.tools().tool(TOOL, None).map_err(Problem::from)?;
        let version = tool.manifest.version.clone();
        let asked = tools::Order {
            tool: TOOL.to_owned(),
            version: Some(version.clone()),
            input: input.clone(),
            project: board.project_id,
            mandate: order.mandate,
            max_price_micro: None,
            deadline: None,
        };
        let quote = self.tools().quote(&tools_actor(actor), &asked).await.map_err(Problem::from)?;
        let frozen = Frozen {
            tool: TOOL.to_owned(),
            version,
            input,
            project: board.project_id,
            mandate: order.mandate,
            max_price_micro: 0,
        };
        Ok(FilmQuote {
            revision: seen.revision,
            price_micro: quote.price_micro,
            run_ms: quote.estimate.run_ms.max(quote.predicted_ms),
            order: frozen,
        })
    }

    /// The clips of each track, with the media that they show.
    async fn cuts(
        &self,
        organisation: OrganisationId,
        board: &Board,
        takes: &Takes,
    ) -> Result<Vec<(Kind, Vec<Cut>)>, Error> {
        let mut faults = Vec::new();
        let mut tracks = Vec::new();
        for track in board.tracks.values() {
            let kind = if track.kind == "audio" { Kind::Audio } else { Kind::Video };
            let mut cuts = Vec::new();
            for clip in &track.clips {
                let Some((node, asset)) = media_of(board, takes, clip) else {
                    let message = "this clip shows nothing yet: run its node, or choose a file";
                    faults.push(Fault::of_node(codes::BOARD_FILM_EMPTY.name, &clip.node, message));
                    continue;
                };
                match self.cut(organisation, clip, node, &asset, kind).await? {
                    Ok(cut) => cuts.push(cut),
                    Err(fault) => faults.push(fault),
                }
            }
            tracks.push((kind, cuts));
        }
        if !faults.is_empty() {
            return Err(Error::Faults(faults));
        }
        tracks.retain(|(_, cuts)| !cuts.is_empty());
        let message = match tracks.iter().filter(|(kind, _)| *kind == Kind::Video).count() {
            1 => return Ok(tracks),
            0 => "the film has no clip: put one on a video track",
            _ => "a film has one video track: put all clips with a picture on it",
        };
        let (code, message) = (codes::BOARD_FILM_EMPTY.name.to_owned(), message.to_owned());
        Err(Error::Faults(vec![Fault { code, node: None, edge: None, message }]))
    }

    async fn cut(
        &self,
        organisation: OrganisationId,
        clip: &Clip,
        node: &Node,
        asset: &str,
        track: Kind,
    ) -> Result<Result<Cut, Fault>, Error> {
        let gone =
            || Fault::of_node(codes::BOARD_ASSET_MISSING.name, &node.id, "the file is not there any more");
        if AssetId::parse(asset).is_err() {
            return Ok(Err(gone()));
        }
        let request =
            GetAssetRequest { asset_id: asset.to_owned(), organisation_id: organisation.to_string() };
        let found = match StorageClient::new(self.infrastructure()).get_asset(request).await {
            Ok(found) => found.into_inner(),
            Err(status) => {
                let problem = Problem::from(status);
                return if problem.is_transient() { Err(problem.into()) } else { Ok(Err(gone())) };
            }
        };
        if found.state() != AssetState::Ready {
            return Ok(Err(gone()));
        }
        let kind = Kind::of_media(&found.content_type);
        let fits = match track {
            Kind::Audio => matches!(kind, Kind::Audio | Kind::Video),
            _ => matches!(kind, Kind::Image | Kind::Video),
        };
        if !fits {
            let message = format!("{} does not belong on this track", found.content_type);
            return Ok(Err(Fault::of_node(codes::BOARD_TYPE_MISMATCH.name, &node.id, message)));
        }
        let end = if kind == Kind::Image { clip.in_ms + STILL_MS } else { found.duration_ms };
        let out_ms = match (kind, clip.out_ms) {
            (Kind::Image, Some(out)) => out,
            (_, Some(out)) if end > 0 => out.min(end),
            (_, Some(out)) => out,
            (_, None) => end,
        };
        if out_ms <= clip.in_ms {
            let message = "the clip ends before it begins: its source is shorter than that";
            return Ok(Err(Fault::of_node(codes::TOOL_INPUT_INVALID.name, &node.id, message)));
        }
        let fade_ms = if clip.transition.kind == "cross_fade" { clip.transition.ms } else { 0 };
        Ok(Ok(Cut { asset: asset.to_owned(), kind, in_ms: clip.in_ms, out_ms, fade_ms, name: found.name }))
    }
}

/// The node behind a clip, and the asset that it shows.
fn media_of<'a>(board: &'a Board, takes: &Takes, clip: &'a Clip) -> Option<(&'a Node, String)> {
    let node = shown(board, &clip.node)?;
    let asset = match node.kind {
        NodeKind::Image | NodeKind::Video | NodeKind::Audio => node.text("asset").map(str::to_owned),
        NodeKind::Tool => takes.shown(&node.id, node.chosen_take.as_deref())?.asset_id.clone(),
        NodeKind::Prompt | NodeKind::Shot | NodeKind::Note | NodeKind::Group => None,
    };
    asset.filter(|asset| !asset.is_empty()).map(|asset| (node, asset))
}

/// The tool's input. A fade is at most half of either clip, so that two fades never meet.
fn input_of(tracks: &[(Kind, Vec<Cut>)], order: &FilmOrder) -> Result<Value, Error> {
    let mut assets: Vec<String> = Vec::new();
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    let mut clips = Vec::new();
    let mut length_ms = 0_i64;
    for (n, (kind, cuts)) in tracks.iter().enumerate() {
        let mut at_ms = 0_i64;
        let mut before_ms = 0_i64;
        for cut in cuts {
            let own_ms = cut.out_ms - cut.in_ms;
            let fade_ms = cut.fade_ms.min(own_ms / 2).min(before_ms / 2);
            let asset = *index.entry(cut.asset.clone()).or_insert_with(|| {
                assets.push(cut.asset.clone());
                assets.len() - 1
            });
            at_ms -= fade_ms;
            clips.push(json!({ "track": n, "kind": if *kind == Kind::Audio { "audio" } else { "video" },
                "asset": asset, "still": cut.kind == Kind::Image, "at_ms": at_ms, "in_ms": cut.in_ms,
                "out_ms": cut.out_ms, "fade_ms": fade_ms, "name": cut.name }));
            at_ms += own_ms;
            before_ms = own_ms;
        }
        length_ms = length_ms.max(if *kind == Kind::Audio { 0 } else { at_ms });
    }
    if clips.len() > CLIPS_MAX {
        return Err(Error::Full { what: "clips in one film", max: CLIPS_MAX as u64 });
    }
    if length_ms > FILM_MS_MAX {
        let message =
            format!("the film is {} s long; {} s are possible", length_ms / 1_000, FILM_MS_MAX / 1_000);
        return Err(Error::Field { pointer: "/", message });
    }
    Ok(
        json!({ "assets": assets, "clips": clips, "seconds": (length_ms + 999) / 1_000, "length_ms": length_ms,
        "width": order.width, "height": order.height, "fps": order.fps, "loudness_lufs": order.loudness_lufs }),
    )
}

fn child_of(frozen: &Frozen, price_micro: i64) -> Result<ChildRow, Error> {
    let order_json = serde_json::to_string(frozen).map_err(|error| Error::Broken(error.to_string()))?;
    Ok(ChildRow {
        ord: 0,
        node: NODE.to_owned(),
        tool: TOOL.to_owned(),
        step: "{}".to_owned(),
        state: "waiting".to_owned(),
        order_json: Some(order_json),
        input_hash: None,
        run_id: None,
        price_micro,
        settled_micro: 0,
        problem: None,
        outputs: "[]".to_owned(),
        take_id: None,
        told: false,
    })
}

/// The cut as OpenTimelineIO JSON (`Timeline.1`), from the order that the film was made with: exactly what is in it.
pub(crate) fn timeline(run: &RunRow, child: &ChildRow) -> Option<Value> {
    let frozen: Frozen = serde_json::from_str(child.order_json.as_deref()?).ok()?;
    let input = frozen.input;
    let rate = input["fps"].as_f64()?;
    let assets = input["assets"].as_array()?;
    let mut tracks: BTreeMap<i64, Vec<&Value>> = BTreeMap::new();
    for clip in input["clips"].as_array()? {
        tracks.entry(clip["track"].as_i64()?).or_default().push(clip);
    }
    let tracks: Vec<Value> = tracks.into_values().map(|clips| otio_track(&clips, assets, rate)).collect();
    Some(json!({
        "OTIO_SCHEMA": "Timeline.1", "name": format!("board {}", run.board_id), "metadata": { "backlot": {
            "board_run": run.id, "revision": run.revision } }, "global_start_time": null,
        "tracks": { "OTIO_SCHEMA": "Stack.1", "name": "tracks", "metadata": {}, "source_range": null,
            "effects": [], "markers": [], "enabled": true, "children": tracks },
    }))
}

/// Milliseconds as a time of this rate, rounded to a whole frame.
fn rational(ms: i64, rate: f64) -> Value {
    json!({ "OTIO_SCHEMA": "RationalTime.1", "rate": rate, "value": (ms as f64 * rate / 1_000.0).round() })
}

fn otio_track(clips: &[&Value], assets: &[Value], rate: f64) -> Value {
    let ms = |clip: &Value, name: &str| clip[name].as_i64().unwrap_or(0);
    let mut children = Vec::new();
    for clip in clips {
        let fade_ms = ms(clip, "fade_ms");
        if fade_ms > 0 {
            // Half of it before the cut, half behind.
            children.push(json!({ "OTIO_SCHEMA": "Transition.1", "name": "cross fade", "metadata": {},
                "transition_type": "SMPTE_Dissolve", "in_offset": rational(fade_ms / 2, rate),
                "out_offset": rational(fade_ms - fade_ms / 2, rate) }));
        }
        let asset = clip["asset"].as_u64().and_then(|n| assets.get(usize::try_from(n).ok()?));
        let asset = asset.and_then(Value::as_str).unwrap_or_default();
        let (start, end) = (ms(clip, "in_ms"), ms(clip, "out_ms"));
        children.push(json!({ "OTIO_SCHEMA": "Clip.2", "name": clip["name"], "enabled": true, "effects": [],
            "markers": [], "metadata": { "backlot": { "asset": asset } },
            "source_range": { "OTIO_SCHEMA": "TimeRange.1", "start_time": rational(start, rate),
                "duration": rational(end - start, rate) },
            "media_references": { "DEFAULT_MEDIA": { "OTIO_SCHEMA": "ExternalReference.1",
                "target_url": format!("/v1/assets/{asset}/content"), "name": clip["name"],
                "available_range": null, "available_image_bounds": null, "metadata": {} } },
            "active_media_reference_key": "DEFAULT_MEDIA" }));
    }
    let kind = match clips.first().map(|clip| clip["kind"] == "audio") {
        Some(true) => "Audio",
        _ => "Video",
    };
    json!({ "OTIO_SCHEMA": "Track.1", "name": kind, "kind": kind, "metadata": {}, "source_range": null,
        "effects": [], "markers": [], "enabled": true, "children": children })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> FilmOrder {
        FilmOrder {
            width: 1280,
            height: 720,
            fps: 24,
            loudness_lufs: -16.0,
            max_price_micro: None,
            mandate: None,
        }
    }

    fn cut(asset: &str, seconds: i64, fade_ms: i64) -> Cut {
        Cut {
            asset: asset.to_owned(),
            kind: Kind::Video,
            in_ms: 0,
            out_ms: seconds * 1_000,
            fade_ms,
            name: asset.to_owned(),
        }
    }

    #[test]
    fn fades_overlap_and_shorten_the_film() {
        let tracks = [(Kind::Video, vec![cut("a", 3, 500), cut("b", 2, 500), cut("a", 2, 9_000)])];
        let input = input_of(&tracks, &order()).unwrap();
        let at: Vec<_> =
            input["clips"].as_array().unwrap().iter().map(|clip| clip["at_ms"].as_i64().unwrap()).collect();
        // The first clip fades from nothing; the last fade is cut to half of the shorter clip.
        assert_eq!(at, [0, 2_500, 3_500]);
        assert_eq!((input["length_ms"].as_i64(), input["seconds"].as_i64()), (Some(5_500), Some(6)));
        assert_eq!(input["assets"], json!(["a", "b"]));
    }

    #[test]
    fn times_are_whole_frames() {
        assert_eq!(rational(1_001, 24.0)["value"], 24.0);
        assert_eq!(rational(1_500, 25.0)["value"], 38.0);
    }
}
