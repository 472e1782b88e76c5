//! The live connection of a board, as a program opens it.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::api::{Answer, Api};
use crate::root;

/// A live connection.
pub type Socket = WebSocketStream<TcpStream>;

/// Opens the live connection of a board with an API key, or with a session's token.
///
/// # Errors
/// What the handshake was answered with.
pub async fn connect(url: &str, board: &str, key: &str, origin: Option<&str>) -> Result<Socket, SocketError> {
    let address = url.strip_prefix("http://").expect("an address");
    let mut request = format!("ws://{address}/v1/boards/{board}/sync").into_client_request()?;
    let headers = request.headers_mut();
    let (name, value) = match key.starts_with("blk_") {
        true => ("authorization", format!("Bearer {key}")),
        false => ("cookie", format!("backlot_session={key}")),
    };
    headers.insert(name, value.parse().expect("a header"));
    if let Some(origin) = origin {
        headers.insert("origin", origin.parse().expect("a header"));
    }
    let stream = TcpStream::connect(address).await.expect("the studio listens");
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

/// Makes a board.
pub async fn board(api: &Api) -> String {
    api.post("/v1/boards", &json!({ "title": "Harbour" })).await.text("/id")
}

/// Changes a board by commands.
pub async fn commands(api: &Api, board: &str, commands: Value) -> Answer {
    api.post(&format!("/v1/boards/{board}/commands"), &json!({ "commands": commands })).await
}

/// A message of the y-sync protocol: an update of these bytes.
#[must_use]
pub fn update(bytes: &[u8]) -> Message {
    let mut message = vec![0, 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
    Message::Binary(message.into())
}

/// What is missing where real Yjs clients cannot run, and how to get it.
const NEEDS_NODE: &str = "this test needs the web app's packages and a Node to run them: `scripts/setup-web --packages` installs \
    both and prints the folder of its Node, which must be in PATH; `scripts/test --only rust` does all of it";

/// Runs a script of real Yjs clients and answers its JSON line.
///
/// # Panics
/// Where the web app's packages or a Node are missing: `scripts/test` provides them.
pub async fn yjs(script: &str, order: &Value) -> Value {
    let web = root().join("web");
    assert!(web.join("node_modules/yjs").is_dir(), "web/node_modules is missing: {NEEDS_NODE}");
    let output = tokio::process::Command::new("node")
        .arg("--experimental-websocket")
        .arg(root().join("tests/end-to-end/tests/yjs").join(script))
        .arg(&web)
        .arg(order.to_string())
        .output()
        .await
        .unwrap_or_else(|error| panic!("node cannot be started ({error}): {NEEDS_NODE}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{order}: {said}{}", String::from_utf8_lossy(&output.stderr));
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("one JSON line: {said}"))
}

/// Reads until a JSON message of this type.
///
/// # Errors
/// The close code where the connection ends first; 0: without one.
pub async fn hears(socket: &mut Socket, wanted: &str) -> Result<Value, u16> {
    let listening = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&100) => {
                    let start = bytes.iter().position(|byte| *byte == b'{').expect("JSON");
                    let news: Value = serde_json::from_slice(&bytes[start..]).expect("JSON");
                    if news["type"] == wanted {
                        return Ok(news);
                    }
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return Err(0),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), listening).await.expect("it is heard in time")
}
