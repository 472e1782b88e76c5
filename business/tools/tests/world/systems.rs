//! Billing, mandates and storage, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use backlot_foundation_errors::Problem;
use backlot_foundation_time::{Clock as _, SystemClock};
use backlot_infrastructure_api::AssetId;
use backlot_infrastructure_api::v1 as infra;
use backlot_infrastructure_api::v1::billing_server::Billing;
use backlot_infrastructure_api::v1::mandates_server::Mandates;
use backlot_infrastructure_api::v1::storage_server::Storage;
use tonic::{Request, Response, Status};

use super::{Answer, INSUFFICIENT, PRECONDITION, REVOKED, When, World, uuid_like};

#[derive(Clone)]
pub(super) struct Infra(pub(super) Arc<World>);

#[async_trait]
impl Billing for Infra {
    async fn hold(&self, request: Request<infra::HoldRequest>) -> Answer<infra::Hold> {
        self.0.door("hold", When::Before).await?;
        let request = request.into_inner();
        let hold = {
            let mut state = self.0.state.lock();
            state.hold_calls += 1;
            if let Some(hold) = state.holds.get(&request.run_id) {
                assert_eq!(hold.held_micro, request.amount_micro, "another body under the same run");
                hold.clone()
            } else if state.revoked {
                return Err(Problem::new(&REVOKED, "It was taken back.").into());
            } else if state.available < request.amount_micro {
                return Err(Problem::new(&INSUFFICIENT, "There are not enough credits.").into());
            } else {
                state.available -= request.amount_micro;
                let hold = infra::Hold {
                    run_id: request.run_id.clone(),
                    state: infra::HoldState::Held.into(),
                    held_micro: request.amount_micro,
                    mandate_id: "0198a000-0000-7000-8000-000000000002".to_owned(),
                    mandate_chain: vec![
                        "0198a000-0000-7000-8000-000000000002".to_owned(),
                        "0198a000-0000-7000-8000-000000000001".to_owned(),
                    ],
                    created_at_us: SystemClock.now().micros(),
                    ..Default::default()
                };
                state.holds.insert(request.run_id, hold.clone());
                hold
            }
        };
        self.0.door("hold", When::After).await?;
        Ok(Response::new(hold))
    }

    async fn settle(&self, request: Request<infra::SettleRequest>) -> Answer<infra::Hold> {
        self.0.door("settle", When::Before).await?;
        let request = request.into_inner();
        let hold = self.end(&request.run_id, infra::HoldState::Settled, request.amount_micro)?;
        self.0.door("settle", When::After).await?;
        Ok(Response::new(hold))
    }

    async fn void(&self, request: Request<infra::VoidRequest>) -> Answer<infra::Hold> {
        self.0.door("void", When::Before).await?;
        let request = request.into_inner();
        let hold = self.end(&request.run_id, infra::HoldState::Voided, 0)?;
        self.0.door("void", When::After).await?;
        Ok(Response::new(hold))
    }

    async fn get_hold(&self, request: Request<infra::GetHoldRequest>) -> Answer<infra::Hold> {
        let hold = self.0.state.lock().holds.get(&request.into_inner().run_id).cloned();
        hold.map(Response::new).ok_or_else(|| Status::not_found("no hold"))
    }

    async fn get_balance(&self, _: Request<infra::GetBalanceRequest>) -> Answer<infra::Balance> {
        let available_micro = self.0.state.lock().available;
        Ok(Response::new(infra::Balance { available_micro, ..Default::default() }))
    }

    async fn check_ledger(&self, _: Request<infra::CheckLedgerRequest>) -> Answer<infra::LedgerReport> {
        Ok(Response::new(infra::LedgerReport::default()))
    }
}

impl Infra {
    fn end(&self, run: &str, end: infra::HoldState, amount: i64) -> Result<infra::Hold, Status> {
        let mut state = self.0.state.lock();
        let Some(hold) = state.holds.get_mut(run) else { return Err(Status::not_found("no hold")) };
        if hold.state() == infra::HoldState::Held {
            assert!(amount <= hold.held_micro, "settled more than held");
            hold.set_state(end);
            hold.settled_micro = amount;
            hold.ended_at_us = SystemClock.now().micros();
            let (hold, returned) = (hold.clone(), hold.held_micro - amount);
            state.available += returned;
            return Ok(hold);
        }
        assert_eq!((hold.state(), hold.settled_micro), (end, amount), "ended twice, differently");
        Ok(hold.clone())
    }
}

