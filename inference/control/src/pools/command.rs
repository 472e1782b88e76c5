//! The operator's program as a provider: `PROGRAM … create|delete|list` with JSON on its standard streams.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

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
    words::Secrets,
};
use crate::limits;

/// A program that speaks for a cloud.
#[derive(Debug)]
pub(crate) struct Command {
    words: Vec<String>,
    call_ms: u64,
    /// What `list` is asked with.
    question: String,
    secrets: Secrets,
}

/// What a call wrote, as far as it was read.
#[derive(Debug, Default)]
struct Written {
    answer: Vec<u8>,
    complaint: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    machines: Vec<Listed>,
}

impl Command {
    pub(crate) fn new(pool: &str, config: &PoolConfig, secrets: Secrets) -> Self {
        let question = serde_json::json!({ "pool": pool, "region": config.region, "kind": config.kind });
        Self {
            words: config.command.clone(),
            call_ms: config.call_ms,
            question: question.to_string(),
            secrets,
        }
    }

    /// What it wrote last although it succeeded: the only trace where the machine never joins.
    pub(crate) async fn create(&self, order: &Order) -> Result<String, ProviderError> {
        let written = self.call("create", to_json(order)?).await?;
        Ok(format!("create ended well (exit status: 0){}", self.last_words(&written)))
    }

    pub(crate) async fn delete(&self, order: &Order) -> Result<(), ProviderError> {
        self.call("delete", to_json(order)?).await.map(drop)
    }

    pub(crate) async fn list(&self) -> Result<Vec<Listed>, ProviderError> {
        let written = self.call("list", self.question.clone()).await?;
        let read = serde_json::from_slice::<Answer>(&written.answer);
        let mut machines = read
            .map_err(|source| ProviderError::Answer { source, said: self.last_words(&written) })?
            .machines;
        for one in machines.iter_mut().filter(|one| !one.words.is_empty()) {
            one.words = format!("it wrote last: {}", self.secrets.end_of(one.words.as_bytes()));
        }
        Ok(machines)
    }

    async fn call(&self, verb: &'static str, input: String) -> Result<Written, ProviderError> {
        let mut child = self.start(verb).map_err(ProviderError::Start)?;
        let group = Group::of(&child);
        let mut written = Written::default();
        let conversation = converse(&mut child, input, &mut written);
        let status = tokio::time::timeout(Duration::from_millis(self.call_ms), conversation).await;
        // Whatever it left running is part of the call: nothing of it goes on.
        drop(group);
        let _ = child.wait().await;
        let said = || self.last_words(&written);
        match status {
            Err(_) => Err(ProviderError::Late { verb, call_ms: self.call_ms, said: said() }),
            Ok(Err(error)) => Err(ProviderError::Start(error)),
            Ok(Ok(None)) => {
                Err(ProviderError::Long { verb, bytes_max: limits::PROVIDER_ANSWER_BYTES_MAX, said: said() })
            }
            Ok(Ok(Some(status))) if status.success() => Ok(written),
            Ok(Ok(Some(status))) => {
                Err(ProviderError::Failed { verb, status: status.to_string(), said: said() })
            }
        }
    }

    /// The end of what a call wrote, as part of a sentence: its complaint, else its answer.
    fn last_words(&self, written: &Written) -> String {
        let ends = [&written.complaint, &written.answer].map(|bytes| self.secrets.end_of(bytes));
        let end = ends.into_iter().find(|end| !end.is_empty());
        end.map_or_else(|| " and printed nothing".to_owned(), |end| format!(" and printed last: {end}"))
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
    serde_json::to_string(order).map_err(ProviderError::Order)
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

/// Its exit status; nothing where it answered too much.
async fn converse(
    child: &mut Child,
    input: String,
    written: &mut Written,
) -> std::io::Result<Option<ExitStatus>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read what it does not need is no fault.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    tokio::join!(write, read(stdout, &mut written.answer), read(stderr, &mut written.complaint));
    if written.answer.len() > limits::PROVIDER_ANSWER_BYTES_MAX {
        return Ok(None);
    }
    child.wait().await.map(Some)
}

/// At most one byte more than may be: who writes more waits, and is stopped when its time is over.
async fn read(stream: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) {
    if let Some(stream) = stream {
        let _ = stream.take(limits::PROVIDER_ANSWER_BYTES_MAX as u64 + 1).read_to_end(bytes).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::ProviderKind;

    fn shell(script: &str, call_ms: u64) -> Command {
        let command = ["sh", "-c", script, "provider"].map(str::to_owned).to_vec();
        let config =
            PoolConfig { provider: ProviderKind::Command, command, call_ms, ..PoolConfig::default() };
        Command::new("gpu", &config, Secrets::of("a fleet's secret", std::iter::empty()))
    }

    #[tokio::test]
    async fn an_answer_is_read_and_what_is_none_is_an_error() {
        let listed =
            shell("cat >/dev/null; echo '{\"machines\":[{\"machine\":\"m1\",\"notice\":true}]}'", 60_000);
        assert_eq!(
            listed.list().await.unwrap(),
            [Listed { machine: "m1".to_owned(), notice: true, ..Listed::default() }]
        );
        assert!(matches!(shell("echo hello", 60_000).list().await, Err(ProviderError::Answer { .. })));
        assert!(matches!(shell("exec cat /dev/zero", 60_000).list().await, Err(ProviderError::Long { .. })));
    }

    #[tokio::test]
    async fn what_a_call_printed_last_and_how_it_ended_is_told_without_secrets() {
        let failed = |script: &'static str, call_ms: u64| async move {
            shell(script, call_ms).list().await.unwrap_err().to_string()
        };
        let said = failed("echo working; echo \"no quota for a fleet's secret\" >&2; exit 3", 60_000).await;
        assert_eq!(said, "list failed (exit status: 3) and printed last: no quota for [hidden]");
        let said = failed("echo 'no such zone'; exit 3", 60_000).await;
        assert_eq!(said, "list failed (exit status: 3) and printed last: no such zone");
        let said = failed("kill -9 $$", 60_000).await;
        assert_eq!(said, "list failed (signal: 9 (SIGKILL)) and printed nothing");
        let said = failed("echo 'asking the cloud' >&2; sleep 1000", 1_500).await;
        let late = "list did not end within 1500 ms, was stopped and printed last: asking the cloud";
        assert_eq!(said, late);
        let said = failed("echo 'no JSON'", 60_000).await;
        assert!(
            said.starts_with("list answered what cannot be read: ") && said.contains("no JSON"),
            "{said}"
        );

        let created = |script: &'static str| async move {
            shell(script, 60_000).create(&Order::default()).await.unwrap()
        };
        let said = created("echo 'created; the image has no agent'").await;
        let well = "create ended well (exit status: 0) and printed";
        assert_eq!(said, format!("{well} last: created; the image has no agent"));
        assert_eq!(created("true").await, format!("{well} nothing"));

        let script =
            r#"echo '{"machines":[{"machine":"m1","says":"\u001b[1m a fleet'"'"'s secret: panic"}]}'"#;
        let listed = shell(script, 60_000).list().await.unwrap();
        assert_eq!(listed[0].words, "it wrote last: \\u{1b}[1m [hidden]: panic");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_stopped_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        assert!(matches!(
            shell(&script, 1_500).list().await,
            Err(ProviderError::Late { call_ms: 1_500, .. })
        ));
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
