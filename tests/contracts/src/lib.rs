//! Serves real systems over both transports, for one suite of cases.

use std::sync::Arc;

use backlot_foundation_events::EventsService;
use backlot_foundation_rpc::{Channel, Server, serve_rpc};
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::SystemClock;
use backlot_foundation_tokens::audience;
use tokio::net::TcpListener;

/// A system with a channel of each transport, all with and without a token.
pub struct Served {
    /// Calls in process.
    pub local: Channel,
    /// Calls over a socket.
    pub remote: Channel,
    /// In process, as nobody.
    pub local_stranger: Channel,
    /// Over a socket, as nobody.
    pub remote_stranger: Channel,
    /// Ends with the test.
    pub tasks: Tasks,
    /// Its database.
    pub test_db: TestDb,
}

impl Served {
    /// Infrastructure on a fresh database.
    pub async fn infrastructure() -> Self {
        let test = TestDb::sqlite(audience::INFRASTRUCTURE).await;
        let (db, clock, tasks) = (test.db.clone(), SystemClock::shared(), Tasks::new());
        db.migrate::<backlot_foundation_events::Migrator>().await.expect("migrates");
        db.migrate::<backlot_infrastructure_identity::Migrator>().await.expect("migrates");
        db.migrate::<backlot_infrastructure_billing::Migrator>().await.expect("migrates");
        let billing = backlot_infrastructure_billing::Service::new(
            db.clone(),
            backlot_infrastructure_billing::Deps::default(),
            backlot_infrastructure_billing::Config::default(),
            clock.clone(),
        );
        let deps = backlot_infrastructure_identity::Deps {
            observer: Arc::new(billing.clone()),
            authority: Arc::new(billing.clone()),
        };
        let config = backlot_infrastructure_identity::Config::default();
        let identity = backlot_infrastructure_identity::Service::new(db.clone(), deps, config, clock.clone());
        let identity = identity.expect("identity can be built");
        let events = EventsService::new(db, clock, backlot_infrastructure_api::events::schemas());
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(identity.rpc())
            .add_service(billing.billing_rpc())
            .add_service(billing.mandates_rpc());
        routes.add_service(events.server());
        Self::serve(test, audience::INFRASTRUCTURE, routes.routes(), tasks).await
    }

    /// Inference on a fresh database, without agents.
    pub async fn inference() -> Self {
        let test = TestDb::sqlite(audience::INFERENCE).await;
        let (db, clock, tasks) = (test.db.clone(), SystemClock::shared(), Tasks::new());
        backlot_inference_control::Service::migrate(&db).await.expect("migrates");
        let config = backlot_inference_control::Config::default();
        let control = backlot_inference_control::Service::new(db, clock, config);
        control.tasks(&tasks);
        Self::serve(test, audience::INFERENCE, control.rpc_routes(), tasks).await
    }

    async fn serve(db: TestDb, name: &'static str, routes: tonic::service::Routes, tasks: Tasks) -> Self {
        let trust = Trust::new("business", name);
        let router = Server::new(trust.verifier.clone()).layer(routes);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (served, stop) = (router.clone(), tasks.stop_signal());
        tasks.spawn_once(async move { serve_rpc(listener, served, stop).await.expect("it serves") });
        let (local, remote) = (Channel::local(router), Channel::remote(&address).expect("an address"));
        let sign = |channel: &Channel| channel.clone().with_signer(trust.signer.clone(), name);
        Self {
            local: sign(&local),
            remote: sign(&remote),
            local_stranger: local,
            remote_stranger: remote,
            tasks,
            test_db: db,
        }
    }

    /// Each transport by name: (trusted, stranger).
    #[must_use]
    pub fn transports(&self) -> [(&'static str, Channel, Channel); 2] {
        [
            ("in process", self.local.clone(), self.local_stranger.clone()),
            ("over a socket", self.remote.clone(), self.remote_stranger.clone()),
        ]
    }
}
