//! Jobs on models: the contract, the agents' door and the driver of the scheduler.

use backlot_foundation_db::Db;
use backlot_foundation_rpc::Server;
use backlot_foundation_tokens::audience;
use backlot_inference_control as control;

use super::{Context, System};

/// Builds control and starts its driver.
pub(super) async fn build(context: &Context) -> anyhow::Result<System> {
    let config = &context.config.inference;
    let db = Db::connect(&config.db, audience::INFERENCE).await?;
    migrate(&db).await?;
    let launch = launch(context)?;
    let control =
        control::Service::with_machines(db.clone(), context.clock.clone(), config.control.clone(), launch);
    control.tasks(&context.tasks);
    let verifier = context.trust.verifier(audience::INFERENCE)?;
    Ok(System {
        name: audience::INFERENCE,
        rpc: Server::new(verifier.clone()).layer(control.rpc_routes()),
        http: control.http(),
        verifier,
        db,
    })
}

/// How an agent of a local pool is started: this very binary, with the models of this machine.
fn launch(context: &Context) -> anyhow::Result<control::Launch> {
    let agent = &context.config.agent;
    let absolute = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = |path: &std::path::Path| serde_json::Value::from(path.display().to_string()).to_string();
    let environment = [
        ("BACKLOT_AGENT__WORKERS_DIR", text(&absolute(&agent.workers_dir))),
        ("BACKLOT_AGENT__EXTENSIONS_DIR", text(&agent.extensions_dir)),
        ("BACKLOT_AGENT__PYTHON", text(&python_of(&agent.python)?)),
        ("BACKLOT_TELEMETRY__LOG", "warn".to_owned()),
    ];
    std::fs::create_dir_all(&context.folder)?;
    Ok(control::Launch {
        program: std::env::current_exe()?,
        arguments: vec!["agent".to_owned()],
        folder: context.folder.canonicalize()?.join("machines"),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
    })
}

/// A bare name is looked for where programs are; only a path is one. Its links stay: the Python of an environment is a link,
/// and knows by its own place which packages it has.
fn python_of(configured: &std::path::Path) -> std::io::Result<std::path::PathBuf> {
    if configured.components().count() > 1 {
        std::path::absolute(configured)
    } else {
        Ok(configured.to_owned())
    }
}

/// Brings inference's schema up to date.
pub(super) async fn migrate(db: &Db) -> anyhow::Result<()> {
    Ok(control::Service::migrate(db).await?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::python_of;

    #[test]
    fn the_python_of_an_environment_stays_a_link_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        std::os::unix::fs::symlink("/bin/sh", &python).unwrap();
        assert_eq!(python_of(&python).unwrap(), python);
        assert_eq!(python_of(Path::new("python3")).unwrap(), Path::new("python3"));
        assert!(python_of(Path::new("venv/bin/python")).unwrap().is_absolute());
    }
}
