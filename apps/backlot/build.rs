//! The web app is built by its own tools (`make web`). Where it was not, the binary carries a page that says so.

use std::path::Path;

const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Backlot</title>\n\
<body style=\"font:16px/1.6 system-ui;max-width:40rem;margin:4rem auto;padding:0 1.5rem\">\n\
<h1>The web app is not in this build</h1>\n\
<p>Run <code>make run</code>, or build it with <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code> and \
build Backlot again. The API is here all the same: <a href=\"/openapi.json\">/openapi.json</a>.</p>\n</body>\n</html>\n";

fn main() -> std::io::Result<()> {
    let folder = Path::new("../../web/dist");
    println!("cargo:rerun-if-changed=../../web/dist");
    println!("cargo:rerun-if-changed=../../docs/errors");
    let index = folder.join("index.html");
    if !index.exists() {
        std::fs::create_dir_all(folder)?;
        std::fs::write(index, PAGE)?;
    }
    Ok(())
}
