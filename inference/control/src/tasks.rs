//! The task of control that everything depends on: a driver leads, and another one follows it where it fails.

use std::{sync::Arc, time::Duration};

use backlot_foundation_runtime::{Stop, Tasks};
use tokio::sync::mpsc;

use crate::{
    driver::{Command, Driver, Failed, stand_by},
    pools::Carrier,
    service::{Inner, Service},
};

/// Pause before another driver is started after a failure.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn spawn(service: &Service, tasks: &Tasks) {
    let inner = service.inner.clone();
    tasks.spawn_loop("inference.driver", move |stop| lead(inner.clone(), stop));
    crate::retention::spawn(service, tasks);
}

/// Leads until the stop signal. After a failure everything is read again from the rows; a driver that was deposed
/// waits until its successor is silent.
async fn lead(inner: Arc<Inner>, stop: Stop) {
    let mut commands = inner.receiver.lock().await;
    lead_until(&inner, &stop, &mut commands).await;
    // Nobody shall wait for an answer that cannot come.
    commands.close();
    refuse(&mut commands).await;
    inner.shared.stop();
}

async fn lead_until(inner: &Inner, stop: &Stop, commands: &mut mpsc::Receiver<Command>) {
    while !stop.is_stopped() {
        let driver = match Driver::recover(inner).await {
            Ok(driver) => {
                inner.relay.stop();
                inner.shared.set_follows(false);
                driver
            }
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read; it is tried again");
                refuse_for(commands, stop, RESTART_PAUSE).await;
                continue;
            }
        };
        let carrying = stop.child();
        let mut carrier = carrier(inner, &driver);
        let led = async {
            let led = driver.run(commands, stop).await;
            carrying.stop();
            led
        };
        let (led, ()) = tokio::join!(led, carrier.run(&carrying));
        match led {
            Ok(()) => return carrier.stop_machines().await,
            Err(Failed::Deposed) => {
                carrier.stop_machines().await;
                tracing::error!("another process leads this queue now; this one stands by");
                inner.shared.clear_jobs();
                tokio::select! {
                    _ = stand_by(&inner.db, &inner.clock, &inner.relay, stop) => {}
                    () = refuse(commands) => return,
                }
            }
            Err(Failed::Database(error)) => {
                tracing::error!(%error, "the queue's database failed; everything is read again");
                refuse_for(commands, stop, RESTART_PAUSE).await;
            }
        }
    }
}

/// What speaks with the providers of a driver's machines.
fn carrier(inner: &Inner, driver: &Driver) -> Carrier {
    let Inner { clock, config, launch, commands, .. } = inner;
    Carrier::new(driver.epoch(), clock, config, launch, driver.errands(), commands.clone())
}

/// Drops commands: their callers hear "unavailable" and repeat.
async fn refuse(commands: &mut mpsc::Receiver<Command>) {
    while commands.recv().await.is_some() {}
}

async fn refuse_for(commands: &mut mpsc::Receiver<Command>, stop: &Stop, pause: Duration) {
    tokio::select! {
        _ = stop.sleep(pause) => {}
        () = refuse(commands) => {}
    }
}
