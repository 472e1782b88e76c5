//! What can be known of a request before the driver is asked: its fields, its input, its digest.

use std::{collections::BTreeSet, sync::Arc};

use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use backlot_inference_api::JobId;

use crate::{
    error::Error,
    input, limits,
    model::{Job, JobState, ModelSpec, NewJob, Phase, Target, Tier},
    service::{Scope, Service, Submission},
};

impl Service {
    /// Everything that can be known before the driver is asked.
    pub(crate) fn check(&self, scope: &Scope, submission: Submission) -> Result<NewJob, Error> {
        let tenant = scope.tenant.clone().unwrap_or(submission.tenant);
        name("/tenant", &tenant)?;
        regions(submission.regions.iter())?;
        if submission.ttl_ms < 0 || submission.ttl_ms > limits::TTL_MS_MAX {
            return Err(invalid("/ttl_ms", "must be 0 to a week"));
        }
        check_target(&submission.target)?;
        let (shared, version) = (&self.inner.shared, &submission.model_version);
        let entry = shared.find_model(&scope.namespace, &submission.model, version);
        let entry = entry.ok_or_else(|| shared.not_found(&submission.model, version))?;
        let value = input::parse(&submission.input_json)?;
        entry.schema.check(&value)?;

        let mut job = blank(&scope.namespace, &tenant, &submission.model, &entry.model.spec.version);
        job.tier = submission.tier;
        job.ttl_ms = if submission.ttl_ms == 0 { limits::TTL_MS_DEFAULT } else { submission.ttl_ms };
        job.predicted_ms = submission.predicted_ms.clamp(0, limits::TTL_MS_MAX);
        job.regions = submission.regions.into_iter().collect();
        job.deadline = submission.deadline;
        job.target = submission.target;
        if let Some(batching) = &entry.model.spec.batching {
            job.batch_key = batch_key(&batching.key, &value);
        }
        let visible = |c: &char| c.is_ascii_graphic();
        job.traceparent =
            submission.traceparent.chars().filter(visible).take(limits::NAME_CHARS_MAX).collect();
        let key = if submission.idempotency_key.is_empty() {
            None
        } else {
            name("/idempotency_key", &submission.idempotency_key)?;
            if let Ok(uuid) = Uuid::try_parse(&submission.idempotency_key) {
                job.id = JobId::from_uuid(uuid);
            }
            let body = body_digest(&job, &submission.model_version, &value);
            // Tenants of one namespace do not know each other: their keys must not meet.
            Some((input::digest(&[&job.tenant, &submission.idempotency_key]), body))
        };
        Ok(NewJob { job, input: Arc::from(submission.input_json), key })
    }
}

/// What makes two requests the same. Signatures, predictions and traces may differ between repetitions; so may the newest
/// version, where the request names none.
fn body_digest(job: &Job, version_asked: &str, value: &serde_json::Value) -> String {
    let target = match &job.target {
        Target::Inline => "",
        Target::Issuer { url, .. } => url,
    };
    let regions = job.regions.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let (ttl_ms, input) = (job.ttl_ms.to_string(), input::canonical(value).to_string());
    let deadline = job.deadline.map(|at| at.micros().to_string());
    let mut parts: Vec<&str> =
        vec![&job.tenant, &job.model, version_asked, job.tier.as_str(), &ttl_ms, target, &regions, &input];
    // Requests without one have the digest that they had before there were deadlines.
    parts.extend(deadline.as_deref());
    input::digest(&parts)
}

/// What must be equal in one call, as a number: a digest of the values of the parameters that the model names.
fn batch_key(names: &[String], input: &serde_json::Value) -> u64 {
    let value =
        |name: &String| input::canonical(input.get(name).unwrap_or(&serde_json::Value::Null)).to_string();
    let values: Vec<String> = names.iter().map(value).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let digest = input::digest(&values);
    u64::from_str_radix(digest.get(..16).unwrap_or_default(), 16).unwrap_or_default()
}

