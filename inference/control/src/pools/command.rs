//! The operator's program as a provider: `PROGRAM … create|delete|list` with JSON on its standard streams.

use std::{process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
};

use super::{
    PoolConfig,
    provider::{Listed, Order, ProviderError},
};
use crate::limits;

/// A program that speaks for a cloud.
#[derive(Debug)]
pub(crate) struct Command {
    words: Vec<String>,
    call_ms: u64,
    /// What `list` is asked with.
    question: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    machines: Vec<Listed>,
}

impl Command {
    pub(crate) fn new(pool: &str, config: &PoolConfig) -> Self {
        let question = serde_json::json!({ "pool": pool, "region": config.region, "kind": config.kind });
        Self { words: config.command.clone(), call_ms: config.call_ms, question: question.to_string() }
    }

    pub(crate) async fn create(&self, order: &Order) -> Result<(), ProviderError> {
        self.call("create", to_json(order)?).await.map(drop)
    }

    pub(crate) async fn delete(&self, order: &Order) -> Result<(), ProviderError> {
        self.call("delete", to_json(order)?).await.map(drop)
    }

    pub(crate) async fn list(&self) -> Result<Vec<Listed>, ProviderError> {
        let said = self.call("list", self.question.clone()).await?;
        let answer: Answer = serde_json::from_slice(&said).map_err(ProviderError::Answer)?;
        Ok(answer.machines)
    }

    async fn call(&self, verb: &str, input: String) -> Result<Vec<u8>, ProviderError> {
        let mut child = self.start(verb).map_err(ProviderError::Start)?;
        let group = Group::of(&child);
        let called = tokio::time::timeout(Duration::from_millis(self.call_ms), converse(&mut child, input));
        let outcome = called.await.unwrap_or(Err(ProviderError::Late(self.call_ms)));
        // Whatever it left running is part of the call: nothing of it goes on.
        drop(group);
        let _ = child.wait().await;
        outcome
    }

    fn start(&self, verb: &str) -> std::io::Result<Child> {
        let (program, first) = self.words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = tokio::process::Command::new(program);
        command.args(first).arg(verb).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own secrets are in its environment; ours are not its business.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BACKLOT_"))
        {
            command.env_remove(name);
        }
        command.spawn()
    }
}

fn to_json(order: &Order) -> Result<String, ProviderError> {
    serde_json::to_string(order).map_err(ProviderError::Answer)
}

/// Kills a process group when it is dropped, also where the call itself is.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn converse(child: &mut Child, input: String) -> Result<Vec<u8>, ProviderError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read what it does not need is no fault.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let max = limits::PROVIDER_ANSWER_BYTES_MAX;
    let ((), said, complained) = tokio::join!(write, read(stdout, max + 1), read(stderr, max + 1));
    if said.len() > max {
        return Err(ProviderError::Long(max));
    }
    let status = child.wait().await.map_err(ProviderError::Start)?;
    if status.success() {
        return Ok(said);
    }
    let complained = String::from_utf8_lossy(&complained);
    let said: String = complained.trim().chars().rev().take(limits::MACHINE_MESSAGE_CHARS_MAX).collect();
    Err(ProviderError::Failed { status: status.to_string(), said: said.chars().rev().collect() })
}

/// At most `max` bytes: who writes more waits, and is stopped when its time is over.
async fn read(stream: Option<impl AsyncRead + Unpin>, max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.take(max as u64).read_to_end(&mut bytes).await;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::ProviderKind;

    fn shell(script: &str, call_ms: u64) -> Command {
        let command = ["sh", "-c", script, "provider"].map(str::to_owned).to_vec();
        let config =
            PoolConfig { provider: ProviderKind::Command, command, call_ms, ..PoolConfig::default() };
        Command::new("gpu", &config)
    }

    #[tokio::test]
    async fn an_answer_is_read_and_what_is_none_is_an_error() {
        let listed =
            shell("cat >/dev/null; echo '{\"machines\":[{\"machine\":\"m1\",\"notice\":true}]}'", 60_000);
        assert_eq!(
            listed.list().await.unwrap(),
            [Listed { machine: "m1".to_owned(), notice: true, ..Listed::default() }]
        );
        assert!(matches!(shell("echo hello", 60_000).list().await, Err(ProviderError::Answer(_))));
        assert!(matches!(shell("exec cat /dev/zero", 60_000).list().await, Err(ProviderError::Long(_))));
        let failed = shell("echo 'no quota' >&2; exit 3", 60_000).list().await.unwrap_err().to_string();
        assert!(failed.contains("no quota") && failed.contains('3'), "{failed}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_stopped_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        assert!(matches!(shell(&script, 1_500).list().await, Err(ProviderError::Late(1_500))));
        let pid: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let gone = || nix::sys::signal::kill(Pid::from_raw(pid), None).is_err();
        let zombie = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(") Z")
        };
        while !gone() && !zombie() {
            tokio::task::yield_now().await;
        }
    }
}
