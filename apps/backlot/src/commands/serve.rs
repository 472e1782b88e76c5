//! `backlot serve [SYSTEM…]`: builds, listens, says where, and stops in order.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backlot_foundation_runtime::termination_signal;
use backlot_foundation_telemetry::Telemetry;
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

use super::demo::{DEMO_EMAIL, DEMO_PASSWORD};
use crate::Common;
use crate::compose::{Context, Role, Studio};

/// Longest wait for requests and tasks to end after the signal.
const GRACE: Duration = Duration::from_secs(20);
/// File in the data folder that says where a running process listens.
pub(crate) const ADDRESS_FILE: &str = "address.json";

/// Options of `backlot serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    common: Common,
    /// What to serve; nothing: everything.
    #[arg(value_enum)]
    roles: Vec<Role>,
    /// Makes a demo account with a known password. Only for a machine of one's own.
    #[arg(long)]
    demo_account: bool,
    /// Folder of extensions, which become tools while the studio runs. Only where this process serves business and
    /// is an agent, too.
    #[arg(long, env = "BACKLOT_EXTENSIONS", default_value = "extensions")]
    extensions: PathBuf,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut config = args.common.load()?;
    let telemetry = Telemetry::install(&config.telemetry, "backlot")?;
    let handle = telemetry.prometheus();
    let roles = if args.roles.is_empty() { Role::ALL.to_vec() } else { args.roles.clone() };

    if roles.contains(&Role::Business) && roles.contains(&Role::Agent) {
        config.watch_extensions(&args.extensions, &args.common.data);
    }

    // Bound before anything is built: signed URLs carry the real port.
    let http = TcpListener::bind((config.http.host, config.http.port)).await.with_context(|| {
        format!("cannot listen on {}:{}: choose another port with --port", config.http.host, config.http.port)
    })?;
    let bound = http.local_addr()?;
    let local = reachable(bound);
    let public_url = public_url(&config.http.public_url, bound)?;
    let rpc = TcpListener::bind(&config.rpc.listen)
        .await
        .with_context(|| format!("cannot listen on rpc.listen = {}", config.rpc.listen))?;
    let local_rpc = reachable(rpc.local_addr()?);

    if config.inference.control.join_url.is_empty() {
        config.inference.control.join_url = format!("http://{local_rpc}/inference");
    }

    let folder = args.common.data.clone();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
    let context = Context::new(config, &folder, public_url, Role::is_whole(&roles))?;
    let studio = Studio::build(context, &roles, Some(Arc::new(move || handle.render()))).await?;

    let tasks = studio.context.tasks.clone();
    let stop = tasks.stop_signal();
    let contracts = backlot_foundation_rpc::serve_rpc(rpc_listener(&rpc)?, studio.rpc(), stop.clone());
    let contracts = tokio::spawn(contracts);
    let closing = stop.clone();
    let service = studio.http.clone().into_make_service_with_connect_info::<SocketAddr>();
    let pages = axum::serve(http, service).with_graceful_shutdown(async move { closing.stopped().await });
    let pages = tokio::spawn(pages.into_future());

    write_address(&folder, &format!("http://{local}"), &format!("http://{local_rpc}"))?;
    if args.demo_account {
        demo_account(&format!("http://{local}")).await?;
    }
    announce(&roles, bound, began, args.demo_account);

    termination_signal().await;
    tracing::info!("stopping");
    studio.health.drain();
    stop.stop();
    let ended = async {
        let _ = tokio::join!(pages, contracts);
    };
    // Streams may be open for hours: they are cut when the grace period ends.
    let _ = tokio::time::timeout(GRACE / 4, ended).await;
    tasks.shutdown(GRACE).await;
    for system in &studio.systems {
        system.db.close().await?;
    }
    let _ = std::fs::remove_file(folder.join(ADDRESS_FILE));
    Ok(())
}

/// Where this machine reaches what was bound: nobody reaches anything at 0.0.0.0.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let host: IpAddr = match bound.ip() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, bound.port())
}

/// How the outside reaches this process: as configured, else by the bound address.
fn public_url(configured: &str, local: SocketAddr) -> anyhow::Result<String> {
    let configured = configured.trim_end_matches('/');
    if configured.is_empty() && local.ip().is_unspecified() {
        let url = format!("http://localhost:{}", local.port());
        tracing::warn!(
            url,
            "http.public_url is not set and this listens on every address: links and signed addresses are good on \
             this machine only"
        );
        return Ok(url);
    }
    if configured.is_empty() {
        return Ok(format!("http://{local}"));
    }
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    // An origin and nothing else: paths are added to it, and browsers compare it as it is.
    let is_origin = |url: &Url| url.origin().ascii_serialization() == configured.to_lowercase();
    anyhow::ensure!(
        Url::parse(configured).is_ok_and(|url| is_web(&url) && is_origin(&url)),
        "http.public_url = \"{configured}\" is no address of a studio: give http://HOST[:PORT] or https://HOST[:PORT], \
         without a path"
    );
    Ok(configured.to_lowercase())
}