pub(crate) fn blank(namespace: &str, tenant: &str, model: &str, model_version: &str) -> Job {
    Job {
        id: JobId::generate(),
        namespace: namespace.to_owned(),
        tenant: tenant.to_owned(),
        model: model.to_owned(),
        model_version: model_version.to_owned(),
        tier: Tier::Standard,
        state: JobState::Queued,
        phase: Phase::Queued,
        progress: 0.0,
        progress_note: String::new(),
        preview: String::new(),
        position: 0,
        start_p50_ms: 0,
        start_p90_ms: 0,
        failure: None,
        message: String::new(),
        outputs: Vec::new(),
        winning_fence: String::new(),
        attempts: Vec::new(),
        log_tail: String::new(),
        compute_ms: 0,
        predicted_ms: 0,
        created_at: Timestamp::default(),
        started_at: None,
        cancel_requested_at: None,
        ended_at: None,
        delivered_fraction: 0.0,
        fence: None,
        queued_at: Timestamp::default(),
        ttl_ms: limits::TTL_MS_DEFAULT,
        regions: BTreeSet::new(),
        batch_key: 0,
        deadline: None,
        target: Target::Inline,
        traceparent: String::new(),
    }
}

pub(crate) fn invalid(pointer: &str, rule: &str) -> Error {
    Error::Invalid { pointer: pointer.to_owned(), rule: rule.to_owned() }
}

pub(crate) fn name(pointer: &str, text: &str) -> Result<(), Error> {
    let count = text.chars().count();
    if count == 0 || count > limits::NAME_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(invalid(pointer, "must have 1 to 255 characters, none of them a control character"));
    }
    Ok(())
}

pub(crate) fn regions<'a>(all: impl ExactSizeIterator<Item = &'a String>) -> Result<(), Error> {
    if all.len() > limits::REGIONS_MAX {
        return Err(invalid("/regions", "must name at most 32 regions"));
    }
    for region in all {
        name("/regions", region)?;
    }
    Ok(())
}

fn check_target(target: &Target) -> Result<(), Error> {
    let Target::Issuer { url, capability } = target else { return Ok(()) };
    let web = url.starts_with("http://") || url.starts_with("https://");
    if !web || url.chars().count() > limits::ISSUER_URL_CHARS_MAX {
        return Err(invalid("/output/url", "must be an http or https URL of at most 2,048 characters"));
    }
    if capability.len() > limits::CAPABILITY_BYTES_MAX {
        return Err(invalid("/output/capability", "must have at most 8 KiB"));
    }
    Ok(())
}

pub(crate) fn check_model(spec: &ModelSpec) -> Result<(), Error> {
    let invalid = |pointer: &str, rule: &str| Error::ModelInvalid {
        pointer: pointer.to_owned(),
        rule: rule.to_owned(),
    };
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= limits::NAME_CHARS_MAX
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if !spec.name.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name)) {
        return Err(invalid("/name", "must be owner/name, of letters, digits, '-', '_' and '.'"));
    }
    if !plain(&spec.version) {
        return Err(invalid("/version", "must be of letters, digits, '-', '_' and '.'"));
    }
    if !spec.worker.is_empty() && !plain(&spec.worker) {
        return Err(invalid("/worker", "must be the name of a folder"));
    }
    if spec.input_schema.to_string().len() > limits::SCHEMA_BYTES_MAX {
        return Err(invalid("/input_schema_json", "must have at most 64 KiB"));
    }
    if let Some(batching) = &spec.batching {
        if !(2..=limits::BATCH_MAX).contains(&batching.max) || batching.memory_mib < 0 {
            return Err(invalid("/batching/max", "must be 2 to 64, and its memory not negative"));
        }
        let named = |name: &String| !name.is_empty() && name.chars().count() <= limits::NAME_CHARS_MAX;
        if batching.key.len() > limits::BATCH_KEY_MAX || !batching.key.iter().all(named) {
            return Err(invalid(
                "/batching/key",
                "must name at most 32 parameters, each with 1 to 255 characters",
            ));
        }
    }
    let negative = [spec.load_ms, spec.run_ms, spec.memory_mib, spec.timeout_ms].iter().any(|ms| *ms < 0);
    if negative || spec.timeout_ms > limits::TIMEOUT_MS_MAX {
        return Err(invalid(
            "/timeout_ms",
            "durations and sizes must not be negative, the time-out at most a day",
        ));
    }
    Ok(())
}
