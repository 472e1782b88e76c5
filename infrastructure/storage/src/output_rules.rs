//! What an issuer allows and what a success may name. Pure: rows and the time come in as arguments.

use backlot_foundation_time::Timestamp;
use subtle::ConstantTimeEq;

use crate::entities::{asset, issuer, output};
use crate::error::Error;
use crate::ingest::Verified;
use crate::keys::{FENCE_CHARS_MAX, ObjectKey, is_plain_segment};
use crate::names::clean_name;
use crate::outputs::{IssuerTerms, NewOutput, Winner, WinnerOutput};
use crate::outputs_store::issuer_state;
use crate::service::SIZE_BYTES_MAX;
use crate::store::{origin, state};

/// Longest life of a capability: a week.
const ISSUER_TTL_S_MAX: i64 = 604_800;
/// Most outputs of one attempt.
const OUTPUTS_MAX: i32 = 256;
/// Attempts of one job that may announce outputs. More are a fault, not a retry.
const FENCES_MAX: usize = 64;
/// Longest job id.
const JOB_ID_CHARS_MAX: usize = 64;

pub(crate) fn check_terms(terms: &IssuerTerms) -> Result<(), Error> {
    let invalid = |pointer, message: &str| Err(Error::InvalidField { pointer, message: message.to_owned() });
    if !is_plain_segment(&terms.job_id) || terms.job_id.len() > JOB_ID_CHARS_MAX {
        return invalid("/job_id", "must be 1 to 64 characters of letters, digits, '.', '_' and '-'");
    }
    if !(1..=ISSUER_TTL_S_MAX).contains(&terms.ttl_s) {
        return invalid("/ttl_s", "must be 1 to 604800 seconds");
    }
    if !(1..=SIZE_BYTES_MAX).contains(&terms.max_bytes) {
        return invalid("/max_bytes", "must be positive");
    }
    if !(1..=OUTPUTS_MAX).contains(&terms.max_outputs) {
        return invalid("/max_outputs", "must be 1 to 256");
    }
    Ok(())
}

pub(crate) fn check_output(new: &NewOutput) -> Result<(), Error> {
    let invalid = |pointer, message: &str| Err(Error::InvalidField { pointer, message: message.to_owned() });
    if !is_plain_segment(&new.fence) || new.fence.len() > FENCE_CHARS_MAX {
        return invalid("/fence", "must be 1 to 64 characters of letters, digits, '.', '_' and '-'");
    }
    if !(0..OUTPUTS_MAX).contains(&new.n) {
        return invalid("/n", "must be 0 to 255");
    }
    if !(1..=SIZE_BYTES_MAX).contains(&new.size_bytes) {
        return invalid("/size_bytes", "must be at least 1: an empty output is none");
    }
    let is_hash =
        new.sha256.len() == 64 && new.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash {
        return invalid("/sha256", "must be 64 lower-case hexadecimal digits");
    }
    if new.content_type.len() > 255 {
        return invalid("/content_type", "must have at most 255 characters");
    }
    Ok(())
}

pub(crate) fn check_capability(issuer: &issuer::Model, hash: &str, now: Timestamp) -> Result<(), Error> {
    let fits: bool = issuer.capability_hash.as_bytes().ct_eq(hash.as_bytes()).into();
    if !fits {
        return Err(Error::CapabilityInvalid);
    }
    if issuer.state != issuer_state::OPEN {
        return Err(Error::OutputsEnded);
    }
    if now >= issuer.expires_at {
        return Err(Error::CapabilityExpired);
    }
    Ok(())
}

/// The limits hold for each attempt; the number of attempts has a limit of its own.
pub(crate) fn check_limits(
    issuer: &issuer::Model,
    announced: &[output::Model],
    new: &NewOutput,
) -> Result<(), Error> {
    let of_attempt: Vec<_> = announced.iter().filter(|other| other.fence == new.fence).collect();
    let bytes: i64 = of_attempt.iter().map(|other| other.size_bytes).sum();
    if of_attempt.len() >= usize::try_from(issuer.max_outputs).unwrap_or(0) {
        return Err(Error::OutputLimit(format!("The job may write {} outputs.", issuer.max_outputs)));
    }
    if bytes + new.size_bytes > issuer.max_bytes {
        return Err(Error::OutputLimit(format!(
            "The job may write {} bytes; {bytes} are announced and {} more are asked for.",
            issuer.max_bytes, new.size_bytes
        )));
    }
    let mut fences: Vec<&str> = announced.iter().map(|other| other.fence.as_str()).collect();
    fences.dedup();
    if of_attempt.is_empty() && fences.len() >= FENCES_MAX {
        return Err(Error::OutputLimit(format!("More than {FENCES_MAX} attempts of one job wrote outputs.")));
    }
    Ok(())
}

/// What was announced, for each output that the success names, in the success's order.
pub(crate) fn choose<'a>(
    announced: &'a [output::Model],
    winner: &'a Winner,
) -> Result<Vec<(&'a output::Model, &'a WinnerOutput)>, Error> {
    let mut chosen: Vec<(&output::Model, &WinnerOutput)> = Vec::new();
    for named in &winner.outputs {
        let found = announced.iter().filter(|output| output.fence == winner.fence).find(|output| {
            ObjectKey::output(&output.job_id, &output.fence, output.n)
                .is_some_and(|key| key.as_str() == named.object_key)
        });
        let output = found.ok_or_else(|| {
            Error::OutputMissing(format!(
                "{} was not announced by the attempt that won.",
                shorten(&named.object_key)
            ))
        })?;
        if output.size_bytes != named.size_bytes
            || !(named.sha256.is_empty() || named.sha256 == output.sha256)
        {
            return Err(Error::OutputMismatch(format!(
                "The success says another size or hash of {} than was announced.",
                shorten(&named.object_key)
            )));
        }
        if chosen.iter().any(|(other, _)| other.asset_id == output.asset_id) {
            return Err(Error::OutputMismatch(format!("{} is named twice.", shorten(&named.object_key))));
        }
        chosen.push((output, named));
    }
    Ok(chosen)
}

fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).collect()
}

pub(crate) fn output_asset(
    issuer: &issuer::Model,
    output: &output::Model,
    named: &WinnerOutput,
    winner: &Winner,
    verified: &Verified,
    now: Timestamp,
) -> asset::Model {
    asset::Model {
        id: output.asset_id,
        organisation_id: issuer.organisation_id,
        project_id: issuer.project_id.clone(),
        actor_id: issuer.actor_id.clone(),
        state: state::READY.to_owned(),
        origin: origin::OUTPUT.to_owned(),
        name: if named.name.is_empty() { output.name.clone() } else { clean_name(&named.name) },
        content_type: verified.media.as_str().to_owned(),
        size_bytes: output.size_bytes,
        sha256: Some(verified.sha256.clone()),
        width_px: verified.width_px,
        height_px: verified.height_px,
        duration_ms: verified.duration_ms,
        preview_type: verified.preview_type.clone(),
        run_id: Some(winner.run_id.clone()),
        tool: Some(winner.tool.clone()),
        tool_version: Some(winner.tool_version.clone()),
        rejected_code: None,
        rejected_detail: None,
        objects_pending: false,
        upload_expires_at: None,
        lease_token: None,
        lease_until: None,
        created_at: now,
        ended_at: Some(now),
    }
}
