//! Compiles the contract's protobuf files without an installed protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "proto/backlot/infrastructure/v1/identity.proto",
        "proto/backlot/infrastructure/v1/mandates.proto",
        "proto/backlot/infrastructure/v1/billing.proto",
        "proto/backlot/infrastructure/v1/storage.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