#[async_trait]
impl Mandates for Infra {
    async fn check(&self, request: Request<infra::CheckRequest>) -> Answer<infra::CheckResponse> {
        assert_eq!(request.into_inner().action, "tools.run");
        Ok(Response::new(infra::CheckResponse { allowed: true, ..Default::default() }))
    }
}

#[async_trait]
impl Storage for Infra {
    async fn get_asset(&self, request: Request<infra::GetAssetRequest>) -> Answer<infra::Asset> {
        let request = request.into_inner();
        let asset = self.0.state.lock().assets.get(&request.asset_id).cloned();
        let asset = asset.filter(|asset| asset.organisation_id == request.organisation_id);
        asset.map(Response::new).ok_or_else(|| Status::not_found("no asset"))
    }

    async fn sign_download(&self, request: Request<infra::SignDownloadRequest>) -> Answer<infra::SignedUrl> {
        self.0.door("sign", When::Before).await?;
        let id = request.into_inner().asset_id;
        // Another signature at every call, as stores do.
        let url = format!("http://store.test/{id}?signature={}", uuid_like());
        Ok(Response::new(infra::SignedUrl { url, expires_at_us: 0 }))
    }

    async fn create_issuer(&self, request: Request<infra::CreateIssuerRequest>) -> Answer<infra::Issuer> {
        self.0.door("issuer", When::Before).await?;
        let capability = format!("capability of {}", request.into_inner().job_id);
        Ok(Response::new(infra::Issuer { url: "http://store.test/v1/outputs".to_owned(), capability }))
    }

    async fn finalize_outputs(
        &self,
        request: Request<infra::FinalizeOutputsRequest>,
    ) -> Answer<infra::FinalizeOutputsResponse> {
        self.0.door("finalise", When::Before).await?;
        let request = request.into_inner();
        if self.0.state.lock().refuse_outputs {
            return Err(Problem::new(&PRECONDITION, "An object is missing.").into());
        }
        let assets = {
            let mut state = self.0.state.lock();
            let made = state.finalised.entry(request.job_id).or_insert_with(|| {
                let asset = |output: &infra::Output| infra::Asset {
                    id: AssetId::generate().to_string(),
                    state: infra::AssetState::Ready.into(),
                    name: output.name.clone(),
                    content_type: output.content_type.clone(),
                    size_bytes: output.size_bytes,
                    ..Default::default()
                };
                request.outputs.iter().map(asset).collect()
            });
            made.clone()
        };
        self.0.door("finalise", When::After).await?;
        Ok(Response::new(infra::FinalizeOutputsResponse { assets }))
    }

    async fn sign_output(&self, request: Request<infra::SignOutputRequest>) -> Answer<infra::SignedUrl> {
        self.0.door("sign_output", When::Before).await?;
        let request = request.into_inner();
        let state = self.0.state.lock();
        let closed =
            state.finalised.contains_key(&request.job_id) || state.discarded.contains(&request.job_id);
        if closed {
            return Err(Problem::new(&PRECONDITION, "They were kept or discarded.").into());
        }
        let url = format!("http://store.test/{}?signature={}", request.object_key, uuid_like());
        Ok(Response::new(infra::SignedUrl { url, expires_at_us: 0 }))
    }

    async fn discard_outputs(
        &self,
        request: Request<infra::DiscardOutputsRequest>,
    ) -> Answer<infra::DiscardOutputsResponse> {
        self.0.door("discard", When::Before).await?;
        self.0.state.lock().discarded.push(request.into_inner().job_id);
        self.0.door("discard", When::After).await?;
        Ok(Response::new(infra::DiscardOutputsResponse {}))
    }

    async fn set_public(&self, _: Request<infra::SetPublicRequest>) -> Answer<infra::SetPublicResponse> {
        Err(Status::unimplemented("tools make nothing public"))
    }

    async fn begin_upload(&self, _: Request<infra::BeginUploadRequest>) -> Answer<infra::Upload> {
        Err(Status::unimplemented("tools bring nothing in"))
    }

    async fn complete_upload(&self, _: Request<infra::CompleteUploadRequest>) -> Answer<infra::Asset> {
        Err(Status::unimplemented("tools bring nothing in"))
    }

    async fn cancel_upload(
        &self,
        _: Request<infra::CancelUploadRequest>,
    ) -> Answer<infra::CancelUploadResponse> {
        Err(Status::unimplemented("tools bring nothing in"))
    }

    async fn copy_public(&self, _: Request<infra::CopyPublicRequest>) -> Answer<infra::Asset> {
        Err(Status::unimplemented("tools copy nothing"))
    }

    async fn sign_public(&self, _: Request<infra::SignPublicRequest>) -> Answer<infra::SignedUrl> {
        Err(Status::unimplemented("tools make nothing public"))
    }
}
