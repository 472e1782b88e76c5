//! Accounts, keys and authority.

use anyhow::Context as _;
use serde_json::json;

use super::DemoArgs;
use super::client::{Client, text};
use super::report::Report;

/// Micro-credits in a credit.
pub(super) const CREDIT: i64 = 1_000_000;

/// Somebody who signed up.
pub(super) struct Person {
    pub(super) client: Client,
    pub(super) user_id: String,
    pub(super) email: String,
    pub(super) organisation_id: String,
    pub(super) project_id: String,
}

/// The owner's member, who has a mandate and gave part of it on.
pub(super) struct Crew {
    pub(super) artist: Client,
    pub(super) project_id: String,
    pub(super) lead_mandate: String,
    pub(super) artist_mandate: String,
}

/// Signs somebody up under a fresh address.
pub(super) async fn sign_up(url: &str, name: &str, report: &mut Report) -> anyhow::Result<Person> {
    report.doing("signing up");
    let client = Client::new(url)?;
    let unique = uuid::Uuid::now_v7().simple().to_string();
    let email =
        format!("{}.{unique}@demo.example", name.split(' ').next().unwrap_or("somebody").to_lowercase());
    let password = uuid::Uuid::new_v4().to_string();
    let body = json!({ "email": email, "password": password, "name": name, "organisation": format!("{name}'s studio") });
    let answer = client.post("/v1/identity/sign-up", &body).await.context("sign up")?;
    let person = Person {
        client,
        email,
        user_id: text(&answer, "/user/id")?,
        organisation_id: text(&answer, "/organisation/id")?,
        project_id: text(&answer, "/project/id")?,
    };
    report.done(
        "sign up",
        &format!("{name} has an organisation and a project"),
        json!({ "user_id": person.user_id }),
    );
    Ok(person)
}

/// Signs in with a password.
pub(super) async fn sign_in(url: &str, email: &str, password: &str) -> anyhow::Result<Client> {
    let client = Client::new(url)?;
    client.post("/v1/identity/sign-in", &json!({ "email": email, "password": password })).await?;
    Ok(client)
}

/// Makes an API key, which is shown once.
pub(super) async fn api_key(owner: &Person, report: &mut Report) -> anyhow::Result<String> {
    report.doing("making an API key");
    let answer =
        owner.client.post("/v1/identity/api-keys", &json!({ "name": "demo" })).await.context("api key")?;
    let key = text(&answer, "/key")?;
    report.done("API key", "shown once, stored as a hash", json!({ "key_id": answer["id"] }));
    Ok(key)
}

/// Owner → line producer → artist: a chain of depth 2, each with a part of the envelope above.
pub(super) async fn give_authority(
    args: &DemoArgs,
    owner: &Person,
    report: &mut Report,
) -> anyhow::Result<Crew> {
    let lead = sign_up(&args.url, "Lin Lead", report).await?;
    let artist = sign_up(&args.url, "Max Artist", report).await?;
    report.doing("giving authority and credits");
    for member in [&lead, &artist] {
        join(owner, member).await.context("invitation")?;
    }
    let tree = owner.client.get("/v1/mandates").await?;
    let root = tree["items"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["parent_id"].is_null()))
        .context("the organisation has a root mandate")?;
    let lead_mandate =
        give(owner, &text(root, "/id")?, &lead, owner, 40 * CREDIT, 1).await.context("first mandate")?;
    let artist_mandate =
        give(&lead, &lead_mandate, &artist, owner, 20 * CREDIT, 0).await.context("second mandate")?;
    report.done(
        "mandates",
        "40 credits to the line producer, 20 of them on to the artist",
        json!({ "mandates": [lead_mandate, artist_mandate] }),
    );
    Ok(Crew { artist: artist.client, project_id: owner.project_id.clone(), lead_mandate, artist_mandate })
}

/// Invites a member, who accepts and works in the owner's organisation from then on.
async fn join(owner: &Person, member: &Person) -> anyhow::Result<()> {
    let body = json!({ "email": member.email, "role": "member" });
    let invitation = owner.client.post("/v1/identity/invitations", &body).await?;
    let accept = json!({ "token": text(&invitation, "/token")? });
    member.client.post("/v1/identity/invitations/accept", &accept).await?;
    let switch = json!({ "organisation_id": owner.organisation_id });
    member.client.post("/v1/identity/switch", &switch).await?;
    Ok(())
}

async fn give(
    giver: &Person,
    parent: &str,
    receiver: &Person,
    owner: &Person,
    amount_micro: i64,
    depth_max: u32,
) -> anyhow::Result<String> {
    let body = json!({
        "parent_id": parent,
        "grantee_id": receiver.user_id,
        "project_id": owner.project_id,
        "actions": ["tools.run", "assets.read", "assets.write", "mandates.give"],
        "envelope": { "amount_micro": amount_micro, "mode": "transfer" },
        "depth_max": depth_max,
        "purpose": "the demo's shots",
    });
    text(&giver.client.post("/v1/mandates", &body).await?, "/id")
}
