//! Machines of a pool behind an operator's program, which fails at every moment.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use backlot_inference_api::v1;
use backlot_inference_control::{Config, PoolConfig, ProviderKind};

use crate::lab::{JOIN_TOKEN, Process, World, echo, hello, on_every_database, succeeded};

/// Longest wait for anything that a program of the provider has to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cloud: a folder with a file for each machine. `lose` makes the next creation's answer get lost, `hang` keeps it.
const CLOUD: &str = r#"
cd "$1"; mkdir -p machines; input=$(cat)
machine=$(printf %s "$input" | sed -n 's/.*"machine":"\([^"]*\)".*/\1/p')
echo "$2 $machine" >> calls
case "$2" in
create) touch "machines/$machine"
  printf %s "$input" > order
  if [ -e lose ]; then rm lose; echo 'the line broke' >&2; exit 1; fi
  if [ -e hang ]; then rm hang; sleep 1000; fi
  if [ -e full ]; then rm "machines/$machine"; fi
  printf 'made with %s\n' "$(printf %s "$input" | sed -n 's/.*JOIN_TOKEN":"\\"\([^\\]*\).*/\1/p')" ;;
delete) [ -e stuck ] && exit 1; rm -f "machines/$machine" ;;
list) notice=false; [ -e notice ] && notice=true
  printf '{"machines":['; first=
  for one in machines/*; do [ -e "$one" ] || continue
    printf '%s{"machine":"%s","notice":%s,"says":"%s"}' "$first" "${one#machines/}" "$notice" "$(cat says 2>/dev/null)"; first=,
  done; printf ']}' ;;
esac
"#;

struct Cloud {
    folder: tempfile::TempDir,
}

impl Cloud {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("machines")).unwrap();
        std::fs::write(folder.path().join("cloud.sh"), CLOUD).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set(&self, name: &str) {
        std::fs::write(self.path(name), "").unwrap();
    }

    fn machines(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("machines")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn calls(&self, verb: &str) -> usize {
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter(|line| line.starts_with(verb)).count()
    }

    fn pool(&self) -> PoolConfig {
        let path = |path: &Path| path.display().to_string();
        PoolConfig {
            provider: ProviderKind::Command,
            command: vec!["sh".to_owned(), path(&self.path("cloud.sh")), path(self.folder.path())],
            boot_ms: 3_600_000,
            min: 1,
            max: 1,
            list_ms: 100,
            ..PoolConfig::default()
        }
    }

    fn start(&self, world: &World, change: impl FnOnce(&mut PoolConfig)) -> Process {
        world.start_with(|config: &mut Config| {
            let mut pool = self.pool();
            change(&mut pool);
            config.pools.insert("far".to_owned(), pool);
            config.check().unwrap();
        })
    }
}

fn pool(process: &Process) -> v1::PoolView {
    let fleet = process.run(process.control().get_fleet(v1::GetFleetRequest {})).unwrap().into_inner();
    fleet.pools[0].clone()
}

fn until(process: &Process, what: &str, is: impl Fn(&v1::PoolView) -> bool) -> v1::PoolView {
    let deadline = Instant::now() + PATIENCE;
    loop {
        process.wait_ms(100);
        let seen = pool(process);
        if is(&seen) {
            return seen;
        }
        let rows =
            || process.texts("SELECT id || ' ' || state || ' ' || reason || ' ' || message FROM machines");
        assert!(Instant::now() < deadline, "{what}; seen last: {seen:?} {:?}", rows());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn state(process: &Process, state: &str) -> i64 {
    process.count(&format!("SELECT count(*) FROM machines WHERE state = '{state}'"))
}

fn member(machine: &str) -> v1::Hello {
    v1::Hello { pool: "far".to_owned(), machine: machine.to_owned(), ..hello("somebody") }
}

#[test]
fn an_order_whose_answer_was_lost_is_found_and_not_repeated() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        cloud.set("lose");
        let process = cloud.start(world, |_| ());
        until(&process, "it is found in the list", |_| state(&process, "booting") == 1);
        assert_eq!((cloud.machines().len(), cloud.calls("create")), (1, 1));
        let order = std::fs::read_to_string(cloud.path("order")).unwrap();
        assert!(order.contains("BACKLOT_AGENT__MACHINE") && order.contains(JOIN_TOKEN), "{order}");
    });
}

#[test]
fn a_kill_in_the_middle_of_an_order_makes_one_machine() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        cloud.set("hang");
        let process = cloud.start(world, |_| ());
        until(&process, "it is being made", |_| cloud.calls("create") == 1 && !cloud.path("hang").exists());
        // Ordered, or booting where a list named it meanwhile.
        let known = state(&process, "ordered") + state(&process, "booting");
        assert_eq!(known, 1, "the row was there before the call");
        drop(process);
        let process = cloud.start(world, |_| ());
        until(&process, "the next one finds it", |_| state(&process, "booting") == 1);
        assert_eq!((cloud.machines().len(), cloud.calls("create")), (1, 1));
        assert_eq!(process.count("SELECT count(*) FROM machines"), 1);
    });
}

#[test]
fn a_market_that_takes_a_machine_back_gets_it_when_its_work_is_done() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        let process = cloud.start(world, |_| ());
        echo(&process);
        until(&process, "it is made", |_| state(&process, "booting") == 1);
        let machine = cloud.machines().remove(0);
        let (mut agent, _) = process.join(member(&machine));
        until(&process, "it works", |pool| pool.running == 1);
        let fleet = process.run(process.control().get_fleet(v1::GetFleetRequest {})).unwrap().into_inner();
        assert_eq!(fleet.agents[0].pool, "far", "it says whose it is");
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        cloud.set("notice");
        until(&process, "it is told to drain", |pool| pool.draining == 1);
        assert!(cloud.machines().contains(&machine), "its job runs");
        std::fs::remove_file(cloud.path("notice")).unwrap();
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(process.job(&job.id).state(), v1::JobState::Succeeded);
        until(&process, "then it goes", |_| !cloud.machines().contains(&machine));
        let pool = until(&process, "and another one comes", |_| state(&process, "booting") == 1);
        assert!(pool.taken_per_hour > 0.0);
    });
}

#[test]
fn a_machine_that_nobody_ordered_is_shown_and_goes_where_the_operator_says_so() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        std::fs::write(cloud.path("machines/stranger"), "").unwrap();
        let process = cloud.start(world, |pool| (pool.min, pool.max) = (0, 0));
        until(&process, "it is shown", |pool| pool.unknown == 1);
        assert_eq!(cloud.calls("delete"), 0);
        let (_agent, _) = process.join(member("stranger"));
        echo(&process);
        process.submit("k");
        process.wait_ms(5_000);
        assert_eq!(process.count("SELECT count(*) FROM attempts"), 0, "a stranger gets no work");
        drop(process);
        let process = cloud.start(world, |pool| {
            (pool.min, pool.max, pool.delete_unknown) = (0, 0, true);
        });
        until(&process, "it goes", |pool| pool.unknown == 0 && cloud.machines().is_empty());
        until(&process, "its row says so", |_| state(&process, "gone") == 1);
    });
}

#[test]
fn a_machine_that_vanishes_is_replaced_and_a_pool_that_ends_gives_all_back() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        let process = cloud.start(world, |_| ());
        until(&process, "it is made", |_| state(&process, "booting") == 1);
        let machine = cloud.machines().remove(0);
        std::fs::remove_file(cloud.path("machines").join(&machine)).unwrap();
        until(&process, "another one", |_| state(&process, "gone") == 1 && state(&process, "booting") == 1);
        assert_ne!(cloud.machines(), [machine]);
        drop(process);
        let process = cloud.start(world, |pool| (pool.min, pool.max) = (0, 0));
        until(&process, "nothing is left", |_| cloud.machines().is_empty() && state(&process, "gone") == 2);
    });
}

#[test]
fn a_pool_whose_machines_do_not_join_says_so_and_is_wanted_all_the_same() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        let process = cloud.start(world, |pool| pool.boot_ms = 1_000);
        until(&process, "it is made", |_| state(&process, "booting") == 1);
        process.wait_ms(10_000);
        let pool = until(&process, "it says what is wrong", |pool| !pool.trouble.is_empty());
        let expected = "a machine that was ordered has not joined; its agent must reach inference.control.join_url; \
                        create ended well (exit status: 0) and printed last: made with [hidden]";
        assert_eq!(pool.trouble, expected);
        // What a cloud shows of the machine's console says more, whatever bytes it is made of.
        std::fs::write(cloud.path("says"), r"panic\u0000 at boot").unwrap();
        let says = "it wrote last: panic\\u{0} at boot";
        until(&process, "it says what the machine said", |pool| pool.trouble.ends_with(says));
        process.wait_ms(40_000);
        let pool = until(&process, "it is given up", |_| state(&process, "gone") == 1);
        assert_eq!((pool.wanted, pool.running), (1, 0));
        assert!(pool.trouble.contains("did not join") && pool.trouble.ends_with(says), "{pool:?}");
        // The scheduler leaves the pool alone for minutes; what it always has is tried again in seconds.
        process.wait_ms(1_000);
        until(&process, "another one", |_| state(&process, "booting") == 1);
        let (_agent, _) = process.join(member(&cloud.machines()[0]));
        let pool = until(&process, "it joins", |pool| pool.running == 1);
        assert_eq!((pool.wanted, pool.trouble.as_str()), (1, ""));
    });
}

/// Lets time pass until so many machines were ordered in all; how long that took.
fn until_ordered(process: &Process, count: i64) -> u64 {
    let mut waited_ms = 0;
    while process.count("SELECT count(*) FROM machines") < count {
        assert!(waited_ms < 3_600_000, "none is ordered");
        process.wait_ms(500);
        waited_ms += 500;
    }
    waited_ms
}

#[test]
fn what_is_lost_again_and_again_is_ordered_with_growing_pauses_also_over_a_kill() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        cloud.set("full");
        let mut process = cloud.start(world, |_| ());
        let mut pauses = Vec::new();
        for lost in 1..=6 {
            until(&process, "it is gone at once", |_| state(&process, "gone") == lost);
            if lost == 4 {
                drop(process);
                process = cloud.start(world, |_| ());
                let pool = pool(&process);
                assert!(pool.trouble.contains("gone before its agent joined"), "{pool:?}");
            }
            pauses.push(until_ordered(&process, lost + 1));
        }
        // From a second, twice as long each time; `until` itself lets a little pass.
        assert!(pauses[5] >= 12_000 && pauses[5] <= 60_000, "{pauses:?}");
        assert!(pauses[0] <= 1_500 && pauses[3] >= 2_000 && pauses[5] > pauses[3], "{pauses:?}");
        assert!((6..=7).contains(&cloud.calls("create")), "one call for each that was ordered");
    });
}

#[test]
fn what_does_not_join_and_cannot_be_given_back_is_not_ordered_beside() {
    on_every_database(|world| {
        let cloud = Cloud::new();
        cloud.set("stuck");
        let process = cloud.start(world, |pool| pool.boot_ms = 1_000);
        until(&process, "it is made", |_| state(&process, "booting") == 1);
        process.wait_ms(50_000);
        until(&process, "it is to go", |_| state(&process, "deleting") == 1);
        process.wait_ms(900_000);
        until(&process, "that fails", |pool| pool.trouble.contains("delete failed (exit status: 1)"));
        assert_eq!(
            process.count("SELECT count(*) FROM machines"),
            1,
            "it may run: another one would be paid beside"
        );
        std::fs::remove_file(cloud.path("stuck")).unwrap();
        until(&process, "then it goes, and another one comes", |_| {
            state(&process, "gone") == 1 && state(&process, "booting") == 1
        });
        assert_eq!(cloud.machines().len(), 1);
    });
}

#[test]
fn a_wrong_pool_names_itself() {
    let wrong = |change: &dyn Fn(&mut PoolConfig), name: &str, token: &str| {
        let mut config = Config { join_token: token.to_owned(), ..Config::default() };
        let mut pool = Cloud::new().pool();
        change(&mut pool);
        config.pools.insert(name.to_owned(), pool);
        config.check().map_err(|error| error.to_string())
    };
    assert_eq!(wrong(&|_| (), "gpu-eu", "t"), Ok(()));
    let error = wrong(&|pool| pool.min = 9, "gpu-eu", "t").unwrap_err();
    assert_eq!(error, "inference.control.pools.gpu-eu: min must not be more than max");
    assert!(wrong(&|_| (), "../up", "t").unwrap_err().contains("pools.../up"));
    assert!(wrong(&|_| (), "gpu", "").unwrap_err().contains("inference.control.join_token"));
}
