//! `backlot demo`: one real job through every system, over the public API only.
//!
//! It does what a studio's first day looks like: people sign up, authority and credits are given on, a
//! photograph is uploaded, enlarged and set in motion, a mandate is taken back while a run waits, and the
//! company's numbers show all of it. docs/demo.md says where each figure can be read again.

mod client;
mod community;
mod film;
mod people;
mod report;
mod work;

use clap::Args;
use serde_json::{Value, json};

use client::Client;
use report::Report;

/// The account that `backlot serve --demo-account` makes: staff on a machine of one's own.
pub(crate) const DEMO_EMAIL: &str = "demo@backlot.example";
/// Its password, known to everyone: never use `--demo-account` on a server that others reach.
pub(crate) const DEMO_PASSWORD: &str = "roll camera action";

/// Options of `backlot demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The studio's address.
    #[arg(long, env = "BACKLOT_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// One JSON object a line, for programs.
    #[arg(long)]
    json: bool,
    /// An account of the staff, which may read the company's numbers.
    #[arg(long, default_value = DEMO_EMAIL)]
    staff_email: String,
    /// Its password.
    #[arg(long, env = "BACKLOT_DEMO_PASSWORD", default_value = DEMO_PASSWORD)]
    staff_password: String,
}

/// Runs the demo; an error names the step that failed.
pub(crate) async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let mut report = Report::new(args.json);
    let outcome = drive(args, &mut report).await;
    match outcome {
        Ok(()) => {
            report.finish();
            Ok(())
        }
        Err(error) => {
            if args.json {
                println!("{}", json!({ "step": "failed", "ok": false, "error": format!("{error:#}") }));
            }
            Err(error)
        }
    }
}

async fn drive(args: &DemoArgs, report: &mut Report) -> anyhow::Result<()> {
    let owner = people::sign_up(&args.url, "Ada Producer", report).await?;
    report.keep("user_id", owner.user_id.clone());
    let key = people::api_key(&owner, report).await?;
    report.keep("api_key", key.clone());
    let api = owner.client.with_key(&key)?;

    let crew = people::give_authority(args, &owner, report).await?;
    let photo = work::upload_photo(&api, report).await?;
    let enlarged = work::upscale(&api, &photo, report).await?;
    let clip = work::animate(&api, &enlarged, report).await?;
    let (board, film) = film::make(&api, &photo, &clip, report).await?;
    community::publish_and_remix(&args.url, &api, &board, &film, report).await?;
    work::run_under_mandate(&crew, &photo, report).await?;
    work::revoke_while_queued(&owner, &crew, &photo, report).await?;
    work::accounts(&api, report).await?;

    let staff = people::sign_in(&args.url, &args.staff_email, &args.staff_password).await;
    let staff: &Client = staff.as_ref().unwrap_or(&owner.client);
    numbers(staff, report).await
}

/// Reads the numbers with their definitions. They follow the events within seconds, so it waits for today's.
async fn numbers(staff: &Client, report: &mut Report) -> anyhow::Result<()> {
    report.doing("reading the company's numbers");
    let last = |document: &Value| -> Value {
        let points = document["points"].as_array().cloned().unwrap_or_default();
        points
            .iter()
            .rev()
            .map(|point| point["value"].clone())
            .find(|value| !value.is_null())
            .unwrap_or(Value::Null)
    };
    let mut dau = Value::Null;
    let mut success = Value::Null;
    for _ in 0..40 {
        dau = last(&staff.get("/v1/metrics/dau").await?);
        success = last(&staff.get("/v1/metrics/generation_success_rate").await?);
        if dau.as_f64().unwrap_or(0.0) >= 1.0 && !success.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    report.keep("dau", dau.clone());
    report.keep("success_rate", success.clone());
    report.done(
        "numbers",
        &format!("daily active users {dau}, success rate {success}"),
        json!({ "dau": dau, "success_rate": success }),
    );
    Ok(())
}
