//! `Agents` over gRPC: one stream an agent, which the agent opens.

use std::pin::Pin;

use backlot_foundation_errors::Problem;
use backlot_inference_api::{
    codes,
    v1::{self, agents_server::Agents},
};
use backlot_inference_scheduler::AgentKey;
use futures::Stream;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    convert,
    driver::{Command, ToAgent},
    error::Error,
    limits,
    service::Service,
};

type WeakToAgent = mpsc::WeakSender<Result<v1::ControlMessage, Status>>;

#[tonic::async_trait]
impl Agents for Service {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<v1::ControlMessage, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        self.admit(request.metadata())?;
        let (sender, receiver) = mpsc::channel(limits::AGENT_MESSAGES_WAITING_MAX);
        // Owned by the stream: it ends when the agent goes away, or when the driver closes its side.
        tokio::spawn(self.clone().listen(request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Service {
    /// Digests are compared, and in constant time: neither length nor prefix of the token leaks.
    fn admit(&self, metadata: &tonic::metadata::MetadataMap) -> Result<(), Problem> {
        let expected = &self.inner.config.join_token;
        let header = metadata.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let given = header.strip_prefix("Bearer ").unwrap_or_default();
        let digest = |text: &str| -> [u8; 32] { Sha256::digest(text).into() };
        let same: bool = digest(expected).ct_eq(&digest(given)).into();
        if same && !expected.is_empty() {
            return Ok(());
        }
        Err(Problem::new(&codes::AGENT_REFUSED, "Give the agent this fleet's join token and start it again."))
    }

    async fn listen(self, mut messages: Streaming<v1::AgentMessage>, sender: ToAgent) {
        let session = self.next_session();
        let agent = match self.greet(&mut messages, session, &sender).await {
            Ok(Some(agent)) => agent,
            Ok(None) => return,
            Err(status) => {
                let _ = sender.send(Err(status)).await;
                return;
            }
        };
        // The driver holds the one sender that counts; ours must not keep the stream open.
        let weak = sender.downgrade();
        drop(sender);
        let ended = self.relay(&agent, session, &mut messages, &weak).await;
        if let (Err(status), Some(sender)) = (ended, weak.upgrade()) {
            let _ = sender.send(Err(status)).await;
        }
        let _ = self.inner.commands.send(Command::AgentClosed(agent, session)).await;
    }

    async fn greet(
        &self,
        messages: &mut Streaming<v1::AgentMessage>,
        session: u64,
        sender: &ToAgent,
    ) -> Result<Option<AgentKey>, Status> {
        let Some(first) = messages.message().await? else { return Ok(None) };
        let Some(v1::agent_message::Message::Hello(hello)) = first.message else {
            let rule = "hello is said first".to_owned();
            return Err(Error::Invalid { pointer: String::new(), rule }.into());
        };
        let hello = convert::hello(hello)?;
        let agent = hello.agent.clone();
        let opened = Command::AgentOpened(Box::new(hello), session, sender.clone());
        self.inner.commands.send(opened).await.map_err(|_| Status::from(Error::Unavailable))?;
        Ok(Some(agent))
    }

    /// Passes on what the agent says until either side ends the stream.
    async fn relay(
        &self,
        agent: &AgentKey,
        session: u64,
        messages: &mut Streaming<v1::AgentMessage>,
        stream: &WeakToAgent,
    ) -> Result<(), Status> {
        loop {
            let message = tokio::select! {
                message = messages.message() => message?,
                () = gone(stream) => return Ok(()),
            };
            let Some(message) = message else { return Ok(()) };
            if let Some(said) = convert::said(message)? {
                let command = Command::AgentSaid(agent.clone(), session, said);
                self.inner.commands.send(command).await.map_err(|_| Status::from(Error::Unavailable))?;
            }
        }
    }
}

/// Waits until the driver has let go of the stream, or the agent has.
async fn gone(sender: &WeakToAgent) {
    const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
    while sender.upgrade().is_some_and(|sender| !sender.is_closed()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
