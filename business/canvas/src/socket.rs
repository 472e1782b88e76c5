//! A live connection: the handshake, and the task between a WebSocket and its board's room.
//!
//! The role decides what passes: who may not edit sends no changes. It is asked again whenever somebody's
//! authority changed; who has none any more is cut off.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use backlot_business_api::BoardId;
use backlot_foundation_rpc::http::Lease;
use futures::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role as Side, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::error::Error;
use crate::frames::{self, Frame};
use crate::limits::{MESSAGE_BYTES_MAX, OUTBOX_MESSAGES};
use crate::role::Role;
use crate::room::{Ask, Said, Session};
use crate::service::{Actor, Service};

/// How often the server asks whether anybody is there, and what they may do. Less than y-websocket's half a minute.
const PING_AFTER: Duration = Duration::from_secs(20);
/// Silence after which nobody is.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Longest wait for the client's side of the handshake, and for a message to leave.
const PATIENCE: Duration = Duration::from_secs(10);
/// Close code: the credential ended.
const CLOSE_SIGNED_OUT: u16 = 4401;
/// Close code: no role on the board any more, or no board.
const CLOSE_NO_ACCESS: u16 = 4403;
/// Close code: this process stops; another one is there, or will be.
const CLOSE_RESTART: u16 = 1012;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;

/// Somebody's authority changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Who may do what on this board.
    Board(BoardId),
    /// A mandate in this organisation: roles are asked again.
    Mandates(String),
    /// A credential ended: `session:ID` or `key:ID`.
    Credential(String),
    /// A person, in this organisation or in all where it is empty: they sign in again.
    Person { user: String, organisation: String },
    /// An organisation ended.
    Organisation(String),
    /// Something was missed.
    Everybody,
}

/// Who is connected.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) actor: Actor,
    pub(crate) board: BoardId,
    pub(crate) role: Role,
    /// Whether they belong to the board's own organisation.
    pub(crate) is_home: bool,
    /// An API key that may only look looks, whatever the role.
    pub(crate) only_looks: bool,
}

enum Concern {
    No,
    Ask,
    End,
}

impl Guest {
    fn may_edit(&self) -> bool {
        self.role >= Role::Editor && !self.only_looks
    }

    fn concern(&self, change: &Change) -> Concern {
        let organisation = self.actor.organisation.to_string();
        match change {
            Change::Board(board) if *board == self.board => Concern::Ask,
            Change::Mandates(of) if *of == organisation => Concern::Ask,
            Change::Credential(credential) if *credential == self.actor.credential => Concern::End,
            Change::Person { user, organisation: of }
                if *user == self.actor.id && (of.is_empty() || *of == organisation) =>
            {
                Concern::End
            }
            Change::Organisation(of) if *of == organisation => Concern::End,
            Change::Everybody => Concern::End,
            _ => Concern::No,
        }
    }
}

