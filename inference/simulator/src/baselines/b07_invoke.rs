//! B7, `InvokeAI`'s session queue (`invokeai/app/services/session_queue`): the least recently served tenant, then
//! priority; swap to a job of the same tenant that is warm here within its next 32.

use std::collections::BTreeMap;

use backlot_inference_scheduler::{JobKey, TenantKey, TimeUs};

use super::{
    pull::Rule,
    view::{Queue, View},
};

const LOOK_AHEAD: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Invoke {
    /// When each tenant was last served, as a count.
    served: BTreeMap<TenantKey, u64>,
    count: u64,
}

impl Rule for Invoke {
    const NAME: &'static str = "b7-invoke";

    fn next(&mut self, _now: TimeUs, view: &View, queue: &Queue) -> Option<(JobKey, usize)> {
        let tenants = queue.by_tenant.iter();
        let (_, jobs) = tenants.min_by_key(|(tenant, jobs)| {
            (self.served.get(*tenant).copied().unwrap_or(0), jobs.first().copied())
        })?;
        let head = *jobs.first()?;
        let at = view.warm_first(&view.jobs.get(&head)?.model)?;
        let warm = |key: &&JobKey| view.jobs.get(key).is_some_and(|job| view.workers[at].holds(&job.model));
        let key = jobs.iter().take(LOOK_AHEAD).find(warm).copied().unwrap_or(head);
        Some((key, at))
    }

    fn started(&mut self, _now: TimeUs, tenant: &TenantKey) {
        self.count += 1;
        self.served.insert(tenant.clone(), self.count);
    }
}
