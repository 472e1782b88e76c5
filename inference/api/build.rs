//! Compiles the contract's protobuf files without an installed protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/backlot/inference/v1/control.proto", "proto/backlot/inference/v1/agents.proto"];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    // The transport is chosen by the composition root; without this, `Connect` would collide with the client's own.
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
