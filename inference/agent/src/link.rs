//! The stream to control: dialled, up, or waiting to be dialled again.

use std::time::Duration;

use backlot_foundation_rpc::Channel;
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::agents_client::AgentsClient;
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::{AgentMessage, ControlMessage};
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::backoff::Backoff;

/// Messages that may wait to be sent.
const OUTGOING_MAX: usize = 1_024;
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(10);
/// Until control says how often it wants to hear from us.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(1);
const HEARTBEAT_SHORTEST: Duration = Duration::from_millis(50);
/// A link on which leases were extended and then nothing came for this long, at least, is dead.
const SILENCE_SHORTEST: Duration = Duration::from_secs(5);

/// The link and its next try.
pub(crate) struct Link {
    channel: Channel,
    state: State,
    backoff: Backoff,
    /// Whether it was said that control cannot be reached: once, until it can be.
    told: bool,
}

enum State {
    Waiting { until: Instant },
    Dialling(BoxFuture<'static, Result<Up, tonic::Status>>),
    Up(Box<Up>),
}

struct Up {
    outgoing: mpsc::Sender<AgentMessage>,
    incoming: Streaming<ControlMessage>,
    is_welcome: bool,
    heartbeat: Duration,
    next_heartbeat: Instant,
    /// When the link counts as dead, once control has begun to extend leases.
    dead_at: Option<Instant>,
    silence_max: Duration,
}

/// What happened on the link.
pub(crate) enum Happened {
    /// It is time to dial: call `dial`.
    Due,
    /// Control said something.
    Said(Box<FromControl>),
    /// A heartbeat is due.
    HeartbeatDue,
    /// The link is gone; it will be due again.
    Lost,
}

impl Link {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            state: State::Waiting { until: Instant::now() },
            backoff: Backoff::new(PAUSE_FIRST, PAUSE_LONGEST),
            told: false,
        }
    }

    /// The next thing that happens. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Happened {
        match &mut self.state {
            State::Waiting { until } => {
                tokio::time::sleep_until(*until).await;
                Happened::Due
            }
            State::Dialling(dialling) => match dialling.await {
                Ok(up) => {
                    self.state = State::Up(Box::new(up));
                    // Boxed: this calls itself, once.
                    Box::pin(self.next()).await
                }
                Err(status) => self.lost(&status.to_string()),
            },
            State::Up(up) => match up.next().await {
                Ok(happened) => happened,
                Err(why) => self.lost(&why),
            },
        }
    }

    /// Opens the stream with `hello`.
    pub(crate) fn dial(&mut self, hello: AgentMessage) {
        self.state = State::Dialling(Box::pin(dial(self.channel.clone(), hello)));
    }

    /// Control has welcomed us and wants to hear from us this often.
    pub(crate) fn welcomed(&mut self, heartbeat_ms: i64, lease_ms: i64) {
        self.backoff.reset();
        self.told = false;
        metrics::gauge!("backlot_agent_connected").set(1.0);
        if let State::Up(up) = &mut self.state {
            up.is_welcome = true;
            if let Ok(ms @ 1..) = u64::try_from(heartbeat_ms) {
                up.heartbeat = Duration::from_millis(ms).max(HEARTBEAT_SHORTEST);
            }
            let lease = Duration::from_millis(u64::try_from(lease_ms).unwrap_or(0));
            up.silence_max = lease.max(up.heartbeat * 5).max(SILENCE_SHORTEST);
            up.next_heartbeat = Instant::now() + up.heartbeat;
        }
    }

    pub(crate) fn is_welcome(&self) -> bool {
        matches!(&self.state, State::Up(up) if up.is_welcome)
    }

    /// Sends, where control has welcomed us. False where it cannot be sent, and where the link is stuck, which
    /// ends it.
    pub(crate) fn send(&mut self, message: FromAgent) -> bool {
        let State::Up(up) = &mut self.state else {
            return false;
        };
        if !up.is_welcome {
            return false;
        }
        let sent = up.outgoing.try_send(AgentMessage { message: Some(message) });
        if sent.is_err() {
            self.lost("it is stuck");
        }
        sent.is_ok()
    }

    /// Greets control again, at once: what this agent offers has changed.
    pub(crate) fn greet_again(&mut self) {
        if matches!(self.state, State::Up(_)) {
            self.state = State::Waiting { until: Instant::now() };
        }
    }

    fn lost(&mut self, why: &str) -> Happened {
        let pause = self.backoff.pause(rand::random());
        if self.is_welcome() {
            tracing::warn!(why, pause_ms = pause.as_millis(), "the link to control is lost");
        } else if !self.told {
            self.told = true;
            tracing::warn!(why, "control cannot be reached; it is tried again and again");
        } else {
            tracing::debug!(why, pause_ms = pause.as_millis(), "control cannot be reached");
        }
        metrics::gauge!("backlot_agent_connected").set(0.0);
        self.state = State::Waiting { until: Instant::now() + pause };
        Happened::Lost
    }
}

impl Up {
    async fn next(&mut self) -> Result<Happened, String> {
        loop {
            let dead_at = self.dead_at;
            tokio::select! {
                biased;
                message = self.incoming.message() => {
                    let message = message.map_err(|status| status.to_string())?;
                    let message = message.ok_or_else(|| "control ended it".to_owned())?;
                    let is_lease = matches!(message.message, Some(FromControl::Lease(_)));
                    if is_lease || self.dead_at.is_some() {
                        self.dead_at = Some(Instant::now() + self.silence_max);
                    }
                    // A message of a newer control that we do not know is no reason to leave.
                    if let Some(message) = message.message {
                        return Ok(Happened::Said(Box::new(message)));
                    }
                }
                () = tokio::time::sleep_until(self.next_heartbeat), if self.is_welcome => {
                    self.next_heartbeat = Instant::now() + self.heartbeat;
                    return Ok(Happened::HeartbeatDue);
                }
                () = tokio::time::sleep_until(dead_at.unwrap_or(self.next_heartbeat)), if dead_at.is_some() => {
                    return Err("control is silent".to_owned());
                }
            }
        }
    }
}

async fn dial(channel: Channel, hello: AgentMessage) -> Result<Up, tonic::Status> {
    let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
    outgoing.try_send(hello).map_err(|_| tonic::Status::internal("the greeting cannot be sent"))?;
    let mut client = AgentsClient::new(channel);
    let incoming = client.connect(ReceiverStream::new(messages)).await?.into_inner();
    Ok(Up {
        outgoing,
        incoming,
        is_welcome: false,
        heartbeat: HEARTBEAT_DEFAULT,
        next_heartbeat: Instant::now() + HEARTBEAT_DEFAULT,
        dead_at: None,
        silence_max: SILENCE_SHORTEST,
    })
}
