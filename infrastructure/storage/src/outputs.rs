//! The issuer: how whoever runs a job writes its outputs, and how the winner's become assets.
//!
//! An attempt announces each output under its own fence, `{job}/{fence}/{n}`, and may write it once; a
//! stale attempt has another fence and overwrites nothing. Only what the success names becomes an asset.

use std::time::Duration;

use crate::addresses::{SignedUrl, UploadTarget};
use crate::assets::signed_ttl;
use crate::entities::{asset, issuer, output};
use crate::error::Error;
use crate::events;
use crate::ingest::{Sent, Verified, ingest};
use crate::keys::ObjectKey;
use crate::media::{Claim, Strictness};
use crate::names::{clean_name, download_name};
use crate::output_rules::{check_capability, check_limits, check_output, check_terms, choose, output_asset};
use crate::outputs_store::{self, issuer_state};
use crate::service::{Asset, Service, space};
use crate::signing::capability_hash;
use crate::store;
use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};

/// How long one output's address is good for; the agent asks again where it needs longer.
const OUTPUT_URL_TTL: Duration = Duration::from_secs(3_600);
/// Most inputs of one run.
const INPUTS_MAX: usize = 64;

/// On what terms a job's outputs are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerTerms {
    /// The job.
    pub job_id: String,
    /// Whose outputs they are.
    pub organisation: OrganisationId,
    /// Where they belong, if anywhere.
    pub project: Option<ProjectId>,
    /// On whose behalf.
    pub actor_id: String,
    /// Seconds that the capability lives.
    pub ttl_s: i64,
    /// Bytes of all outputs of one attempt together.
    pub max_bytes: i64,
    /// Outputs of one attempt.
    pub max_outputs: i32,
}

/// An output that an attempt announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutput {
    /// What allows it.
    pub capability: String,
    /// The attempt's fence.
    pub fence: String,
    /// Its number, from 0.
    pub n: i32,
    /// File name.
    pub name: String,
    /// What the model says that it is.
    pub content_type: String,
    /// Exact size in bytes.
    pub size_bytes: i64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputTicket {
    /// One PUT.
    pub target: UploadTarget,
    /// What the success names it by.
    pub object_key: String,
}

/// The outputs of the attempt that won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner {
    /// The job.
    pub job_id: String,
    /// The run that the assets came from.
    pub run_id: String,
    /// The attempt's fence.
    pub fence: String,
    /// What it wrote.
    pub outputs: Vec<WinnerOutput>,
    /// What the run was given.
    pub inputs: Vec<AssetId>,
    /// The tool that ran.
    pub tool: String,
    /// Its version.
    pub tool_version: String,
}

/// One of them, as the success names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WinnerOutput {
    /// As the ticket said.
    pub object_key: String,
    /// File name; empty: as announced.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: i64,
    /// SHA-256, hex; empty: as announced.
    pub sha256: String,
}

