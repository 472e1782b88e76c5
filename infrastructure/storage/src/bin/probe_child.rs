//! The sandboxed child alone, for tests and for deployments that want it as a binary of its own.

fn main() {
    backlot_infrastructure_storage::probe_child_main();
}