/// A second handle on the bound socket, so that its address can still be asked.
fn rpc_listener(bound: &TcpListener) -> anyhow::Result<TcpListener> {
    use std::os::fd::AsFd as _;
    let copy = bound.as_fd().try_clone_to_owned()?;
    Ok(TcpListener::from_std(std::net::TcpListener::from(copy))?)
}

/// For `backlot admin` on the same machine. Written beside and renamed: never half a file.
fn write_address(folder: &Path, http: &str, rpc: &str) -> anyhow::Result<()> {
    let draft = folder.join("address.new");
    let text = json!({ "pid": std::process::id(), "http": http, "rpc": rpc }).to_string();
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, folder.join(ADDRESS_FILE))?;
    Ok(())
}

/// Signs the demo account up, through the public API as anybody would; it may be there already.
async fn demo_account(address: &str) -> anyhow::Result<()> {
    let body = json!({ "email": DEMO_EMAIL, "password": DEMO_PASSWORD, "name": "Demo" });
    let answer =
        reqwest::Client::new().post(format!("{address}/v1/identity/sign-up")).json(&body).send().await?;
    let status = answer.status();
    anyhow::ensure!(
        status.is_success() || status == reqwest::StatusCode::CONFLICT,
        "the demo account cannot be made: {status} {}",
        answer.text().await.unwrap_or_default()
    );
    Ok(())
}

/// The one line that people and scripts wait for.
fn announce(roles: &[Role], bound: SocketAddr, began: Instant, demo_account: bool) {
    let mut out = std::io::stdout().lock();
    let what = if Role::is_whole(roles) { "studio".to_owned() } else { format!("{roles:?}").to_lowercase() };
    let _ = writeln!(out, "{}", ready_line(&what, bound, began.elapsed()));
    if demo_account {
        let _ = writeln!(out, "         sign in as {DEMO_EMAIL} with password \"{DEMO_PASSWORD}\"");
    }
    let _ = out.flush();
}

/// With an address that a person can click, and a word on it where it is one of many.
fn ready_line(what: &str, bound: SocketAddr, took: Duration) -> String {
    let (address, millis) = (reachable(bound), took.as_millis());
    let everywhere =
        if bound.ip().is_unspecified() { ", listening on every address of this machine" } else { "" };
    format!("backlot: the {what} is ready at http://{address} ({millis} ms){everywhere}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_people_wait_for_names_an_address_that_they_can_click() {
        let line = |bound: &str| ready_line("studio", bound.parse().unwrap(), Duration::from_millis(41));
        let here = "backlot: the studio is ready at http://127.0.0.1:8080 (41 ms)";
        assert_eq!(line("127.0.0.1:8080"), here);
        assert_eq!(line("0.0.0.0:8080"), format!("{here}, listening on every address of this machine"));
        assert!(
            line("[::]:8080").contains(" ready at http://[::1]:8080 (41 ms), listening on every address")
        );
        assert!(line("192.0.2.7:8080").ends_with(" ready at http://192.0.2.7:8080 (41 ms)"));
    }

    fn check(configured: &str, local: &str) -> Result<String, String> {
        public_url(configured, local.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_name_the_bound_address_is_the_public_one() {
        assert_eq!(check("", "127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080");
        // Nobody reaches anything at 0.0.0.0.
        assert_eq!(check("", "0.0.0.0:8080").unwrap(), "http://localhost:8080");
        assert_eq!(check("", "[::]:8080").unwrap(), "http://localhost:8080");
    }

    #[test]
    fn a_public_name_is_an_origin() {
        for (given, taken) in [
            ("https://studio.example/", "https://studio.example"),
            ("http://Studio.example:8080", "http://studio.example:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(check(given, "0.0.0.0:1").unwrap(), taken);
        }
        for wrong in [
            "nonsense",
            "studio.example",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://u:p@a",
            "https://",
        ] {
            let error = check(wrong, "0.0.0.0:1").unwrap_err();
            assert!(error.contains("http.public_url") && error.contains("https://HOST"), "{wrong}: {error}");
        }
    }
}