impl Service {
    /// Opens a job's outputs and returns the capability. Asking again gives the same one. Refused where the
    /// organisation has no space left at all.
    pub async fn create_issuer(&self, terms: &IssuerTerms) -> Result<String, Error> {
        check_terms(terms)?;
        let inner = &self.inner;
        let now = inner.clock.now();
        let organisation = terms.organisation.to_string();
        let mut capability = inner.key.capability(&terms.job_id, &organisation);
        let row = issuer::Model {
            job_id: terms.job_id.clone(),
            organisation_id: terms.organisation,
            project_id: terms.project.map(|project| project.to_string()),
            actor_id: terms.actor_id.clone(),
            capability_hash: capability_hash(&capability),
            max_bytes: terms.max_bytes,
            max_outputs: terms.max_outputs,
            state: issuer_state::OPEN.to_owned(),
            fence: None,
            expires_at: now.plus(Duration::from_secs(terms.ttl_s.unsigned_abs())),
            objects_pending: false,
            created_at: now,
            ended_at: None,
        };
        let tx = inner.db.begin_write().await?;
        if outputs_store::insert_issuer(&*tx, row).await? {
            // What a run makes is delivered in any case, so the place for it is asked for before it begins.
            let usage = store::usage_of(&*tx, terms.organisation).await?;
            let (taken, quota) = space(usage, inner.config.quota_bytes);
            if taken >= quota {
                return Err(Error::SpaceUsedUp);
            }
        } else {
            let kept = outputs_store::issuer(&*tx, &terms.job_id).await?.ok_or(Error::NotFound("issuer"))?;
            if kept.organisation_id != terms.organisation {
                return Err(Error::NotFound("issuer"));
            }
            if kept.max_bytes != terms.max_bytes || kept.max_outputs != terms.max_outputs {
                return Err(Error::IssuerConflict("The job has an issuer with other limits.".to_owned()));
            }
            match inner.key.capability_given(&terms.job_id, &organisation, &kept.capability_hash) {
                Some(given) => capability = given,
                // Its secret is accepted no longer, so what was given out is worth nothing any more.
                None => {
                    let hash = capability_hash(&capability);
                    outputs_store::renew_capability(&*tx, &terms.job_id, &hash).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(capability)
    }

    /// Announces an output and says where it goes. Announcing the same again gives a fresh address, also
    /// where it has been written: whoever lost the answer to its PUT learns there that the object exists.
    pub async fn announce_output(&self, new: &NewOutput) -> Result<OutputTicket, Error> {
        check_output(new)?;
        let inner = &self.inner;
        let now = inner.clock.now();
        let hash = capability_hash(&new.capability);
        let found = outputs_store::issuer_by_capability(inner.db.read(), &hash).await?;
        let found = found.ok_or(Error::CapabilityInvalid)?;
        let (job_id, organisation) = (found.job_id, found.organisation_id.to_string());
        if inner.key.capability_given(&job_id, &organisation, &hash).is_none() {
            return Err(Error::CapabilityInvalid);
        }
        let key = ObjectKey::output(&job_id, &new.fence, new.n).ok_or(Error::CapabilityInvalid)?;

        let tx = inner.db.begin_write().await?;
        let issuer = outputs_store::issuer_locked(&*tx, &job_id).await?.ok_or(Error::CapabilityInvalid)?;
        check_capability(&issuer, &hash, now)?;
        let announced = outputs_store::outputs_of(&*tx, &job_id).await?;
        match announced.iter().find(|other| other.fence == new.fence && other.n == new.n) {
            Some(same) if same.size_bytes == new.size_bytes && same.sha256 == new.sha256 => (),
            Some(_) => {
                return Err(Error::OutputExists(format!(
                    "Output {} of this attempt was announced with another size or hash. Use the next number.",
                    new.n
                )));
            }
            None => {
                check_limits(&issuer, &announced, new)?;
                let row = output::Model {
                    job_id: job_id.clone(),
                    fence: new.fence.clone(),
                    n: new.n,
                    asset_id: AssetId::generate(),
                    name: clean_name(&new.name),
                    content_type: new.content_type.clone(),
                    size_bytes: new.size_bytes,
                    sha256: new.sha256.clone(),
                    created_at: now,
                };
                outputs_store::insert_output(&*tx, row).await?;
            }
        }
        tx.commit().await?;
        let size = new.size_bytes.unsigned_abs();
        let ttl = issuer.expires_at.since(now).min(OUTPUT_URL_TTL);
        let target = self.put_target(&key, size, Some(&new.sha256), &new.content_type, ttl).await?;
        Ok(OutputTicket { target, object_key: key.to_string() })
    }

    /// Makes the winner's outputs assets. Doing it again gives the same assets.
    pub async fn finalize_outputs(
        &self,
        organisation: Option<OrganisationId>,
        winner: Winner,
    ) -> Result<Vec<Asset>, Error> {
        let service = self.clone();
        // In a task of its own, as a caller's deadline must not stop the work half-way.
        let work = tokio::spawn(async move { service.finalize(organisation, &winner).await });
        work.await.map_err(|error| Error::Internal(error.to_string()))?
    }

    async fn finalize(
        &self,
        organisation: Option<OrganisationId>,
        winner: &Winner,
    ) -> Result<Vec<Asset>, Error> {
        let db = self.inner.db.read();
        // A caller whose deadline passed calls again while the first call still works.
        let _turn = self.inner.finalizing.turn(&winner.job_id).await;
        let issuer = self.issuer_of(organisation, &winner.job_id).await?;
        match issuer.state.as_str() {
            issuer_state::FINALIZED => return self.finalized_assets(&issuer, winner).await,
            issuer_state::DISCARDED => return Err(Error::OutputsEnded),
            _ => (),
        }
        if winner.inputs.len() > INPUTS_MAX {
            return Err(Error::InvalidField {
                pointer: "/input_asset_ids",
                message: format!("at most {INPUTS_MAX} inputs"),
            });
        }
        let mut distinct = winner.inputs.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if store::assets_among(db, issuer.organisation_id, &distinct).await?.len() != distinct.len() {
            return Err(Error::NotFound("input asset"));
        }
        let announced = outputs_store::outputs_of(db, &winner.job_id).await?;
        let chosen = choose(&announced, winner)?;
        let mut rows = Vec::new();
        for (output, named) in chosen {
            let verified = self.look_at_output(&issuer, output).await?;
            let now = self.inner.clock.now();
            rows.push((output_asset(&issuer, output, named, winner, &verified, now), verified));
        }
        self.write_finalized(&issuer, winner, rows).await
    }

    async fn look_at_output(
        &self,
        issuer: &issuer::Model,
        output: &output::Model,
    ) -> Result<Verified, Error> {
        let key = ObjectKey::output(&output.job_id, &output.fence, output.n)
            .ok_or_else(|| Error::Internal("a stored output without a key".to_owned()))?;
        let missing = || Error::OutputMissing(format!("{key} was announced and has not been written."));
        let size = self.inner.objects.size(&key).await?.ok_or_else(missing)?;
        if size != output.size_bytes.unsigned_abs() {
            return Err(Error::OutputMismatch(format!(
                "{key} has {size} bytes and {} were announced.",
                output.size_bytes
            )));
        }
        let sent = Sent {
            from: &key,
            organisation: issuer.organisation_id,
            asset: output.asset_id,
            claim: match Claim::parse(&output.content_type) {
                // What a model calls its output matters little; the bytes must be of a kind that is taken.
                Claim::Unsupported => Claim::Unknown,
                claim => claim,
            },
            strictness: Strictness::SameClass,
            size_bytes: output.size_bytes,
            sha256: Some(&output.sha256),
        };
        ingest(&self.inner.objects, &self.inner.prober, &sent).await.map_err(|error| match error {
            Error::NotUploaded => missing(),
            Error::Rejected(rejection)
                if rejection.code == &backlot_infrastructure_api::codes::storage::ASSET_HASH_MISMATCH =>
            {
                Error::OutputMismatch(format!("{key}: {}", rejection.detail))
            }
            other => other,
        })
    }

    /// One transaction: all assets, their lineage and space, and the end of the issuer.
    async fn write_finalized(
        &self,
        issuer: &issuer::Model,
        winner: &Winner,
        rows: Vec<(asset::Model, Verified)>,
    ) -> Result<Vec<Asset>, Error> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let tx = inner.db.begin_write().await?;
        let fence = Some(winner.fence.as_str());
        if !outputs_store::end_issuer(&*tx, &issuer.job_id, issuer_state::FINALIZED, fence, now).await? {
            // Another call was faster. It looked at the same bytes and used the same ids.
            drop(tx);
            let issuer = self.issuer_of(None, &issuer.job_id).await?;
            if issuer.state == issuer_state::DISCARDED {
                return Err(Error::OutputsEnded);
            }
            return self.finalized_assets(&issuer, winner).await;
        }
        let mut assets = Vec::new();
        for (row, verified) in rows {
            store::insert_asset(&*tx, row.clone()).await?;
            store::insert_inputs(&*tx, row.id, &winner.inputs).await?;
            // Over the quota where it must be: what was paid for is delivered, and uploads wait.
            store::account(&*tx, row.organisation_id, row.size_bytes, 0).await?;
            events::created(&tx, &row, now).await?;
            events::ready(&tx, &row, verified.media, now).await?;
            assets.push(Asset { row, inputs: winner.inputs.clone() });
        }
        tx.commit().await?;
        self.remove_outputs(&issuer.job_id).await;
        Ok(assets)
    }

    /// The assets of a job that was finalised before.
    async fn finalized_assets(&self, issuer: &issuer::Model, winner: &Winner) -> Result<Vec<Asset>, Error> {
        if issuer.fence.as_deref() != Some(winner.fence.as_str()) {
            return Err(Error::IssuerConflict("The job was finalised with another attempt.".to_owned()));
        }
        let db = self.inner.db.read();
        let announced = outputs_store::outputs_of(db, &winner.job_id).await?;
        let ids: Vec<AssetId> =
            choose(&announced, winner)?.into_iter().map(|(output, _)| output.asset_id).collect();
        let mut rows = store::assets_among(db, issuer.organisation_id, &ids).await?;
        if rows.len() != ids.len() {
            return Err(Error::IssuerConflict("The job was finalised with other outputs.".to_owned()));
        }
        rows.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
        self.all_with_inputs(rows).await
    }

    /// A URL that downloads an output before its job is finalised.
    pub async fn sign_output(
        &self,
        organisation: Option<OrganisationId>,
        job_id: &str,
        object_key: &str,
        ttl_s: i64,
    ) -> Result<SignedUrl, Error> {
        let ttl = signed_ttl(ttl_s)?;
        let issuer = self.issuer_of(organisation, job_id).await?;
        if issuer.state != issuer_state::OPEN {
            return Err(Error::OutputsEnded);
        }
        let announced = outputs_store::outputs_of(self.inner.db.read(), job_id).await?;
        let found = announced.into_iter().find_map(|output| {
            let key = ObjectKey::output(&output.job_id, &output.fence, output.n)?;
            (key.as_str() == object_key).then_some((key, output))
        });
        let (key, output) = found.ok_or(Error::NotFound("output"))?;
        let name = download_name(&output.name, &output.content_type);
        self.get_target(&key, &output.content_type, &name, ttl).await
    }

    /// Nothing of this job will be kept. Doing it again, or for a job without an issuer, changes nothing;
    /// after a finalisation the assets stay.
    pub async fn discard_outputs(
        &self,
        organisation: Option<OrganisationId>,
        job_id: &str,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        match self.issuer_of(organisation, job_id).await {
            Ok(_) => (),
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = inner.clock.now();
        let tx = inner.db.begin_write().await?;
        let ended = outputs_store::end_issuer(&*tx, job_id, issuer_state::DISCARDED, None, now).await?;
        tx.commit().await?;
        if ended {
            self.remove_outputs(job_id).await;
        }
        Ok(())
    }

    async fn issuer_of(
        &self,
        organisation: Option<OrganisationId>,
        job_id: &str,
    ) -> Result<issuer::Model, Error> {
        let row = outputs_store::issuer(self.inner.db.read(), job_id).await?;
        row.filter(|row| organisation.is_none_or(|organisation| row.organisation_id == organisation))
            .ok_or(Error::NotFound("issuer"))
    }

    /// Removes all that a job's attempts wrote. What fails is left to the reconciler.
    pub(crate) async fn remove_outputs(&self, job_id: &str) {
        if let Err(error) = self.try_remove_outputs(job_id).await {
            tracing::warn!(job = job_id, %error, "outputs could not be removed and are removed later");
        }
    }

    pub(crate) async fn try_remove_outputs(&self, job_id: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let issuer = self.issuer_of(None, job_id).await?;
        for output in outputs_store::outputs_of(inner.db.read(), job_id).await? {
            if let Some(key) = ObjectKey::output(job_id, &output.fence, output.n) {
                inner.objects.delete(&key).await?;
            }
            if issuer.state == issuer_state::DISCARDED {
                // A finalisation may have been on its way.
                inner.objects.delete(&ObjectKey::asset(issuer.organisation_id, output.asset_id)).await?;
                inner.objects.delete(&ObjectKey::preview(issuer.organisation_id, output.asset_id)).await?;
            }
        }
        let tx = inner.db.begin_write().await?;
        outputs_store::mark_issuer_objects_removed(&*tx, job_id).await?;
        tx.commit().await?;
        Ok(())
    }
}
