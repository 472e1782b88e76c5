//! Machines of a local pool: real agents as processes, ordered by a real control.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_foundation_db::{Db, DbConfig};
use backlot_foundation_rpc::{Channel, Server, serve_rpc};
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::SystemClock;
use backlot_inference_api::v1;
use backlot_inference_api::v1::control_client::ControlClient;
use backlot_inference_control::{Config, Launch, PoolConfig, Service};
use tokio::runtime::Runtime;

/// Longest wait for anything: machines are processes, and this one may be busy.
const PATIENCE: Duration = Duration::from_secs(100);
const POOL: &str = "near";

/// A database and a folder that outlive the processes on them.
struct World {
    config: DbConfig,
    folder: PathBuf,
    trust: Trust,
}

/// A control as a process would run it: dropped, it is killed.
struct House {
    runtime: Option<Runtime>,
    control: ControlClient<Channel>,
    tasks: Tasks,
}

fn on_every_database(test: impl Fn(&World)) {
    let folder = tempfile::tempdir().expect("a folder");
    let trust = || Trust::new("business", "inference");
    let config = DbConfig::sqlite(&folder.path().join("inference.db"));
    test(&World { config, folder: folder.path().join("machines"), trust: trust() });

    let runtime = Runtime::new().expect("a runtime");
    if let Some(postgres) = runtime.block_on(TestDb::postgres("inference")) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = postgres.config.clone();
        test(&World { config, folder: folder.path().join("machines"), trust: trust() });
    }
}

impl World {
    fn start(&self, change: impl FnOnce(&mut PoolConfig)) -> House {
        self.start_joining(None, change)
    }

    /// Agents dial `join_url` instead of where control is.
    fn start_joining(&self, join_url: Option<&str>, change: impl FnOnce(&mut PoolConfig)) -> House {
        let runtime = Runtime::new().expect("a runtime");
        let mut pool = PoolConfig {
            region: "local".to_owned(),
            models: vec!["backlot/echo".to_owned()],
            price_micro_per_hour: 3_600_000_000,
            // Short, because a demand is expected for about as long as a machine takes to come.
            boot_ms: 500,
            max: 2,
            list_ms: 200,
            ..PoolConfig::default()
        };
        change(&mut pool);
        let launch = Launch {
            program: PathBuf::from(env!("CARGO_BIN_EXE_backlot-agent")),
            arguments: Vec::new(),
            folder: self.folder.clone(),
            environment: [("BACKLOT_AGENT__WORKERS_DIR".to_owned(), "\"nowhere\"".to_owned())].into(),
        };
        let (tasks, trust) = (Tasks::new(), &self.trust);
        let control = runtime.block_on(async {
            let db = Db::connect(&self.config, "inference").await.expect("connected");
            Service::migrate(&db).await.expect("migrated");
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            let address = format!("http://{}", listener.local_addr().expect("an address"));
            let config = Config {
                join_token: uuid::Uuid::new_v4().to_string(),
                join_url: join_url.unwrap_or(&address).to_owned(),
                pools: [(POOL.to_owned(), pool)].into(),
                ..Config::default()
            };
            config.check().expect("it can be");
            let service = Service::with_machines(db, SystemClock::shared(), config, launch);
            service.tasks(&tasks);
            let router = Server::new(trust.verifier.clone()).layer(service.rpc_routes());
            tokio::spawn(async move { serve_rpc(listener, router, Stop::new()).await.expect("served") });
            let channel = Channel::remote(&address).expect("an address");
            let mut control = ControlClient::new(channel.with_signer(trust.signer.clone(), "inference"));
            let spec = v1::ModelSpec {
                name: "backlot/echo".to_owned(),
                version: "1".to_owned(),
                runtime: v1::RuntimeKind::Echo.into(),
                run_ms: 10,
                ..v1::ModelSpec::default()
            };
            control.put_model(v1::PutModelRequest { spec: Some(spec) }).await.expect("registered");
            control
        });
        House { runtime: Some(runtime), control, tasks }
    }

