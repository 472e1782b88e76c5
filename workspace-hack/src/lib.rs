//! Depends on every third-party crate of the workspace and contains nothing: `cargo test -p CRATE -p workspace-hack`
//! unifies features exactly as a build of the whole workspace does, so a single crate builds without rebuilding the world.
