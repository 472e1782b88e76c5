//! The live connection of a board, as a program opens it.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

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