/// Answers the handshake; the connection lives in a task of the service.
pub(crate) fn accept(service: &Service, guest: Guest, mut request: Request) -> Result<Response, Error> {
    let key = handshake_key(request.headers()).ok_or(Error::NoWebSocket)?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(Error::NoWebSocket)?;
    // Set by the edge in this process; where the edge is elsewhere, it cuts its own tunnel.
    let lease = request.extensions_mut().remove::<Lease>();
    let accept = HeaderValue::try_from(derive_accept_key(&key)).map_err(|_| Error::NoWebSocket)?;
    let task = service.clone();
    service.own_task(async move {
        match tokio::time::timeout(PATIENCE, upgrade).await {
            Ok(Ok(upgraded)) => serve(task, guest, upgraded, lease).await,
            Ok(Err(error)) => tracing::debug!(%error, "a handshake was not finished"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn handshake_key(headers: &HeaderMap) -> Option<Vec<u8>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let upgrades = text(header::UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let version = text(header::SEC_WEBSOCKET_VERSION) == Some("13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|value| value.as_bytes().to_vec());
    key.filter(|_| upgrades && version)
}

async fn serve(service: Service, guest: Guest, upgraded: Upgraded, lease: Option<Lease>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let io = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(io, Side::Server, Some(config)).await;
    // Heard from before the role was looked up for the last time: nothing is missed in between.
    let changes = service.access_changes();
    let (outbox, heard) = mpsc::channel(OUTBOX_MESSAGES);
    let (session, actor) = (service.next_session(), guest.actor.id.clone());
    let name = service.name_of(&actor).await;
    let session = Session { id: session, actor, name, is_home: guest.is_home, outbox };
    let id = session.id;
    let board = guest.board;
    let joined = service.rooms().ask(board, |reply| Ask::Join { session, reply }).await;
    let mut line = Line { service: service.clone(), guest, socket, session: id };
    match joined {
        Ok(Ok(())) => {
            let end = line.talk(heard, changes, lease).await;
            line.close(end).await;
            let _ = service.rooms().send(board, Ask::Leave { session: id }).await;
        }
        Ok(Err(error)) | Err(error) => {
            let problem = backlot_foundation_errors::Problem::from(error);
            line.close(Some((CLOSE_RESTART, problem.code))).await;
        }
    }
}

struct Line {
    service: Service,
    guest: Guest,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    session: u64,
}

type End = Option<(u16, String)>;

impl Line {
    /// Until somebody ends it. `None`: the client is gone.
    async fn talk(
        &mut self,
        mut heard: mpsc::Receiver<Said>,
        mut changes: broadcast::Receiver<Change>,
        lease: Option<Lease>,
    ) -> End {
        let stop = self.service.stop();
        let ended = async {
            match &lease {
                Some(lease) => lease.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(ended);
        let mut last = tokio::time::Instant::now();
        let mut pinged = tokio::time::interval(PING_AFTER);
        if let Some(end) = self.ask_again().await {
            return Some(end);
        }
        if self.announce_role().await.is_err() {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => return Some((CLOSE_RESTART, "the server restarts".to_owned())),
                () = &mut ended => return Some((CLOSE_SIGNED_OUT, "sign in again".to_owned())),
                change = changes.recv() => {
                    let concern = match change {
                        Ok(change) => self.guest.concern(&change),
                        Err(broadcast::error::RecvError::Lagged(_)) => Concern::Ask,
                        Err(broadcast::error::RecvError::Closed) => return None,
                    };
                    let end = match concern {
                        Concern::No => None,
                        Concern::End => Some((CLOSE_SIGNED_OUT, "sign in again".to_owned())),
                        Concern::Ask => self.ask_again().await,
                    };
                    if end.is_some() {
                        return end;
                    }
                }
                said = heard.recv() => match said {
                    Some(Said::Bytes(bytes)) => {
                        if self.send(Message::Binary(Bytes::from(bytes.to_vec()))).await.is_err() {
                            return None;
                        }
                    }
                    Some(Said::Close(code, reason)) => return Some((code, reason)),
                    None => return Some((CLOSE_RESTART, "come back".to_owned())),
                },
                message = self.socket.next() => {
                    last = tokio::time::Instant::now();
                    match message {
                        Some(Ok(Message::Binary(bytes))) => {
                            if let Some(end) = self.take(&bytes).await {
                                return Some(end);
                            }
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                        Some(Ok(_)) => (),
                    }
                }
                _ = pinged.tick() => {
                    if last.elapsed() > SILENCE_MAX || self.send(Message::Ping(Bytes::new())).await.is_err() {
                        return None;
                    }
                    // Browsers show pings to nobody: y-websocket would take a quiet board for a lost connection.
                    if self.send(Message::Binary(frames::nobody().into())).await.is_err() {
                        return None;
                    }
                    // A mandate or a role that has run out says so to nobody.
                    if let Some(end) = self.ask_again().await {
                        return Some(end);
                    }
                }
            }
        }
    }

    /// Passes on what the role lets pass.
    async fn take(&mut self, bytes: &[u8]) -> End {
        let Ok(all) = frames::read(bytes) else {
            return Some((CloseCode::Protocol.into(), "not a message of the y-sync protocol".to_owned()));
        };
        for frame in all {
            if matches!(frame, Frame::Update(_)) && !self.guest.may_edit() {
                // A viewer's client also answers the server's first question, with nothing new in it.
                continue;
            }
            let ask = Ask::Frame { session: self.session, frame };
            if self.service.rooms().send(self.guest.board, ask).await.is_err() {
                return Some((CLOSE_RESTART, "come back".to_owned()));
            }
        }
        None
    }

    /// Looks the role up again.
    async fn ask_again(&mut self) -> End {
        match self.service.role(&self.guest.actor, self.guest.board).await {
            Ok((_, role)) => {
                if role != self.guest.role {
                    self.guest.role = role;
                    if self.announce_role().await.is_err() {
                        return Some((CLOSE_RESTART, "come back".to_owned()));
                    }
                }
                None
            }
            // What cannot be looked up is not believed: the client comes back and asks at the door.
            Err(_) => Some((CLOSE_NO_ACCESS, "no access".to_owned())),
        }
    }

    async fn announce_role(&mut self) -> Result<(), ()> {
        let news = json!({ "type": "role", "role": self.guest.role, "may_edit": self.guest.may_edit() });
        self.send(Message::Binary(frames::custom(&news).into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), ()> {
        let sent = tokio::time::timeout(PATIENCE, self.socket.send(message)).await;
        sent.map_err(|_| ())?.map_err(|_| ())
    }

    async fn close(&mut self, end: End) {
        if let Some((code, reason)) = end {
            let frame = CloseFrame { code: code.into(), reason: reason.into() };
            let closed = async {
                let _ = self.socket.close(Some(frame)).await;
                // Read on until the client has seen it, so that the last words are not lost in a reset.
                while let Some(Ok(_)) = self.socket.next().await {}
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), closed).await;
        }
    }
}