    /// Processes of machines, by machine.
    fn processes(&self) -> Vec<(String, i32)> {
        let folders = std::fs::read_dir(self.folder.join(POOL)).into_iter().flatten().filter_map(Result::ok);
        let rows = folders.filter_map(|folder| {
            let text = std::fs::read_to_string(folder.path().join("process.json")).ok()?;
            let pid = text.split(&[':', ','][..]).nth(1)?.parse().ok()?;
            Some((folder.file_name().into_string().ok()?, pid))
        });
        rows.collect()
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

impl House {
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("not killed yet");
        runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("within patience") })
    }

    fn job_succeeds(&self, key: &str) -> v1::Job {
        let mut control = self.control.clone();
        let request = v1::SubmitRequest {
            idempotency_key: key.to_owned(),
            tenant: "t".to_owned(),
            model: "backlot/echo".to_owned(),
            input_json: "{}".to_owned(),
            ..v1::SubmitRequest::default()
        };
        let watched = async {
            let job = control.submit(request).await.expect("accepted").into_inner();
            let request = v1::GetJobRequest { job_id: job.id };
            let mut states = control.watch_job(request).await.expect("watched").into_inner();
            let mut last = None;
            while let Some(job) = states.message().await.expect("a state") {
                last = Some(job);
            }
            last.expect("a job")
        };
        let runtime = self.runtime.as_ref().expect("not killed yet");
        let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, watched).await });
        let Ok(job) = ended else {
            let fleet = self.run(self.control.clone().get_fleet(v1::GetFleetRequest {}));
            panic!("job {key} does not end: {fleet:?}")
        };
        assert_eq!(job.state(), v1::JobState::Succeeded, "{}", job.message);
        job
    }

    /// Waits until the pool is as it should be.
    fn until(&self, what: &str, is: impl Fn(&v1::PoolView) -> bool) -> v1::PoolView {
        let mut control = self.control.clone();
        let mut last = None;
        let wait = async {
            loop {
                let fleet = control.get_fleet(v1::GetFleetRequest {}).await;
                // A leader that is only starting is not there yet.
                let pool = fleet.ok().and_then(|fleet| fleet.into_inner().pools.pop());
                match pool {
                    Some(pool) if is(&pool) => return pool,
                    other => last = other,
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let runtime = self.runtime.as_ref().expect("not killed yet");
        let waited = runtime.block_on(async { tokio::time::timeout(PATIENCE, wait).await });
        waited.unwrap_or_else(|_| panic!("{what}; seen last: {last:?}"))
    }

    fn stop(&self) {
        assert_eq!(self.run(self.tasks.shutdown(PATIENCE / 2)), 0, "every task stops by itself");
    }

    /// Nothing is told, nothing is flushed, no machine is stopped.
    fn kill(mut self) {
        let runtime = self.runtime.take().expect("not killed yet");
        runtime.shutdown_timeout(Duration::from_secs(10));
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn a_machine_comes_when_it_is_needed_goes_when_it_is_not_and_comes_back() {
    on_every_database(|world| {
        let house = world.start(|_| ());
        let pool = house.until("it begins with nothing", |_| true);
        assert_eq!((pool.running, pool.booting), (0, 0));
        let first = house.job_succeeds("a");
        let pool = house.until("its machine is shown", |pool| pool.running == 1);
        assert!(pool.spent_today_micro > Some(0) && pool.price_micro_per_hour == Some(3_600_000_000));
        house.until("what is idle goes", |pool| pool.running + pool.booting + pool.draining == 0);
        assert!(is_empty(&world.folder.join(POOL)), "nothing of it is left");
        let second = house.job_succeeds("b");
        assert_ne!(first.attempts[0].agent, second.attempts[0].agent, "another machine");
        house.until("and goes again", |pool| pool.running + pool.booting + pool.draining == 0);
        house.stop();
    });
}

#[test]
fn a_machine_survives_the_kill_of_its_service_and_is_not_ordered_twice() {
    on_every_database(|world| {
        let house = world.start(|pool| (pool.min, pool.max) = (1, 1));
        house.until("it always has one", |pool| pool.running == 1);
        let before = world.processes();
        house.kill();
        assert!(is_alive(before[0].1), "nobody stopped it");

        let house = world.start(|pool| (pool.min, pool.max) = (1, 1));
        house.until("it is there again", |pool| pool.running == 1);
        let job = house.job_succeeds("after");
        assert_eq!(job.attempts[0].agent, before[0].0, "the same machine, under the new address and token");
        let after = world.processes();
        assert_eq!(after.len(), 1, "nothing was ordered twice");
        assert_eq!(after[0].0, before[0].0);
        house.stop();
        assert!(!is_alive(after[0].1) && !is_alive(before[0].1), "it ends with its service");
    });
}

#[test]
fn a_machine_that_dies_is_noticed_and_replaced() {
    on_every_database(|world| {
        let house = world.start(|pool| (pool.min, pool.max) = (1, 1));
        house.until("it always has one", |pool| pool.running == 1);
        let (machine, pid) = world.processes().remove(0);
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
            .expect("killed");
        let is_another = |_: &v1::PoolView| world.processes().iter().any(|one| one.0 != machine);
        let pool = house.until("another comes", |pool| is_another(pool) && pool.running == 1);
        assert!(pool.taken_per_hour > 0.0, "its pool is trusted less");
        let left = world.folder.join(POOL).join(&machine);
        house.until("nothing of the dead one is left", |_| !left.exists());
        house.stop();
    });
}

#[test]
fn a_pool_with_a_wrong_address_says_what_its_agents_wrote_and_how_many_are_wanted() {
    for (join_url, words) in
        [("not an address", "not an address"), ("http://127.0.0.1:1", "cannot be reached")]
    {
        on_every_database(|world| {
            let house = world.start_joining(Some(join_url), |pool| (pool.min, pool.max) = (1, 1));
            let pool = house.until("it says why", |pool| pool.trouble.contains(words));
            assert!(pool.trouble.contains("inference.control.join_url"), "{pool:?}");
            assert_eq!((pool.wanted, pool.running), (1, 0));
            house.stop();
        });
    }
}
